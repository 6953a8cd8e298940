"""What judges that are transformers have in common: loading, batches of texts, and what is remembered."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence

from skillprobe.errors import UserError, first_sentence
from skillprobe.labels.verdicts import verdict
from skillprobe.models.batches import halving
from skillprobe.models.devices import check_there, use_gpus
from skillprobe.models.fast_import import fast_import
from skillprobe.storage.progress import progress

with fast_import():
    import torch
    from transformers import AutoTokenizer, logging

# Of different lengths in any tokenizer.
_SHORT, _LONG = "No.", "It was a long, cold day; nobody in the old house had thought of asking why."


class BatchedJudge:
    """A judge with `classify` and `prepare` as `labels.judges` has them, of a tokenizer and a model.

    A subclass gives `_scores(texts)`, [text][label], `_read(inputs)`, the model's [row, output] for encoded
    texts, and `threshold`. Texts are judged in batches by `prepare`, halved when a GPU runs out of memory,
    and remembered by their hash. UserError is raised for a text that the model can't judge, or gives scores
    that are not numbers.
    """

    threshold: float

    def __init__(self, task: str, settings: Mapping, labels: Sequence[str], tokenizer, model, longest: float):
        """settings: the config's `judges.<task>`; labels: the task's; longest: the most tokens of a text, if
        the settings, the tokenizer and the model's positions allow as many."""
        self.task, self.settings, self.labels = task, settings, tuple(labels)
        self.tokenizer, self.model = tokenizer, model
        self._longest = min(longest, settings["max_tokens"], tokenizer.model_max_length, _positions(model))
        # What scores are of: one that is no label of the task stands for none.
        self._names = self.labels
        self._known: dict[bytes, dict] = {}
        self._held: dict[str, int] = {}

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
            named = dict(zip(self._names, (round(score, 6) for score in scores), strict=True))
            found = verdict(named, self.threshold, self.settings["margin"])
            if found["label"] not in self.labels:
                found["label"] = None
            self._known[_key(text)] = found

    @torch.inference_mode()
    def _choose_side(self, others: Sequence[str] | None = None) -> None:
        """Pad where a text's scores don't depend on what else is in its batch: on the right, since most
        models count positions from the first token, else on the left, as for XLNet. What the tokenizer was
        saved with is no help: GPT-2 or BERT padded on the left see a text at other positions in every batch.
        others: one text that is read behind each, of a judge of pairs.
        """
        several, others = [_SHORT, _LONG], list(others) * 2 if others else None
        alone = [self._outputs(several[n : n + 1], others and others[:1]) for n in range(2)]
        alone = torch.cat(alone)
        rounding = torch.finfo(self.model.dtype).eps ** 0.5 * alone.abs().clamp(min=1)
        for side in ("right", "left"):
            self.tokenizer.padding_side = side
            if not ((self._outputs(several, others) - alone).abs() > rounding).any():
                return
        raise UserError(
            f"judges.{self.task}: '{self.settings['model']}' gives a text other scores in a batch with "
            "longer ones, whichever side is padded; set batch_size: 1, or choose another model"
        )

    def _outputs(self, texts: list[str], others: list[str] | None = None) -> torch.Tensor:
        """[text, output of the model], in batches. others: texts that are read behind them."""

        def run(rows: list[int]) -> torch.Tensor:
            return self._forward([texts[row] for row in rows], others and [others[row] for row in rows])

        about, remedy = f"judges.{self.task}", "use a larger GPU or a lower max_tokens"
        sizes, most = [1] * len(texts), self.settings["batch_size"]
        found = halving(self._held, run, range(len(texts)), sizes, "rows", most, about, remedy)
        return torch.cat([outputs for _, outputs in found])

    def _forward(self, texts: list[str], others: list[str] | None = None) -> torch.Tensor:
        try:
            encoded = self.tokenizer(
                texts,
                others,
                padding=True,
                truncation=True if others is None else "only_first",
                max_length=self._longest,
                # An answer may spell a token that ends texts, which some models (BART) count.
                split_special_tokens=True,
                return_tensors="pt",
            )
            return self._read(encoded.to(self.model.device)).float().cpu()
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


def load(task: str, settings: Mapping, kind, *, optional: str = "", remedy: str):
    """The tokenizer and the model of a judge, on the GPU if the job has one.

    kind: an auto class of transformers; optional: how the names of weights begin that may be missing; remedy:
    what to do where others are. Raises UserError where they can't be loaded, or lack weights or a padding
    token.
    """
    source = settings.get("folder") or os.path.expanduser(settings["model"])
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
        model, info = kind.from_pretrained(
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
    missing = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    missing = sorted(key for key in missing if not optional or not key.startswith(optional))
    if missing:
        raise UserError(
            f"{about} has no weights, or none that fit its config.json, for {', '.join(missing[:3])}"
            f"{' and others' if missing[3:] else ''}; {remedy}"
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
