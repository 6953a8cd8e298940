"""Texts that a user labelled, and a head that is fitted to them and measured on other groups."""

import json

import numpy as np
import pytest
from made.encoders import labelled_lines
from skillprobe.errors import UserError
from skillprobe.labels import heads
from skillprobe.labels.heads import Head, Labelled, read_labelled

LABELS = ("negative", "positive")
PLAIN = {"threshold": None, "margin": 0.0}


def written(tmp_path, lines):
    path = tmp_path / "labelled.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_texts_are_read_with_their_groups(tmp_path):
    lines = [*labelled_lines(), "", '"a text, with a comma",none,g1']
    lines += [f"no label {n},none," for n in range(20)]
    path = written(tmp_path, ["\ufeff" + lines[0], *lines[1:]])
    found = read_labelled("sentiment", path, LABELS)
    assert len(found.texts) == 81 and found.labels.count("none") == 21
    assert found.texts[60] == "a text, with a comma" and found.groups[60] == "g1"
    assert len(set(found.groups[61:])) == 20
    assert heads.names_of(found, LABELS) == ("negative", "positive", "none")
    # The same line twice counts once.
    again = read_labelled("sentiment", written(tmp_path, [*lines, lines[1]]), LABELS)
    assert again == found


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda lines: [], "labelled.csv is empty; give the columns text and label"),
        (lambda lines: ["text,lable", *lines[1:]], "line 1 has no column 'label'; begin the file"),
        (lambda lines: ["text,label,label", *lines[1:]], "line 1 has a column twice"),
        (lambda lines: [*lines, "one,positive"], "line 62 has 2 cells instead of 3; quote texts"),
        (lambda lines: [*lines, " ,positive,g"], "line 62 has no text; remove the line"),
        (lambda lines: [*lines, "one,positiv,g"], "line 62 has the label 'positiv' .did you mean 'positive'"),
        (
            lambda lines: [*lines, "one,positive,g", "one,negative,g"],
            "line 63 labels a text 'negative' that was",
        ),
        (lambda lines: lines[:30], "has 14 texts of 14 groups labelled 'negative'; a judge needs 20 of 10"),
        (
            lambda lines: [lines[0], *(line.rpartition(",")[0] + ",g1" for line in lines[1:])],
            "30 texts of 1 groups labelled",
        ),
        (lambda lines: [*lines, "one,none,g"], "has 1 texts of 1 groups labelled 'none'"),
        (lambda lines: [*lines, '"one,none,g'], "line 62: unexpected end of data; correct the line"),
    ],
)
def test_files_that_cannot_be_used_are_one_sentence(tmp_path, change, match):
    path = written(tmp_path, [])
    path.write_text("".join(f"{line}\n" for line in change(list(labelled_lines()))), encoding="utf-8")
    with pytest.raises(UserError, match=f"^judges.sentiment.labelled: .*{match}") as caught:
        read_labelled("sentiment", path, LABELS)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(UserError, match="labelled: there is no file .*; correct the path"):
        read_labelled("sentiment", tmp_path / "none.csv", LABELS)
    (tmp_path / "latin.csv").write_bytes("text,label\ncafé,positive\n".encode("latin-1"))
    with pytest.raises(UserError, match="latin.csv can't be read .*; give a CSV file in UTF-8"):
        read_labelled("sentiment", tmp_path / "latin.csv", LABELS)


def test_one_label_takes_texts_without_it(tmp_path):
    lines = list(labelled_lines(labels=("toxicity", "toxicity")))
    with pytest.raises(UserError, match="has 0 texts of 0 groups labelled 'none'"):
        read_labelled("toxicity", written(tmp_path, lines), ("toxicity",))


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def clusters(n=120, d=8, labels=LABELS, spread=0.3, seed=0):
    """Unit vectors about one centre a label, three texts a group."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(len(labels), d)))
    y = np.arange(n) % len(labels)
    x = unit(centres[y] + spread * rng.normal(size=(n, d)))
    return x, Labelled([f"t{n}" for n in range(n)], [labels[k] for k in y], [f"g{k // 3}" for k in range(n)])


@pytest.mark.parametrize("labels", [LABELS, ("a", "b", "c"), ("negative", "positive", "none")])
def test_a_head_is_the_optimum_and_survives_its_file(labels):
    x, labelled = clusters(labels=labels)
    names = heads.names_of(labelled, [label for label in labels if label != "none"])
    head = heads.fit(x, labelled.labels, labelled.groups, names)
    p = head.probabilities(x)
    assert np.allclose(p.sum(axis=1), 1) and head.penalty in heads.PENALTIES
    # At the optimum the gradient of C·log-loss + ½‖w‖² is nought; with two labels scikit-learn penalises the
    # difference of the two lines, each of which is half of it.
    errors = p - np.eye(len(names))[[names.index(label) for label in labelled.labels]]
    share = 2.0 if len(names) == 2 else 1.0
    assert np.allclose(head.penalty * errors.T @ x + share * head.weights, 0, atol=1e-2)
    assert np.allclose(errors.sum(axis=0), 0, atol=1e-3)
    again = Head.from_json(json.loads(json.dumps(head.as_json())))
    assert np.allclose(again.probabilities(x), p, atol=1e-5) and again.labels == names
    assert heads.fit(x, labelled.labels, labelled.groups, names).as_json() == head.as_json()


def test_quality_is_of_groups_that_the_head_has_not_seen():
    x, labelled = clusters(spread=0.9)
    found = heads.quality(x, labelled, LABELS, PLAIN)
    assert found["accuracy"] > 0.7 and found["auroc"] > 0.8 and found["undecided"] == 0
    assert found["lower95"] < found["accuracy"] < found["upper95"]
    assert (found["n"], found["n_groups"], found["majority"]) == (120, 40, 0.5)
    # With a margin the rest is judged better.
    sure = heads.quality(x, labelled, LABELS, PLAIN | {"margin": 0.8})
    assert 0 < sure["undecided"] < 1 and sure["accuracy_decided"] >= found["accuracy"]


def test_what_only_groups_share_is_not_learnt():
    """Each group has one label and a direction of its own, by which rows of other folds aren't told apart."""
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(60, 200))
    labels = [LABELS[n % 2] for n in rng.permutation(60)]
    x = unit(np.repeat(directions, 4, axis=0) + 0.1 * rng.normal(size=(240, 200)))
    groups = np.repeat([f"g{n}" for n in range(60)], 4).tolist()
    labelled = Labelled([f"t{n}" for n in range(240)], np.repeat(labels, 4).tolist(), groups)
    honest = heads.quality(x, labelled, LABELS, PLAIN)
    leaky = heads.quality(x, Labelled(labelled.texts, labelled.labels, labelled.texts), LABELS, PLAIN)
    assert honest["auroc"] < 0.7 and leaky["auroc"] > 0.95


def test_texts_without_a_label_may_win_among_several_and_are_the_rest_of_one():
    x, labelled = clusters(labels=("negative", "positive", "none"), spread=0.1)
    found = heads.quality(x, labelled, LABELS, PLAIN)
    assert found["labels"] == "negative positive none" and found["accuracy"] > 0.95
    assert heads.scored(("negative", "positive", "none"), LABELS) == ("negative", "positive", "none")
    assert heads.scored(("toxicity", "none"), ("toxicity",)) == ("toxicity",)
    x, labelled = clusters(labels=("toxicity", "none"), spread=0.1)
    assert heads.quality(x, labelled, ("toxicity",), PLAIN)["accuracy"] > 0.95
    # No text has the label where none reaches the threshold.
    assert heads.quality(x, labelled, ("toxicity",), PLAIN | {"threshold": 1.0})["accuracy"] == 0.5


def test_a_head_of_another_encoder_or_task_is_refused(tmp_path):
    x, labelled = clusters()
    head = heads.fit(x, labelled.labels, labelled.groups, LABELS)
    path = tmp_path / "head.json"
    path.write_text(json.dumps({"head": head.as_json()}))
    assert heads.read_head("sentiment", path, 8, LABELS).labels == LABELS
    with pytest.raises(UserError, match="vectors of 8 numbers, but the task has .* and the encoder 9; give"):
        heads.read_head("sentiment", path, 9, LABELS)
    with pytest.raises(UserError, match="tells negative and positive apart .* the task has arts and food"):
        heads.read_head("topic", path, 8, ("arts", "food"))
    path.write_text("{}")
    with pytest.raises(UserError, match="holds no head; give a file that `snakemake judges` made"):
        heads.read_head("topic", path, 8, LABELS)
