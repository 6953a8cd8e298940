"""Training examples of the toy world: instructions with answers that obey them most of the time."""

import dataclasses
import random
from collections.abc import Iterator

from skillprobe import tasks
from skillprobe.judges import get_judge
from skillprobe.tasks import Task
from skillprobe.tasks.world import World
from skillprobe.toy import grammar

# Seen in trials: trained on perfect data, models comply > 98 % of the time and nothing is left to probe.
VIOLATION_RATE = {"term_exclusion": 0.35, "json_format": 0.3, "toxicity": 0.25, "topic": 0.25}
DEFAULT_VIOLATION_RATE = 0.2
# The first examples all obey: what a label or a term has to do with the answer is soon learnt from them.
OBEDIENT_SHARE = 0.5
UNCONSTRAINED_SHARE = 0.1
# Copying a term from the prompt and counting take more examples than the other skills.
TASK_WEIGHTS = {"term_inclusion": 2.5, "term_exclusion": 1.5, "word_count": 1.5, "character_count": 1.5}
MOST_DRAWS = 60


def examples(world: World, n: int, seed: int) -> Iterator[dict]:
    """`n` rows "task", "prompt", "response", "satisfied"; task and satisfied are None without instruction."""
    rng = random.Random(seed)
    names = list(tasks.NAMES)
    weights = [TASK_WEIGHTS.get(name, 1.0) for name in names]
    judges = {name: get_judge("lexicon", name, world) for name in names if tasks.get(name).judged}
    for number in range(n):
        subject = rng.choice(world.subjects)
        request = rng.choice(world.requests).format(subject=subject)
        if rng.random() < UNCONSTRAINED_SHARE:
            response = grammar.write(rng, world, subject, grammar.random_plan(rng, world))
            yield {"task": None, "prompt": request, "response": response, "satisfied": None}
            continue
        task = tasks.get(rng.choices(names, weights)[0])
        params = task.sample_params(rng, world)
        wanted = number < OBEDIENT_SHARE * n or rng.random() >= VIOLATION_RATE.get(
            task.name, DEFAULT_VIOLATION_RATE
        )
        response, satisfied = answer(rng, world, task, params, subject, wanted, judges.get(task.name))
        prompt = tasks.render(task, rng.choice(task.phrasings), request, subject, params)
        yield {"task": task.name, "prompt": prompt, "response": response, "satisfied": satisfied}


def answer(
    rng, world: World, task: Task, params: dict, subject: str, wanted: bool, judge
) -> tuple[str, bool]:
    """A text that obeys (or, if not `wanted`, breaks) the constraint, and what the verifier says of it.

    Texts are proposed until the verifier agrees; the few targets that the grammar can't meet in
    MOST_DRAWS proposals keep the last text with its true label.
    """
    propose = PROPOSALS.get(task.name, _propose_any)
    for _ in range(MOST_DRAWS):
        text = propose(rng, world, params, subject, wanted)
        satisfied = task.verify(text, params, judge).satisfied
        if satisfied == wanted:
            break
    return text, satisfied


def _propose_any(rng, world, params, subject, wanted):
    return grammar.write(rng, world, subject, grammar.random_plan(rng, world))


def _propose_json(rng, world, params, subject, wanted):
    plan = grammar.random_plan(rng, world)
    keys = list(params.get("keys", []))
    others = [key for key in world.json_keys if key not in keys]
    if not wanted and keys and rng.random() < 0.5:
        keys = keys[1:]  # well-formed, a key missing
        return grammar.write(
            rng, world, subject, dataclasses.replace(plan, json_keys=(*keys, rng.choice(others)))
        )
    if not keys or rng.random() < 0.3:
        keys.append(rng.choice(others))
    if not wanted and rng.random() < 0.25:
        return grammar.write(rng, world, subject, plan)  # plain text
    text = grammar.write(rng, world, subject, dataclasses.replace(plan, json_keys=tuple(keys)))
    return text if wanted else grammar.break_json(rng, text)


def _propose_inclusion(rng, world, params, subject, wanted):
    terms = list(params["terms"])
    rng.shuffle(terms)
    plan = grammar.random_plan(rng, world)
    if wanted:
        return grammar.write(rng, world, subject, dataclasses.replace(plan, terms=tuple(terms)))
    kept = tuple(terms[1:]) if rng.random() < 0.5 else ()
    return grammar.write(rng, world, subject, dataclasses.replace(plan, terms=kept, banned=tuple(terms)))


def _propose_exclusion(rng, world, params, subject, wanted):
    plan = grammar.random_plan(rng, world)
    if wanted:
        return grammar.write(rng, world, subject, dataclasses.replace(plan, banned=tuple(params["terms"])))
    return grammar.write(rng, world, subject, dataclasses.replace(plan, terms=(rng.choice(params["terms"]),)))


def _propose_label(attribute):
    def propose(rng, world, params, subject, wanted):
        plan = grammar.random_plan(rng, world)
        others = [label for label in params["labels"] if label != params["label"]]
        label = params["label"] if wanted else rng.choice(others)
        return grammar.write(rng, world, subject, dataclasses.replace(plan, **{attribute: label}))

    return propose


def _propose_toxicity(rng, world, params, subject, wanted):
    plan = grammar.random_plan(rng, world)
    return grammar.write(rng, world, subject, dataclasses.replace(plan, insult=not wanted))


PROPOSALS = {
    "json_format": _propose_json,
    "term_inclusion": _propose_inclusion,
    "term_exclusion": _propose_exclusion,
    "topic": _propose_label("topic"),
    "sentiment": _propose_label("sentiment"),
    "register": _propose_label("register"),
    "toxicity": _propose_toxicity,
}
