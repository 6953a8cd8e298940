"""What a model writes while its hidden states are edited: subspaces erased, reflected or steered along."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from skillprobe.activations import next_batch
from skillprobe.errors import UserError
from skillprobe.fast_import import fast_import
from skillprobe.generation import generate_task
from skillprobe.labels import label_rows
from skillprobe.models import LoadedModel, chat_ids, halved
from skillprobe.stats import CALIBRATION, row_folds
from skillprobe.tasks import Task

with fast_import():
    import torch
    from torch.nn import functional
    from torch.nn.utils.rnn import pad_sequence

# From hidden states [..., d] to those that take their place, in the same shape, dtype and device. One with
# an attribute `hidden_size` is refused for models of another.
Edit = Callable[[torch.Tensor], torch.Tensor]


def identity(hidden: torch.Tensor) -> torch.Tensor:
    """The edit that changes nothing: an effect under it would be the hooks' own."""
    return hidden


class Erase:
    """The edit x′ = x − α A B (x − μ), in float32, cast to the hidden states' dtype at the end.

    eraser: a [d, k], b [k, d], mean [d] and alpha, as of `erasure.Eraser`.
    """

    def __init__(self, eraser):
        a, b, mean = (np.asarray(value, float) for value in (eraser.a, eraser.b, eraser.mean))
        self.hidden_size = len(mean)
        self._factors = _Factors(b, -(b @ mean), eraser.alpha * a)

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        b, offset, scaled_a = self._factors.on(hidden.device)
        full = hidden.float()
        read = functional.linear(full, b, offset)  # B (x − μ), [..., k]
        return (full - functional.linear(read, scaled_a)).to(hidden.dtype)


class Steer:
    """The edit x′ = x + strength · direction, in float32, cast to the hidden states' dtype at the end.

    direction: [d], a unit vector times the standard deviation of the activations' projections on it, so that
    `strength` (λ) counts standard deviations.
    """

    def __init__(self, direction: np.ndarray, strength: float):
        self.hidden_size = len(direction)
        self._factors = _Factors(strength * np.asarray(direction, float))

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        (step,) = self._factors.on(hidden.device)
        return (hidden.float() + step).to(hidden.dtype)


class _Factors:
    """float32 tensors, copied once to each device that asks: a model's blocks may be on several."""

    def __init__(self, *arrays: np.ndarray):
        self._of = {torch.device("cpu"): [torch.tensor(array, dtype=torch.float32) for array in arrays]}

    def on(self, device: torch.device) -> list[torch.Tensor]:
        if device not in self._of:
            self._of[device] = [tensor.to(device) for tensor in self._of[torch.device("cpu")]]
        return self._of[device]


@contextmanager
def edited(loaded: LoadedModel, edits: Mapping[int, Edit]) -> Iterator[None]:
    """Within the block, the hidden states [row, token, hidden] at each layer of `edits` are what its edit
    makes of them: prompts, cached decoding and teacher-forced passes alike.

    Layers are those of `activations.hooked`, which sees edited states if it is entered within the block.
    Raises UserError for a layer that the model has not, and for an edit made for another hidden size.
    """
    _check(loaded, edits)

    def before(edit):
        def hook(_, args, kwargs):
            if args:
                return (edit(args[0]), *args[1:]), kwargs
            return args, kwargs | {"hidden_states": edit(kwargs["hidden_states"])}

        return hook

    def after(edit):
        def hook(_, __, output):
            return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

        return hook

    handles = []
    try:
        for layer, edit in edits.items():
            if layer == 0:
                handles.append(loaded.blocks[0].register_forward_pre_hook(before(edit), with_kwargs=True))
            else:
                handles.append(loaded.blocks[layer - 1].register_forward_hook(after(edit)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def cross_fitted(
    loaded: LoadedModel,
    rows: Sequence[Mapping],
    edits: Mapping[int, Mapping[int, Edit]],
    folds: Mapping[str, int],
    run: Callable[[list[Mapping]], list[dict]],
) -> list[dict]:
    """run(rows of fold f) under the edits of fold f, which were fitted without its bases; fold after fold.

    rows: each with a "base"; edits: {outer fold: {layer: edit}}, all the same for edits that weren't fitted;
    folds: {base: outer fold}; rows of calibration bases are left out. Raises UserError before the first run
    for a fold without edits, a base without a fold, and what `edited` refuses.
    """
    of_row = row_folds([row["base"] for row in rows], folds)
    used = np.unique(of_row[of_row != CALIBRATION]).tolist()
    for fold in used:
        if fold not in edits:
            raise UserError(f"fold {fold} has no edits; fit its erasers, or leave its bases out")
        _check(loaded, edits[fold])
    results = []
    for fold in used:
        with edited(loaded, edits[fold]):
            results += run([rows[row] for row in np.flatnonzero(of_row == fold)])
    return results


def respond(
    loaded: LoadedModel,
    task: Task,
    items: Sequence[Mapping],
    edits: Mapping[int, Mapping[int, Edit]],
    folds: Mapping[str, int],
    settings: Mapping,
    seed: int,
    judge=None,
) -> list[dict]:
    """Label rows of the responses to the items' constrained prompts, each under the edits of its base's fold.

    edits, folds: see `cross_fitted`; settings, seed: see `generate_task`, judge: see `Task.verify`. Ids and
    random streams are those of the unedited study, so responses are paired by prompt and seed; fewer
    "samples" than the study's are its first.
    """
    only = {**settings, "twin_samples": 0}
    responses = cross_fitted(
        loaded, items, edits, folds, lambda part: generate_task(loaded, part, only, seed)
    )
    # The world is there for the crossings, of which there are none.
    return label_rows(task, None, items, responses, judge, {"crossings": 0}, seed)


@torch.inference_mode()
def perplexity(loaded: LoadedModel, rows: Sequence[Mapping], settings: Mapping) -> list[dict]:
    """How well the model predicts the given responses, teacher-forced: for each row, in order, its "id",
    "base", "nll" (sum over "token_ids", in nats) and "tokens" (their number).

    rows: label rows; for text without constraints, the unconstrained twins. Their perplexity is exp(Σ nll /
    Σ tokens). settings: "tokens_per_batch" (padded; halved with a warning when a GPU runs out of memory).
    """
    encode = functools.cache(functools.partial(chat_ids, loaded.tokenizer))
    sequences = [encode(row["prompt"]) + row["token_ids"] for row in rows]
    queue = sorted(range(len(rows)), key=lambda row: len(sequences[row]))
    most = settings["tokens_per_batch"]
    sums: dict[int, float] = {}
    while queue:
        batch = next_batch(queue, sequences, most)
        lengths = [len(rows[row]["token_ids"]) for row in batch]
        try:
            found = _nll(loaded, [sequences[row] for row in batch], lengths)
        except torch.OutOfMemoryError:
            found = None
        if found is None:  # Outside the handler, where the failed call's tensors are gone.
            most = halved(loaded.name, len(batch)) * len(sequences[batch[-1]])
            continue
        sums.update(zip(batch, found, strict=True))
        queue = queue[len(batch) :]
    return [
        {"id": row["id"], "base": row["base"], "nll": sums[number], "tokens": len(row["token_ids"])}
        for number, row in enumerate(rows)
    ]


def _nll(loaded: LoadedModel, sequences: list[list[int]], lengths: list[int]) -> list[float]:
    """Negative log-likelihood of the last `lengths` tokens of each sequence, in one right-padded batch."""
    ids = [torch.tensor(sequence) for sequence in sequences]
    input_ids = pad_sequence(ids, batch_first=True, padding_value=loaded.pad_id)
    mask = pad_sequence([torch.ones_like(each) for each in ids], batch_first=True)
    logits = loaded.model(
        input_ids=input_ids.to(loaded.device), attention_mask=mask.to(loaded.device), use_cache=False
    ).logits
    sums = []
    for row, (each, length) in enumerate(zip(ids, lengths, strict=True)):
        end = len(each)
        # Row by row: a float32 copy of all logits would be most of the memory.
        scores = logits[row, end - length - 1 : end - 1].float()
        sums.append(functional.cross_entropy(scores, each[end - length :].to(scores.device), reduction="sum"))
    return torch.stack(sums).tolist()


def _check(loaded: LoadedModel, edits: Mapping[int, Edit]) -> None:
    for layer, edit in edits.items():
        if layer not in range(loaded.num_layers + 1):
            raise UserError(f"model '{loaded.name}' has no layer {layer}; it has 0 to {loaded.num_layers}")
        size = getattr(edit, "hidden_size", loaded.hidden_size)
        if size != loaded.hidden_size:
            raise UserError(
                f"the edit of layer {layer} is for a hidden size of {size}, but that of model "
                f"'{loaded.name}' is {loaded.hidden_size}; use one that was fitted on this model"
            )
