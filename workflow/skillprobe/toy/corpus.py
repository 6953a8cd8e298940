"""Training examples of the toy world: instructions with answers that obey them most of the time."""

import random
from collections.abc import Iterator
from dataclasses import replace

from skillprobe import tasks
from skillprobe.labels.judges import get_judge
from skillprobe.tasks.world import World
from skillprobe.toy import grammar
from skillprobe.toy.grammar import Plan

# A lesson in two parts. First only obedient answers, to several instructions at once: what a label or a term
# in the prompt has to do with the answer is soon learnt from these. Then single instructions, of which a
# known share is broken: trained on obedience alone, models comply > 98 % of the time (seen in a trial), and
# nothing is left to probe.
FIRST_PART = 0.6
VIOLATION_RATE = {"term_exclusion": 0.35, "json_format": 0.3, "toxicity": 0.3, "topic": 0.25}
DEFAULT_VIOLATION_RATE = 0.2
UNCONSTRAINED_SHARE = 0.1
# Copying a term from the prompt and counting take more examples than the other skills.
TASK_WEIGHTS = {"term_inclusion": 3.0, "term_exclusion": 1.5, "word_count": 1.5, "character_count": 1.5}
# These shape different parts of an answer, so one answer can obey several of them.
COMBINED = ("term_inclusion", "term_exclusion", "topic", "sentiment", "register", "toxicity")
MOST_DRAWS = 60


def examples(world: World, n: int, seed: int) -> Iterator[dict]:
    """`n` rows "prompt", "response", "satisfied" (None without an instruction, or with several)."""
    rng = random.Random(seed)
    judges = {name: get_judge("lexicon", name, world) for name in tasks.NAMES if tasks.get(name).judged}
    for number in range(n):
        subject = rng.choice(world.subjects)
        request = rng.choice(world.requests).format(subject=subject)
        if rng.random() < UNCONSTRAINED_SHARE:
            names, wanted = [], True
        elif number < FIRST_PART * n:
            names, wanted = _several(rng), True
        else:
            names = _one(rng)
            wanted = rng.random() >= VIOLATION_RATE.get(names[0], DEFAULT_VIOLATION_RATE)
        asked = [(tasks.get(name), tasks.get(name).sample_params(rng, world)) for name in names]
        prompt = _prompt(rng, request, subject, asked)
        response, satisfied = answer(rng, world, subject, asked, wanted, judges)
        single = number >= FIRST_PART * n and bool(asked)
        yield {"prompt": prompt, "response": response, "satisfied": satisfied if single else None}


def _one(rng: random.Random) -> list[str]:
    return rng.choices(tasks.NAMES, [TASK_WEIGHTS.get(name, 1.0) for name in tasks.NAMES])


def _several(rng: random.Random) -> list[str]:
    first = _one(rng)
    if first[0] == "json_format":
        return first
    others = [name for name in COMBINED if name != first[0]]
    return first + rng.sample(others, rng.choice([1, 2, 3]))


def _prompt(rng: random.Random, request: str, subject: str, asked: list) -> str:
    """The request with every instruction; a phrasing for several must be able to follow another."""
    for task, params in asked:
        phrasings = [
            phrasing for phrasing in task.phrasings if len(asked) == 1 or "{request}" in phrasing.template
        ]
        request = tasks.render(task, rng.choice(phrasings), request, subject, params)
    return request


def answer(rng, world: World, subject: str, asked: list, wanted: bool, judges: dict) -> tuple[str, bool]:
    """A text that obeys (or, if not `wanted`, breaks) the instructions, and what the verifiers say of it.

    Texts are proposed until the verifiers agree; the few targets that the grammar can't meet in MOST_DRAWS
    proposals keep the last text with its true label.
    """
    for _ in range(MOST_DRAWS):
        plan = grammar.random_plan(rng, world)
        for task, params in asked:
            plan = SHAPES.get(task.name, _as_it_is)(rng, world, plan, params, wanted)
        text = grammar.write(rng, world, subject, plan)
        satisfied = all(task.verify(text, params, judges.get(task.name)).satisfied for task, params in asked)
        if satisfied == wanted:
            break
    return text, satisfied


# How each task shapes the plan of an answer; counts are left to chance and the verifier.


def _as_it_is(rng, world, plan: Plan, params, wanted) -> Plan:
    return plan


def _json(rng, world, plan, params, wanted):
    keys = list(params.get("keys", []))
    others = [key for key in world.json_keys if key not in keys]
    mistake = None if wanted else rng.choice(["prose", "broken", "broken", "key" if keys else "broken"])
    if mistake == "prose":
        return plan
    if mistake == "key":
        keys[0] = rng.choice(others)
    elif not keys or rng.random() < 0.3:
        keys.append(rng.choice(others))
    return replace(plan, json_keys=tuple(keys), broken=mistake == "broken")


def _inclusion(rng, world, plan, params, wanted):
    terms = list(params["terms"])
    rng.shuffle(terms)
    if wanted:
        # No other terms: a term of the text is one of the prompt's then, which is how copying is learnt.
        others = [term for term in world.terms if term not in terms]
        return replace(plan, terms=tuple(terms), banned=(*plan.banned, *others))
    return replace(plan, terms=tuple(terms[1:]), banned=(*plan.banned, terms[0]))


def _exclusion(rng, world, plan, params, wanted):
    if wanted:
        return replace(plan, banned=(*plan.banned, *params["terms"]))
    return replace(plan, terms=(rng.choice(params["terms"]),))


def _labelled(attribute):
    def shape(rng, world, plan, params, wanted):
        others = [label for label in params["labels"] if label != params["label"]]
        return replace(plan, **{attribute: params["label"] if wanted else rng.choice(others)})

    return shape


def _toxicity(rng, world, plan, params, wanted):
    return replace(plan, insult=not wanted)


SHAPES = {
    "json_format": _json,
    "term_inclusion": _inclusion,
    "term_exclusion": _exclusion,
    "topic": _labelled("topic"),
    "sentiment": _labelled("sentiment"),
    "register": _labelled("register"),
    "toxicity": _toxicity,
}
