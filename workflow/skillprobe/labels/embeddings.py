"""Judges that are sentence encoders: the label whose hypothesis is nearest, or a head on labelled texts."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from skillprobe.errors import UserError
from skillprobe.labels import heads
from skillprobe.labels.batched import BatchedJudge, load
from skillprobe.labels.encoders import check_settings, describe
from skillprobe.labels.mapping import hypotheses
from skillprobe.models.fast_import import fast_import

with fast_import():
    import torch
    from transformers import AutoModel


class EmbeddingJudge(BatchedJudge):
    """A sentence encoder as a judge. Texts become unit vectors of the encoder.

    Without settings["labelled"], `scores` are the cosines between the text and the hypotheses, a sentence
    with the label in it (Yin et al., arXiv 1909.00161), and the label is that of the highest; else they are
    the probabilities of the head in the file settings["head"], which a rule fits (before, there are `vectors`
    alone). Where labelled texts had no label, heads.NONE has a score too.
    """

    def __init__(self, task: str, settings: Mapping, labels: Sequence[str]):
        """settings: the config's `judges.<task>`; labels: the task's. Raises UserError where the encoder
        can't be loaded or isn't known, and for settings that contradict each other."""
        if settings["head"] is None:
            check_settings(task, settings, labels)
        remedy = "download it again, or choose another encoder"
        tokenizer, model = load(task, settings, AutoModel, optional="pooler.", remedy=remedy)
        self._encoder = describe(task, settings["model"], _folder(settings))
        super().__init__(task, settings, labels, tokenizer, model, self._encoder.max_tokens or math.inf)
        if settings["batch_size"] > 1:
            self._choose_side()
        self._head = None
        # Cosines have none: the closest is taken.
        self.threshold = -1.0
        if settings["head"] is not None:
            self._head = heads.read_head(task, settings["head"], model.config.hidden_size, labels)
            self.threshold = heads.threshold_of(settings, labels)
            self._names = heads.scored(self._head.labels, labels)
        elif settings["labelled"] is None:
            self._anchors = self.vectors(hypotheses(settings, labels))

    @torch.inference_mode()
    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """[text, d] float64, of length 1. Raises UserError where the encoder returns other than numbers."""
        texts = [self._encoder.prefix + (text.lower() if self._encoder.lower else text) for text in texts]
        found = self._outputs(texts).double().numpy()
        if not np.isfinite(found).all():
            raise UserError(
                f"judges.{self.task}: '{self.settings['model']}' returns NaN or infinite vectors; check its "
                "weights, or choose another encoder"
            )
        return found

    def _scores(self, texts: list[str]) -> list[list[float]]:
        found = self.vectors(texts)
        if self._head is None:
            return (found @ self._anchors.T).tolist()
        return heads.scores_of(self._head, found, self.labels)

    def _read(self, inputs) -> torch.Tensor:
        states = self.model(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"][..., None].to(states.dtype)
        if self._encoder.pooling == "mean":
            pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        elif self._encoder.pooling == "max":
            pooled = states.masked_fill(mask == 0, -math.inf).amax(1)
        else:
            pooled = states.gather(1, mask.argmax(1, keepdim=True).expand(-1, -1, states.shape[2])).squeeze(1)
        return torch.nn.functional.normalize(pooled, dim=-1)


def _folder(settings: Mapping) -> Path:
    """Where the encoder's files are: of the hub, in the cache."""
    folder = Path(settings.get("folder") or os.path.expanduser(settings["model"]))
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            settings["model"],
            revision=settings["revision"] or "main",
            allow_patterns=["*.json"],
            local_files_only=settings["offline"],
        )
    )
