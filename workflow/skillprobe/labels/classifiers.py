"""Judges that are text classifiers, from the hub or a folder: by the labels they have, or zero-shot."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence

from skillprobe.errors import UserError, first_sentence
from skillprobe.labels.mapping import HYPOTHESIS, columns, label_names
from skillprobe.models.batches import halving
from skillprobe.models.devices import check_there, use_gpus
from skillprobe.models.fast_import import fast_import
from skillprobe.storage.progress import progress

with fast_import():
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, logging

# Of different lengths in any tokenizer.
_SHORT, _LONG = "No.", "It was a long, cold day; nobody in the old house had thought of asking why."


class TransformersJudge:
    """A sequence classifier as a judge, with `classify` and `prepare` as `labels.judges` has them.

    labels: those of the task. By method "classification" `scores` are the probabilities of the task's labels
    (or what a regression gives), each the sum (of a multi-label model the largest) over the model's labels
    that are mapped to it; by "zero-shot" the softmax, over the task's labels, of the logit that the text
    entails the hypothesis with the label in it (Yin et al., arXiv 1909.00161). label: of the highest score,
    None if that is below `threshold` (of a single label 0.5 if none is set, of several 0). Texts are judged
    in batches by `prepare`, halved when a GPU runs out of memory, and remembered by their hash. UserError
    is raised for a text that the model can't judge, or gives scores that are not numbers.
    """

    def __init__(self, task: str, settings: Mapping, labels: Sequence[str]):
        """settings: the config's `judges.<task>`; labels: the task's. Raises UserError where the model can't
        be loaded, and where its labels don't fit the task's."""
        self.task, self.settings = task, settings
        self.labels = tuple(labels)
        self.threshold = settings["threshold"]
        if self.threshold is None:
            self.threshold = 0.5 if len(self.labels) == 1 else 0.0
        self.tokenizer, self.model = _load(task, settings)
        self._known: dict[bytes, dict] = {}
        config = self.model.config
        self._columns = columns(task, settings, label_names(task, settings, config.id2label), self.labels)
        self._problem = config.problem_type
        if settings["multi_label"] is not None:
            self._problem = "multi_label_classification" if settings["multi_label"] else None
        self._longest = min(settings["max_tokens"], self.tokenizer.model_max_length, _positions(self.model))
        self._held: dict[str, int] = {}
        if settings["method"] == "zero-shot":
            self._check_hypotheses()
        if settings["batch_size"] > 1:
            self._choose_side()

    def classify(self, text: str) -> dict:
        if _key(text) not in self._known:
            self._judge([text])
        return self._known[_key(text)]

    def prepare(self, texts: Sequence[str]) -> None:
        """Judge those of the texts that are new, in batches of like length."""
        new = {_key(text): text for text in texts if text and _key(text) not in self._known}
        order = sorted(new.values(), key=lambda text: (len(text), text))
        size = self.settings["batch_size"]
        with progress(f"texts judged for {self.task}", len(order)) as advance:
            for start in range(0, len(order), size):
                self._judge(order[start : start + size])
                advance(len(order[start : start + size]))

    def _judge(self, texts: list[str]) -> None:
        for text, scores in zip(texts, self._scores(texts), strict=True):
            if not all(map(math.isfinite, scores)):
                raise UserError(
                    f"judges.{self.task}: '{self.settings['model']}' returns NaN or infinite scores; "
                    "check its weights, or choose another model"
                )
            self._known[_key(text)] = self._verdict(scores)

    def _verdict(self, scores: list[float]) -> dict:
        found = dict(zip(self.labels, (round(score, 6) for score in scores), strict=True))
        best = max(found, key=found.__getitem__)
        return {"label": best if found[best] >= self.threshold else None, "scores": found}

    @torch.inference_mode()
    def _scores(self, texts: list[str]) -> list[list[float]]:
        if self.settings["method"] == "zero-shot":
            return self._entailed(texts)
        logits = self._logits(texts)
        # As transformers' pipeline has it; softmax would give a single output 1 whatever the text.
        if self._problem in ("regression", "multi_label_classification") or logits.shape[1] == 1:
            chances = logits if self._problem == "regression" else logits.sigmoid()
            return [[row[columns].max().item() for columns in self._columns] for row in chances]
        chances = logits.softmax(dim=-1)
        return [[row[columns].sum().item() for columns in self._columns] for row in chances]

    def _entailed(self, texts: list[str]) -> list[list[float]]:
        pairs = [(text, hypothesis) for text in texts for hypothesis in self._hypotheses()]
        entailment = self._logits(*map(list, zip(*pairs, strict=True)))[:, self._columns[0]]
        return entailment.reshape(len(texts), -1).softmax(dim=-1).tolist()

    def _hypotheses(self) -> list[str]:
        sentence = self.settings["hypothesis"] or HYPOTHESIS
        return [sentence.replace("{}", label) for label in self.labels]

    def _check_hypotheses(self) -> None:
        """Only the text is cut, so something of it must fit beside each hypothesis."""
        length = max(len(self.tokenizer("", each)["input_ids"]) for each in self._hypotheses())
        if length >= self._longest:
            raise UserError(
                f"judges.{self.task}: a hypothesis takes {length} of the {self._longest} tokens that "
                f"'{self.settings['model']}' can read, which leaves none for the text; shorten it, "
                "raise max_tokens or choose another model"
            )

    @torch.inference_mode()
    def _choose_side(self) -> None:
        """Pad where a text's scores don't depend on what else is in its batch: on the right, since most
        models count positions from the first token, else on the left, as for XLNet. What the tokenizer was
        saved with is no help: GPT-2 or BERT padded on the left see a text at other positions in every batch.
        """
        several = [_SHORT, _LONG]
        hypotheses = [self._hypotheses()[0]] * 2 if self.settings["method"] == "zero-shot" else None
        alone = [self._logits(several[n : n + 1], hypotheses and hypotheses[:1]) for n in range(2)]
        alone = torch.cat(alone)
        rounding = torch.finfo(self.model.dtype).eps ** 0.5 * alone.abs().clamp(min=1)
        for side in ("right", "left"):
            self.tokenizer.padding_side = side
            if not ((self._logits(several, hypotheses) - alone).abs() > rounding).any():
                return
        raise UserError(
            f"judges.{self.task}: '{self.settings['model']}' gives a text other scores in a batch with "
            "longer ones, whichever side is padded; set batch_size: 1, or choose another model"
        )

    def _logits(self, texts: list[str], hypotheses: list[str] | None = None) -> torch.Tensor:
        """[text, output of the model], in batches."""

        def run(rows: list[int]) -> torch.Tensor:
            return self._forward(
                [texts[row] for row in rows], hypotheses and [hypotheses[row] for row in rows]
            )

        about, remedy = f"judges.{self.task}", "use a larger GPU or a lower max_tokens"
        sizes, most = [1] * len(texts), self.settings["batch_size"]
        found = halving(self._held, run, range(len(texts)), sizes, "rows", most, about, remedy)
        return torch.cat([logits for _, logits in found])

    def _forward(self, texts: list[str], hypotheses: list[str] | None = None) -> torch.Tensor:
        try:
            encoded = self.tokenizer(
                texts,
                hypotheses,
                padding=True,
                truncation=True if hypotheses is None else "only_first",
                max_length=self._longest,
                # An answer may spell a token that ends texts, which some models (BART) count.
                split_special_tokens=True,
                return_tensors="pt",
            )
            return self.model(**encoded.to(self.model.device)).logits.float().cpu()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # Whatever a tokenizer and a model say that don't fit each other.
            raise UserError(
                f"judges.{self.task}: '{self.settings['model']}' can't judge a text ({_said(error)}); "
                "check that its tokenizer and config.json belong to it, or choose another model"
            ) from error


def _positions(model) -> float:
    """The most tokens that the model has positions for."""
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    # XLNet's -1 stands for no end.
    if not most or most < 0:
        return math.inf
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            # RoBERTa and its kin count from the one after the padding's.
            return most - module.padding_idx - 1
    return most


def _load(task: str, settings: Mapping):
    source = os.path.expanduser(settings["model"])
    where = {
        "revision": settings["revision"] or "main",
        "local_files_only": os.path.isdir(source) or settings["offline"],
        "trust_remote_code": False,
    }
    use_gpus()
    check_there(f"judges.{task}", settings.get("gpu", 0))
    logging.disable_progress_bar()
    about = f"judges.{task}: '{source}'"
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **where)
        model, info = AutoModelForSequenceClassification.from_pretrained(
            source,
            use_safetensors=True,
            # It would draw what is missing at random, and say so in `info`.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **where,
        )
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    except torch.OutOfMemoryError as error:
        raise UserError(f"{about} doesn't fit into the GPU's memory; choose a smaller model") from error
    except (OSError, ImportError) as error:
        raise UserError(f"{about} can't be loaded: {first_sentence(error)}") from error
    except Exception as error:  # Of a damaged file; each library has its own.
        raise UserError(
            f"{about} can't be loaded ({_said(error)}); check that its files are complete, belong "
            "together and are not Git LFS pointers, or choose another model"
        ) from error
    missing = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if missing:
        raise UserError(
            f"{about} has no weights, or none that fit its config.json, for {', '.join(missing[:3])}"
            f"{' and others' if missing[3:] else ''}; choose a model that was trained to classify texts"
        )
    config = model.config.get_text_config()
    if tokenizer.pad_token is None and isinstance(config.pad_token_id, int):
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(config.pad_token_id)
    if tokenizer.pad_token is None:
        raise UserError(
            f"judges.{task}: the tokenizer of '{source}' has no padding token; choose another model"
        )
    # Those that read the last token look for the first from the right that isn't this one.
    config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, model.eval().requires_grad_(False)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {first_sentence(error)}".rstrip(": ")


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
