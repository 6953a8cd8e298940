"""How good the monitors are, beside trivial monitors that don't look into the model.

See docs/definitions.md, "Monitors".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skillprobe.activations.positions import in_order
from skillprobe.errors import UserError
from skillprobe.probes.course import EOS, CourseRows, in_prompt
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.monitors import HeldOut, draw_spans
from skillprobe.probes.trivial_monitors import KINDS, TrivialMonitors
from skillprobe.statistics.bootstrap import Draws, auroc_lines, draw_tested, ratio
from skillprobe.statistics.folds import CALIBRATION, mixed_items
from skillprobe.statistics.intervals import BOUNDS, UNIT, Estimate, cells_of, mean_of_known
from skillprobe.statistics.logistic import fit_logistic, sigmoid
from skillprobe.storage.tables import ACROSS, DRAWS, MEAN, NO_TASK, SCOPES, WITHIN

MONITOR, TRIVIAL, TOGETHER = "monitor", "trivial", "together"
READERS = (MONITOR, TRIVIAL, TOGETHER, *KINDS)
GAIN, TOGETHER_GAIN = f"{MONITOR}_minus_{TRIVIAL}", f"{TOGETHER}_minus_{TRIVIAL}"
DIFFERENCES = {GAIN: (MONITOR, TRIVIAL), TOGETHER_GAIN: (TOGETHER, TRIVIAL)}
# The middle of the answer: its first token and the shares of its body.
ONSET, BODY = "onset", "body_"
MIDDLE = "middle"
N_BINS = 10
# Of the violated responses, how many must be flagged before their end where thresholds are chosen.
FLAGGED = 0.9

CURVE_COLUMNS = ("model", "scope", "task", "category", "reader", "position", "quantity", "estimate", *BOUNDS)
CURVE_COLUMNS += ("n", "n_groups", "status")
RELIABILITY_COLUMNS = ("model", "task", "category", "reader", "bin", "probability", "estimate", *BOUNDS)
RELIABILITY_COLUMNS += ("n", "status")
SUMMARY_COLUMNS = ("model", "scope", "task", "category", "quantity", "reader", "estimate", *BOUNDS)
SUMMARY_COLUMNS += ("n_tasks", "tasks", "status")
AUROC, BRIER, SKILL = "auroc", "brier", "brier_skill"
ALARMS = ("missed", "false_alarms", "delay_tokens", "delay_share")
ERROR = "calibration_error"
# From a probability to log-odds.
_LEAST = 1e-6


def monitor_tables(
    model: str,
    held_out: Mapping[str, HeldOut],
    trivial: Mapping[str, TrivialMonitors],
    categories: Mapping[str, str],
    *,
    settings: Mapping,
    n_draws: int = 2000,
    seed: int = 0,
    study_groups: Iterable[str] | None = None,
) -> tuple[list[dict], list[dict], list[dict]]:
    """Rows with CURVE_COLUMNS, RELIABILITY_COLUMNS and SUMMARY_COLUMNS, of every task and of task "mean".

    held_out, trivial: {task: what monitors, and trivial monitors, said of the same responses}; categories:
    {task: category}; settings: the config's "seed" and "probes", for what is enough data.

    Readers: "monitor"; "prefix", "params" and "both", the trivial monitors; "trivial", at each stage the one
    of these with the highest inner AUROC; "together", a logistic regression of the labels on the log-odds of
    monitor and trivial, of the other folds' held-out responses. "monitor_minus_trivial" and
    "together_minus_trivial" are paired differences.

    Curves: by stored position and span of tokens, "auroc" in both scopes (within prompts after the prompt's
    end), "brier" and "brier_skill", 1 − the Brier score / that of the other folds' base rate there.
    Reliability: the responses at the positions in the middle of the answer, in bins of equal numbers of
    probabilities (equal ones in one bin). Summary, in the middle: "auroc", the mean over its positions;
    "brier", "brier_skill", "calibration_error", of the bins; and "missed", "false_alarms", "delay_tokens",
    "delay_share" at a fixed rate of misses (`_alarms`). Rows of the AUROC's differences have their draws.
    status: "", or "insufficient: …" with NaN for the numbers. Raises UserError where there are no tasks, or
    the two don't belong together.
    """
    if not held_out:
        raise UserError(f"there are no monitors of model {model!r}; fit them first")
    draws = draw_tested(held_out.values(), study_groups, n_draws=n_draws, seed=seed)
    own = Settings.from_config(settings["probes"], settings["seed"])
    found = {task: _Task(held_out[task], trivial[task], draws, own) for task in categories}
    curves = [{"model": model} | row for row in _curves(found, categories)]
    reliability = [{"model": model} | row for row in _reliability(found, categories)]
    summary = [{"model": model} | row for row in _summary(found, categories)]
    return curves, reliability, summary


def in_middle(position: str) -> bool:
    """Whether a position is in the middle of the answer, on which the claim rests."""
    return position == ONSET or position.startswith(BODY)


@dataclass(frozen=True)
class _Place:
    """A position or span: which rows are seen there, numbers [m], and each reader's probabilities [S, m]; why
    a scope is insufficient there, by scope."""

    which: np.ndarray
    said: Mapping[str, np.ndarray]
    status: Mapping[str, str]


class _Task:
    """What was said of one task's responses, and how well."""

    def __init__(self, held_out: HeldOut, trivial: TrivialMonitors, draws: Draws, own: Settings):
        if not np.array_equal(held_out.ids, trivial.ids):
            raise UserError("monitors and trivial monitors are of other responses; fit both again")
        self.held_out, self.draws, self.own = held_out, draws, own
        self.status = trivial.status and f"insufficient: {trivial.status}"
        self.rows = _rows_of(held_out)
        self.items = self.rows.items
        self.places: dict[str, _Place] = {}
        self.estimates: dict[tuple, Estimate] = {}
        if self.status:
            return
        said = dict(zip(KINDS, trivial.probabilities, strict=True))
        said |= {MONITOR: held_out.probabilities, TRIVIAL: trivial.best}
        said[TOGETHER] = _stacked(said[MONITOR], said[TRIVIAL], held_out)
        self.said = {name: said[name] for name in READERS}
        parts = {
            name: {name: valid}
            for name, valid in self.rows.valid.items()
            if name == "prompt_100" or not in_prompt(name)
        }
        for name, seen in (parts | draw_spans(self.rows)).items():
            self.places[name] = self._place(name, seen)
        for name, place in self.places.items():
            for scope in SCOPES:
                if not place.status[scope]:
                    self._score(name, place, scope)

    def _place(self, name: str, parts: Mapping[str, np.ndarray]) -> _Place:
        which = np.flatnonzero(np.any(list(parts.values()), axis=0))
        said = {}
        for reader, p in self.said.items():
            here = np.full((len(p), len(self.rows.y)), np.nan)
            for position, seen in parts.items():
                here[:, seen] = p[:, self.held_out.positions.index(position), seen]
            said[reader] = here[:, which]
        y, groups, folds = self.rows.y[which], self.rows.groups[which], self.held_out.folds[:, which]
        status = {ACROSS: self.own.sufficiency(y, groups, folds)}
        if in_prompt(name):
            status[WITHIN] = "before the response, all answers to a prompt are alike"
        else:
            status[WITHIN] = self.own.within_sufficiency(y, groups, self.items[which], folds, 0.0)
        return _Place(which, said, {scope: why and f"insufficient: {why}" for scope, why in status.items()})

    def _score(self, name: str, place: _Place, scope: str) -> None:
        which = place.which
        y, groups, folds = self.rows.y[which], self.rows.groups[which], self.held_out.folds[:, which]
        used = np.ones(len(which), bool) if scope == ACROSS else mixed_items(y, self.items[which])
        items = None if scope == ACROSS else self.items[which][used]
        for reader, p in place.said.items():
            scores = np.where(folds[:, used] == CALIBRATION, 0.0, p[:, used])
            by_seed, drawn = auroc_lines(scores, y[used], groups[used], folds[:, used], self.draws, items)
            self.estimates[scope, reader, name, AUROC] = Estimate(by_seed, drawn.mean(axis=0))
        for difference, (one, other) in DIFFERENCES.items():
            self.estimates[scope, difference, name, AUROC] = (
                self.estimates[scope, one, name, AUROC] - self.estimates[scope, other, name, AUROC]
            )
        if scope == WITHIN:
            return
        for reader, p in place.said.items():
            brier, skill = self._brier([(p, y, groups, folds)])
            self.estimates[scope, reader, name, BRIER] = brier
            self.estimates[scope, reader, name, SKILL] = skill

    def _brier(self, parts: Sequence[tuple]) -> tuple[Estimate, Estimate]:
        """Brier score, and its skill, of parts (probabilities [S, m], labels, groups [m], folds [S, m]),
        each of which has a base rate of its own."""
        found = []
        for s in range(len(self.held_out.folds)):
            error, base, names = [], [], []
            for p, y, groups, folds in parts:
                fold = folds[s]
                tested = fold != CALIBRATION
                rate = np.zeros(len(y))
                for f in np.unique(fold[tested]):
                    rate[fold == f] = y[tested & (fold != f)].mean()
                error.append((p[s] - y)[tested] ** 2)
                base.append((rate - y)[tested] ** 2)
                names.append(groups[tested])
            error, base, names = map(np.concatenate, (error, base, names))
            score = ratio(error, np.ones(len(error)), names, self.draws)
            share = ratio(error, base, names, self.draws)
            found.append((score, (1 - share[0], 1 - share[1])))
        return tuple(_of_seeds([each[k] for each in found]) for k in range(2))

    def middle(self, scope: str) -> list[str]:
        """Positions in the middle of the answer that are sufficient."""
        return [name for name, each in self.places.items() if in_middle(name) and not each.status[scope]]

    def mean(self, scope: str, reader: str) -> Estimate | None:
        """AUROC, or a difference, over the positions in the middle; None where there are none."""
        parts = [self.estimates[scope, reader, name, AUROC] for name in self.middle(scope)]
        return mean_of_known(parts)[0]

    def why(self, scope: str) -> str:
        """Why there is no mean, or ""."""
        if self.status:
            return self.status
        if self.middle(scope):
            return ""
        statuses = [each.status[scope] for name, each in self.places.items() if in_middle(name)]
        return next(iter(statuses), "insufficient: no position in the middle of the answer is stored")


def _rows_of(held_out: HeldOut) -> CourseRows:
    names = held_out.positions
    valid = dict(zip(names, held_out.valid.astype(bool), strict=True))
    tokens = dict(zip(names, held_out.tokens, strict=True))
    return CourseRows(held_out.labels, held_out.groups, held_out.ids, 0.0, valid, tokens, {}, {})


def _of_seeds(found: Sequence[tuple[float, np.ndarray]]) -> Estimate:
    values, drawn = zip(*found, strict=True)
    return Estimate(np.array(values), np.mean(drawn, axis=0))


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p.astype(float), _LEAST, 1 - _LEAST)
    return np.log(p / (1 - p))


def _stacked(monitor: np.ndarray, trivial: np.ndarray, held_out: HeldOut) -> np.ndarray:
    """Probabilities [S, P, n] of a logistic regression on the log-odds of both, [S, P, n] each: for each
    position and test fold fitted on the other folds, each of whose responses was read by monitors that never
    saw its group."""
    found = np.full(monitor.shape, np.nan)
    odds = np.stack([_log_odds(monitor), _log_odds(trivial)], axis=-1)
    for s, place in np.ndindex(monitor.shape[:2]):
        known = np.isfinite(odds[s, place]).all(axis=1)
        fold = held_out.folds[s]
        for f in np.unique(fold[known]):
            tested, rest = known & (fold == f), known & (fold != f)
            if rest.any():  # Few responses are as long as some positions need.
                found[s, place, tested] = _logistic(
                    odds[s, place, rest], held_out.labels[rest], odds[s, place, tested]
                )
    return found


def _logistic(x: np.ndarray, y: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Probabilities of fresh rows [m, 2] by a logistic regression of y [n] on x [n, 2], with so small a
    penalty (½‖w‖² on standardised columns) that it matters only where classes are apart."""
    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    known, new = (np.column_stack([(rows - centre) / spread, np.ones(len(rows))]) for rows in (x, fresh))
    return sigmoid(new @ fit_logistic(known, y, np.zeros(3), np.diag([1.0, 1.0, 1e-6])))


# Curves


def _curves(found: Mapping[str, _Task], categories: Mapping[str, str]) -> Iterator[dict]:
    names = _sorted({name for task in found.values() for name in task.places})
    for scope in SCOPES:
        for reader in (*READERS, *DIFFERENCES):
            for quantity in (AUROC, BRIER, SKILL):
                if quantity != AUROC and (scope == WITHIN or reader in DIFFERENCES):
                    continue
                for name in names:
                    if scope == WITHIN and in_prompt(name):
                        continue
                    yield from _curve_rows(found, categories, scope, reader, name, quantity)


def _curve_rows(found, categories, scope, reader, name, quantity) -> Iterator[dict]:
    bounds = _bounds(quantity, reader)
    about = {"scope": scope, "reader": reader, "position": name, "quantity": quantity}
    estimates, sizes = {}, {}
    for task, each in found.items():
        estimates[task] = each.estimates.get((scope, reader, name, quantity))
        place = each.places.get(name)
        which = np.zeros(0, int) if place is None else place.which
        which = which[each.held_out.folds[0, which] != CALIBRATION]
        if scope == WITHIN:
            which = which[mixed_items(each.rows.y[which], each.items[which])]
        sizes[task] = len(which), len(np.unique(each.rows.groups[which]))
        status = "insufficient: no response is as long" if place is None else place.status[scope]
        row = {"task": task, "category": categories[task]} | about | cells_of(estimates[task], bounds)
        row |= dict(zip(("n", "n_groups"), sizes[task], strict=True)) | {"status": each.status or status}
        yield {key: row[key] for key in CURVE_COLUMNS[1:]}
    mean, n_tasks = mean_of_known(estimates.values())
    known = [sizes[task] for task, estimate in estimates.items() if estimate is not None]
    row = {"task": MEAN, "category": MEAN} | about | cells_of(mean, bounds)
    row |= {"n": sum(n for n, _ in known), "n_groups": max((n for _, n in known), default=0)}
    row |= {"status": "" if n_tasks else NO_TASK}
    yield {key: row[key] for key in CURVE_COLUMNS[1:]}


def _bounds(quantity: str, reader: str) -> tuple[float, float]:
    if reader in DIFFERENCES:
        return (-1.0, 1.0)
    return {AUROC: UNIT, BRIER: (0.0, 1.0)}.get(quantity, (-math.inf, math.inf))


def _sorted(names: Iterable[str]) -> list[str]:
    """Positions in the order of a text, then spans of tokens."""
    spans = sorted((n for n in names if n.startswith("tokens_")), key=lambda name: int(name.split("_")[1]))
    return in_order([name for name in names if not name.startswith("tokens_")]) + spans


# Reliability


@dataclass(frozen=True)
class _Bins:
    """Of all probabilities that a reader gave in the middle, over fold seeds: probability, share of satisfied
    ones, and how many there are, [bins] each; draws of the shares, [n_draws, bins]."""

    probability: np.ndarray
    share: np.ndarray
    n: np.ndarray
    drawn: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of a bin's share from its probability."""
        return float((self.n * np.abs(self.share - self.probability)).sum() / self.n.sum())


def _bins(task: _Task, reader: str) -> _Bins | None:
    """None where no position in the middle is sufficient."""
    p, y, groups = [], [], []
    for name in task.middle(ACROSS):
        place = task.places[name]
        for s, fold in enumerate(task.held_out.folds[:, place.which]):
            tested = fold != CALIBRATION
            p.append(place.said[reader][s, tested])
            y.append(task.rows.y[place.which][tested])
            groups.append(task.rows.groups[place.which][tested])
    if not p:
        return None
    p, y, groups = map(np.concatenate, (p, y, groups))
    # Rounded, so that the last bits don't part equal ones.
    p = np.round(p, 6)
    edges = np.unique(np.quantile(p, np.arange(1, N_BINS) / N_BINS, method="inverted_cdf"))
    number = np.unique(np.searchsorted(edges, p, "left"), return_inverse=True)[1]
    n = np.bincount(number)
    found = [ratio(y[number == k], np.ones(n[k]), groups[number == k], task.draws) for k in range(len(n))]
    share, drawn = zip(*found, strict=True)
    probability = np.bincount(number, p) / n
    return _Bins(probability, np.array(share), n / len(task.held_out.folds), np.transpose(drawn))


def _reliability(found: Mapping[str, _Task], categories: Mapping[str, str]) -> Iterator[dict]:
    for task, each in found.items():
        for reader in (MONITOR, TRIVIAL):
            about = {"task": task, "category": categories[task], "reader": reader}
            bins = _bins(each, reader)
            if bins is None:
                row = about | {"bin": 0, "probability": math.nan} | cells_of(None)
                yield row | {"n": 0, "status": each.why(ACROSS)}
                continue
            for k, probability in enumerate(bins.probability.tolist()):
                cells = Estimate(bins.share[k : k + 1], bins.drawn[:, k]).cells(UNIT)
                row = about | {"bin": k + 1, "probability": probability} | cells
                yield row | {"n": round(float(bins.n[k])), "status": ""}


# Alarms


def _alarms(task: _Task, reader: str) -> dict[str, Estimate]:
    """How a reader's alarms do at a fixed rate of misses, {one of ALARMS: estimate}.

    A response is flagged at the first of its stored positions, from its first token to its last before EOS,
    at which its probability is not above the threshold. The threshold of a test fold is the least at which
    FLAGGED of the violated responses of the *other* folds are flagged. missed, false_alarms: the shares of
    violated responses that are never flagged, and of satisfied ones that are. delay_tokens, delay_share: the
    median over violated responses of the tokens that are written when it is flagged, and of their share of
    the answer; one that is missed counts as flagged at its end.
    """
    held_out, said = task.held_out, task.said[reader]
    places = [k for k, name in enumerate(held_out.positions) if name != EOS and not in_prompt(name)]
    tokens = np.where(held_out.valid[places], held_out.tokens[places], np.iinfo(np.int32).max)
    order = np.argsort(tokens, axis=0, kind="stable")
    tokens = np.take_along_axis(tokens, order, axis=0)
    length = held_out.tokens[held_out.positions.index(EOS)]
    y, groups = held_out.labels, held_out.groups
    found: dict[str, list] = {name: [] for name in ALARMS}
    for s, fold in enumerate(held_out.folds):
        p = np.take_along_axis(said[s][places], order, axis=0)
        p = np.where(np.isnan(p), np.inf, p)
        least = p.min(axis=0)
        tested = fold != CALIBRATION
        flagged, at = np.zeros((2, len(y)))
        at = length.astype(float)
        for f in np.unique(fold[tested]):
            others = np.sort(least[tested & (fold != f) & (y == 0)])
            threshold = others[math.ceil(FLAGGED * len(others)) - 1]
            here = np.flatnonzero(fold == f)
            below = p[:, here] <= threshold
            flagged[here] = below.any(axis=0)
            first = np.take_along_axis(tokens[:, here], below.argmax(axis=0)[None], axis=0)[0]
            at[here] = np.where(below.any(axis=0), first, length[here])
        violated, satisfied = tested & (y == 0), tested & (y == 1)
        for name, rows, values in (("missed", violated, 1 - flagged), ("false_alarms", satisfied, flagged)):
            found[name].append(ratio(values[rows], np.ones(rows.sum()), groups[rows], task.draws))
        for name, values in (("delay_tokens", at), ("delay_share", at / length)):
            found[name].append(_median(values[violated], groups[violated], task.draws))
    return {name: _of_seeds(each) for name, each in found.items()}


def _median(values: np.ndarray, groups: np.ndarray, draws: Draws) -> tuple[float, np.ndarray]:
    """The median of values [n], and that of every draw of groups, [n_draws]; NaN where a draw has none."""
    order = np.argsort(values, kind="stable")
    values, columns = values[order], draws.columns(groups[order])
    weights = np.vstack([np.ones((1, len(values))), draws.weights[:, columns]])
    totals = np.cumsum(weights, axis=1)
    half = totals[:, -1:] / 2
    # The middle one, or the mean of the two.
    lower = values[np.argmax(totals >= half, axis=1)]
    upper = values[np.argmax(totals > half, axis=1)]
    medians = np.where(totals[:, -1] > 0, (lower + upper) / 2, np.nan)
    return float(medians[0]), medians[1:]


# Summary


def _summary(found: Mapping[str, _Task], categories: Mapping[str, str]) -> Iterator[dict]:
    for scope in SCOPES:
        for reader in (*READERS, *DIFFERENCES):
            estimates = {task: each.mean(scope, reader) for task, each in found.items()}
            yield from _rows(found, categories, scope, AUROC, reader, estimates, reader in DIFFERENCES)
    known = {task: each for task, each in found.items() if not each.why(ACROSS)}
    by_reader: dict[str, dict[str, dict]] = {name: {} for name in (*ALARMS, BRIER, SKILL)}
    for reader in (MONITOR, TRIVIAL, TOGETHER):
        for task, each in known.items():
            parts = [
                (each.places[name].said[reader], *_about(each, each.places[name].which))
                for name in each.middle(ACROSS)
            ]
            values = dict(zip((BRIER, SKILL), each._brier(parts), strict=True)) | _alarms(each, reader)
            for name, value in values.items():
                by_reader[name].setdefault(reader, {})[task] = value
    for quantity, of_reader in by_reader.items():
        for reader in (MONITOR, TRIVIAL, TOGETHER):
            estimates = {task: of_reader.get(reader, {}).get(task) for task in found}
            yield from _rows(found, categories, ACROSS, quantity, reader, estimates)
    for reader in (MONITOR, TRIVIAL):
        errors = {
            task: bins and bins.error for task, bins in ((t, _bins(e, reader)) for t, e in found.items())
        }
        # A distance has no interval of this kind: noise makes it larger, never smaller.
        estimates = {
            task: None if error is None else Estimate(np.array([error]), np.zeros(0))
            for task, error in errors.items()
        }
        yield from _rows(found, categories, ACROSS, ERROR, reader, estimates)


def _about(task: _Task, which: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return task.rows.y[which], task.rows.groups[which], task.held_out.folds[:, which]


def _rows(found, categories, scope, quantity, reader, estimates, keep: bool = False) -> Iterator[dict]:
    """keep: whether rows have their draws."""
    shares = (BRIER, "missed", "false_alarms", "delay_share", ERROR)
    bounds = (0.0, 1.0) if quantity in shares else _bounds(quantity, reader)
    if quantity == "delay_tokens":
        bounds = (0.0, math.inf)
    mean, _ = mean_of_known(estimates.values())
    known = [task for task, each in estimates.items() if each is not None]
    for task, estimate in (*estimates.items(), (MEAN, mean)):
        tasks = known if task == MEAN else [task] if estimate is not None else []
        status = "" if estimate is not None else NO_TASK if task == MEAN else found[task].why(scope)
        row = {"scope": scope, "task": task, "category": categories.get(task, MEAN), "quantity": quantity}
        row |= {"reader": reader} | cells_of(estimate, bounds)
        row |= {"n_tasks": len(tasks), "tasks": " ".join(tasks), "status": status}
        yield row | ({DRAWS: estimate} if keep and estimate is not None else {})
