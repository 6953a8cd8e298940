"""Trivial monitors: what could be said of a response, while it is written, without looking into the model.

See docs/definitions.md, "Monitors". Each reads something that is known without the model's states: the
verifier's verdict on the text so far, the params that the prompt asks for, or both. They are chosen,
calibrated and tested as the monitor is (`monitors.fit_layer`), on the same stages, folds and responses, so
that they differ from it in nothing but what they see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skillprobe.errors import UserError
from skillprobe.probes.course import EOS, CourseRows, in_prompt
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.monitors import Level, fit_layer, read_test_fold, stage_numbers, stages_of
from skillprobe.probes.prefix import crossed_features, params_features, verdict_features
from skillprobe.probes.surface import some_column
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.storage import hdf5

PREFIX, PARAMS, BOTH = "prefix", "params", "both"
KINDS = (PREFIX, PARAMS, BOTH)


@dataclass(frozen=True)
class TrivialMonitors:
    """What the trivial monitors (KINDS) said of n responses whose groups they never saw.

    ids: [n]; stages: [k] names; status: why there are none, or ""; inner_auroc: [kinds, S, K, k] of each at
    each stage, in what the outer folds of each fold seed leave; probabilities: [kinds, S, P, n] float32, as
    of `monitors.HeldOut`; best: [S, P, n], of the kind that counts at the position's stage: the one with the
    highest inner AUROC there.
    """

    ids: np.ndarray
    stages: list[str]
    status: str
    inner_auroc: np.ndarray
    probabilities: np.ndarray
    best: np.ndarray


def fit_trivial_monitors(
    rows: CourseRows,
    labels: Sequence[Mapping],
    verify: Callable[[str, Mapping], object],
    settings: Mapping,
    prepare: Callable[[Sequence[str]], None] = lambda texts: None,
) -> TrivialMonitors:
    """The trivial monitors of one task of one model, and what they say of held-out groups.

    rows: as of `read_course`, of which x is not needed; labels, verify, prepare: as for
    `prefix.fit_prefixes`; settings: the config's "seed", "groups" and "probes". "prefix" sees the verdict on
    the response up to the position and the verifier's evidence; "params" the params that the prompt asks for
    and how many tokens are written; "both" all of these, and the verdict and each number of the evidence for
    each value of a param that is a text (as where the relation is "at_most"). Raises UserError for a row
    without a label row.
    """
    own = replace(Settings.from_config(settings["probes"], settings["seed"]), shuffles=0)
    folds = own.row_folds(rows.groups, group_ids(settings["groups"]))
    stages, statuses = stages_of(rows, own, folds)
    n_seeds, n_positions, n = len(own.fold_seeds), len(rows.valid), len(rows.y)
    inner = np.full((len(KINDS), n_seeds, own.n_folds, len(stages)), np.nan)
    probabilities = np.full((len(KINDS), n_seeds, n_positions, n), np.nan, np.float32)
    names = [stage.name for stage in stages]
    if status := statuses.get(EOS, ""):
        return TrivialMonitors(rows.ids, [], status, inner[..., :0], probabilities, probabilities[0])
    levels = [Level(s, f) for s in range(n_seeds) for f in range(own.n_folds)]
    features = _features(rows, labels, verify, prepare)
    for number, kind in enumerate(KINDS):
        seen = replace(rows, x=features[kind])
        for level, choice in fit_layer(seen, stages, folds, own, levels).items():
            inner[number, level.seed, level.fold] = choice.inner
            read_test_fold(seen, stages, choice, folds, level, probabilities[number])
    first = np.array([stage.first for stage in stages])
    best = np.full(probabilities.shape[1:], np.nan, np.float32)
    # The first of equals, which sees less.
    counts = np.argmax(inner, axis=0)
    for place, name in enumerate(rows.valid):
        stage = stage_numbers(first, rows.tokens[name], name == EOS)
        for s, fold in enumerate(folds):
            kind = np.where(fold == CALIBRATION, 0, counts[s, np.maximum(fold, 0), stage])
            best[s, place] = probabilities[kind, s, place, np.arange(n)]
    return TrivialMonitors(rows.ids, names, "", inner, probabilities, best)


def _features(
    rows: CourseRows,
    labels: Sequence[Mapping],
    verify: Callable[[str, Mapping], object],
    prepare: Callable[[Sequence[str]], None],
) -> dict[str, dict[str, np.ndarray]]:
    """{kind: {position: [n, d]}}, 0 where a position isn't valid."""
    by_id = {row["id"]: row for row in labels}
    if missing := [name for name in rows.ids.tolist() if name not in by_id]:
        raise UserError(f"response '{missing[0]}' is in the activations but not in the labels; extract again")
    of_row = [by_id[name] for name in rows.ids.tolist()]
    params = [row["params"] for row in of_row]
    # Before the response the verifier would see no text, and the monitor is read at the prompt's end only.
    places = [
        (name, n) for name, valid in rows.valid.items() for n in np.flatnonzero(valid & (not in_prompt(name)))
    ]
    texts = [of_row[n]["response"][: rows.characters[name][n]] for name, n in places]
    prepare(texts)
    verdicts = [verify(text, params[n]) for text, (_, n) in zip(texts, places, strict=True)]
    # One set of columns for all positions, so that a probe can be carried from one to another.
    of_text = verdict_features(verdicts)
    crossed = crossed_features(verdicts, [params[n] for _, n in places])
    asked = params_features(params, crossed=True)
    where = {name: np.array([p == name for p, _ in places], bool) for name in rows.valid}
    which = np.array([n for _, n in places], int)
    found: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in KINDS}
    for name in rows.valid:
        here = where[name]
        verdict, more = (_spread(x[here], which[here], len(params)) for x in (of_text, crossed))
        written = np.log1p(np.maximum(rows.tokens[name], 0))[:, None]
        found[PREFIX][name] = some_column(verdict)
        found[PARAMS][name] = some_column(np.concatenate([written, asked], axis=1))
        found[BOTH][name] = some_column(np.concatenate([verdict, more, written, asked], axis=1))
    return found


def _spread(x: np.ndarray, which: np.ndarray, n: int) -> np.ndarray:
    """Rows x [m, d] of n at their numbers [m], the others 0."""
    found = np.zeros((n, x.shape[1]))
    found[which] = x
    return found


_ARRAYS = ("inner_auroc", "probabilities", "best")


def save(path: str | Path, found: TrivialMonitors) -> None:
    """Store as HDF5: equal results, equal bytes."""
    with hdf5.create(path) as file:
        hdf5.write_names(file, "kinds", KINDS)
        hdf5.write_names(file, "stages", found.stages)
        file.attrs["status"] = found.status
        hdf5.write_texts(file, "ids", found.ids)
        for name in _ARRAYS:
            file.create_dataset(name, data=getattr(found, name))


def load(path: str | Path) -> TrivialMonitors:
    """What `save` stored. Raises DamagedFile if it isn't such a file."""
    with hdf5.whole(path, "trivial monitors") as file:
        return TrivialMonitors(
            ids=hdf5.read_texts(file, "ids"),
            stages=hdf5.read_names(file, "stages"),
            status=str(file.attrs["status"]),
            **{name: file[name][()] for name in _ARRAYS},
        )
