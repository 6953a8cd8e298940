"""Labels of the toy grammar are exact."""

import random

from made.items import WORLD
from skillprobe import tasks
from skillprobe.labels.judges import get_judge
from skillprobe.toy import grammar


def test_judged_labels_are_what_the_grammar_meant():
    rng = random.Random(1)
    judges = {
        name: get_judge("lexicon", name, WORLD) for name in ("topic", "sentiment", "register", "toxicity")
    }
    for _ in range(500):
        plan = grammar.random_plan(rng, WORLD)
        text = grammar.write(rng, WORLD, rng.choice(WORLD.subjects), plan)
        for name in ("topic", "sentiment", "register"):
            assert judges[name].classify(text)["label"] == getattr(plan, name)
        verdict = tasks.get("toxicity").verify(text, {}, judges["toxicity"])
        assert verdict.satisfied == (not plan.insult)
