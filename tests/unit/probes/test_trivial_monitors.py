"""Trivial monitors of planted worlds, in which it is known who knows what and when."""

from dataclasses import replace

import numpy as np
import pytest
from made.courses import SETTINGS, make
from skillprobe.errors import DamagedFile, UserError
from skillprobe.findings.planted_shards import verify
from skillprobe.probes.course import read_course
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.trivial_monitors import BOTH, KINDS, PARAMS, PREFIX, fit_trivial_monitors, load, save
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.statistics.metrics import auroc
from skillprobe.tasks.base import Verdict

TASK = "topic"


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """{world: (rows, their labels, trivial monitors)}: the text decides early or late, or the params do."""
    found = {}
    for name in ("text_decides", "params"):
        path, labels = make(name, tmp_path_factory.mktemp(name))[TASK]
        rows = read_course([path], None)
        found[name] = rows, labels, fit_trivial_monitors(rows, labels, verify, SETTINGS)
    return found


def folds_of(rows):
    own = Settings.from_config(SETTINGS["probes"], SETTINGS["seed"])
    return own.row_folds(rows.groups, group_ids(SETTINGS["groups"]))


def reached(rows, said, position):
    """AUROC of probabilities [S, P, n] at a position, of the first fold seed."""
    seen = rows.valid[position]
    folds = folds_of(rows)[0][seen]
    p = said[0, list(rows.valid).index(position), seen]
    return auroc(np.where(folds == CALIBRATION, 0, p), rows.y[seen], folds).value


def test_each_knows_what_it_sees_and_nothing_else(worlds):
    rows, _, found = worlds["text_decides"]
    said = dict(zip(KINDS, found.probabilities, strict=True))
    # The word that decides stands anywhere: half of the answers are decided in the middle, all at the end.
    # Only pairs of two that aren't decided, a quarter of all, are tied then.
    assert abs(reached(rows, said[PREFIX], "prompt_100") - 0.5) < 0.01
    assert reached(rows, said[PREFIX], "onset") < 0.6
    assert abs(reached(rows, said[PREFIX], "body_50") - (1 - 0.5 / 4)) < 0.03
    assert reached(rows, said[PREFIX], "eos") == 1
    rows, _, found = worlds["params"]
    said = dict(zip(KINDS, found.probabilities, strict=True))
    for name in ("prompt_100", "onset", "body_50"):
        assert reached(rows, said[PARAMS], name) > 0.75
        assert abs(reached(rows, said[BOTH], name) - reached(rows, said[PARAMS], name)) < 0.05
    assert abs(reached(rows, said[PREFIX], "body_50") - 0.5) < 0.05


def test_the_one_that_counts_is_chosen_by_inner_folds_at_each_stage(worlds):
    for rows, _, found in worlds.values():
        folds = folds_of(rows)
        for name in ("prompt_100", "eos"):
            k, place = found.stages.index(name), list(rows.valid).index(name)
            for s, f in np.ndindex(found.inner_auroc.shape[1:3]):
                tested = (folds[s] == f) & rows.valid[name]
                best = np.argmax(found.inner_auroc[:, s, f, k])
                np.testing.assert_array_equal(
                    found.best[s, place, tested], found.probabilities[best, s, place, tested]
                )
    _, _, found = worlds["text_decides"]
    # At the end the verdict tells all; of equals the first is taken.
    assert set(np.argmax(found.inner_auroc[..., -1], axis=0).ravel()) == {KINDS.index(PREFIX)}
    _, _, found = worlds["params"]
    assert KINDS.index(PREFIX) not in np.argmax(found.inner_auroc[..., 0], axis=0)


def test_nothing_of_a_test_fold_has_a_part_in_what_is_said_of_it(worlds):
    rows, labels, found = worlds["params"]
    folds = folds_of(rows)
    tested = folds[1] == 3
    turned = replace(rows, y=np.where(tested, 1 - rows.y, rows.y).astype(np.int8))
    again = fit_trivial_monitors(turned, labels, verify, SETTINGS)
    np.testing.assert_allclose(again.best[1][:, tested], found.best[1][:, tested], atol=1e-5)
    np.testing.assert_allclose(again.inner_auroc[:, 1, 3], found.inner_auroc[:, 1, 3], atol=1e-6)
    rest = ~tested & (folds[1] != CALIBRATION)
    assert not np.allclose(again.best[1][:, rest], found.best[1][:, rest], atol=0.02, equal_nan=True)
    assert np.isnan(found.best[1][:, folds[1] == CALIBRATION]).all()


def test_probabilities_are_where_the_monitors_are(worlds):
    for rows, _, found in worlds.values():
        used = folds_of(rows)[0] != CALIBRATION
        for place, valid in enumerate(rows.valid.values()):
            for said in (*found.probabilities, found.best):
                np.testing.assert_array_equal(~np.isnan(said[0, place]), valid & used)


def test_what_a_verdict_means_may_depend_on_the_relation(worlds):
    """A verdict that means the one thing where the params say "at_most" and the other where they don't: only
    the two together can tell."""
    rows, labels, _ = worlds["text_decides"]
    rng = np.random.default_rng(0)
    said_so, at_most = rng.random((2, len(labels))) < 0.5
    asked = [
        row | {"params": {"relation": "at_most" if each else "at_least", "number": number}}
        for number, (row, each) in enumerate(zip(labels, at_most, strict=True))
    ]
    truth = {row["id"]: a != b for row, a, b in zip(labels, said_so, at_most, strict=True)}
    rows = replace(rows, y=np.array([truth[name] for name in rows.ids.tolist()], np.int8))
    found = fit_trivial_monitors(
        rows, asked, lambda text, params: Verdict(bool(said_so[params["number"]]), {}), SETTINGS
    )
    said = dict(zip(KINDS, found.probabilities, strict=True))
    assert abs(reached(rows, said[PREFIX], "eos") - 0.5) < 0.1
    assert abs(reached(rows, said[PARAMS], "eos") - 0.5) < 0.1
    assert reached(rows, said[BOTH], "eos") > 0.95


def test_a_task_with_too_little_data_says_so(worlds):
    rows, labels, _ = worlds["params"]
    found = fit_trivial_monitors(replace(rows, y=np.ones_like(rows.y)), labels, verify, SETTINGS)
    assert "0 violated responses" in found.status and found.stages == []
    assert np.isnan(found.best).all() and found.inner_auroc.shape[-1] == 0


def test_a_response_without_a_label_row_is_refused(worlds):
    rows, labels, _ = worlds["params"]
    with pytest.raises(UserError, match="in the activations but not in the labels"):
        fit_trivial_monitors(rows, labels[1:], verify, SETTINGS)


def test_files_hold_all_and_equal_results_equal_bytes(worlds, tmp_path):
    _, _, found = worlds["params"]
    paths = [tmp_path / name for name in ("a.h5", "b.h5")]
    for path in paths:
        save(path, found)
    again = load(paths[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert (again.status, again.stages) == (found.status, found.stages)
    for name in ("ids", "inner_auroc", "probabilities", "best"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    paths[1].write_bytes(paths[0].read_bytes()[:-9] + b"otherness")
    with pytest.raises(DamagedFile):
        load(paths[1])
