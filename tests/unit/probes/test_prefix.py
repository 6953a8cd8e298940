"""What an answer's text so far tells, and what its request does."""

from types import SimpleNamespace

import numpy as np
import pytest
from made.courses import SETTINGS, make_worlds
from skillprobe.errors import UserError
from skillprobe.findings.planted_shards import verify
from skillprobe.probes.course import read_course
from skillprobe.probes.prefix import fit_prefixes, params_features, verdict_features
from skillprobe.statistics.metrics import auroc, auroc_within


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return make_worlds(tmp_path_factory)


def test_params_become_columns():
    params = [
        {"relation": "at_least", "n": 5, "terms": ["sea", "tea"]},
        {"relation": "at_most", "n": 7, "terms": ["sea"]},
        {"relation": "at_most", "n": 9, "terms": ["pea"]},
    ]
    x = params_features(params)
    # log n, n, "relation at_most", "terms length", "terms sea"; what one row alone has tells of no other.
    expected = [[np.log1p(5), 5, 0, 2, 1], [np.log1p(7), 7, 1, 1, 1], [np.log1p(9), 9, 1, 1, 0]]
    np.testing.assert_allclose(x, expected)
    assert params_features([{}, {}]).shape == (2, 0)


def test_numbers_can_be_columns_of_each_relation():
    params = [{"relation": relation, "n": n} for relation in ("at_least", "at_most") for n in (5, 7)]
    x = params_features(params, crossed=True)
    columns = [column.tolist() for column in x.T]
    assert [5, 7, 0, 0] in columns and [0, 0, 5, 7] in columns and x.shape[1] == 6


def test_verdicts_become_columns():
    verdicts = [
        SimpleNamespace(satisfied=True, evidence={"counts": {"sea": 2, "tea": 1}, "missing": []}),
        SimpleNamespace(satisfied=False, evidence={"counts": {"pea": 0}, "missing": ["pea"]}),
    ]
    # counts length, smallest and sum; missing length; satisfied.
    np.testing.assert_allclose(verdict_features(verdicts), [[2, 1, 3, 0, 1], [1, 0, 0, 1, 0]])


def test_evidence_may_be_true_or_false():
    """As what a judge with a margin says of an answer that is too close to call."""
    verdicts = [SimpleNamespace(satisfied=True, evidence={"undecided": flag}) for flag in (True, False)]
    # satisfied; undecided.
    np.testing.assert_allclose(verdict_features(verdicts), [[1, 1], [1, 0]])


def test_the_whole_text_decides_and_its_beginning_only_what_it_says(worlds):
    path, labels = worlds["monitored"]["topic"]
    rows = read_course([path], None)
    found = fit_prefixes(rows, labels, verify, SETTINGS)
    within, found = found["within"], found["across"]
    assert set(found) == {"text", "length", "words", "surface"} and set(within) == {"text"}
    value = {
        (name, position): auroc(result.scores[0], result.labels, result.folds[0])
        for name, by in found.items()
        for position, result in by.items()
    }
    assert value["text", "eos"].value == value["text", "last"].value == 1
    # The last word decides here, so before it there is nothing to see.
    assert value["text", "body_50"].constant and value["words", "prompt_100"].constant
    assert abs(value["surface", "prompt_100"].value - 0.5) < 0.1
    assert list(found["surface"]) == ["prompt_100"]
    # The same within prompts, of which the beginning is no part.
    assert "prompt_100" not in within["text"] and set(within["text"]) < set(found["text"])
    of_text = {
        position: auroc_within(each.scores[0], each.labels, each.items, each.folds[0])
        for position, each in within["text"].items()
    }
    assert of_text["eos"].value == of_text["last"].value == 1 and of_text["body_50"].constant
    # The first token is the onset, whichever way it is counted.
    np.testing.assert_array_equal(found["text"]["tokens_1"].scores, found["text"]["onset"].scores)


def test_a_row_without_a_label_is_refused(worlds):
    path, labels = worlds["monitored"]["topic"]
    with pytest.raises(
        UserError, match="'topic/g000/0/constrained/0' is in the activations but not in the labels"
    ):
        fit_prefixes(read_course([path], None), labels[1:], verify, SETTINGS)
