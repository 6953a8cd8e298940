"""Lexicon judges: the strictly most frequent label, and only for controlled language."""

import pytest
from hypothesis import strategies as st
from made.tasks import JUDGED, WORLD, given, judge_for
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels.judges import get_judge
from skillprobe.labels.lexicon import lexicon_judge
from skillprobe.tasks.world import load_world


def label_params(name, label):
    return {"label": label, "labels": sorted(getattr(WORLD, tasks.get(name).word_lists))}


@given(st.lists(st.sampled_from(["Bread", "soup", "song", "ball", "breads", "the", "songs."]), max_size=8))
def test_the_strictly_most_frequent_label_wins(words):
    counts = {"food": 0, "music": 0, "sports": 0}
    for word in words:
        label = {"Bread": "food", "soup": "food", "song": "music", "ball": "sports"}.get(word)
        if label:
            counts[label] += 1
    best = [label for label in counts if counts[label] == max(counts.values()) > 0]
    verdicts = {}
    for label in counts:
        verdict = tasks.get("topic").verify(
            ", ".join(words), label_params("topic", label), judge_for("topic")
        )
        verdicts[label] = verdict.satisfied
        assert verdict.evidence["scores"] in ({}, counts)
    assert verdicts == {label: best == [label] for label in counts}


def test_lexicon_judges_only_for_controlled_language_and_judged_tasks():
    for name in JUDGED:
        with pytest.raises(UserError, match=f"free text.*'{name}'"):
            lexicon_judge(name, load_world("general"))
    with pytest.raises(UserError, match="'word_count' needs no judge"):
        lexicon_judge("word_count", WORLD)
    with pytest.raises(UserError, match="no judge 'oracle'.*lexicon"):
        get_judge("oracle", "topic", WORLD)
    with pytest.raises(UserError, match="no setting 'threshold'"):
        get_judge("lexicon", "topic", WORLD, {"threshold": 1})
