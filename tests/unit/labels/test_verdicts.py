"""The label of the best score, and answers that are too close to call."""

from pathlib import Path

import pytest
from skillprobe.labels.verdicts import by_turns, decided, is_undecided, verdict

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("scores", "threshold", "label", "distance"),
    [
        ({"a": 0.5, "b": 0.3, "c": 0.2}, 0.0, "a", 0.2),
        # The threshold is nearer than the second.
        ({"a": 0.55, "b": 0.3, "c": 0.15}, 0.5, "a", 0.05),
        # Below the threshold the second plays no part.
        ({"a": 0.45, "b": 0.44}, 0.5, None, 0.05),
        ({"toxicity": 0.6}, 0.5, "toxicity", 0.1),
        ({"toxicity": 0.4}, 0.5, None, 0.1),
        ({"a": -0.1, "b": -0.3}, -1.0, "a", 0.2),
    ],
)
def test_a_text_is_undecided_within_the_margin_of_another_label(scores, threshold, label, distance):
    for margin in (0.0, distance - 0.01):
        assert verdict(scores, threshold, margin) == {"label": label, "scores": scores}
    found = verdict(scores, threshold, distance + 0.01)
    assert found == {"label": label, "scores": scores, "undecided": True}
    # A change of the scores by less than the margin does give another label.
    best = max(scores, key=scores.get)
    moved = {name: score - (distance + 0.005) * (name == best) for name, score in scores.items()}
    if label is None:
        moved = {name: score + (distance + 0.005) * (name == best) for name, score in scores.items()}
    assert verdict(moved, threshold)["label"] != label


def test_no_answer_is_undecided_without_a_judge_or_a_text():
    class Unsure:
        def classify(self, text):
            return verdict({"a": 0.5, "b": 0.5}, 0.0, 0.1)

    assert (
        is_undecided(Unsure(), "text") and not is_undecided(Unsure(), "") and not is_undecided(None, "text")
    )


def test_undecided_rows_are_neither_used_nor_shown():
    rows = [
        {"id": f"{n}", "variant": "constrained", "truncated": n == 5, "satisfied": n % 2 == 0, "prompt": "?"}
        for n in range(8)
    ]
    rows[3]["undecided"] = True
    assert [row["id"] for row in decided(rows)] == ["0", "1", "2", "4", "5", "6", "7"]
    shown = by_turns(rows, 10, seed=0)
    assert {row["id"] for row in shown} == {"0", "1", "2", "4", "6", "7"}
    assert [row["satisfied"] for row in shown] == [True, False, True, False, True, True]
    assert by_turns(rows[::-1], 10, seed=0) == shown and by_turns(rows, 1, seed=0) == shown[:1]
    # Activations may be given without texts.
    assert by_turns([{**row, "prompt": ""} for row in rows], 10, seed=0) == []


def test_every_job_that_reads_labels_leaves_undecided_answers_out():
    """But for those that count or show them, and the model card, whose judge has no margin."""
    known = {"summarise_compliance", "summarise_pilot", "write_examples"}
    for script in (ROOT / "workflow/scripts").glob("*.py"):
        text = script.read_text(encoding="utf-8")
        if "input.labels" in text:
            assert ("decided(" in text) != (script.stem in known), script.name
