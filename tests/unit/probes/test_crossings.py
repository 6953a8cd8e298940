"""Crossings are scored by probes that never saw their group, in their places."""

from dataclasses import replace

import numpy as np
import pytest
from made.unconstrained import BASES, SETTINGS
from skillprobe.activations import shards
from skillprobe.errors import UserError
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.crossings import Crossed, read_crossings
from skillprobe.probes.specialists import specialist
from skillprobe.statistics.folds import CALIBRATION
from skillprobe.storage.files import write_jsonl

D = 6
PROTOCOL = Settings.from_config(SETTINGS["probes"], SETTINGS["seed"])


def crossing_rows(task):
    rows = [
        {
            "id": f"{task}/{group}/x0/counterfactual/{asked}{answered}",
            "item": f"{task}/{group}/x0",
            "group": group,
            "base": group.replace("g", "b"),
            "variant": "counterfactual",
            "satisfied": asked == answered,
            "asked": asked,
            "answered": answered,
            "one_relation": None if task == "topic" else number % 2 == 0,
            "n_difference": None if task == "topic" else number,
        }
        for number, group in enumerate(BASES[:50])
        # In an order of no help.
        for asked, answered in ((1, 1), (0, 1), (0, 0), (1, 0))
    ]
    rows += [
        {
            "id": f"{task}/{group}/0/without_constraint/{label}",
            "item": f"{task}/{group}/0",
            "group": group,
            "base": group.replace("g", "b"),
            "variant": "without_constraint",
            "satisfied": label == 1,
            "answer_from": f"{task}/{group}/0/constrained/{label}",
        }
        for group in BASES
        for label in (0, 1)
    ]
    for row in rows:
        row |= {"truncated": False, "instruction_type": "human", "polarity": "positive", "phrasing": "p"}
    return rows


def write(folder, task, layers, rows, scored=True):
    """Shards with states [sample, D] of each layer."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    # Two shards of one task.
    for part, chosen in enumerate((slice(0, 120), slice(120, None))):
        own = rows[chosen]
        samples = {name: [row.get(name, 1) for row in own] for name in shards.SAMPLE_FIELDS}
        samples["label"] = [row["satisfied"] for row in own]
        path = folder / f"{part}.h5"
        with shards.create(
            path,
            samples=samples,
            positions=["eos"],
            valid=np.ones((1, len(own)), bool),
            num_layers=len(layers) - 1,
            hidden_size=D,
            dtype="float32",
            attributes={"study": "test", "model": "m", "task": task},
            log_probabilities=scored,
        ) as writer:
            for layer, x in enumerate(layers):
                writer.write(layer, 0, [(slice(None), x[chosen][None])])
            if scored:
                writer.write_log_probabilities(np.arange(len(rows), dtype=float)[chosen])
        write_jsonl(folder / f"{part}.jsonl", own)
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("crossings")
    labels = np.tile([0, 1], len(BASES))
    groups = np.repeat(BASES, 2)
    made = {"rows": {}, "x": {}, "paths": [], "files": [], "specialists": {}}
    for task in ("word_count", "topic"):
        ids = [f"{task}/{group}/0/constrained/{label}" for group, label in zip(groups, labels, strict=True)]
        x = rng.normal(size=(len(labels), D)) + 3 * labels[:, None]
        made["specialists"][task] = {
            layer: specialist(x[:, ::1] * (1 + layer), labels, groups, PROTOCOL, ids=ids, study_groups=BASES)
            for layer in (0, 1)
        }
        rows = crossing_rows(task)
        layers = [rng.normal(size=(len(rows), D)).astype(np.float32) for _ in range(2)]
        made["rows"][task], made["x"][task] = rows, layers
        paths = write(folder / task, task, layers, rows)
        made["paths"] += paths
        made["files"] += [path.with_suffix(".jsonl") for path in paths]
    return made


def read(world, **specialists):
    return read_crossings(
        world["files"], world["paths"], specialists or {"across": world["specialists"]}, SETTINGS
    )


def test_every_score_is_in_its_place_and_of_a_probe_that_never_saw_the_group(world):
    found = read(world)["across"]
    assert set(found) == {0, 1} and set(found[0]) == {"word_count", "topic"}
    for layer in (0, 1):
        for task, crossings in found[layer].items():
            rows, x, probe = world["rows"][task], world["x"][task][layer], world["specialists"][task][layer]
            assert crossings.groups.tolist() == BASES[:50] and crossings.scores.shape == (2, 50, 2, 2)
            for number in (0, 7, 49):
                for asked in (0, 1):
                    for answered in (0, 1):
                        place = next(
                            place
                            for place, row in enumerate(rows)
                            if row["group"] == BASES[number]
                            and (row.get("asked"), row.get("answered")) == (asked, answered)
                        )
                        assert crossings.log_probability[number, asked, answered] == place
                        for seed, fold in enumerate(crossings.folds[:, number]):
                            score = crossings.scores[seed, number, asked, answered]
                            if fold == CALIBRATION:
                                assert np.isnan(score)
                                continue
                            weights = probe.fold_weights[seed, fold]
                            expected = x[place] @ weights + probe.fold_intercepts[seed, fold]
                            assert score == pytest.approx(expected, abs=1e-4)
    assert found[0]["word_count"].n_difference.tolist() == list(range(50))
    assert np.isnan(found[0]["topic"].n_difference).all() and not found[0]["topic"].one_relation.any()


def test_the_same_answers_have_the_probes_own_scores_with_the_constraint(world):
    probe = world["specialists"]["topic"][1]
    found = read(world)["across"][1]["topic"]
    np.testing.assert_array_equal(found.with_constraint, probe.scores)
    assert (
        found.labels.tolist() == probe.labels.tolist()
        and found.answer_groups.tolist() == np.repeat(BASES, 2).tolist()
    )
    np.testing.assert_array_equal(found.answer_folds, probe.folds)
    without = world["x"]["topic"][1][200:]
    np.testing.assert_allclose(
        found.without_constraint, probe.score(without, probe.folds), rtol=1e-5, atol=1e-5
    )
    # Probes of some rows only, such as those of items with both outcomes.
    fewer = replace(
        probe,
        **{name: getattr(probe, name)[:30] for name in ("ids", "groups", "labels")},
        folds=probe.folds[:, :30],
        scores=probe.scores[:, :30],
    )
    specialists = {
        task: {1: fewer if task == "topic" else by[1]} for task, by in world["specialists"].items()
    }
    found = read(world, within=specialists)["within"][1]["topic"]
    np.testing.assert_array_equal(found.with_constraint, probe.scores[:, :30])


def test_an_insufficient_task_has_no_scores_and_says_why(world):
    status = "12 violated responses"
    weightless = {
        task: {
            layer: replace(probe, status=status, scores=np.full_like(probe.scores, np.nan))
            for layer, probe in by_layer.items()
        }
        for task, by_layer in world["specialists"].items()
    }
    found = read(world, across=weightless)["across"][0]["topic"]
    assert found.status == status and np.isnan(found.scores).all()


def test_a_task_without_crossings_has_none(world):
    rows = [row for row in world["rows"]["topic"] if row["variant"] == "without_constraint"]
    crossed = Crossed.of(rows)
    x = np.zeros((len(rows), D))
    found = crossed.scored(x, np.zeros(len(rows)), world["specialists"]["topic"][0], PROTOCOL, BASES)
    assert found.scores.shape == (2, 0, 2, 2) and found.groups.shape == (0,)


def test_without_files_there_is_nothing():
    assert read_crossings([], [], {"across": {}}, SETTINGS) == {}


def test_activations_of_other_crossings_are_refused(world):
    files = [*world["files"][1:2], *world["files"][1:]]
    with pytest.raises(UserError, match="crossings of task 'word_count' and their activations are not of"):
        read_crossings(files, world["paths"], {"across": world["specialists"]}, SETTINGS)
