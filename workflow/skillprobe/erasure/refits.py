"""Draws of groups with the training in them: erasers and probes fitted anew on each.

See docs/definitions.md, "Intervals".

As in `probes.refits`, a draw gives each group a weight, training and test rows have the weights of their
groups, and draws are columns of one fit. Of the first fold seed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from skillprobe.erasure.cross import Ablated, Overlaps, Plan, Settings, Taken, common_scale, rows_per_class
from skillprobe.erasure.inlp import inlp
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.solver import Rows
from skillprobe.statistics.bootstrap import Draws, weighted_pairs
from skillprobe.storage.progress import progress

# Draws of one fit: as many as keep its matrices small.
DRAWS_AT_ONCE = 50
# Of decision values: ten times as many as elsewhere.
TOLERANCE = 1e-2


def refit_erasers(
    x_by_task: Mapping[str, np.ndarray],
    specialists: Mapping[str, ProbeResult],
    ablated: Mapping[str, Ablated],
    settings: Settings,
    *,
    counting: Collection[str],
    draws: Draws,
    scale: np.ndarray | None = None,
) -> dict[str, Ablated]:
    """What `cross_ablate` gave, and of each target that counts, the AUROC of each draw before and after each
    source that was erased. Arguments: as for `cross_ablate`; draws: of the groups that are tested.

    A source's directions are fitted on the rows that its own eraser saw, as often as their groups were drawn,
    and a target's probe on all its training rows, likewise. Fits begin from those without weights.
    """
    if scale is None:
        scale = common_scale(x_by_task, specialists, settings)
    some = next(iter(ablated.values()))
    sources = [task for task, reason in zip(some.sources, some.without, strict=True) if not reason]
    targets = [task for task, result in specialists.items() if task in counting and not result.status]
    if not sources:
        return dict(ablated)
    each = {task: _Task(x_by_task[task], specialists[task], settings, draws, scale) for task in targets}
    overlaps = Overlaps({task: each[task].rows for task in targets})
    per_class = rows_per_class([each[task].plan for task in sources])
    n_folds, n_draws = each[targets[0]].plan.n_folds, len(draws.weights)
    counted = {task: np.zeros((2, n_draws, 1 + len(sources))) for task in targets}
    with progress("folds in which erasers are fitted anew", n_folds) as advance:
        for f in range(n_folds):
            plain = {task: each[task].plain_directions(f, per_class) for task in sources}
            for start in range(0, n_draws, DRAWS_AT_ONCE):
                here = slice(start, start + DRAWS_AT_ONCE)
                found = [each[task].directions(f, here, per_class, plain[task]) for task in sources]
                for task in targets:
                    taken = Taken.joined(
                        [
                            Taken.across(overlaps(task, source), axes)
                            for source, axes in zip(sources, found, strict=True)
                        ]
                    )
                    counted[task][:, here] += each[task].concordant(f, here, taken, len(sources))
            advance(1)
    refitted = dict(ablated)
    for task, (right, pairs) in counted.items():
        aurocs = np.divide(right, pairs, out=np.full(right.shape, np.nan), where=pairs > 0)
        after = np.full((n_draws, len(some.sources)), np.nan)
        after[:, [some.sources.index(source) for source in sources]] = aurocs[:, 1:]
        refitted[task] = replace(ablated[task], refitted_before=aurocs[:, 0], refitted_after=after)
    return refitted


class _Task:
    """One task's rows, their weights in each draw, [n_draws, n], and its training sets."""

    def __init__(
        self, x: np.ndarray, result: ProbeResult, settings: Settings, draws: Draws, scale: np.ndarray | None
    ) -> None:
        self.rows, self.result, self.settings = Rows(x, scale), result, settings
        self.plan = Plan.make(result, settings)
        self.fold = result.folds[0]
        self.weights = draws.of_rows(result.groups, self.fold)
        outer, penalty = self.plan.train[:, : self.plan.n_folds], self.plan.penalty[: self.plan.n_folds]
        before = self.rows.fit(outer, result.labels, [penalty])
        self.before = before.coefficients[0], before.intercepts[0]

    def plain_directions(self, f: int, per_class: int) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients and intercepts of the steps without weights, with which those of draws begin."""
        found = inlp(*self._source(f, per_class), self.settings.rank)
        return found.coefficients, found.intercepts

    def directions(
        self, f: int, here: slice, per_class: int, plain: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Of each draw, [draws, r, rank], in the axes of the task's rows."""
        rows, train, *rest = self._source(f, per_class)
        weights = self.weights[here].T * train
        start = tuple(np.repeat(values, weights.shape[1], axis=-1) for values in plain)
        found = inlp(rows, weights, *rest, self.settings.rank, start=start, tolerance=TOLERANCE)
        return found.axes

    def _source(self, f: int, per_class: int) -> tuple[Rows, np.ndarray, np.ndarray, float]:
        train = self.plan.balanced(per_class)[:, [f]]
        return self.rows, train, self.result.labels, self.plan.penalty[f]

    def concordant(self, f: int, here: slice, taken: Taken, times: int) -> np.ndarray:
        """Concordant pairs, and pairs, of each draw in one test fold before and after: [2, draws, 1 + T];
        taken: of all draws for each of `times` sources in turn."""
        rows, labels, penalty, test = self.rows, self.result.labels, self.plan.penalty[f], self.fold == f
        weights = self.weights[here]
        train, n = (weights * self.plan.train[:, f]).T, len(weights)
        start = tuple(np.repeat(values[..., [f]], n, axis=-1) for values in self.before)
        before = rows.fit(train, labels, [penalty], start=start, tolerance=TOLERANCE)
        after = rows.fit(
            np.tile(train, (1, times)),
            labels,
            [penalty],
            erased=taken.erased(),
            start=(np.tile(before.coefficients[0], (1, times)), np.tile(before.intercepts[0], times)),
            tolerance=TOLERANCE,
        )
        # As float32, so that a probe that was left nothing gives ties, not rounding errors.
        scores = [fit.decision[0, test].T.astype(np.float32) for fit in (before, after)]
        found = weighted_pairs(
            np.concatenate(scores),
            labels[test],
            np.tile(weights[:, test], (1 + times, 1)),
            self.result.items[test] if len(self.result.items) else None,
        )
        return np.array(found).reshape(2, 1 + times, n).swapaxes(1, 2)
