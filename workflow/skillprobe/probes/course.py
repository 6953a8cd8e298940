"""A task's probes over time: trained at each position, carried back from EOS, forward from the prompt's end.

Rows are those of a specialist, constrained and untruncated; at each position those that are valid there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skillprobe.activations import shards
from skillprobe.activations.positions import in_order, resolve
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.rows import minus_item_means, truncated_share
from skillprobe.probes.solver import feature_scale
from skillprobe.probes.specialists import specialist
from skillprobe.prompts.bases import group_ids, item_of
from skillprobe.statistics.folds import CALIBRATION, mixed_items
from skillprobe.storage.tables import ACROSS, WITHIN

TRAINED, EOS_BACK, PROMPT_FORWARD = "trained", "eos_back", "prompt_forward"
EOS, PROMPT_END = "eos", "prompt_100"


@dataclass(frozen=True)
class CourseRows:
    """n rows of one task. y: [n] labels in {0, 1}; groups, ids: [n] names; truncated: share of constrained
    responses that were cut short and left out. By position, in the order of a text: x, [n, d] activations at
    one layer; valid, [n]; tokens, [n], the position's number in the response, 1 for the first token, less in
    the prompt; characters, [n], how many of the response there are up to it."""

    y: np.ndarray
    groups: np.ndarray
    ids: np.ndarray
    truncated: float
    valid: Mapping[str, np.ndarray]
    tokens: Mapping[str, np.ndarray]
    characters: Mapping[str, np.ndarray]
    x: Mapping[str, np.ndarray]

    @property
    def items(self) -> np.ndarray:
        """[n] names: which prompt each response is to."""
        return np.array([item_of(name) for name in self.ids.tolist()], str)


def read_course(paths: Sequence[str], layer: int | None) -> CourseRows:
    """Rows of one model and task over all shards in order, at every position; without x if layer is None."""
    parts, truncated = [], []
    for shard in shards.each(paths):
        samples = shard.samples
        constrained = samples["variant"] == "constrained"
        cut = samples["truncated"].astype(bool)
        used = constrained & ~cut
        truncated.append(cut[constrained])
        lengths = samples["response_length"][used]
        numbers = {n: resolve(shard.positions, 1, n, True)[0] for n in set(lengths.tolist())}
        by_position = {
            name: (
                shard.valid[place][used].astype(bool),
                np.array([numbers[n][place] for n in lengths.tolist()], int),
                shard.characters[place][used],
                *(() if layer is None else (shard.read(layer, place)[used],)),
            )
            for place, name in enumerate(shard.positions)
        }
        parts.append((*(samples[name][used] for name in ("label", "group", "id")), by_position))
    names = in_order(parts[0][-1])
    y, groups, ids = (np.concatenate(column) for column in list(zip(*parts, strict=True))[:3])
    columns = [
        {name: np.concatenate([part[-1][name][k] for part in parts]) for name in names}
        for k in range(3 if layer is None else 4)
    ]
    share = truncated_share(np.concatenate(truncated))
    return CourseRows(y.astype(np.int8), groups, ids, share, *columns, *([{}] if layer is None else []))


def places(rows: CourseRows) -> dict[str, dict[str, np.ndarray]]:
    """{name: {position: which rows, [n] bool, are seen there}} of every position and of the `spans`."""
    return {name: {name: valid} for name, valid in rows.valid.items()} | spans(rows)


def gathered(
    parts: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers [m] of the rows that one of `places` has, and their values [m, ...] at its positions."""
    which = np.flatnonzero(np.any(list(parts.values()), axis=0))
    found = np.zeros_like(next(iter(values.values())))
    for position, seen in parts.items():
        found[seen] = values[position][seen]
    return which, found[which]


def spans(rows: CourseRows) -> dict[str, dict[str, np.ndarray]]:
    """The same rows by how many tokens have been written: {"tokens_1", "tokens_2", "tokens_3_4",
    "tokens_5_8", …: {position: which rows, [n] bool, are seen there}}.

    A row is seen once in a span: at the last of its valid positions that lies there, EOS left out. Spans that
    no row is seen in are left out.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    names = [name for name in rows.tokens if name != EOS]
    number = np.array([np.where(rows.valid[name], rows.tokens[name], 0) for name in names])
    # Also of no position or no row, for which numpy can't find out a length by itself.
    number = number.reshape(len(names), len(rows.y))
    first, last = 1, 1
    while first <= number.max(initial=0):
        within = np.where((first <= number) & (number <= last), number, 0)
        where = np.where(within.max(axis=0) > 0, within.argmax(axis=0), -1)
        if (where >= 0).any():
            span = f"tokens_{first}" if first == last else f"tokens_{first}_{last}"
            found[span] = {name: where == k for k, name in enumerate(names) if (where == k).any()}
        first, last = last + 1, 2 * last
    return found


def in_prompt(place: str) -> bool:
    """Whether a position is before the response: there, all samples of a prompt have one state."""
    return place.startswith("prompt_")


def fit_course(rows: CourseRows, settings: Mapping) -> dict[str, dict[str, dict[str, ProbeResult]]]:
    """{scope: {probe: {position: result}}}, of positions and spans of tokens: "trained" there; "eos_back",
    the probe that was trained at eos; "prompt_forward", the one of the last token of the prompt.

    settings: the config's "seed", "groups" and "probes". The folds are of groups, so a row is never scored by
    a probe that saw its group, wherever that was trained. inner_auroc is that of where the probe was trained;
    there are no weights. Where either place is insufficient, so is the result. Within prompts there are only
    places after the prompt's end, and so no "prompt_forward".
    """
    trained: dict[str, dict[str, Trained]] = {ACROSS: {}, WITHIN: {}}
    for name, parts in places(rows).items():
        for scope, each in train_scopes(rows, *gathered(parts, rows.x), settings, in_prompt(name)).items():
            trained[scope][name] = each
    found = {}
    for scope, by_place in trained.items():
        results = {name: without_weights(each.result) for name, each in by_place.items()}
        found[scope] = {TRAINED: results}
        for probe, place in ((EOS_BACK, EOS), (PROMPT_FORWARD, PROMPT_END)):
            if place in by_place:
                source = by_place[place].result
                found[scope][probe] = {
                    name: without_weights(source.on_rows(each.x, each.result))
                    for name, each in by_place.items()
                }
    return found


@dataclass(frozen=True)
class Trained:
    """A specialist, and the activations [n, d] of its rows as it has them."""

    x: np.ndarray
    result: ProbeResult


def train_scopes(
    rows: CourseRows, which: np.ndarray, x: np.ndarray, settings: Mapping, only_across: bool = False
) -> dict[str, Trained]:
    """{scope: the specialists' protocol} on some of the rows, numbers [m], with x [m, d], as
    `specialists.fit_scopes` has it; no shuffled labels."""
    own = replace(Settings.from_config(settings["probes"], settings["seed"]), shuffles=0)
    study_groups = group_ids(settings["groups"])
    calibration = own.row_folds(rows.groups[which], study_groups)[0] == CALIBRATION
    # One scale for both.
    scale = feature_scale(x[calibration]) if own.feature_scaling else None

    def train(which, x, items=()) -> Trained:
        result = specialist(
            x,
            rows.y[which],
            rows.groups[which],
            own,
            ids=rows.ids[which],
            study_groups=study_groups,
            truncated_fraction=rows.truncated,
            scale=scale,
            items=items,
        )
        return Trained(x, result)

    found = {ACROSS: train(which, x)}
    if not only_across:
        items = rows.items[which]
        mixed = mixed_items(rows.y[which], items)
        items = items[mixed]
        found[WITHIN] = train(which[mixed], minus_item_means(x[mixed], items), items)
    return found


def without_weights(result: ProbeResult) -> ProbeResult:
    """For the files: with a probe at every position, weights would be most of them."""
    return replace(
        result,
        weights=np.zeros(0),
        fold_weights=np.zeros((0, 0, 0), np.float32),
        fold_intercepts=np.zeros((0, 0)),
    )
