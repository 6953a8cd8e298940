"""Satisfaction over time: is it read off the text as that is written, or known before (ESTIMANDS)?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from skillprobe.activations.positions import in_order
from skillprobe.analyses.generality import MEAN, SELECTED, Scored, select_layer
from skillprobe.analyses.planning import planning_rows
from skillprobe.errors import UserError
from skillprobe.probes.course import EOS, PROMPT_END, TRAINED
from skillprobe.probes.planning import PromptScores
from skillprobe.probes.prefix import BASELINES, CEILING, SURFACE
from skillprobe.probes.results import ProbeResult
from skillprobe.statistics.bootstrap import Draws, draw_tested
from skillprobe.statistics.intervals import (
    BOUNDS,
    Estimate,
    auroc_estimate,
    cells_of,
    mean_of_known,
    tested_rows,
    weighted,
)
from skillprobe.storage.tables import DRAWS, NO_TASK

ONSET, LAST = "onset", "last"
CURVE_COLUMNS = ("model", "layer", "task", "category", "probe", "position", "estimate", *BOUNDS)
CURVE_COLUMNS += ("n", "n_groups", "valid", "status")
SUMMARY_COLUMNS = ("model", "layer", "task", "category", "quantity", "estimate", *BOUNDS, "n_tasks", "status")
# Of a quantity, the AUROCs that it is the sum of with these signs: (probe, position).
_PROMPT, _EOS = (TRAINED, PROMPT_END), (TRAINED, EOS)
_TEXT_PROMPT, _TEXT_EOS = ("text", PROMPT_END), ("text", EOS)
SUMS = {
    "prompt": {_PROMPT: 1},
    "surface": {(SURFACE, PROMPT_END): 1},
    "ceiling": {(CEILING, PROMPT_END): 1},
    "beyond_surface": {_PROMPT: 1, (SURFACE, PROMPT_END): -1},
    "headroom": {(CEILING, PROMPT_END): 1, (SURFACE, PROMPT_END): -1},
    "onset_jump": {(TRAINED, ONSET): 1, _PROMPT: -1},
    "eos_gain": {_EOS: 1, (TRAINED, LAST): -1},
    "gain": {_EOS: 1, _PROMPT: -1},
    "beyond_text": {_EOS: 1, _TEXT_EOS: -1},
    "gain_beyond_text": {_EOS: 1, _PROMPT: -1, _TEXT_EOS: -1, _TEXT_PROMPT: 1},
}
_PROBABILITIES = ("prompt", "surface", "ceiling")


def time_tables(
    model: str,
    courses: Mapping[int, Mapping[str, Mapping[str, Mapping[str, ProbeResult]]]],
    prefixes: Mapping[str, Mapping[str, Mapping[str, ProbeResult]]],
    categories: Mapping[str, str],
    *,
    headroom: float,
    planning: Mapping[str, PromptScores] | None = None,
    prompt_variance: float = 0.0,
    n_draws: int = 2000,
    seed: int = 0,
    study_groups: Iterable[str] | None = None,
) -> tuple[list[dict], list[dict]]:
    """Rows with CURVE_COLUMNS and rows with SUMMARY_COLUMNS, of every task and of task "mean".

    courses: {layer: {task: `fit_course`}}; prefixes: {task: `fit_prefixes`}; categories: {task: category};
    planning: {task: `fit_planning`}, for the quantities of `planning_rows` at the layer "selected", of which
    prompt_variance decides which tasks count (None: none).
    layer is a number, or "selected": for each outer fold and probe the one with the best inner AUROC where
    that was trained. The bootstrap over groups is joint over everything.

    Curves: AUROC of each probe at each position and, if selected, span of tokens; baselines, which have no
    layer, are of layer "selected", as are the paired differences "trained_minus_<baseline>". valid: the
    share of the task's rows that have the position to themselves, the others being counted elsewhere
    (coinciding) or too short.

    Quantities, of the probes trained at each position: "gain", eos − prompt_100; "onset_jump", onset −
    prompt_100; "slope", of the AUROC over the body, from its start to its end; "eos_gain", eos − last;
    "beyond_text", eos − what the text decides; "gain_beyond_text", the gain less that of the text; "prompt",
    "surface", "ceiling", AUROCs at prompt_100, "headroom", ceiling − surface, and "planning_index",
    (prompt − surface) / headroom, insufficient where the lower 99 % bound of the headroom is below
    `headroom`. Those of "mean" are of the means over the n_tasks tasks that have all parts.
    status: "", or "insufficient: …" with NaN for the numbers. Raises UserError where there are no probes.
    """
    if not courses or not prefixes:
        raise UserError(f"there are no probes over time of model {model!r}; fit them first")
    layers = sorted(courses)
    some = [by[TRAINED][EOS] for by in courses[layers[0]].values() if EOS in by[TRAINED]]
    draws = draw_tested(some, study_groups, n_draws=n_draws, seed=seed)
    curves: list[dict] = []
    summary: list[dict] = []
    baselines = {task: _Aurocs(by_probe, draws) for task, by_probe in prefixes.items()}
    for layer in (*layers, SELECTED):
        found = {}
        for task in categories:
            by_layer = [courses[each][task] for each in layers]
            chosen = _selected(by_layer) if layer == SELECTED else _without_spans(courses[layer][task])
            found[task] = _Aurocs(chosen, draws) | baselines[task]
        about = {"model": model, "layer": layer}
        curves += [about | row for row in _curves(found, categories, layer == SELECTED)]
        summary += [about | row for row in _summary(found, categories, headroom)]
    if planning:
        about = {"model": model, "layer": SELECTED}
        summary += [about | row for row in planning_rows(planning, categories, draws, least=prompt_variance)]
    return curves, summary


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

    def __init__(self, results: Mapping[str, Mapping[str, ProbeResult | Scored]], draws: Draws):
        self.estimates: dict[tuple[str, str], Estimate] = {}
        self.about: dict[tuple[str, str], dict] = {}
        for probe, by_position in results.items():
            most = max((len(result.labels) for result in by_position.values()), default=0)
            for position, result in by_position.items():
                n, n_groups = tested_rows(result)
                self.about[probe, position] = {
                    "n": n,
                    "n_groups": n_groups,
                    "valid": len(result.labels) / most if most else 0.0,
                    "status": result.status and f"insufficient: {result.status}",
                }
                if not result.status:
                    self.estimates[probe, position] = auroc_estimate(result, draws)

    def __or__(self, other: _Aurocs) -> _Aurocs:
        both = object.__new__(_Aurocs)
        both.estimates, both.about = self.estimates | other.estimates, self.about | other.about
        return both

    def sum(self, signs: Mapping[tuple[str, str], float]) -> Estimate | None:
        """None where a part is insufficient."""
        if not all(key in self.estimates for key in signs):
            return None
        return weighted([(self.estimates[key], sign) for key, sign in signs.items()])


def _curves(found: Mapping[str, _Aurocs], categories: Mapping[str, str], selected: bool) -> Iterator[dict]:
    keys = dict.fromkeys(key for aurocs in found.values() for key in aurocs.about)
    for probe in dict.fromkeys(probe for probe, _ in keys):
        baseline = probe in (*BASELINES, SURFACE, CEILING)
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


def _summary(found: Mapping[str, _Aurocs], categories: Mapping[str, str], headroom: float) -> Iterator[dict]:
    quantities = {name: {t: aurocs.sum(signs) for t, aurocs in found.items()} for name, signs in SUMS.items()}
    quantities["slope"] = {task: _slope(aurocs) for task, aurocs in found.items()}
    means = {name: mean_of_known(by_task.values()) for name, by_task in quantities.items()}
    for task in (*found, MEAN):
        category = MEAN if task == MEAN else categories[task]
        for name, by_task in quantities.items():
            estimate, n = means[name] if task == MEAN else (by_task[task], int(by_task[task] is not None))
            status = "" if estimate is not None else _why(found, task)
            bounds = (0.0, 1.0) if name in _PROBABILITIES else (-np.inf, np.inf)
            yield {
                "task": task,
                "category": category,
                "quantity": name,
                **cells_of(estimate, bounds),
                "n_tasks": n,
                "status": status,
                DRAWS: estimate if task == MEAN else None,
            }
        # Of tasks with both, so that the mean index is a ratio of means over the same tasks.
        both = [
            (quantities["beyond_surface"][each], quantities["headroom"][each])
            for each in (found if task == MEAN else [task])
            if quantities["beyond_surface"][each] is not None and quantities["headroom"][each] is not None
        ]
        index, status = None, _why(found, task)
        if both:
            above, room = (mean_of_known(column)[0] for column in zip(*both, strict=True))
            index, status = _ratio(above, room, headroom)
        yield {
            "task": task,
            "category": category,
            "quantity": "planning_index",
            **cells_of(index),
            "n_tasks": len(both),
            "status": status,
            DRAWS: index if task == MEAN else None,
        }


def _why(found: Mapping[str, _Aurocs], task: str) -> str:
    if task == MEAN:
        return NO_TASK
    statuses = [about["status"] for about in found[task].about.values() if about["status"]]
    return statuses[0] if statuses else "insufficient: a position is missing"


def _ratio(above: Estimate, room: Estimate, least: float) -> tuple[Estimate | None, str]:
    lower = room.cells()["lower99"]
    if not lower >= least:
        return None, (
            f"insufficient: the ceiling is only {room.value:.3f} above the surface baseline; its lower "
            f"bound is {lower:.3f} and must be at least {least:g}"
        )
    # Means over fold seeds first: those of a ratio would be the ratio of neither.
    ratio = np.divide(above.drawn, room.drawn, out=np.full(above.drawn.shape, np.nan), where=room.drawn > 0)
    return Estimate(above.by_seed / room.value, ratio), ""


def _slope(aurocs: _Aurocs) -> Estimate | None:
    """Least squares over the body's positions, from 0 at its first token to 1 at its last."""
    known = {
        int(position.split("_")[1]) / 100: (TRAINED, position)
        for probe, position in aurocs.estimates
        if probe == TRAINED and position.startswith("body_")
    }
    if len(known) < 2:
        return None
    centred = np.array(list(known)) - np.mean(list(known))
    weights = centred / (centred**2).sum()
    return aurocs.sum(dict(zip(known.values(), weights.tolist(), strict=True)))
