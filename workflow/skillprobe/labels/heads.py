"""Judges of the user's own: texts that were labelled by hand, and a logistic head on a sentence encoder.

The head is multinomial logistic regression with an L2 penalty on unit vectors, fitted by scikit-learn.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skillprobe.errors import UserError, suggestion
from skillprobe.labels.verdicts import verdict
from skillprobe.statistics import bootstrap, intervals
from skillprobe.statistics.folds import assign_folds, row_folds
from skillprobe.statistics.metrics import auroc
from skillprobe.storage import files
from skillprobe.tasks.base import listed, shorten

COLUMNS = ("text", "label", "group")
# What stands in the file for a text that has none of the task's labels.
NONE = "none"
# Of each label: fewer say nothing of how well the head will do.
MIN_TEXTS, MIN_GROUPS = 20, 10
FOLDS = 5
# Inverse strengths of the penalty, of which the inner folds choose.
PENALTIES = (0.1, 1.0, 10.0, 100.0)
DRAWS = 2000


@dataclass(frozen=True)
class Labelled:
    """n texts; labels: [n], of the task's or NONE; groups: [n], what folds are of (a text's own where the
    file gives none)."""

    texts: list[str]
    labels: list[str]
    groups: list[str]


@dataclass(frozen=True)
class Head:
    """labels: [k], in the order of the weights, NONE perhaps among them; weights: [k, d], intercepts: [k],
    for unit vectors of d numbers; penalty: of PENALTIES."""

    labels: tuple[str, ...]
    weights: np.ndarray
    intercepts: np.ndarray
    penalty: float

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """[n, k] of unit vectors [n, d]."""
        odds = x @ self.weights.T + self.intercepts
        grown = np.exp(odds - odds.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True)

    def as_json(self) -> dict:
        """For `from_json`, to seven significant digits: more than the encoder's numbers have."""
        return {
            "labels": list(self.labels),
            "penalty": self.penalty,
            "intercepts": [float(f"{value:.7g}") for value in self.intercepts],
            "weights": [[float(f"{value:.7g}") for value in row] for row in self.weights],
        }

    @classmethod
    def from_json(cls, found: Mapping) -> "Head":
        """Of what `as_json` gave."""
        weights, intercepts = np.array(found["weights"], float), np.array(found["intercepts"], float)
        return cls(tuple(found["labels"]), weights, intercepts, float(found["penalty"]))


def read_labelled(task: str, path: str | Path, labels: Sequence[str]) -> Labelled:
    """The texts that a user labelled for a task: a CSV file with the columns text, label and perhaps group.

    labels: the task's. Raises UserError, with file and line, for what can't be used: other columns or labels,
    empty texts, a text with two labels, and fewer than MIN_TEXTS texts of MIN_GROUPS groups of a label.
    """
    about = f"judges.{task}.labelled"
    try:
        content = Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{about}: there is no file {path}; correct the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{about}: {path} can't be read ({error}); give a CSV file in UTF-8") from error
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    allowed = (*labels, NONE)
    found, lines = Labelled([], [], []), dict[str, int]()
    columns: list[str] = []
    try:
        for row in reader:
            where = f"{about}: {path}, line {reader.line_num}"
            if not columns:
                columns = _header(where, row)
                continue
            if not row:
                continue
            if len(row) != len(columns):
                raise UserError(
                    f"{where} has {len(row)} cells instead of {len(columns)}; quote texts with commas"
                )
            cells = dict(zip(columns, row, strict=True))
            text, label = cells["text"], cells["label"].strip()
            if not text.strip():
                raise UserError(f"{where} has no text; remove the line")
            if label not in allowed:
                raise UserError(
                    f"{where} has the label '{shorten(label)}'{suggestion(label, allowed)}; the labels of "
                    f"the task {task} are {listed(labels)}, and {NONE} for a text without any"
                )
            if text in lines:
                before = lines[text]
                if found.labels[before] != label:
                    raise UserError(
                        f"{where} labels a text '{label}' that was labelled '{found.labels[before]}' above; "
                        "remove one"
                    )
                continue
            lines[text] = len(found.texts)
            found.texts.append(text)
            found.labels.append(label)
            # Texts that were written on one subject tell of each other's labels.
            found.groups.append(cells.get("group", "").strip() or f"text {len(found.texts)}")
    except csv.Error as error:
        raise UserError(f"{about}: {path}, line {reader.line_num}: {error}; correct the line") from error
    if not columns:
        raise UserError(f"{about}: {path} is empty; give the columns text and label")
    needed = labels if len(labels) > 1 else (*labels, NONE)
    for label in dict.fromkeys((*needed, *found.labels)):
        groups = [group for group, own in zip(found.groups, found.labels, strict=True) if own == label]
        if len(groups) < MIN_TEXTS or len(set(groups)) < MIN_GROUPS:
            raise UserError(
                f"{about}: {path} has {len(groups)} texts of {len(set(groups))} groups labelled '{label}'; a "
                f"judge needs {MIN_TEXTS} of {MIN_GROUPS} groups of each label: label more"
            )
    return found


def names_of(labelled: Labelled, labels: Sequence[str]) -> tuple[str, ...]:
    """What a head tells apart: the task's labels, and NONE where texts have it."""
    return tuple(dict.fromkeys((*labels, NONE) if NONE in labelled.labels else labels))


def scored(names: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Of a head's names, those that have a score: of a task with one label that alone, which the judge's
    threshold decides; else NONE too, which may be the best."""
    return tuple(names) if len(labels) > 1 else tuple(labels)


def read_head(task: str, path: str | Path, width: int, labels: Sequence[str]) -> Head:
    """The head in a file heads/<task>.json of a study. Raises UserError for one of another encoder, whose
    vectors are not of `width` numbers, or of other labels than the task's."""
    found = files.read_json(path)
    if not isinstance(found, dict) or "head" not in found:
        raise UserError(f"judges.{task}: {path} holds no head; give a file that `snakemake judges` made")
    head = Head.from_json(found["head"])
    if head.weights.shape[1] != width or not set(labels) <= set(head.labels):
        raise UserError(
            f"judges.{task}: the head in {path} tells {listed(head.labels)} apart by vectors of "
            f"{head.weights.shape[1]} numbers, but the task has {listed(labels)} and the encoder {width}; "
            "give the encoder and the task that it was fitted for"
        )
    return head


def fit(x: np.ndarray, labels: Sequence[str], groups: Sequence[str], names: Sequence[str]) -> Head:
    """The head of all texts, at the penalty that predicts held-out groups best (log-loss).

    x: [n, d] unit vectors; labels, groups: [n]; names: of `names_of`.
    """
    folds, y = _folds(groups, 1), _numbers(labels, names)
    losses = []
    for penalty in PENALTIES:
        loss = 0.0
        for fold in np.unique(folds):
            train, test = folds != fold, folds == fold
            found = _fit(x[train], y[train], names, penalty).probabilities(x[test])
            loss -= np.log(np.maximum(found[np.arange(test.sum()), y[test]], 1e-12)).sum()
        losses.append(loss)
    return _fit(x, y, names, PENALTIES[int(np.argmin(losses))])


def quality(x: np.ndarray, labelled: Labelled, labels: Sequence[str], settings: Mapping) -> dict:
    """How well heads that never saw a text's group judge it: a row of tables/judges.csv, without the task.

    x: [n, d] unit vectors; labels: the task's; settings: "threshold" and "margin" of the judge. Each of FOLDS
    folds of groups is judged by the head of the others, whose penalty their own folds choose.
    """
    names, groups = names_of(labelled, labels), np.array(labelled.groups)
    truth, y, folds = np.array(labelled.labels), _numbers(labelled.labels, names), _folds(labelled.groups, 0)
    probabilities = np.empty((len(truth), len(names)))
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        head = fit(x[train], truth[train].tolist(), groups[train].tolist(), names)
        probabilities[test] = head.probabilities(x[test])
    verdicts = [
        verdict(each, threshold_of(settings, labels), settings["margin"])
        for each in _named(probabilities, names, scored(names, labels))
    ]
    right = np.array([each["label"] or NONE for each in verdicts]) == truth
    kept = np.array(["undecided" not in each for each in verdicts])
    draws = bootstrap.draw_groups(groups.tolist(), n_draws=DRAWS, seed=0)
    value, drawn = bootstrap.ratio(right.astype(float), np.ones(len(truth)), groups.tolist(), draws)
    found = intervals.interval([value], drawn, 0.95, bounds=intervals.UNIT)
    return {
        "labels": " ".join(names),
        "n": len(truth),
        "n_groups": len(set(labelled.groups)),
        "accuracy": found.estimate,
        "lower95": found.lower,
        "upper95": found.upper,
        "balanced_accuracy": float(np.mean([right[truth == name].mean() for name in names])),
        "majority": max(float((truth == name).mean()) for name in names),
        # Of each label against the others: with two the same number twice.
        "auroc": float(
            np.mean(
                [auroc(probabilities[:, k], (y == k).astype(int), folds).value for k in range(len(names))]
            )
        ),
        "undecided": float(1 - kept.mean()),
        "accuracy_decided": float(right[kept].mean()) if kept.any() else float("nan"),
    }


def threshold_of(settings: Mapping, labels: Sequence[str]) -> float:
    """The score from which a text has a label: the configured one, or of a single label 0.5, of several 0."""
    if settings["threshold"] is not None:
        return settings["threshold"]
    return 0.5 if len(labels) == 1 else 0.0


def scores_of(head: Head, x: np.ndarray, labels: Sequence[str]) -> list[list[float]]:
    """[n][of `scored`] probabilities; x: [n, d] unit vectors; labels: the task's."""
    found = _named(head.probabilities(x), head.labels, scored(head.labels, labels))
    return [list(each.values()) for each in found]


def _header(where: str, row: Sequence[str]) -> list[str]:
    columns = [name.strip() for name in row]
    missing = [name for name in COLUMNS[:2] if name not in columns]
    if missing or len(set(columns)) < len(columns):
        what = f"has no column '{missing[0]}'" if missing else "has a column twice"
        raise UserError(
            f"{where} {what}; begin the file with a line that names its columns: {', '.join(COLUMNS)}"
        )
    return columns


def _folds(groups: Sequence[str], seed: int) -> np.ndarray:
    dealt = assign_folds(groups, n_folds=FOLDS, fold_seed=seed, calibration_fraction=0.0)
    return row_folds(groups, dealt)


def _numbers(labels: Sequence[str], names: Sequence[str]) -> np.ndarray:
    return np.array([tuple(names).index(label) for label in labels])


def _named(probabilities: np.ndarray, names: Sequence[str], chosen: Sequence[str]) -> list[dict[str, float]]:
    place = [tuple(names).index(name) for name in chosen]
    return [dict(zip(chosen, row[place].tolist(), strict=True)) for row in probabilities]


def _fit(x: np.ndarray, y: np.ndarray, names: Sequence[str], penalty: float) -> Head:
    from sklearn.linear_model import LogisticRegression

    # A label that no text of these has is as good as impossible.
    weights, intercepts = np.zeros((len(names), x.shape[1])), np.full(len(names), -50.0)
    there = np.unique(y)
    intercepts[there] = 0.0
    if len(there) > 1:
        model = LogisticRegression(C=penalty, tol=1e-8, max_iter=10_000).fit(x, y)
        # Of two, scikit-learn has the log-odds of the second alone.
        shares = np.array([[-0.5], [0.5]]) if len(there) == 2 else np.eye(len(there))
        weights[there], intercepts[there] = shares @ model.coef_, shares @ model.intercept_
    return Head(tuple(names), weights, intercepts, penalty)
