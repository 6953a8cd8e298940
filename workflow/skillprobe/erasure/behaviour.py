"""What a model writes while its hidden states are edited."""

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from skillprobe.erasure.edits import Erase, RowWise, Steer, edited, identity
from skillprobe.errors import UserError
from skillprobe.labels.labelling import label_rows
from skillprobe.models.batches import in_batches
from skillprobe.models.chat import chat_ids
from skillprobe.models.fast_import import fast_import
from skillprobe.models.generation import completed, generate, requests
from skillprobe.models.loaded import LoadedModel
from skillprobe.probes.rows import ProbeRows
from skillprobe.statistics.folds import CALIBRATION, keyed_hash, row_folds
from skillprobe.storage.progress import progress
from skillprobe.tasks import Task

with fast_import():
    import torch
    from torch.nn import functional
    from torch.nn.utils.rnn import pad_sequence

# By condition and outer fold: the edit of each layer, fitted without that fold's bases; none for {}.
Conditions = Mapping[str, Mapping[int, Mapping[int, "Erase | Steer"]]]


def choose_bases(rows: Sequence[Mapping], folds: Mapping[str, int], number: int, seed: int) -> set[str]:
    """So many of the rows' bases whose group is in a fold, by a hash: more of them keep those that there are.

    rows: with "base" and "group"; folds: {group: outer fold}.
    """
    inside = {row["base"] for row in rows if folds[row["group"]] != CALIBRATION}
    return set(sorted(inside, key=lambda base: (keyed_hash(f"behaviour/{seed}", base), base))[:number])


def under_all(
    loaded: LoadedModel,
    task: Task,
    items: Sequence[Mapping],
    unconstrained: Sequence[Mapping],
    conditions: Conditions,
    folds: Mapping[str, int],
    settings: Mapping,
    seed: int,
    judge=None,
) -> tuple[list[dict], list[dict]]:
    """`respond` to the items and `perplexity` of the unconstrained rows, without edits ("none") and under all
    conditions, and responses under hooks that change nothing ("identity"); each row with its "task".

    Raises UserError where the latter aren't the unedited ones to the last token.
    """
    nothing = {fold: {} for fold in folds.values()}
    layers = {layer for by_fold in conditions.values() for edits in by_fold.values() for layer in edits}

    def run(conditions: Conditions) -> list[dict]:
        return respond(loaded, task, items, conditions, folds, settings, seed, judge)

    responses = run({"none": nothing})
    with edited(loaded, dict.fromkeys(layers, identity)):
        same = run({"identity": nothing})
    if [row["token_ids"] for row in same] != [row["token_ids"] for row in responses]:
        raise UserError(
            f"model '{loaded.name}' generates different text under hooks that change nothing, so its "
            "responses under edits show nothing; use deterministic kernels, or remove the model"
        )
    # Without any sufficient task there is nothing to erase.
    responses += same + (run(conditions) if conditions else [])
    texts = perplexity(loaded, unconstrained, {"none": nothing, **conditions}, folds, settings)
    return responses, [{"task": task.name, **row} for row in texts]


def respond(
    loaded: LoadedModel,
    task: Task,
    items: Sequence[Mapping],
    conditions: Conditions,
    folds: Mapping[str, int],
    settings: Mapping,
    seed: int,
    judge=None,
) -> list[dict]:
    """Label rows, each with its "condition", of the responses to the items' constrained prompts under every
    condition, each under the edits of its group's fold.

    folds: {group: outer fold}; items of calibration groups are left out. settings, seed: see `generate_task`,
    judge: see `Task.verify`. Ids and seeds are those of the study's own answers, of which fewer "samples" are
    the first, so conditions are paired by prompt and random stream. (With these answers too if they are of
    the engine transformers: vLLM makes other streams of the same seeds.) Raises UserError before anything is
    generated for a fold without edits, a group without a fold, and what `edited` refuses.
    """
    plain, seeds = requests(items, {**settings, "twin_samples": 0}, seed)
    batch = _Mixed(plain, conditions, folds)
    prompts = [plain[row]["prompt"] for row in batch.rows]
    with edited(loaded, batch.edits):
        made = generate(loaded, prompts, [seeds[row] for row in batch.rows], settings, batch.choose)
    responses = completed([plain[row] for row in batch.rows], made)
    found = []
    for name, rows in batch.by_condition(responses):
        labels = label_rows(task, items, rows, judge)
        found += [{"condition": name, "task": task.name, **row} for row in labels]
    return found


def erasing(erasers: Mapping[int, Mapping], rank: int) -> dict[str, dict[int, dict[int, Erase]]]:
    """Conditions "erase:<task>" and "flip:<task>" (reflected), and for a random subspace of the same rank
    "random" and "random_flip", at all layers given at once.

    erasers: {layer: {"tasks": {task: {fold: Eraser}}, "random": {fold: Eraser}}}, as `cross_ablate` gives
    across prompts: edits are of whole hidden states. A task is erased at the layers at which it has an
    eraser, a random subspace at all at which some task has.
    """
    tasks = dict.fromkeys(task for of_layer in erasers.values() for task in of_layer["tasks"])
    named = {"random": ("random", "random_flip")}
    named |= {task: (f"erase:{task}", f"flip:{task}") for task in tasks}
    conditions: dict[str, dict[int, dict[int, Erase]]] = {}
    for source, names in named.items():
        for name, alpha in zip(names, (1.0, 2.0), strict=True):
            for layer, of_layer in erasers.items():
                by_fold = of_layer["random"] if source == "random" else of_layer["tasks"].get(source, {})
                for fold in map(int, of_layer["random"] if by_fold else ()):
                    eraser = by_fold[str(fold)].truncated(rank).with_alpha(alpha)
                    conditions.setdefault(name, {}).setdefault(fold, {})[layer] = Erase(eraser)
    return conditions


def steering(
    task: str,
    erasers: Mapping[int, Mapping],
    rows: Mapping[int, ProbeRows],
    folds: Mapping[str, int],
    strengths: Sequence[float],
) -> dict[str, dict[int, dict[int, Steer]]]:
    """Conditions "steer:<strength>": along the probe's direction of the task itself, the first of its eraser.

    erasers: as for `erasing`; rows: of the task at each layer, and folds: {group: outer fold}, for the
    standard deviation of the projections of the rows outside a fold. A task is steered at the layers at which
    it has an eraser.
    """
    conditions: dict[str, dict[int, dict[int, Steer]]] = {}
    for layer, of_layer in erasers.items():
        if task not in of_layer["tasks"] or not of_layer["tasks"][task]["all"].rank:
            continue
        of_row = row_folds(rows[layer].groups, folds)
        for fold in map(int, of_layer["random"]):
            unit = of_layer["tasks"][task][str(fold)].b[0]
            unit = unit / np.linalg.norm(unit)
            seen = rows[layer].x[(of_row != fold) & (of_row != CALIBRATION)]
            for strength in strengths:
                edit = Steer(unit * (seen @ unit).std(), strength)
                conditions.setdefault(f"steer:{strength:g}", {}).setdefault(fold, {})[layer] = edit
    return conditions


class _Mixed:
    """Every row under every condition, as one list of rows: `rows`, numbers of the given ones, and `edits`,
    {layer: RowWise}, which `choose` tells which rows a batch holds."""

    def __init__(self, rows: Sequence[Mapping], conditions: Conditions, folds: Mapping[str, int]):
        of_row = row_folds([row["group"] for row in rows], folds)
        used = np.flatnonzero(of_row != CALIBRATION)
        kinds = {}
        for name, by_fold in conditions.items():
            for fold in np.unique(of_row[used]).tolist():
                if fold not in by_fold:
                    raise UserError(
                        f"fold {fold} has no edits '{name}'; fit its erasers, or leave its groups out"
                    )
                kinds[name, fold] = len(kinds)
        self.conditions = list(conditions)
        self.rows = np.tile(used, len(conditions)).tolist()
        self.kind = np.array([kinds[name, of_row[row]] for name in conditions for row in used], int)
        layers = sorted({layer for name, fold in kinds for layer in conditions[name][fold]})
        self.edits = {
            layer: RowWise([conditions[name][fold].get(layer) for name, fold in kinds]) for layer in layers
        }

    def choose(self, batch: Sequence[int]) -> None:
        for edit in self.edits.values():
            edit.choose(self.kind[batch])

    def by_condition(self, results: Sequence[dict]) -> Iterator[tuple[str, list[dict]]]:
        size = len(results) // len(self.conditions)
        for number, name in enumerate(self.conditions):
            yield name, results[number * size : (number + 1) * size]


@torch.inference_mode()
def perplexity(
    loaded: LoadedModel,
    rows: Sequence[Mapping],
    conditions: Conditions,
    folds: Mapping[str, int],
    settings: Mapping,
) -> list[dict]:
    """How well the model predicts the given responses, teacher-forced, under every condition: rows of
    "condition", "id", "base", "group", "nll" (sum over "token_ids", in nats) and "tokens" (their number).

    rows: label rows; for text without constraints, those of unconstrained prompts. Their perplexity is exp(Σ
    nll / Σ tokens). conditions, folds: as for `respond`. settings: "tokens_per_batch" (padded; halved with a
    warning when a GPU runs out of memory).
    """
    batch = _Mixed(rows, conditions, folds)
    encode = functools.cache(functools.partial(chat_ids, loaded.tokenizer))
    sequences = [encode(rows[row]["prompt"]) + rows[row]["token_ids"] for row in batch.rows]
    sums: dict[int, float] = {}

    def run(now):
        batch.choose(now)
        lengths = [len(rows[batch.rows[number]]["token_ids"]) for number in now]
        return _nll(loaded, [sequences[number] for number in now], lengths)

    sizes = [len(sequence) for sequence in sequences]
    batches = in_batches(loaded, run, range(len(sizes)), sizes, "tokens", settings["tokens_per_batch"])
    with edited(loaded, batch.edits), progress("texts predicted", len(sizes)) as advance:
        for now, found in batches:
            sums.update(zip(now, found, strict=True))
            advance(len(now))
    results = [
        {
            "id": rows[row]["id"],
            **{key: rows[row][key] for key in ("base", "group")},
            "nll": sums[number],
            "tokens": len(rows[row]["token_ids"]),
        }
        for number, row in enumerate(batch.rows)
    ]
    return [{"condition": name, **row} for name, part in batch.by_condition(results) for row in part]


def _nll(loaded: LoadedModel, sequences: list[list[int]], lengths: list[int]) -> list[float]:
    """Negative log-likelihood of the last `lengths` tokens of each sequence, in one right-padded batch."""
    ids = [torch.tensor(sequence) for sequence in sequences]
    input_ids = pad_sequence(ids, batch_first=True, padding_value=loaded.pad_id)
    mask = pad_sequence([torch.ones_like(each) for each in ids], batch_first=True)
    # Only from where the first response begins: of a large vocabulary, logits are most of the memory. Counted
    # from the end: an index would be on another device than the last block of a model on several GPUs.
    start = min(len(each) - length for each, length in zip(ids, lengths, strict=True)) - 1
    logits = loaded.model(
        input_ids=input_ids.to(loaded.device),
        attention_mask=mask.to(loaded.device),
        use_cache=False,
        logits_to_keep=input_ids.shape[1] - start,
    ).logits
    sums = []
    for row, (each, length) in enumerate(zip(ids, lengths, strict=True)):
        end = len(each)
        # Row by row: nor does a float32 copy of them all fit.
        scores = logits[row, end - length - 1 - start : end - 1 - start].float()
        sums.append(functional.cross_entropy(scores, each[end - length :].to(scores.device), reduction="sum"))
    return torch.stack(sums).tolist()
