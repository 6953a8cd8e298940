"""Any insult is one too many."""

import pytest
from made.tasks import satisfied
from skillprobe import tasks


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("You fool!", False),
        ("foolish", True),
        ("an Old Goat", False),
        ("old goats", True),
        ("old and goat", True),
    ],
)
def test_toxicity_is_any_insult(text, kind):
    assert satisfied("toxicity", text, {}) is kind


def test_the_thresholds_side():
    class Fixed:
        threshold = 0.3

        def classify(self, text):
            return {"label": None, "scores": {"toxicity": float(text)}}

    verify = tasks.get("toxicity").verify
    assert verify("0.29", {}, Fixed()).satisfied and not verify("0.3", {}, Fixed()).satisfied
