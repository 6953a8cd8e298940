"""Probes at every position of an answer: what is compared with what."""

import numpy as np
import pytest
from made.courses import BASES, POSITIONS, PROBES, SETTINGS, make_worlds
from skillprobe.probes.course import CourseRows, fit_course, read_course, spans
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.results import load, save
from skillprobe.probes.rows import ProbeRows
from skillprobe.probes.specialists import fit_scopes, specialist
from skillprobe.statistics.folds import CALIBRATION


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return make_worlds(tmp_path_factory)


# Rows


def test_rows_know_where_their_positions_are(worlds):
    path, labels = worlds["monitored"]["topic"]
    rows = read_course([path], 2)
    assert list(rows.x) == list(rows.valid) == POSITIONS
    for number, label in enumerate(labels):
        words = label["response"].split()
        assert rows.ids[number] == label["id"]
        assert rows.tokens["prompt_100"][number] == 0 and rows.characters["prompt_100"][number] == 0
        assert rows.tokens["onset"][number] == 1 and rows.tokens["last"][number] == len(words)
        assert rows.tokens["eos"][number] == len(words) + 1
        for position in POSITIONS:
            seen = label["response"][: rows.characters[position][number]].split()
            assert len(seen) == min(rows.tokens[position][number], len(words))
    without = read_course([path], None)
    assert without.x == {} and (without.y == rows.y).all()


def small_rows(tokens, valid=None):
    n = len(next(iter(tokens.values())))
    valid = valid or {name: np.ones(n, bool) for name in tokens}
    names = np.array([f"r{k}" for k in range(n)])
    tokens = {name: np.array(values) for name, values in tokens.items()}
    return CourseRows(np.zeros(n, np.int8), names, names, 0.0, valid, tokens, tokens, {})


def test_a_row_is_in_a_span_once_at_its_last_position_there():
    rows = small_rows(
        {
            "prompt_100": [0, 0, 0],
            "onset": [1, 1, 1],
            "body_50": [3, 2, 3],
            "body_90": [4, 2, 5],
            "last": [4, 2, 6],
            "eos": [5, 3, 7],
        },
        {
            "prompt_100": np.ones(3, bool),
            "onset": np.ones(3, bool),
            "body_50": np.array([True, False, True]),
            "body_90": np.array([False, False, True]),
            "last": np.ones(3, bool),
            "eos": np.ones(3, bool),
        },
    )
    found = {span: {at: which.tolist() for at, which in by.items()} for span, by in spans(rows).items()}
    assert found == {
        "tokens_1": {"onset": [True, True, True]},
        "tokens_2": {"last": [False, True, False]},
        "tokens_3_4": {"body_50": [False, False, True], "last": [True, False, False]},
        "tokens_5_8": {"last": [False, False, True]},
    }


def test_without_a_row_or_a_position_there_are_no_spans():
    assert spans(small_rows({"onset": np.zeros(0, int), "eos": np.zeros(0, int)})) == {}
    assert spans(small_rows({"eos": [1, 2]})) == {}


# Probes


def test_each_position_has_the_specialists_own_protocol(worlds):
    path, _ = worlds["monitored"]["topic"]
    rows, found = read_course([path], 2), fit_course(read_course([path], 2), SETTINGS)["across"]
    settings = Settings.from_config(PROBES, 0)
    source = None
    for position in ("eos", "body_50"):
        own = specialist(rows.x[position], rows.y, rows.groups, settings, ids=rows.ids, study_groups=BASES)
        np.testing.assert_allclose(found["trained"][position].scores, own.scores)
        source = source or own
        # Carried back: the probe of EOS that never saw the row's group.
        for seed, row in ((0, 5), (1, 40)):
            fold = own.folds[seed, row]
            expected = (
                rows.x[position][row] @ source.fold_weights[seed, fold] + source.fold_intercepts[seed, fold]
            )
            back = found["eos_back"][position].scores[seed, row]
            assert np.isnan(back) if fold == CALIBRATION else back == pytest.approx(expected, abs=1e-4)
        assert (found["eos_back"][position].inner_auroc == source.inner_auroc).all()
    assert found["trained"]["tokens_1"].ids.tolist() == rows.ids.tolist()
    assert not found["trained"]["eos"].fold_weights.size


def test_within_prompts_probes_are_those_of_both_scopes_after_the_prompt(worlds):
    """As the specialists' own function has them, at the positions of which the answers differ."""
    path, _ = worlds["monitored"]["topic"]
    course, found = read_course([path], 2), fit_course(read_course([path], 2), SETTINGS)
    assert set(found["within"]) == {"trained", "eos_back"}
    assert set(found["within"]["trained"]) == set(found["across"]["trained"]) - {"prompt_100"}
    names = np.full(len(course.y), "")
    rows = ProbeRows(
        course.x["eos"], course.y, course.groups, course.ids, *[names] * 3, course.tokens["eos"], 0
    )
    own = fit_scopes(rows, SETTINGS)
    for scope, expected in own.items():
        result = found[scope]["trained"]["eos"]
        assert (
            result.ids.tolist() == expected.ids.tolist() and result.items.tolist() == expected.items.tolist()
        )
        np.testing.assert_array_equal(result.scores, expected.scores)
        np.testing.assert_array_equal(found[scope]["eos_back"]["eos"].chosen_c, expected.chosen_c)
    # Back in time, by the same weights: pairs of one prompt are ordered as on raw activations.
    back, source = found["within"]["eos_back"]["body_50"], own["within"]
    raw = course.x["body_50"][np.isin(course.ids, back.ids)]
    scores = source.score(raw, back.folds)
    tested = back.folds[0] != CALIBRATION
    moved = (scores - back.scores)[0]
    for item in np.unique(back.items[tested])[:20]:
        assert np.ptp(moved[back.items == item]) < 1e-4


def test_results_survive_a_file(worlds, tmp_path):
    path, _ = worlds["monitored"]["topic"]
    found = {"topic": fit_course(read_course([path], 2), SETTINGS)["within"]}
    save(tmp_path / "course.h5", found)
    again = load(tmp_path / "course.h5")
    assert list(again["topic"]["eos_back"]) == list(found["topic"]["eos_back"])
    np.testing.assert_array_equal(
        again["topic"]["eos_back"]["onset"].scores, found["topic"]["eos_back"]["onset"].scores
    )


def test_where_too_few_rows_are_valid_all_three_are_insufficient(worlds):
    path, _ = worlds["monitored"]["topic"]
    rows = read_course([path], 2)
    few = np.arange(len(rows.y)) < 30
    rows = CourseRows(**{**rows.__dict__, "valid": {**rows.valid, "body_50": few}})
    found = fit_course(rows, SETTINGS)
    assert found["within"]["trained"]["body_50"].status and not found["within"]["trained"]["last"].status
    found = found["across"]
    for probe in ("trained", "eos_back", "prompt_forward"):
        assert found[probe]["body_50"].status and not found[probe]["last"].status
        assert np.isnan(found[probe]["body_50"].scores).all()
        assert len(found[probe]["body_50"].labels) == 30
