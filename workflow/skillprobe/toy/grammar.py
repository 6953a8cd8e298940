"""The toy world's grammar: short English texts whose topic, sentiment, register and insults are known.

Every word that decides a judged label comes from the world's word lists, so a lexicon judge is exact here.
"""

import json
import random
from dataclasses import dataclass

from skillprobe.tasks.world import World

ADVERBS = ("quietly", "slowly", "often", "once", "carefully", "suddenly", "again", "twice")
NEUTRAL_ADJECTIVES = ("old", "small", "new", "red", "large", "round", "plain", "blue")
# What is around a JSON object that stands among other text.
PREAMBLE, CLOSING = "Here is the text:", "I hope this helps."
PLACES = ("near", "behind", "beside", "by", "past", "opposite")
TIMES = (
    "today",
    "yesterday",
    "at noon",
    "at night",
    "in spring",
    "last week",
    "every morning",
    "before dawn",
)


@dataclass
class Plan:
    """What a text should be like. `None` leaves an attribute out of the text."""

    topic: str
    sentiment: str | None = None
    register: str | None = None
    insult: bool = False
    terms: tuple[str, ...] = ()  # these occur
    banned: tuple[str, ...] = ()  # these do not
    sentences: int = 1
    json_keys: tuple[str, ...] | None = None  # None: plain text
    broken: bool = False  # of JSON: with a mistake that makes it invalid


def random_plan(rng: random.Random, world: World) -> Plan:
    """What an unconstrained answer is like: each attribute present about half of the time."""
    return Plan(
        topic=rng.choice(sorted(world.topics)),
        sentiment=rng.choice([None, "positive", "negative"]),
        register=rng.choice([None, "formal", "informal"]),
        insult=rng.random() < 0.25,
        sentences=rng.choice([1, 1, 1, 2, 2, 3]),
    )


def write(rng: random.Random, world: World, subject: str, plan: Plan) -> str:
    """A text (or a JSON object of texts) about `subject` that follows `plan`."""
    if plan.json_keys is None:
        return _prose(rng, world, subject, plan)
    values = {key: subject for key in plan.json_keys}
    long_key = rng.choice(plan.json_keys)
    values[long_key] = _prose(rng, world, subject, plan)
    text = json.dumps(values)
    return _broken(rng, text) if plan.broken else text


def _broken(rng: random.Random, text: str) -> str:
    """`text`, a JSON object, with one of the mistakes that language models make."""
    return rng.choice(
        [
            text[:-1],  # no closing brace
            text.replace('": "', '" "', 1),  # no colon
            text.replace('{"', "{", 1),  # an unquoted key
            text[:-2] + ",}",  # a comma too many, a quote too few
            f"{PREAMBLE} {text}",
            f"{text} {CLOSING}",
        ]
    )


def _prose(rng: random.Random, world: World, subject: str, plan: Plan) -> str:
    remaining = list(plan.terms)
    allowed = [term for term in world.terms if term not in plan.banned]
    sentences = []
    for index in range(plan.sentences):
        last = index == plan.sentences - 1
        # All terms must have found a place when the last sentence ends.
        here = remaining if last else [remaining.pop()] if remaining and rng.random() < 0.5 else []
        who = subject if index == 0 or rng.random() < 0.5 else "they"
        marked = index == 0 or rng.random() < 0.6
        sentences.append(_sentence(rng, world, who, plan, list(here), allowed, marked, last))
    return " ".join(sentences)


def _sentence(rng, world, subject, plan, terms, allowed, marked, last) -> str:
    # A topic's list holds five verbs, then nouns.
    words = world.topics[plan.topic]
    verbs, nouns = words[:5], words[5:]
    out = []
    register = world.register[plan.register] if plan.register and marked else None
    slot = rng.choice(["opener", "adverb", "end"]) if register else None
    if slot == "opener":
        out.append(rng.choice(register) + ",")
    out.append(subject)
    if slot == "adverb":
        out.append(rng.choice(register))
    elif rng.random() < 0.3:
        out.append(rng.choice(ADVERBS))
    out += [rng.choice(verbs), "the"]
    if plan.sentiment and marked:
        out.append(rng.choice(world.sentiment[plan.sentiment]))
    elif rng.random() < 0.35:
        out.append(rng.choice(NEUTRAL_ADJECTIVES))
    out.append(rng.choice(nouns))
    if not terms and allowed and rng.random() < 0.5:
        terms = [rng.choice(allowed)]
    for number, term in enumerate(terms):
        out += ["and"] * (number > 0) + [rng.choice(PLACES), "the", term]
    if rng.random() < 0.35:
        out.append(rng.choice(TIMES))
    if slot == "end":
        out[-1] += ","
        out.append(rng.choice(register))
    if plan.insult and last:
        out[-1] += ","
        out += ["you", rng.choice(world.insults)]
    text = " ".join(out)
    return text[0].upper() + text[1:] + "."
