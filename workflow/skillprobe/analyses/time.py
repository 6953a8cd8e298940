"""Satisfaction over time: is it read off the text as that is written, or known before?

See docs/definitions.md, "Monitoring and planning".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from skillprobe.activations.positions import in_order
from skillprobe.analyses.counting import Counting, count_tasks, fold_aurocs
from skillprobe.analyses.generality import MEAN, SELECTED, Scored, select_layer
from skillprobe.analyses.planning import planning_rows, summary_row
from skillprobe.errors import UserError
from skillprobe.probes.course import EOS, PROMPT_END, TRAINED, in_prompt
from skillprobe.probes.planning import PromptScores
from skillprobe.probes.prefix import BASELINES, SURFACE, TEXT_SO_FAR
from skillprobe.probes.results import ProbeResult
from skillprobe.statistics.bootstrap import Draws, draw_tested
from skillprobe.statistics.intervals import (
    BOUNDS,
    UNIT,
    Estimate,
    auroc_estimate,
    cells_of,
    mean_of_known,
    tested_rows,
    weighted,
)
from skillprobe.storage.tables import ACROSS, NO_TASK, SCOPES

ONSET, LAST = "onset", "last"
CURVE_COLUMNS = ("model", "scope", "layer", "task", "category", "probe", "position", "estimate", *BOUNDS)
CURVE_COLUMNS += ("n", "n_groups", "truncated", "valid", "status")
SUMMARY_COLUMNS = ("model", "scope", "layer", "task", "category", "quantity", "estimate", *BOUNDS)
SUMMARY_COLUMNS += ("n_tasks", "tasks", "status")
# Of a quantity, the AUROCs that it is the sum of with these signs: (probe, position).
_PROMPT, _EOS = (TRAINED, PROMPT_END), (TRAINED, EOS)
_TEXT_PROMPT, _TEXT_EOS = (TEXT_SO_FAR, PROMPT_END), (TEXT_SO_FAR, EOS)
ABOVE_CHANCE = "eos_above_chance"
SUMS = {
    "prompt": {_PROMPT: 1},
    "surface": {(SURFACE, PROMPT_END): 1},
    "beyond_surface": {_PROMPT: 1, (SURFACE, PROMPT_END): -1},
    "onset_jump": {(TRAINED, ONSET): 1, _PROMPT: -1},
    "eos_gain": {_EOS: 1, (TRAINED, LAST): -1},
    "gain": {_EOS: 1, _PROMPT: -1},
    "beyond_text": {_EOS: 1, _TEXT_EOS: -1},
    "gain_beyond_text": {_EOS: 1, _PROMPT: -1, _TEXT_EOS: -1, _TEXT_PROMPT: 1},
    ABOVE_CHANCE: {_EOS: 1},
}
SLOPE = "slope"
_PROBABILITIES = ("prompt", "surface")
# {scope: {probe: {position: result}}} of one task.
Course = Mapping[str, Mapping[str, Mapping[str, ProbeResult]]]


def time_tables(
    model: str,
    courses: Mapping[int, Mapping[str, Course]],
    prefixes: Mapping[str, Course],
    categories: Mapping[str, str],
    *,
    signal: float,
    planning: Mapping[str, PromptScores] | None = None,
    prompt_variance: float = 0.0,
    n_draws: int = 2000,
    seed: int = 0,
    study_groups: Iterable[str] | None = None,
) -> tuple[list[dict], list[dict]]:
    """Rows with CURVE_COLUMNS and rows with SUMMARY_COLUMNS, of every task and of task "mean".

    courses: {layer: {task: `fit_course`}}; prefixes: {task: `fit_prefixes`}; categories: {task: category};
    signal: what the AUROC at eos must be above for a task to count (`count_tasks`, of the probe trained
    there, at its selected layer); planning: {task: `fit_planning`}, for the quantities of `planning_rows` at
    the layer "selected", of which prompt_variance decides which tasks count (None: none).
    layer is a number, or "selected": for each outer fold and probe the one with the best inner AUROC where
    that was trained. The bootstrap over groups is joint over everything, with the probes fixed.

    Curves: AUROC of each probe at each position and, if selected, span of tokens, and the mean over tasks
    with enough data; baselines, which have no layer, are of layer "selected", as are the paired differences
    "trained_minus_<baseline>". truncated: the share of the task's responses that are left out for that.
    valid: the share of the task's rows that have the position to themselves, the others being counted
    elsewhere (coinciding) or too short. Within prompts, there are the positions after the prompt's end: at
    those before, all responses have one state, and the AUROC is ½ by definition.

    Quantities, of the probes trained at each position: "gain", eos − prompt_100; "onset_jump", onset −
    prompt_100; "slope", of the AUROC over the body, from its start to its end; "eos_gain", eos − last;
    "beyond_text", eos − what the text decides; "gain_beyond_text", the gain less that of the text;
    "eos_above_chance", eos − ½; "prompt", "surface", AUROCs at prompt_100, and "beyond_surface", the first
    minus the second. Those of "mean" are over the folds and tasks that count; n_tasks and tasks are those
    that count and have all parts. status: "", or "insufficient: …" with NaN for the numbers. Raises UserError
    where there are no probes.
    """
    if not courses or not prefixes:
        raise UserError(f"there are no probes over time of model {model!r}; fit them first")
    layers = sorted(courses)
    some = [by[ACROSS][TRAINED][EOS] for by in courses[layers[0]].values() if EOS in by[ACROSS][TRAINED]]
    draws = draw_tested(some, study_groups, n_draws=n_draws, seed=seed)
    curves: list[dict] = []
    summary: list[dict] = []
    for scope in SCOPES:
        chosen = {task: _selected([courses[each][task][scope] for each in layers]) for task in categories}
        counting = count_tasks({task: [each[TRAINED][EOS]] for task, each in chosen.items()}, draws, signal)
        baselines = {
            task: _Aurocs(by_scope[scope], draws, _cut(courses[layers[0]][task]))
            for task, by_scope in prefixes.items()
        }
        for layer in (*layers, SELECTED):
            found = {}
            for task in categories:
                course = chosen[task] if layer == SELECTED else _without_spans(courses[layer][task][scope])
                found[task] = _Aurocs(course, draws, _cut(courses[layers[0]][task])) | baselines[task]
            about = {"model": model, "scope": scope, "layer": layer}
            curves += [about | row for row in _curves(found, categories, layer == SELECTED)]
            summary += [about | row for row in _summary(found, categories, counting, scope)]
    if planning:
        about = {"model": model, "scope": ACROSS, "layer": SELECTED}
        summary += [about | row for row in planning_rows(planning, categories, draws, least=prompt_variance)]
    return curves, summary


def _cut(course: Course) -> float:
    """The share of a task's responses that are truncated."""
    return course[ACROSS][TRAINED][EOS].truncated


def _selected(by_layer) -> dict[str, dict[str, Scored]]:
    first = by_layer[0]
    return {
        probe: {
            position: select_layer(dict(enumerate(course[probe][position] for course in by_layer)))
            for position in first[probe]
        }
        for probe in first
    }


def _without_spans(course: Mapping[str, Mapping[str, ProbeResult]]) -> dict[str, dict[str, ProbeResult]]:
    return {
        probe: {position: result for position, result in by.items() if not _is_span(position)}
        for probe, by in course.items()
    }


def _is_span(position: str) -> bool:
    return position.startswith("tokens_")


class _Aurocs:
    """{(probe, position): AUROC} of one task, and what is said of each in a table."""

    def __init__(
        self, results: Mapping[str, Mapping[str, ProbeResult | Scored]], draws: Draws, truncated: float
    ):
        self.draws = draws
        self.of_folds: dict[tuple[str, str], Estimate] = {}
        self.results: dict[tuple[str, str], ProbeResult | Scored] = {}
        self.estimates: dict[tuple[str, str], Estimate] = {}
        self.about: dict[tuple[str, str], dict] = {}
        for probe, by_position in results.items():
            most = max((len(result.labels) for result in by_position.values()), default=0)
            for position, result in by_position.items():
                n, n_groups = tested_rows(result)
                self.about[probe, position] = {
                    "n": n,
                    "n_groups": n_groups,
                    "truncated": truncated,
                    "valid": len(result.labels) / most if most else 0.0,
                    "status": result.status and f"insufficient: {result.status}",
                }
                if not result.status:
                    self.results[probe, position] = result
                    self.estimates[probe, position] = auroc_estimate(result, draws)

    def __or__(self, other: _Aurocs) -> _Aurocs:
        both = object.__new__(_Aurocs)
        both.draws = self.draws
        for name in ("of_folds", "results", "estimates", "about"):
            setattr(both, name, getattr(self, name) | getattr(other, name))
        return both

    def sum(self, signs: Mapping[tuple[str, str], float]) -> Estimate | None:
        """None where a part is insufficient, or there are no parts."""
        if not signs or not all(key in self.estimates for key in signs):
            return None
        return weighted([(self.estimates[key], sign) for key, sign in signs.items()])

    def by_fold(self, signs: Mapping[tuple[str, str], float], n_folds: int) -> Estimate:
        """The same of each test fold, as of `fold_aurocs`; all parts must be there."""
        for key in signs.keys() - self.of_folds.keys():
            self.of_folds[key] = fold_aurocs(self.results[key], self.draws, n_folds)
        return weighted([(self.of_folds[key], sign) for key, sign in signs.items()])


def _curves(found: Mapping[str, _Aurocs], categories: Mapping[str, str], selected: bool) -> Iterator[dict]:
    keys = dict.fromkeys(key for aurocs in found.values() for key in aurocs.about)
    for probe in dict.fromkeys(probe for probe, _ in keys):
        baseline = probe in (*BASELINES, SURFACE)
        # Only where they are selected have probes and baselines the same layer, that is, none.
        if baseline and not selected:
            continue
        for position in _sorted({position for name, position in keys if name == probe}):
            key, own = (probe, position), (TRAINED, position)
            for name, signs in ((probe, {key: 1}), (f"{TRAINED}_minus_{probe}", {own: 1, key: -1})):
                if name != probe and not (baseline and probe in BASELINES):
                    continue
                of_task = {task: aurocs.sum(signs) for task, aurocs in found.items()}
                bounds = (0.0, 1.0) if name == probe else (-1.0, 1.0)
                for task, estimate in of_task.items():
                    if key in found[task].about:
                        about = found[task].about[key]
                        yield _row(name, position, task, categories[task], estimate, bounds, about)
                mean, n_tasks = mean_of_known(of_task.values())
                parts = [found[task].about[key] for task, each in of_task.items() if each is not None]
                about = {
                    "n": sum(part["n"] for part in parts),
                    "n_groups": max((part["n_groups"] for part in parts), default=0),
                    "truncated": float(
                        np.mean(
                            [each.about[key]["truncated"] for each in found.values() if key in each.about]
                        )
                    ),
                    "valid": float(np.mean([part["valid"] for part in parts])) if parts else 0.0,
                    "status": "" if n_tasks else NO_TASK,
                }
                yield _row(name, position, MEAN, MEAN, mean, bounds, about)


def _row(probe, position, task, category, estimate: Estimate | None, bounds, about: Mapping) -> dict:
    row = {"task": task, "category": category, "probe": probe, "position": position}
    row |= {**cells_of(estimate, bounds), **about}
    if estimate is None and not row["status"]:
        row["status"] = "insufficient: there is nothing to compare with"
    return row


def _sorted(positions: Iterable[str]) -> list[str]:
    """Positions in the order of a text, then spans of tokens."""
    spans = sorted(filter(_is_span, positions), key=lambda name: int(name.split("_")[1]))
    return in_order([name for name in positions if not _is_span(name)]) + spans


def _summary(
    found: Mapping[str, _Aurocs], categories: Mapping[str, str], counting: Counting, scope: str
) -> Iterator[dict]:
    signs = {
        name: dict.fromkeys(found, sums)
        for name, sums in SUMS.items()
        if scope == ACROSS or not any(in_prompt(position) for _, position in sums)
    }
    signs[SLOPE] = {task: _slope(aurocs) for task, aurocs in found.items()}
    quantities = {
        name: {task: _minus_chance(name, found[task].sum(sums)) for task, sums in by_task.items()}
        for name, by_task in signs.items()
    }
    for task in (*found, MEAN):
        for name, by_task in quantities.items():
            if task == MEAN:
                estimate = _minus_chance(name, _mean(found, signs[name], by_task, counting))
                tasks = [each for each in counting.names if by_task[each] is not None]
            else:
                estimate, tasks = by_task[task], [task] if by_task[task] is not None else []
            status = "" if estimate is not None else _why(found, task, counting)
            bounds = UNIT if name in _PROBABILITIES else (-np.inf, np.inf)
            yield summary_row(task, categories, name, estimate, tasks, status, bounds)


def _minus_chance(name: str, estimate: Estimate | None) -> Estimate | None:
    if name != ABOVE_CHANCE or estimate is None:
        return estimate
    return replace(estimate, by_seed=estimate.by_seed - 0.5, drawn=estimate.drawn - 0.5)


def _mean(
    found: Mapping[str, _Aurocs],
    signs: Mapping[str, Mapping],
    known: Mapping[str, Estimate | None],
    counting: Counting,
) -> Estimate | None:
    """Over the folds and tasks that count; None where there is none."""
    n_seeds, n_folds, _ = counting.counts.shape
    counts = dict(zip(counting.tasks, counting.counts.any(axis=(0, 1)), strict=True))
    n_draws = len(next(iter(found.values())).draws.weights)
    blank = Estimate(np.full((n_seeds, n_folds), np.nan), np.full((n_draws, n_seeds, n_folds), np.nan))
    return counting.mean(
        {
            task: aurocs.by_fold(signs[task], n_folds) if counts[task] and known[task] is not None else blank
            for task, aurocs in found.items()
        }
    )


def _why(found: Mapping[str, _Aurocs], task: str, counting: Counting) -> str:
    if task != MEAN:
        statuses = [about["status"] for about in found[task].about.values() if about["status"]]
        return statuses[0] if statuses else "insufficient: a position is missing"
    if not any((TRAINED, EOS) in aurocs.estimates for aurocs in found.values()):
        return NO_TASK
    if not counting.counts.any():
        return "insufficient: no task has a signal at eos"
    return "insufficient: no task with a signal at eos has enough data at the positions that are compared"


def _slope(aurocs: _Aurocs) -> dict[tuple[str, str], float]:
    """Signs of the least-squares slope over the body's positions, from 0 at its first token to 1 at its last;
    none where it has fewer than two."""
    known = {
        int(position.split("_")[1]) / 100: (TRAINED, position)
        for probe, position in aurocs.estimates
        if probe == TRAINED and position.startswith("body_")
    }
    if len(known) < 2:
        return {}
    centred = np.array(list(known)) - np.mean(list(known))
    weights = centred / (centred**2).sum()
    return dict(zip(known.values(), weights.tolist(), strict=True))
