"""Do probes carry over to other wordings of the instruction, and does training on more wordings help?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from skillprobe.analyses import wording
from skillprobe.analyses.generality import MEAN, SELECTED, Scored, select_layer
from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.wordings import ANY, DIVERSITY, HELD_OUT, OTHER, OTHER_TYPES, POLARITY, TYPE
from skillprobe.statistics.bootstrap import Draws, draw_tested
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.intervals import (
    BOUNDS,
    Estimate,
    auroc_estimate,
    cells_of,
    mean_of_known,
    tested_rows,
)
from skillprobe.storage.tables import NO_TASK, SCOPES

COLUMNS = (
    *("model", "scope", "layer", "task", "category", "contrast", "trained_on", "tested_on", "n_phrasings"),
    *("estimate", *BOUNDS, "n", "n_groups", "n_tasks", "truncated", "status"),
)
# Of the tested wording's own probe, and of another's; no scopes.
WITHIN, ACROSS = "within", "across"
# What each contrast comes to, and why it may be missing.
SUMMARIES = {
    TYPE: (WITHIN, ACROSS, "within_minus_across", "others_minus_across"),
    POLARITY: (WITHIN, ACROSS, "within_minus_across"),
    HELD_OUT: ("any_minus_other",),
    DIVERSITY: ("most_minus_fewest",),
}
MISSING = {
    TYPE: wording.MISSING[wording.TYPE],
    POLARITY: wording.MISSING[wording.POLARITY],
    HELD_OUT: "insufficient: there is only one phrasing",
    DIVERSITY: "insufficient: there are fewer than four phrasings",
}
PHRASINGS, UNSEEN = "phrasings", "unseen"


@dataclass(frozen=True)
class _Cell:
    """An AUROC, or a sum of them; estimate: None where it is insufficient, as the status says."""

    estimate: Estimate | None
    n: int = 0
    n_groups: int = 0
    n_tasks: int = 1
    status: str = ""


# Of one task: {(contrast, trained on, tested on): cell}.
_Cells = dict[tuple[str, str, str], _Cell]
_Nested = Mapping[str, Mapping[str, Mapping[str, ProbeResult]]]


def robustness_table(
    model: str,
    by_layer: Mapping[int, Mapping[str, Mapping[str, _Nested]]],
    categories: Mapping[str, str],
    *,
    n_draws: int = 2000,
    seed: int = 0,
    study_groups: Iterable[str] | None = None,
) -> list[dict]:
    """Rows with COLUMNS, of every task and of task "mean".

    by_layer: {layer: {task: `fit_wordings`}}; categories: {task: category}. layer is a number, or "selected":
    for each outer fold and probe the one with the best inner AUROC. The bootstrap over groups is joint over
    everything; the phrasings that a study has, and the draws of them, are taken as they are.

    Contrasts "type" and "polarity": AUROC of a probe of one group on each; "within", "across" and
    "within_minus_across": the mean, over the cells off the diagonal that have both, of the tested group's own
    probe, of the other group's, and of the paired difference; "others_minus_across": both other types against
    one. "held_out": phrasings that were not trained on, by the probe of "other_phrasings" and by that of
    "any_phrasing", and "any_minus_other". "diversity": mean over the sufficient draws by n_phrasings, and
    "most_minus_fewest" of them.

    A mean is of the n_tasks tasks that have all its parts, so two cells may be of different tasks. But the
    means of held-out phrasings, and those of the diversity curve, are all of the same ones: those with every
    point that at least half of the tasks with any point have. truncated: the share of the tasks' responses
    that are left out for that. status: "", or "insufficient: …" with NaN for
    the numbers. Raises UserError where there are no probes.
    """
    if not by_layer:
        raise UserError(f"there are no probes across wordings of model {model!r}; fit them first")
    layers = sorted(by_layer)
    first = by_layer[layers[0]]
    some = [result for scopes in first.values() for nested in scopes.values() for result in _results(nested)]
    draws = draw_tested(some, study_groups, n_draws=n_draws, seed=seed)
    cut = {task: _truncated(scopes.values()) for task, scopes in first.items()}
    rows = []
    cells: dict[str, _Cells] = {}
    for scope, layer in ((scope, layer) for scope in SCOPES for layer in (*layers, SELECTED)):
        # Of one layer alone, the selected one's cells are those.
        if layer != SELECTED or len(layers) > 1:
            at = layers if layer == SELECTED else [layer]
            cells = {task: _cells([by_layer[each][task][scope] for each in at], draws) for task in categories}
        for task in (*categories, MEAN):
            found = _mean(cells) if task == MEAN else cells[task]
            about = {"model": model, "scope": scope, "layer": layer, "task": task}
            about |= {"category": MEAN if task == MEAN else categories[task]}
            truncated = {"truncated": fmean(cut.values()) if task == MEAN else cut[task]}
            rows += [{name: (about | truncated | row)[name] for name in COLUMNS} for row in _rows(found)]
    return rows


def _truncated(scopes: Iterable[_Nested]) -> float:
    """Of a task; 0 where its wordings allow no contrast."""
    return max((result.truncated for nested in scopes for result in _results(nested)), default=0.0)


def _results(nested: _Nested) -> Iterator[ProbeResult]:
    for by_trained in nested.values():
        for by_tested in by_trained.values():
            yield from by_tested.values()


def _cells(by_layer: list[_Nested], draws: Draws) -> _Cells:
    """Of one task, its probes of each layer."""
    cells: _Cells = {}
    for contrast, by_trained in by_layer[0].items():
        for trained, by_tested in by_trained.items():
            found = {
                tested: _auroc([nested[contrast][trained][tested] for nested in by_layer], draws)
                for tested in by_tested
            }
            if contrast == DIVERSITY:
                found = {UNSEEN: _over_draws(found, list(by_tested.values()))}
            cells |= {(contrast, trained, tested): cell for tested, cell in found.items()}
    for contrast, names in SUMMARIES.items():
        own = {key[1:]: cell for key, cell in cells.items() if key[0] == contrast}
        estimates = _summaries(contrast, {key: cell.estimate for key, cell in own.items() if cell.estimate})
        why = next((cell.status for cell in own.values() if cell.status), MISSING[contrast])
        largest = max(own.values(), key=lambda cell: cell.n, default=_Cell(None))
        for name in names:
            known = estimates.get(name)
            cells[contrast, name, ""] = (
                _Cell(known, largest.n, largest.n_groups) if known else _Cell(None, 0, 0, 0, why)
            )
    return cells


def _auroc(by_layer: list[ProbeResult], draws: Draws) -> _Cell:
    first = by_layer[0]
    n, n_groups = tested_rows(first)
    if first.status:
        return _Cell(None, n, n_groups, 0, f"insufficient: {first.status}")
    scored: ProbeResult | Scored = select_layer(dict(enumerate(by_layer)))
    return _Cell(auroc_estimate(scored, draws), n, n_groups)


def _over_draws(found: Mapping[str, _Cell], results: list[ProbeResult]) -> _Cell:
    """The mean over the draws that suffice; n: rows that any of them tests."""
    estimate, n_draws = mean_of_known(cell.estimate for cell in found.values())
    if estimate is None:
        return next(iter(found.values()))
    used = [(result.folds[0] != CALIBRATION, result) for result in results if not result.status]
    ids, groups = (
        set().union(*(getattr(result, name)[dealt].tolist() for dealt, result in used))
        for name in ("ids", "groups")
    )
    return _Cell(estimate, len(ids), len(groups))


def _summaries(contrast: str, known: Mapping[tuple[str, str], Estimate]) -> dict[str, Estimate]:
    """Of one task; known: {(trained on, tested on): AUROC}."""
    found: dict[str, Estimate | None] = {}
    if contrast == DIVERSITY:
        sizes = sorted({int(trained) for trained, _ in known})
        if len(sizes) > 1:
            fewest, most = (known[str(size), UNSEEN] for size in (sizes[0], sizes[-1]))
            found["most_minus_fewest"] = most - fewest
    elif contrast == HELD_OUT:
        if len(known) == 2:
            found["any_minus_other"] = known[ANY, HELD_OUT] - known[OTHER, HELD_OUT]
    else:
        pairs = [
            (own, other)
            for (other, tested) in known
            if other not in (tested, OTHER_TYPES) and (own := tested, tested) in known
        ]
        within, _ = mean_of_known(known[own, own] for own, _ in pairs)
        across, _ = mean_of_known(known[other, own] for own, other in pairs)
        if within and across:
            found |= {WITHIN: within, ACROSS: across, "within_minus_across": within - across}
        both = []
        for trained, tested in known:
            one, _ = mean_of_known(
                known[key] for key in known if key[1] == tested and key[0] not in (tested, OTHER_TYPES)
            )
            if trained == OTHER_TYPES and one:
                both.append(known[trained, tested] - one)
        found["others_minus_across"] = mean_of_known(both)[0]
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def _mean(cells: Mapping[str, _Cells]) -> _Cells:
    """Over tasks."""
    complete = {contrast: _complete(cells, contrast) for contrast in (HELD_OUT, DIVERSITY)}
    found: _Cells = {}
    for key in dict.fromkeys(key for own in cells.values() for key in own):
        own = [task_cells[key] for task_cells in cells.values() if key in task_cells]
        used = [cell for cell in own if cell.estimate]
        if key[0] in complete and key[2]:
            tasks, points = complete[key[0]]
            used = [cells[task][key] for task in tasks if key in points]
        estimate, n_tasks = mean_of_known(cell.estimate for cell in used)
        n, n_groups = sum(cell.n for cell in used), max((cell.n_groups for cell in used), default=0)
        same = {cell.status for cell in own} == {MISSING[key[0]]}
        status = "" if n_tasks else MISSING[key[0]] if same else NO_TASK
        found[key] = _Cell(estimate, n, n_groups, n_tasks, status)
    return found


def _complete(cells: Mapping[str, _Cells], contrast: str) -> tuple[list[str], set[tuple[str, str, str]]]:
    """Those AUROCs of a contrast that at least half of the tasks with any have, after the tasks with all."""
    known = {
        task: {key for key, cell in own.items() if key[0] == contrast and key[2] and cell.estimate}
        for task, own in cells.items()
    }
    known = {task: keys for task, keys in known.items() if keys}
    points = {key for keys in known.values() for key in keys}
    points = {key for key in points if 2 * sum(key in keys for keys in known.values()) >= len(known)}
    return [task for task, keys in known.items() if points <= keys], points


def _rows(cells: _Cells) -> Iterator[dict]:
    for (contrast, trained, tested), cell in cells.items():
        bounds = (-1.0, 1.0) if "_minus_" in trained else (0.0, 1.0)
        curve = contrast == DIVERSITY and bool(tested)
        yield {
            "contrast": contrast,
            "trained_on": PHRASINGS if curve else trained,
            "tested_on": tested,
            "n_phrasings": int(trained) if curve else "",
            **cells_of(cell.estimate, bounds),
            "n": cell.n,
            "n_groups": cell.n_groups,
            "n_tasks": cell.n_tasks,
            "status": cell.status,
        }
