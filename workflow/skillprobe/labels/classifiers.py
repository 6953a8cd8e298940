"""Judges that are text classifiers, from the hub or a folder: by the labels they have, or zero-shot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from skillprobe.errors import UserError
from skillprobe.labels.batched import BatchedJudge, load
from skillprobe.labels.mapping import columns, hypotheses, label_names
from skillprobe.models.fast_import import fast_import

with fast_import():
    import torch
    from transformers import AutoModelForSequenceClassification


class TransformersJudge(BatchedJudge):
    """A sequence classifier as a judge.

    labels: those of the task. By method "classification" `scores` are the probabilities of the task's labels
    (or what a regression gives), each the sum (of a multi-label model the largest) over the model's labels
    that are mapped to it; by "zero-shot" the softmax, over the task's labels, of the logit that the text
    entails the hypothesis with the label in it (Yin et al., arXiv 1909.00161). label: of the highest score,
    None if that is below `threshold` (of a single label 0.5 if none is set, of several 0).
    """

    def __init__(self, task: str, settings: Mapping, labels: Sequence[str]):
        """settings: the config's `judges.<task>`; labels: the task's. Raises UserError where the model can't
        be loaded, and where its labels don't fit the task's."""
        remedy = "choose a model that was trained to classify texts"
        tokenizer, model = load(task, settings, AutoModelForSequenceClassification, remedy=remedy)
        super().__init__(task, settings, labels, tokenizer, model, math.inf)
        self.threshold = settings["threshold"]
        if self.threshold is None:
            self.threshold = 0.5 if len(self.labels) == 1 else 0.0
        config = model.config
        self._columns = columns(task, settings, label_names(task, settings, config.id2label), self.labels)
        self._problem = config.problem_type
        if settings["multi_label"] is not None:
            self._problem = "multi_label_classification" if settings["multi_label"] else None
        self._hypotheses: list[str] = []
        if settings["method"] == "zero-shot":
            self._hypotheses = hypotheses(settings, self.labels)
            self._check_hypotheses()
        if settings["batch_size"] > 1:
            self._choose_side(self._hypotheses[:1])

    def _read(self, inputs) -> torch.Tensor:
        return self.model(**inputs).logits

    @torch.inference_mode()
    def _scores(self, texts: list[str]) -> list[list[float]]:
        if self.settings["method"] == "zero-shot":
            return self._entailed(texts)
        logits = self._outputs(texts)
        # As transformers' pipeline has it; softmax would give a single output 1 whatever the text.
        if self._problem in ("regression", "multi_label_classification") or logits.shape[1] == 1:
            chances = logits if self._problem == "regression" else logits.sigmoid()
            return [[row[columns].max().item() for columns in self._columns] for row in chances]
        chances = logits.softmax(dim=-1)
        return [[row[columns].sum().item() for columns in self._columns] for row in chances]

    def _entailed(self, texts: list[str]) -> list[list[float]]:
        pairs = [(text, hypothesis) for text in texts for hypothesis in self._hypotheses]
        entailment = self._outputs(*map(list, zip(*pairs, strict=True)))[:, self._columns[0]]
        return entailment.reshape(len(texts), -1).softmax(dim=-1).tolist()

    def _check_hypotheses(self) -> None:
        """Only the text is cut, so something of it must fit beside each hypothesis."""
        length = max(len(self.tokenizer("", each)["input_ids"]) for each in self._hypotheses)
        if length >= self._longest:
            raise UserError(
                f"judges.{self.task}: a hypothesis takes {length} of the {self._longest} tokens that "
                f"'{self.settings['model']}' can read, which leaves none for the text; shorten it, "
                "raise max_tokens or choose another model"
            )
