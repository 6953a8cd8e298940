"""Each task's signal erased from every task's rows: what is left for a probe, at one layer and position.

Erasers are fitted on outer-training rows of their source task only, and folds are of groups, the same for all
tasks: so an eraser never saw the group of a row that it is judged on, whatever the row's task.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np

from skillprobe.erasure.eraser import Eraser
from skillprobe.erasure.inlp import Directions, inlp
from skillprobe.erasure.leace import leaces
from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.solver import Erased, Rows, feature_scale
from skillprobe.probes.specialists import shuffle_labels
from skillprobe.statistics.bootstrap import auroc_lines, draw_groups
from skillprobe.statistics.folds import CALIBRATION, keyed_hash
from skillprobe.statistics.intervals import FIXED_PROBES, UNIT, interval
from skillprobe.storage import hdf5
from skillprobe.storage.progress import progress

# Directions whose part outside a target's rows is shorter than this lie in their span.
INSIDE = 1e-6


@dataclass(frozen=True)
class Settings:
    """rank: of the primary erasers; max_rank: how many directions are found; shuffles: null erasers, of
    labels shuffled between groups; random: subspaces of the primary rank; stop: where the upper 95 % bound of
    the inner AUROC is below it, the stopped variant ends; min_rows: of each class in every outer training
    set, else a task is not erased; primary_only: neither variants nor curves nor random subspaces."""

    rank: int = 4
    max_rank: int = 8
    shuffles: int = 20
    random: int = 20
    stop: float = 0.55
    min_rows: int = 80
    seed: int = 0
    feature_scaling: bool = True
    n_draws: int = 500
    primary_only: bool = False


@dataclass(frozen=True)
class Ablated:
    """Decision values on the n rows of one target, of T sources, S fold seeds, frozen ones up to a constant
    in each fold; NaN on calibration rows and for sources that are not erased.

    without: [T], "" or why a source is not erased. before: [S, n]. retrained: [T, S, n] by "inlp" (the
    primary), "inlp_stopped" and "leace", of probes trained on erased rows; frozen: [T, S, n] by "inlp",
    "inlp_reflected" and "leace", of the probes from before. Of the first fold seed, retrained: null
    [shuffles, T, n]; curve [max_rank, T, n], by the first so many directions; random [draws, n]. A reflection
    loses nothing that retraining could not find again, so it has no retrained scores.

    refitted_before: [n_draws], the AUROC where probes are fitted anew on each draw of groups, and
    refitted_after: [n_draws, T], where erasers are too (see `refits`); NaN for sources that are not refitted,
    and no draws if the target or the layer is not.
    """

    sources: tuple[str, ...]
    without: tuple[str, ...]
    ids: np.ndarray
    before: np.ndarray
    retrained: dict[str, np.ndarray]
    frozen: dict[str, np.ndarray]
    null: np.ndarray
    curve: np.ndarray
    random: np.ndarray
    refitted_before: np.ndarray = field(default_factory=lambda: np.zeros(0))
    refitted_after: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


RETRAINED = ("inlp", "inlp_stopped", "leace")
FROZEN = ("inlp", "inlp_reflected", "leace")
_ARRAYS = ("before", "null", "curve", "random", "refitted_before", "refitted_after")


def common_scale(
    x_by_task: Mapping[str, np.ndarray], specialists: Mapping[str, ProbeResult], settings: Settings
) -> np.ndarray | None:
    """[d], of all tasks' calibration rows together; None if the settings want none."""
    if not settings.feature_scaling:
        return None
    calibration = [x[specialists[task].folds[0] == CALIBRATION] for task, x in x_by_task.items()]
    return feature_scale(np.concatenate(calibration))


def cross_ablate(
    x_by_task: Mapping[str, np.ndarray],
    ids_by_task: Mapping[str, np.ndarray],
    specialists: Mapping[str, ProbeResult],
    settings: Settings,
    *,
    counting: Collection[str],
    scale: np.ndarray | None = None,
) -> tuple[dict[str, Ablated], dict[str, dict]]:
    """{target: scores}, and as erasers "tasks": {source: {fold: eraser}}, INLP's with max_rank directions, of
    the first fold seed, and for fold "all" of all folds, and "random": {fold: eraser}, random subspaces of
    the primary rank.

    x_by_task: [n, d] activations (in the scope within prompts, minus their item's mean); ids_by_task: [n];
    specialists: of the same rows, which give labels, folds and the penalty of each fold; counting: names of
    the tasks that count. Those of them that have enough rows (`Settings.min_rows`) are erased, all by erasers
    fitted on as many rows of each class: the least that one of them has. Others are targets only, so that a
    task with few violations takes no power from the rest. Among the erasers that are returned are also those
    of sufficient tasks with enough rows that don't count (unless `Settings.primary_only`). scale: [d], the
    feature scale (None: `common_scale`). Raises UserError where rows and
    probes don't belong together, and for a rank that some task can't have.
    """
    for task, result in specialists.items():
        if not np.array_equal(np.asarray(ids_by_task[task], str), result.ids):
            raise UserError(f"task '{task}': its probes were trained on other rows; train them again")
    if scale is None:
        scale = common_scale(x_by_task, specialists, settings)
    usable = [task for task, result in specialists.items() if not result.status]
    rows = {task: Rows(x_by_task[task], scale) for task in usable}
    plans = {task: Plan.make(specialists[task], settings) for task in usable}
    unfit = {task: _unfit(rows[task], plans[task], settings) for task in usable}
    without = unerased(specialists, unfit, counting)
    sources = [task for task, reason in without.items() if not reason]
    # Edits of a model that writes are of other tasks too.
    many = [task for task in usable if not unfit[task]]
    erased = sources if settings.primary_only else many
    per_class = rows_per_class([plans[task] for task in sources or many])
    for task in erased:
        least = min(per_class, plans[task].smallest_class())
        most = min(2 * least - 1, rows[task].coordinates.shape[1])
        if settings.max_rank > most:
            raise UserError(
                f"ablation.max_rank is {settings.max_rank}, but erasers of task '{task}' have "
                f"{2 * least} training rows in {rows[task].x.shape[1]} dimensions; lower it to {most}"
            )
    found, stored, targets = {}, {}, {}
    with progress("tasks erased", len(erased)) as advance:
        for task in erased:
            if task in sources:
                found[task] = _Source.make(rows[task], plans[task], per_class, settings)
                stored[task] = found[task].stored()
            else:
                stored[task] = _erasers(rows[task], plans[task], per_class, settings)
            advance(1)
    overlaps = Overlaps(rows)
    with progress("tasks probed without others", len(specialists)) as advance:
        for task, result in specialists.items():
            targets[task] = _nothing(result, without, settings)
            if task in plans:
                of_source = {name: overlaps(task, name) for name in found}
                _ablate_target(rows[task], plans[task], result, found, of_source, targets[task], settings)
            advance(1)
    return targets, {
        "tasks": stored,
        "random": _random_erasers([rows[task] for task in erased], specialists, settings),
    }


def unerased(
    specialists: Mapping[str, ProbeResult], unfit: Mapping[str, str], counting: Collection[str]
) -> dict[str, str]:
    """{task: "" or why it is not erased}; unfit: `_unfit` of the sufficient tasks."""
    reasons = {}
    for task, result in specialists.items():
        reasons[task] = result.status or unfit[task]
        if not result.status and task not in counting:
            reasons[task] = "its probe's AUROC is not clearly above chance, so there is nothing to erase"
    return reasons


def _unfit(rows: Rows, plan: Plan, settings: Settings) -> str:
    """Why no erasers can be fitted to a task, "" if they can."""
    if (least := plan.smallest_class(null=False)) < settings.min_rows:
        return f"{least} responses of one class to train on; erasers need {settings.min_rows} of each"
    varying = rows.coordinates.shape[1]
    # The embedding of EOS is the same for all responses. Too few rows or dimensions are the config's fault.
    if varying < settings.max_rank <= rows.x.shape[1] and varying + 1 < len(rows.x):
        return f"its activations vary in {varying} dimensions; erasers take {settings.max_rank}"
    return ""


def rows_per_class(plans: Collection[Plan]) -> int:
    """How many rows of each class all erasers of these tasks are fitted on, null ones too."""
    return min((plan.smallest_class() for plan in plans), default=0)


def _erasers(rows: Rows, plan: Plan, per_class: int, settings: Settings) -> dict[str, Eraser]:
    """As `_Source.stored`, of a task that is no source."""
    columns = [*range(plan.n_folds), -1]
    train = plan.balanced(per_class)[:, columns]
    found = inlp(rows, train, plan.labels[:, columns], plan.penalty[columns], settings.max_rank)
    return _named(found.erasers())


def _named(erasers: list[Eraser]) -> dict[str, Eraser]:
    """By fold, and of all rows."""
    return dict(zip([*map(str, range(len(erasers) - 1)), "all"], erasers, strict=True))


def _random_erasers(
    rows: list[Rows], specialists: Mapping[str, ProbeResult], settings: Settings
) -> dict[str, Eraser]:
    """Of the primary rank, through the mean of all rows; each fold has its own."""
    if not rows:
        return {}
    n_folds = next(iter(specialists.values())).chosen_c.shape[1]
    scale, mean = rows[0].scale[:, None], np.mean([each.offset for each in rows], axis=0)
    drawn = _random(len(scale), replace(settings, random=n_folds))
    return {str(fold): Eraser(q * scale, (q / scale).T, mean) for fold, q in enumerate(drawn)}


@dataclass(frozen=True)
class Plan:
    """The training sets of one task, as columns: first S · K outer ones, then shuffles · K with null labels,
    then the pairs of folds left out for the stopping rule, then all rows. train: [n, m]; labels: [n, m];
    penalty: [m]."""

    result: ProbeResult
    train: np.ndarray
    labels: np.ndarray
    penalty: np.ndarray
    order: np.ndarray
    n_folds: int
    pairs: list[tuple[int, int]]

    @classmethod
    def make(cls, result: ProbeResult, settings: Settings) -> Plan:
        n_seeds, n_folds = result.chosen_c.shape
        folds, first = result.folds, result.folds[0]
        pairs = list(combinations(range(n_folds), 2))
        outer = [(fold != f) & (fold != CALIBRATION) for fold in folds for f in range(n_folds)]
        inner = [(first != f) & (first != g) & (first != CALIBRATION) for f, g in pairs]
        shuffled = shuffle_labels(
            *(result.labels, result.groups, result.ids, first), draws=settings.shuffles, seed=settings.seed
        )
        train = [*outer, *outer[:n_folds] * settings.shuffles, *inner, first != CALIBRATION]
        real, null = n_seeds * n_folds, settings.shuffles * n_folds
        labels = np.repeat(result.labels[:, None], len(train), axis=1)
        labels[:, real : real + null] = np.repeat(shuffled, n_folds, axis=1)
        modal = np.bincount(np.searchsorted(result.penalties, result.chosen_c.ravel())).argmax()
        penalty = [*result.chosen_c.ravel(), *np.tile(result.chosen_c[0], settings.shuffles)]
        penalty += [result.penalties[modal]] * (len(pairs) + 1)
        hashes = [keyed_hash(f"ablation/{settings.seed}", row_id) for row_id in result.ids]
        order = np.argsort(np.array(hashes, np.uint64), kind="stable")
        return cls(result, np.stack(train, axis=1), labels, np.array(penalty), order, n_folds, pairs)

    @property
    def n_real(self) -> int:
        return self.result.chosen_c.size

    def null(self) -> slice:
        return slice(self.n_real, self.train.shape[1] - len(self.pairs) - 1)

    def inner(self) -> slice:
        return slice(self.train.shape[1] - len(self.pairs) - 1, self.train.shape[1] - 1)

    def smallest_class(self, null: bool = True) -> int:
        """Of the outer training sets, those with null labels too if so wanted."""
        outer = slice(self.null().stop if null else self.n_real)
        ones = (self.train[:, outer] & (self.labels[:, outer] == 1)).sum(axis=0)
        return int(min(ones.min(), (self.train[:, outer].sum(axis=0) - ones).min()))

    def balanced(self, per_class: int) -> np.ndarray:
        """The training sets cut to at most so many rows of each class, by a hash of their ids: [n, m]."""
        cut = np.zeros_like(self.train)
        train, labels = self.train[self.order], self.labels[self.order]
        for label in (0, 1):
            of_class = train & (labels == label)
            cut[self.order] |= of_class & (of_class.cumsum(axis=0) <= per_class)
        return cut


@dataclass(frozen=True)
class _Source:
    """A task's directions. axes: [m, r, max_rank] of the plan's columns, in the axes of its rows; stopped:
    [S · K], ranks of the stopped variant; leaces: [S · K]; erasers: as stored, by fold and of all."""

    plan: Plan
    axes: np.ndarray
    stopped: np.ndarray
    leaces: list[Eraser]
    erasers: list[Eraser]

    @classmethod
    def make(cls, rows: Rows, plan: Plan, per_class: int, settings: Settings) -> _Source:
        train = plan.balanced(per_class)
        rank = settings.rank if settings.primary_only else settings.max_rank
        found = inlp(rows, train, plan.labels, plan.penalty, rank)
        leaced = 0 if settings.primary_only else plan.n_real
        return cls(
            plan,
            found.axes,
            np.zeros(plan.n_real, int) if settings.primary_only else _stopped(found, plan, settings),
            leaces(rows, train[:, :leaced], plan.labels[:, :leaced]),
            [*found.erasers(slice(plan.n_folds)), *found.erasers(slice(-1, None))],
        )

    def stored(self) -> dict[str, Eraser]:
        return _named(self.erasers)


def _stopped(found: Directions, plan: Plan, settings: Settings) -> np.ndarray:
    """For each outer training set of the first fold seed, and by its fold for the others, how many directions
    come before the first whose AUROC on inner folds is clearly below `stop`: [S · K]."""
    result = plan.result
    fold, labels, groups = result.folds[0], result.labels, result.groups
    draws = draw_groups(groups[fold != CALIBRATION], n_draws=settings.n_draws, seed=settings.seed)
    ranks = np.full(result.chosen_c.shape, settings.max_rank)
    decision = found.decision[:, :, plan.inner()].astype(np.float32)
    for f in range(plan.n_folds):
        rest = np.where(fold == f, CALIBRATION, fold)
        for step in range(settings.max_rank):
            scores = np.full(len(fold), np.nan, np.float32)
            for number, pair in enumerate(plan.pairs):
                if f in pair:
                    scored = fold == sum(pair) - f
                    scores[scored] = decision[step, scored, number]
            value, drawn = auroc_lines(scores[None], labels, groups, rest, draws, result.items)
            if interval(value, drawn[0], 0.95, UNIT, FIXED_PROBES).upper < settings.stop:
                ranks[:, f] = step
                break
    return ranks.ravel()


def _ablate_target(
    rows: Rows,
    plan: Plan,
    result: ProbeResult,
    sources: Mapping[str, _Source],
    overlaps: Mapping[str, np.ndarray | None],
    made: Ablated,
    settings: Settings,
) -> None:
    """Fill in what is left of a target; overlaps: with each source."""
    n_real, n_folds = plan.n_real, plan.n_folds
    outer, labels, penalty = plan.train[:, :n_real], result.labels, plan.penalty[:n_real]
    fit = rows.fit(outer, labels, [penalty])
    before, beta, intercepts = fit.decision[0], fit.coefficients[0], fit.intercepts[0]
    _place(made.before, before, result.folds)

    def retrain(taken: list[Taken], every: int) -> list[np.ndarray]:
        """Decision values [n, m] after taking each out, of m columns that are the outer training sets for the
        first `every`, and those of the first fold seed, over and over, for the others. In one go, and from
        the probes of before: most lose little."""
        columns = [
            np.arange(len(each.read)) % (n_real if number < every else n_folds)
            for number, each in enumerate(taken)
        ]
        which = np.concatenate(columns)
        decision = rows.fit(
            outer[:, which],
            labels,
            [penalty[which]],
            erased=Taken.joined(taken).erased(),
            start=(beta[:, which], intercepts[which]),
        ).decision[0]
        return np.split(decision, np.cumsum([len(each) for each in columns])[:-1], axis=1)

    for name, source in sources.items():
        t = made.sources.index(name)
        found = Taken.across(overlaps[name], source.axes)
        real, null = found.columns(slice(n_real)), found.columns(source.plan.null())
        primary, chance = real.first(settings.rank), null.first(settings.rank)
        if settings.primary_only:
            after, by_chance = retrain([primary, chance], 1)
            _place(made.retrained["inlp"][t], after, result.folds)
            _place(made.null[:, t], by_chance, result.folds[:1])
            continue
        oblique, first = Taken.oblique(rows, source.leaces), real.columns(slice(n_folds))
        after = retrain(
            [
                primary,
                real.first(source.stopped),
                oblique,
                chance,
                *(first.first(rank + 1) for rank in range(settings.max_rank)),
            ],
            len(RETRAINED),
        )
        for method, decision in zip(RETRAINED, after, strict=False):
            _place(made.retrained[method][t], decision, result.folds)
        _place(made.null[:, t], after[len(RETRAINED)], result.folds[:1])
        _place(made.curve[:, t], np.concatenate(after[len(RETRAINED) + 1 :], axis=1), result.folds[:1])
        lost = rows.coordinates @ primary.of_probe(beta)
        _place(made.frozen["inlp"][t], before - lost, result.folds)
        _place(made.frozen["inlp_reflected"][t], before - 2 * lost, result.folds)
        _place(made.frozen["leace"][t], before - rows.coordinates @ oblique.of_probe(beta), result.folds)
    if settings.primary_only:
        return
    random = Taken.of(rows, _random(rows.x.shape[1], settings)).repeated(n_folds)
    _place(made.random, retrain([random], 0)[0], result.folds[:1])


@dataclass(frozen=True)
class Taken:
    """What m erasers take out of a target's rows, in its r principal axes: read [m, r, k], what they read,
    inside [m, r, k], along which axes, and outside [m, k, k], of the part that is out of the rows' span."""

    read: np.ndarray
    inside: np.ndarray
    outside: np.ndarray

    @classmethod
    def of(cls, rows: Rows, directions: np.ndarray) -> Taken:
        """directions: [m, d, k], orthonormal or zero, among the scaled features."""
        return cls._make(rows, directions, directions)

    @classmethod
    def oblique(cls, rows: Rows, erasers: list[Eraser]) -> Taken:
        scale = rows.scale[:, None]
        along = np.stack([eraser.a / scale for eraser in erasers])
        return cls._make(rows, along, np.stack([eraser.b.T * scale for eraser in erasers]))

    @classmethod
    def across(cls, overlap: np.ndarray | None, axes: np.ndarray) -> Taken:
        """Of directions [m, r′, k], orthonormal or zero, in the axes of another task's rows; overlap:
        [r, r′], of `Rows.overlap` with these (None: the same rows)."""
        m, r, k = axes.shape
        if overlap is None:
            return cls(axes, axes, np.zeros((m, k, k)))
        inside = overlap @ axes.transpose(1, 0, 2).reshape(r, m * k)
        inside = np.ascontiguousarray(inside.reshape(-1, m, k).transpose(1, 0, 2))
        return cls(inside, inside, _beyond(axes, inside))

    @classmethod
    def _make(cls, rows: Rows, along: np.ndarray, read: np.ndarray) -> Taken:
        m, d, k = along.shape

        def inside(directions: np.ndarray) -> np.ndarray:
            flat = rows.along_axes(directions.transpose(1, 0, 2).reshape(d, m * k))
            return flat.reshape(-1, m, k).transpose(1, 0, 2)

        reads = inside(read)
        within = reads if along is read else inside(along)
        return cls(reads, within, _beyond(along, within))

    @classmethod
    def joined(cls, parts: list[Taken]) -> Taken:
        """All of them side by side, those of fewer directions filled up with nothing."""
        k = max(part.read.shape[2] for part in parts)
        axes = ("read", "inside", "outside")
        padded = [[_widened(getattr(part, name), k, name == "outside") for part in parts] for name in axes]
        return cls(*map(np.concatenate, padded))

    def columns(self, which: slice) -> Taken:
        return Taken(self.read[which], self.inside[which], self.outside[which])

    def repeated(self, times: int) -> Taken:
        return Taken(*(np.repeat(each, times, axis=0) for each in (self.read, self.inside, self.outside)))

    def first(self, rank: int | np.ndarray) -> Taken:
        """The first directions only, as many for all or an own number, [m], for each."""
        kept = np.arange(self.read.shape[2]) < np.broadcast_to(rank, len(self.read))[:, None]
        return Taken(self.read * kept[:, None, :], self.inside, self.outside)

    def erased(self) -> Erased:
        right = self.inside.transpose(0, 2, 1)
        if np.abs(self.outside).max() > INSIDE:
            right = np.concatenate([right, self.outside.transpose(0, 2, 1)], axis=2)
        return Erased(self.read, right)

    def of_probe(self, beta: np.ndarray) -> np.ndarray:
        """What probes [r, m] lose: coefficients [r, m]."""
        return (self.read @ (self.inside.transpose(0, 2, 1) @ beta.T[:, :, None]))[..., 0].T


def _beyond(whole: np.ndarray, within: np.ndarray) -> np.ndarray:
    """What of directions `whole` is not `within`, both [m, any, k], in axes of its own: [m, k, k]."""
    squares = whole.transpose(0, 2, 1) @ whole - within.transpose(0, 2, 1) @ within
    values, vectors = np.linalg.eigh(squares)
    return np.sqrt(np.maximum(values, 0))[:, :, None] * vectors.transpose(0, 2, 1)


class Overlaps:
    """`Rows.overlap` of each two tasks, made once for both directions."""

    def __init__(self, rows: Mapping[str, Rows]) -> None:
        self.rows = rows
        self.made: dict[tuple[str, str], np.ndarray] = {}

    def __call__(self, target: str, source: str) -> np.ndarray | None:
        """[r of the target, r of the source]; None for a task and itself."""
        if target == source:
            return None
        if (source, target) in self.made:
            return self.made[source, target].T
        if (target, source) not in self.made:
            self.made[target, source] = self.rows[target].overlap(self.rows[source])
        return self.made[target, source]


def _widened(values: np.ndarray, k: int, rows_too: bool) -> np.ndarray:
    """[..., k] with zeros behind, and [k, k] if its rows are directions too."""
    more = k - values.shape[2]
    return np.pad(values, ((0, 0), (0, k - values.shape[1] if rows_too else 0), (0, more)))


def _random(d: int, settings: Settings) -> np.ndarray:
    """Orthonormal directions [draws, d, rank]."""
    rng = np.random.default_rng(settings.seed)
    return np.linalg.qr(rng.normal(size=(settings.random, d, settings.rank)))[0]


def _place(into: np.ndarray, decision: np.ndarray, folds: np.ndarray) -> None:
    """Of decision values [n, lines · K], each row's by the probe of its own fold, into [lines, n].

    folds: [S, n], repeated for the lines.
    """
    n_folds = decision.shape[1] // len(into)
    for line, scores in enumerate(into):
        fold = folds[line % len(folds)]
        tested = np.flatnonzero(fold != CALIBRATION)
        # As float32, so that a probe that was left nothing gives ties, not rounding errors.
        scores[tested] = decision[tested, line * n_folds + fold[tested]].astype(np.float32)


def _nothing(result: ProbeResult, without: Mapping[str, str], settings: Settings) -> Ablated:
    n_seeds, n = result.folds.shape

    def blank(*shape: int) -> np.ndarray:
        return np.full((*shape, n), np.nan, np.float32)

    only, n_tasks = settings.primary_only, len(without)
    return Ablated(
        tuple(without),
        tuple(without.values()),
        result.ids,
        blank(n_seeds),
        {method: blank(n_tasks, n_seeds) for method in (RETRAINED[:1] if only else RETRAINED)},
        {method: blank(n_tasks, n_seeds) for method in (() if only else FROZEN)},
        blank(settings.shuffles, n_tasks),
        blank(0 if only else settings.max_rank, n_tasks),
        blank(0 if only else settings.random),
    )


# ----------------------------------------------------------------------------------------------- files


def save(path: str | Path, ablated: Mapping[str, Mapping[str, Ablated]]) -> None:
    """Store {scope: scores by target} as HDF5: equal scores, equal bytes."""
    with hdf5.create(path) as file:
        hdf5.write_nested(file, ablated, _write)


def load(path: str | Path) -> dict[str, dict[str, Ablated]]:
    """What `save` stored. Raises UserError if it isn't such a file."""
    with hdf5.whole(path, "ablation") as file:
        return hdf5.read_nested(file, _read)


def _write(group: h5py.Group, each: Ablated) -> None:
    hdf5.write_names(group, "sources", each.sources)
    hdf5.write_names(group, "without", each.without)
    hdf5.write_texts(group, "ids", each.ids)
    named = {name: getattr(each, name) for name in _ARRAYS}
    for kind in ("retrained", "frozen"):
        named |= {f"{kind}/{method}": values for method, values in getattr(each, kind).items()}
    for name, values in named.items():
        group.create_dataset(name, data=values)


def _read(group: h5py.Group) -> Ablated:
    return Ablated(
        sources=tuple(hdf5.read_names(group, "sources")),
        without=tuple(hdf5.read_names(group, "without")),
        ids=hdf5.read_texts(group, "ids"),
        retrained={m: group[f"retrained/{m}"][()] for m in RETRAINED if f"retrained/{m}" in group},
        frozen={m: group[f"frozen/{m}"][()] for m in FROZEN if f"frozen/{m}" in group},
        **{name: group[name][()] for name in _ARRAYS},
    )
