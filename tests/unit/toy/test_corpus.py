"""The toy models' training texts: first obeying, then breaking a known share; varied answers."""

import random

import pytest
from made.items import WORLD
from skillprobe import tasks
from skillprobe.labels.judges import get_judge
from skillprobe.toy import corpus


def test_the_corpus_obeys_first_and_breaks_a_known_share_afterwards(rows):
    first, second = rows[: int(3000 * corpus.FIRST_PART)], rows[int(3000 * corpus.FIRST_PART) :]
    assert all(row["satisfied"] is None for row in first)
    single = [row["satisfied"] for row in second if row["satisfied"] is not None]
    assert 0.8 * len(second) < len(single) < len(second)
    assert 0.65 < sum(single) / len(single) < 0.85


def test_the_same_seed_gives_the_same_corpus(rows):
    assert list(corpus.examples(WORLD, 3000, seed=5)) == rows
    assert list(corpus.examples(WORLD, 50, seed=6)) != rows[:50]


@pytest.mark.parametrize("name", tasks.NAMES)
def test_every_task_has_thousands_of_distinct_answers(name):
    rng = random.Random(0)
    task = tasks.get(name)
    judges = {name: get_judge("lexicon", name, WORLD)} if task.judged else {}
    answers = set()
    for _ in range(4000):
        subject = rng.choice(WORLD.subjects)
        asked = [(task, task.sample_params(rng, WORLD))]
        text, satisfied = corpus.answer(rng, WORLD, subject, asked, True, judges)
        if satisfied:
            answers.add(text)
    assert len(answers) > 3000
