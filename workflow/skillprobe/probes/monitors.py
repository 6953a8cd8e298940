"""Monitors: probes that read whether a constraint will have been met while the response is being written.

A response goes through stages, which a reader can tell before the response has ended: the prompt's end, so
many tokens written (in spans that double: 1, 2, 3 to 4, 5 to 8, …), EOS. Each stage has a probe and a
calibration. What is chosen, and how, was fixed before any result was seen (`CHOICE`). All choices are made
by inner folds of groups: the scores that a monitor's card reports are of groups that had no part in them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as as_safetensors

from skillprobe import RULES_VERSION
from skillprobe.activations import shards
from skillprobe.errors import DamagedFile, UserError
from skillprobe.probes.course import EOS, PROMPT_END, CourseRows, gathered, in_prompt, read_course
from skillprobe.probes.cross_validation import Found, Settings, cross_validate, inner_columns
from skillprobe.probes.solver import Rows, feature_scale
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.folds import CALIBRATION, keyed_hash
from skillprobe.statistics.logistic import fit_logistic, sigmoid
from skillprobe.statistics.metrics import auroc, auroc_within, aurocs
from skillprobe.storage import hdf5
from skillprobe.storage.files import atomic_path, check_readable, place_of

FORMAT_VERSION = 1
# The stage of EOS has no number of tokens from which on it is read.
AT_EOS = -1
TRAINED, CARRIED = "trained there", "EOS probe carried back"
CHOICE = (
    "For each layer and stage, the penalty with the highest inner AUROC; then at each stage the probe "
    "trained there, unless the EOS probe carried back has a higher inner AUROC; then the layer with the "
    "highest inner AUROC, as the mean over the stages after the prompt. Calibrated by logistic regression of "
    "the labels on scores of held-out groups (out of fold, never those that the probe was fitted on), slope "
    "at least 0 and shrunken by its noise, each probe's scores minus their mean over the rows that it was "
    "fitted on. A response counts once in a stage, at a token drawn from those that are stored. Stages with "
    "too few responses are left to the stage before."
)
# Params with more values are listed by number only.
MOST_VALUES = 40
_DIGITS = 6


@dataclass(frozen=True)
class StoredMonitor:
    """What one task's monitor is, for a model.

    card: what it is and how well it does (docs/monitor.md); stages: [k] names; first: [k] int32, from how
    many written tokens on a stage is read (0: the prompt's end, AT_EOS: at EOS alone); weights: [k, d] and
    intercepts: [k] float32, of raw activations at the card's layer; calibration: [k, 2] float32, slope and
    intercept: the probability is 1 / (1 + exp(−(slope · (x · weights + intercept) + intercept′))). Where the
    task is insufficient, card["status"] says why and k is 0.
    """

    card: Mapping
    first: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray
    calibration: np.ndarray

    @property
    def status(self) -> str:
        return self.card["status"]

    @property
    def stages(self) -> list[str]:
        return [stage["name"] for stage in self.card["stages"]]

    def stage(self, written: int, at_eos: bool = False) -> int:
        """Number of the stage that is read after so many tokens of the response, or at its EOS."""
        return int(stage_numbers(self.first, np.array([written]), at_eos)[0])

    def probability(self, x: np.ndarray, stage: int) -> np.ndarray:
        """Of satisfaction, [n], from raw activations [n, d] at the card's layer."""
        scores = x.astype(np.float32) @ self.weights[stage] + self.intercepts[stage]
        return calibrated(scores, self.calibration[stage])


@dataclass(frozen=True)
class HeldOut:
    """What monitors said of n responses whose groups they never saw, for S fold seeds and P positions.

    ids, groups: [n]; labels: [n] in {0, 1}; folds: [S, n] (−1: calibration groups, NaN below); positions: [P]
    names; tokens: [P, n], how many tokens of the response are written there (0 at the prompt's end); valid:
    [P, n]; probabilities: [S, P, n] float32, NaN where a position isn't valid or has no stage.
    """

    ids: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    positions: list[str]
    tokens: np.ndarray
    valid: np.ndarray
    probabilities: np.ndarray


def stage_numbers(first: np.ndarray, written: np.ndarray, at_eos: bool = False) -> np.ndarray:
    """[n] numbers of the stages that are read after so many tokens [n]; first: [k] as of `StoredMonitor`.
    Before the first stage's tokens, it is that stage."""
    if at_eos:
        return np.full(len(written), int(np.flatnonzero(first == AT_EOS)[0]))
    order = np.flatnonzero(first != AT_EOS)
    order = order[np.argsort(first[order])]
    if not len(order):
        return stage_numbers(first, written, True)
    return order[np.maximum(np.searchsorted(first[order], written, "right") - 1, 0)]


def calibrated(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Probabilities of scores, by a slope and an intercept [2]."""
    odds = float(calibration[0]) * np.asarray(scores, float) + float(calibration[1])
    return sigmoid(odds)


def calibrate(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Slope and intercept [2] of a logistic regression of labels [n] in {0, 1} on scores [n].

    The targets are Platt's (1999), a little inside of 0 and 1, so that separated classes have a solution. A
    slope below 0 would turn a probe around that chance put upside down: it becomes 0, and the probability the
    base rate.
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels)
    ones = int((labels == 1).sum())
    target = np.where(labels == 1, (ones + 1) / (ones + 2), 1 / (len(labels) - ones + 2))
    flat = np.array([0.0, np.log((ones + 1) / (len(labels) - ones + 1))])
    centre, spread = scores.mean(), scores.std()
    if not spread > 0:
        return flat
    z = np.stack([(scores - centre) / spread, np.ones(len(scores))], axis=1)

    at = fit_logistic(z, target, flat, np.zeros((2, 2)))
    slope = at[0] / spread
    return np.array([slope, at[1] - slope * centre]) if slope > 0 else flat


def shrunken(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """As `calibrate`, with the slope times max(0, 1 − 2 · (its standard error / the slope)²).

    Probe and penalty are the ones that do best on these scores, so where there is no signal the slope is more
    often above 0 than it should be. That is nothing of a clear slope, and all of one that noise would have
    made (the positive part of a James-Stein estimate, with the 2 of Akaike's criterion).
    """
    slope, constant = calibrate(scores, labels)
    scores = np.asarray(scores, float)
    if not slope > 0:
        return np.array([slope, constant])
    p = calibrated(scores, np.array([slope, constant]))
    weights = np.maximum(p * (1 - p), 1e-12)
    spread = (weights * (scores - np.average(scores, weights=weights)) ** 2).sum()
    factor = 1 - 2 / (spread * slope**2)
    if factor <= 0:
        return calibrate(np.zeros(len(scores)), labels)
    # The mean probability stays.
    wanted, at = p.mean(), constant
    for _ in range(50):
        p = calibrated(scores, np.array([factor * slope, at]))
        step = (p.mean() - wanted) / max((p * (1 - p)).mean(), 1e-9)
        at -= np.clip(step, -1, 1)
        if abs(step) < 1e-10:
            break
    return np.array([factor * slope, at])


# Fitting


@dataclass(frozen=True)
class Level:
    """What a choice is made from: everything but outer fold `fold` of fold seed number `seed`, or (both None)
    all there is."""

    seed: int | None = None
    fold: int | None = None


@dataclass(frozen=True)
class Stage:
    """A stage's rows: parts as of `course.places`; which: numbers [m] of the rows; found: the probes that are
    trained there, on x [m, d]."""

    name: str
    first: int
    parts: Mapping[str, np.ndarray]
    which: np.ndarray


@dataclass(frozen=True)
class Choice:
    """At one level and layer, for each of k stages: source, penalty C (of where the probe was trained), inner
    AUROC, weights [k, d], intercepts [k], calibration [k, 2]."""

    sources: list[str]
    penalties: list[float]
    inner: list[float]
    weights: np.ndarray
    intercepts: np.ndarray
    calibration: np.ndarray


def fit_monitor(
    paths: Sequence[str | Path],
    layers: Sequence[int],
    labels: Iterable[Mapping],
    settings: Mapping,
    task: str,
) -> tuple[StoredMonitor, HeldOut]:
    """A task's monitor of one model, and what monitors fitted in the same way say of held-out groups.

    paths: the task's shards; labels: their rows of labels/, for the params; settings: the config's "seed",
    "groups" and "probes", and "model", what identifies the model. Rows are constrained and untruncated.
    The held-out responses of an outer fold are read by a monitor whose layer, probes, penalties and
    calibration come from the other folds alone; the stored one is made of all folds in the same way. The
    scores are across prompts: what the prompt says, the params among it, is part of what a monitor may use.
    """
    own = replace(Settings.from_config(settings["probes"], settings["seed"]), shuffles=0)
    study_groups = group_ids(settings["groups"])
    about = read_course(paths, None)
    folds = own.row_folds(about.groups, study_groups)
    stages, statuses = stages_of(about, own, folds)
    card = _card(paths, task, about, labels, settings)
    status = statuses.get(EOS, "")
    shape = len(own.fold_seeds), len(about.valid), len(about.y)
    probabilities = np.full(shape, np.nan, np.float32)
    if not status:
        levels = [Level(s, f) for s in range(len(own.fold_seeds)) for f in range(own.n_folds)] + [Level()]
        best: dict[Level, tuple[float, int]] = {}
        final = None
        for layer in layers:
            rows = read_course(paths, layer)
            for level, choice in fit_layer(rows, stages, folds, own, levels).items():
                after = [not in_prompt(stage.name) for stage in stages]
                quality = float(np.mean(np.array(choice.inner)[after]))
                if level not in best or quality > best[level][0]:
                    best[level] = quality, layer
                    if level == Level():
                        final = choice
                    else:
                        read_test_fold(rows, stages, choice, folds, level, probabilities)
    held_out = HeldOut(
        ids=about.ids,
        groups=about.groups,
        labels=about.y,
        folds=folds,
        positions=list(about.valid),
        tokens=np.array([about.tokens[name] for name in about.valid]).reshape(shape[1:]),
        valid=np.array(list(about.valid.values())).reshape(shape[1:]),
        probabilities=probabilities,
    )
    card |= {"status": status and f"insufficient: {status}", "left_out": statuses}
    if status:
        d = card["hidden_size"]
        nothing = np.zeros((0, d), np.float32), np.zeros(0, np.float32), np.zeros((0, 2), np.float32)
        card |= {"layer": None, "layers": list(layers), "layers_by_fold": [], "stages": []}
        return StoredMonitor(card, np.zeros(0, np.int32), *nothing), held_out
    by_fold = [best[level][1] for level in levels[:-1]]
    card |= {"layer": best[Level()][1], "layers": list(layers), "layers_by_fold": by_fold}
    card["stages"] = [
        {
            "name": stage.name,
            "first": stage.first,
            "source": final.sources[k],
            "C": final.penalties[k],
            "inner_auroc": final.inner[k],
            **_scores(stage, about, folds, probabilities),
        }
        for k, stage in enumerate(stages)
    ]
    first = np.array([stage.first for stage in stages], np.int32)
    monitor = StoredMonitor(_rounded(card), first, final.weights, final.intercepts, final.calibration)
    return monitor, held_out


def stages_of(rows: CourseRows, own: Settings, folds: np.ndarray) -> tuple[list[Stage], dict[str, str]]:
    """Those with enough rows, in the order of a response, and why others are left out, by name."""
    if EOS not in rows.valid:
        return [], {EOS: "eos is not among the stored positions"}
    named = {PROMPT_END: {PROMPT_END: rows.valid[PROMPT_END]}} if PROMPT_END in rows.valid else {}
    named |= draw_spans(rows)
    named[EOS] = {EOS: rows.valid[EOS]}
    found, left_out = [], {}
    for name, parts in named.items():
        which = np.flatnonzero(np.any(list(parts.values()), axis=0))
        why = own.sufficiency(rows.y[which], rows.groups[which], folds[:, which], rows.truncated)
        if why:
            left_out[name] = why
        else:
            found.append(Stage(name, _first(name), parts, which))
    return found, left_out


def draw_spans(rows: CourseRows) -> dict[str, dict[str, np.ndarray]]:
    """Stages by how many tokens have been written: {"tokens_1", "tokens_2", "tokens_3_4", …: {position: which
    rows, [n] bool, are seen there}}, those that no row is seen in left out.

    A row is seen once in a span, at one of its valid positions there (never EOS). Which one is drawn, in
    proportion to how many of the span's tokens are nearer to it than to the others: so a stage is about any
    of its tokens, and not about the last one of a response, where most is known and which no reader can tell
    from the others. (`course.spans`, for curves over time, takes the last.) The draw depends on the row's id.
    """
    names = [name for name in rows.tokens if name != EOS and not in_prompt(name)]
    number = np.array([np.where(rows.valid[name], rows.tokens[name], 0) for name in names], float)
    number = number.reshape(len(names), len(rows.y))
    absent = number < 1
    order = np.argsort(np.where(absent, np.inf, number), axis=0, kind="stable")
    place = np.take_along_axis(np.where(absent, np.inf, number), order, axis=0)
    # Each position stands for the tokens from the middle between it and the one before to that behind it.
    ends = rows.tokens[EOS] - 0.5
    middles = np.minimum((place[:-1] + place[1:]) / 2, ends)
    left = np.concatenate([np.full((1, len(rows.y)), 0.5), middles])[: len(names)]
    right = np.concatenate([middles, ends[None]])[: len(names)]
    found: dict[str, dict[str, np.ndarray]] = {}
    first, last = 1, 1
    while first <= number.max(initial=0):
        name = f"tokens_{first}" if first == last else f"tokens_{first}_{last}"
        there = (first <= place) & (place <= last)
        share = np.maximum(np.minimum(right, last + 0.5) - np.maximum(left, first - 0.5), 0) * there
        shares = np.cumsum(share, axis=0)
        total = shares[-1]
        drawn = np.array([keyed_hash(name, each) / 2**64 for each in rows.ids.tolist()])
        which = (shares <= drawn * total).sum(axis=0)
        seen = np.flatnonzero(total > 0)
        at = np.full(len(rows.y), -1)
        at[seen] = order[which[seen], seen]
        if len(seen):
            found[name] = {each: at == k for k, each in enumerate(names) if (at == k).any()}
        first, last = last + 1, 2 * last
    return found


def _first(name: str) -> int:
    return {PROMPT_END: 0, EOS: AT_EOS}[name] if name in (PROMPT_END, EOS) else int(name.split("_")[1])


def fit_layer(
    rows: CourseRows, stages: Sequence[Stage], folds: np.ndarray, own: Settings, levels: Sequence[Level]
) -> dict[Level, Choice]:
    """The choice of each level at one layer; rows.x is there."""
    end = next(stage for stage in stages if stage.name == EOS)
    carried: dict[Level, tuple] = {}
    chosen: dict[Level, list[tuple]] = {level: [] for level in levels}
    # EOS first, since its probes are carried back.
    for stage in sorted(stages, key=lambda stage: stage is not end):
        which, x = gathered(stage.parts, rows.x)
        y, own_folds = rows.y[which], folds[:, which]
        scale = feature_scale(x[own_folds[0] == CALIBRATION]) if own.feature_scaling else None
        found = cross_validate(Rows(x, scale), own_folds, y, own, [[np.arange(len(x))]], every_penalty=True)
        for level in levels:
            views = _views(found, own_folds, level)
            quality = _quality(views, y)
            best = int(np.argmax(quality))
            trained = _probes(found, own.n_folds, level, best)
            if stage is end:
                carried[level] = trained, own.penalties[best]
            source, penalty, inner = TRAINED, own.penalties[best], float(quality[best])
            views = [(fold, scores[best : best + 1]) for fold, scores in views]
            if stage is not end:
                again = _carried_views(x, own_folds, level, own.n_folds, *carried[level][0])
                if (other := float(_quality(again, y)[0])) > inner:
                    source, penalty, inner, views = CARRIED, carried[level][1], other, again
                    trained = carried[level][0]
            used = [fold != CALIBRATION for fold, _ in views]
            scores = np.concatenate([scores[0, rest] for (_, scores), rest in zip(views, used, strict=True)])
            slope, constant = shrunken(scores, np.concatenate([y[rest] for rest in used]))
            # The last is of all rows of the level, on which its own scores are centred.
            weights, intercepts = trained[0][:, -1], trained[1][-1]
            of_level = own_folds[level.seed or 0]
            rest = (of_level != CALIBRATION) & (of_level != level.fold)
            calibration = slope, constant - slope * float((x[rest] @ weights + intercepts).mean())
            chosen[level].append((stage.name, source, penalty, inner, weights, intercepts, calibration))
    return {level: _in_order(parts, [stage.name for stage in stages]) for level, parts in chosen.items()}


def _in_order(parts: Sequence[tuple], names: Sequence[str]) -> Choice:
    parts = sorted(parts, key=lambda part: names.index(part[0]))
    _, sources, penalties, inner, weights, intercepts, calibration = zip(*parts, strict=True)
    arrays = (np.array(values, np.float32) for values in (weights, intercepts, calibration))
    return Choice(list(sources), list(penalties), list(inner), *arrays)


def _views(found: Found, folds: np.ndarray, level: Level) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores of rows held out within the level: for each fold seed that it has, folds [m] (CALIBRATION for
    rows that are not in the level) and scores [penalty, m] by probes that never saw the row's fold, each
    minus the probe's mean score of the rows that it was trained on.

    A probe's intercept is near the base rate of its own rows, and so the higher, the lower that of the fold
    which it was kept from. Where weights are small, scores that are pooled over folds would say that, and
    little else.
    """
    if level.fold is None:
        views = []
        for s, fold in enumerate(folds):
            scores = np.zeros(found.fit.decision.shape[:2], np.float32)
            for f in range(found.settings.n_folds):
                column = s * found.settings.n_folds + f
                scores[:, fold == f] = _centred(found.fit.decision[:, :, column], fold, f)
            views.append((fold, scores))
        return views
    fold = np.where(folds[level.seed] == level.fold, CALIBRATION, folds[level.seed])
    decision = found.inner[level.seed].decision
    scores = np.zeros(decision.shape[:2], np.float32)
    for g, column in inner_columns(found.settings.n_folds, level.fold):
        scores[:, fold == g] = _centred(decision[:, :, column], fold, g)
    return [(fold, scores)]


def _centred(scores: np.ndarray, fold: np.ndarray, held_out: int) -> np.ndarray:
    """Scores [lines, n] of the rows of a fold, minus the mean of those of the other folds."""
    trained = (fold != held_out) & (fold != CALIBRATION)
    return scores[:, fold == held_out] - scores[:, trained].mean(axis=1, keepdims=True)


def _probes(found: Found, n_folds: int, level: Level, penalty: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights [d, c] and intercepts [c] of a level at a penalty: those of the held-out scores in the order of
    `_carried_views`, and last that of all rows of the level."""
    n_seeds = found.chosen.shape[1]
    if level.fold is None:
        return found.fit.raw(penalty, np.arange(n_seeds * n_folds + 1))
    inner = [column for _, column in inner_columns(n_folds, level.fold)]
    weights, intercepts = found.inner[level.seed].raw(penalty, np.array(inner))
    last = found.fit.raw(penalty, np.array([level.seed * n_folds + level.fold]))
    return np.concatenate([weights, last[0]], axis=1), np.concatenate([intercepts, last[1]])


def _carried_views(
    x: np.ndarray,
    folds: np.ndarray,
    level: Level,
    n_folds: int,
    weights: np.ndarray,
    intercepts: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """As `_views` has them, of rows x [m, d] by the probes that `_probes` gave of another place: [1, m]."""
    scores = (x @ weights + intercepts).astype(np.float32)
    if level.fold is None:
        views = []
        for s, fold in enumerate(folds):
            kept = np.zeros((1, len(x)), np.float32)
            for f in range(n_folds):
                kept[:, fold == f] = _centred(scores[None, :, s * n_folds + f], fold, f)
            views.append((fold, kept))
        return views
    fold = np.where(folds[level.seed] == level.fold, CALIBRATION, folds[level.seed])
    kept = np.zeros((1, len(x)), np.float32)
    for place, (g, _) in enumerate(inner_columns(n_folds, level.fold)):
        kept[:, fold == g] = _centred(scores[None, :, place], fold, g)
    return [(fold, kept)]


def _quality(views: Sequence[tuple[np.ndarray, np.ndarray]], y: np.ndarray) -> np.ndarray:
    """AUROC of each line of scores, mean over fold seeds; ½ where there are no pairs."""
    values = np.mean([aurocs(scores, y, fold) for fold, scores in views], axis=0)
    return np.nan_to_num(values, nan=0.5)


def read_test_fold(
    rows: CourseRows,
    stages: Sequence[Stage],
    choice: Choice,
    folds: np.ndarray,
    level: Level,
    probabilities: np.ndarray,
) -> None:
    """What a level's monitor says of its outer fold at every position, into probabilities [S, P, n]."""
    first = np.array([stage.first for stage in stages])
    for place, (name, valid) in enumerate(rows.valid.items()):
        if in_prompt(name) and name != PROMPT_END:
            continue
        tested = np.flatnonzero(valid & (folds[level.seed] == level.fold))
        numbers = stage_numbers(first, rows.tokens[name][tested], name == EOS)
        for number in np.unique(numbers):
            of_stage = tested[numbers == number]
            scores = rows.x[name][of_stage] @ choice.weights[number] + choice.intercepts[number]
            probabilities[level.seed, place, of_stage] = calibrated(scores, choice.calibration[number])


# Cards


def _scores(stage: Stage, rows: CourseRows, folds: np.ndarray, probabilities: np.ndarray) -> dict:
    """Of a stage, on held-out groups: means over fold seeds. brier_of_base_rate: of saying the base rate of
    the other folds to all."""
    by_position = dict(zip(rows.valid, np.moveaxis(probabilities, 1, 0), strict=True))
    which = stage.which
    y, items = rows.y[which], rows.items[which]
    found: dict[str, list[float]] = {}
    for s, fold in enumerate(folds[:, which]):
        told = gathered(stage.parts, {name: p[s] for name, p in by_position.items()})[1]
        tested = fold != CALIBRATION
        rate = np.zeros(len(y))
        for f in np.unique(fold[tested]):
            rate[fold == f] = y[tested & (fold != f)].mean()
        one = {
            "auroc": auroc(told, y, fold).value,
            # Before the response, all answers to a prompt have one state.
            "auroc_within": 0.5 if in_prompt(stage.name) else auroc_within(told, y, items, fold).value,
            "brier": float(np.mean((told - y)[tested] ** 2)),
            "brier_of_base_rate": float(np.mean((rate - y)[tested] ** 2)),
            "mean_probability": float(told[tested].mean()),
            "base_rate": float(y[tested].mean()),
        }
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    scores = {name: float(np.mean(values)) for name, values in found.items()}
    tested = folds[0][which] != CALIBRATION
    return scores | {"n": int(tested.sum()), "n_groups": len(np.unique(rows.groups[which][tested]))}


def _card(
    paths: Sequence[str | Path], task: str, rows: CourseRows, labels: Iterable[Mapping], settings: Mapping
) -> dict:
    with shards.Shard(paths[0]) as shard:
        attrs, positions = shard.attrs, list(shard.positions)
    names = ("study", "model", "model_source", "model_revision", "model_dtype", "attn_implementation")
    names += ("tokenizer_sha256", "chat_template_sha256")
    used = set(rows.ids.tolist())
    asked = [row["params"] for row in labels if row["id"] in used]
    slice_of_config = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return {
        "format_version": FORMAT_VERSION,
        "rules_version": RULES_VERSION,
        "task": task,
        **{name: str(attrs.get(name, "")) for name in names},
        "hidden_size": int(attrs["hidden_size"]),
        "num_layers": int(attrs["num_layers"]),
        "activations_dtype": str(attrs["dtype"]),
        "identity": settings.get("model", {}),
        "params": _params(asked),
        "positions": positions,
        "scope": "across",
        "choice": CHOICE,
        "truncated": rows.truncated,
        "shards_sha256": [_shard_hash(path) for path in paths],
        "settings_sha256": hashlib.sha256(slice_of_config.encode()).hexdigest(),
    }


def _params(asked: Sequence[Mapping]) -> dict:
    """Of each param that was asked, how many values it had and, of few, which: {name: {"n", "values"}}."""
    seen: dict[str, set[str]] = {}
    for params in asked:
        for name, value in params.items():
            seen.setdefault(name, set()).add(json.dumps(value, sort_keys=True, ensure_ascii=False))
    found = {}
    for name in sorted(seen):
        values = [json.loads(text) for text in sorted(seen[name], key=lambda text: (len(text), text))]
        found[name] = {"n": len(values), "values": values if len(values) <= MOST_VALUES else None}
    return found


def _shard_hash(path: str | Path) -> str:
    """Of what its manifest says, which is in the checksums of all that it holds."""
    beside = Path(path).with_suffix(".json")
    facts = json.loads(beside.read_text("utf-8")) if beside.is_file() else shards.manifest(path)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _rounded(value):
    """With six significant digits, so that the last bits of a sum don't count as a change."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


# Files


def save(path: str | Path, monitor: StoredMonitor) -> None:
    """Store a monitor as safetensors: equal monitors, equal bytes."""
    tensors = _tensors(monitor)
    card = {**monitor.card, "place": place_of(path), "tensors_sha256": _digest(tensors)}
    # One entry: safetensors writes several in no fixed order.
    text = json.dumps(card, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_bytes(as_safetensors(tensors, metadata={"card": text}))


def load(path: str | Path) -> StoredMonitor:
    """What `save` stored. Raises UserError for a file of other rules or of another format, DamagedFile for
    what isn't as it was written, or belongs elsewhere."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no monitor {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {})["card"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if card["format_version"] != FORMAT_VERSION or card["rules_version"] != RULES_VERSION:
            raise UserError(
                f"{path} was made by version {card['rules_version']} of the rules (format "
                f"{card['format_version']}), and this package has version {RULES_VERSION} (format "
                f"{FORMAT_VERSION}); run the study again"
            )
        if card["tensors_sha256"] != _digest(tensors):
            raise ValueError("its checksum is wrong")
        monitor = StoredMonitor(card, *(tensors[name] for name in _NAMES))
    except UserError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        check_readable(path, error)
        raise DamagedFile(path, f"can't be read as a monitor ({error})") from error
    if card["place"] and (place := place_of(path)) and place != card["place"]:
        raise DamagedFile(path, f"is a copy of {card['place']}")
    return monitor


_NAMES = ("first", "weights", "intercepts", "calibration")


def _tensors(monitor: StoredMonitor) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(getattr(monitor, name)) for name in _NAMES}


def _digest(tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}\0".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


_TEXTS = ("ids", "groups")
_ARRAYS = ("labels", "folds", "tokens", "valid", "probabilities")


def save_held_out(path: str | Path, held_out: HeldOut) -> None:
    """Store as HDF5: equal results, equal bytes."""
    with hdf5.create(path) as file:
        hdf5.write_names(file, "positions", held_out.positions)
        for name in _TEXTS:
            hdf5.write_texts(file, name, getattr(held_out, name))
        for name in _ARRAYS:
            file.create_dataset(name, data=getattr(held_out, name))


def load_held_out(path: str | Path) -> HeldOut:
    """What `save_held_out` stored. Raises DamagedFile if it isn't such a file."""
    with hdf5.whole(path, "monitor") as file:
        return HeldOut(
            positions=hdf5.read_names(file, "positions"),
            **{name: hdf5.read_texts(file, name) for name in _TEXTS},
            **{name: file[name][()] for name in _ARRAYS},
        )
