"""A small world, texts of every kind, and what tasks say of them."""

import random

import hypothesis
from hypothesis import settings
from hypothesis import strategies as st
from skillprobe import tasks
from skillprobe.labels.lexicon import lexicon_judge
from skillprobe.tasks.world import make_world

WORLD_DATA = {
    "name": "test",
    "controlled": True,
    "requests": ["Write about {subject}.", "Tell me of {subject}."],
    "subjects": ["the teacher", "an artist"],
    "word_targets": [1, 5, 12],
    "character_targets": [1, 40],
    "terms": ["river", "art", "New York"],
    "json_keys": ["text", "title"],
    "topics": {"food": ["bread", "soup"], "music": ["song"], "sports": ["ball"]},
    "sentiment": {"positive": ["lovely"], "negative": ["awful"]},
    "register": {"formal": ["moreover"], "informal": ["hey"]},
    "insults": ["fool", "old goat"],
}
WORLD = make_world(WORLD_DATA)
JUDGED = ("topic", "sentiment", "register", "toxicity")
EXAMPLES = 60
any_text = st.text(st.characters())  # lone surrogates included
# Few characters, chosen so that words, boundaries and metacharacters meet often.
knotty_text = st.text("ab1.,-_' ’\u2011\u00a0+*(\\\n", max_size=12)
accented = st.text("eéEßsS\u0301\u0323ıİı ", max_size=8)


def given(*strategies, **named):
    """hypothesis.given: the same examples every time, and no limit on the time of one (cores are shared)."""
    quick = settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
    return lambda test: quick(hypothesis.given(*strategies, **named)(test))


class Steady:
    """A judge of a task without word lists: the same text always has the same one of its labels."""

    threshold = 0.5

    def __init__(self, labels):
        self.labels = labels

    def classify(self, text):
        chosen = self.labels[len(text) % len(self.labels)]
        return {"label": chosen, "scores": {label: float(label == chosen) for label in self.labels}}


def judge_for(name):
    task = tasks.get(name)
    if not task.judged:
        return None
    return lexicon_judge(name, WORLD) if task.words_in(WORLD) else Steady(task.labels_in(WORLD))


def satisfied(name, text, params):
    return tasks.get(name).verify(text, params, judge_for(name)).satisfied


def count(name, text, **option):
    return tasks.get(name).verify(text, {"relation": "exactly", "n": 0, **option}).evidence["count"]


def sampled(name, seed, world=WORLD):
    return tasks.get(name).sample_params(random.Random(seed), world)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
