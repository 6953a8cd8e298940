"""Crossings: two constraints and two answers, each answer under both (docs/definitions.md, "Specificity")."""

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations

import numpy as np

from skillprobe.labels import judges
from skillprobe.labels.labelling import label_row
from skillprobe.labels.verdicts import is_undecided
from skillprobe.prompts.bases import base_number, seed_from
from skillprobe.prompts.items import allowed_phrasings, deal_phrasing
from skillprobe.prompts.own import crossable, key_of
from skillprobe.tasks import Phrasing, Task, render
from skillprobe.tasks.world import World, adapted

# The variants of rows of crossings/<model>/<task>/<shard>.jsonl.
CROSSED, WITHOUT = "counterfactual", "without_constraint"
_DRAWS = 40


def make_crossings(
    task: Task,
    world: World,
    items: Sequence[Mapping],
    labels: Sequence[Mapping],
    answers: Sequence[Mapping],
    judge,
    settings: Mapping,
    seed: int,
) -> list[dict]:
    """Rows of crossings/<model>/<task>/<shard>.jsonl: as those of labels, with more columns.

    items: the task's prompts, of the study's making or, with "own" in settings, of the user's (of which
    params are crossed with the prompts that they are given in); labels: of its own answers; answers:
    responses of all tasks to the same content requests, with those to the unconstrained prompts. judge:
    None, or what the task's `verify` takes.
    settings: "crossings" (how many a base, fewer where the answers give no more), and "own", or
    "instruction_types", "polarities" and the world's replaced lists (as the prompts').

    Variant "counterfactual": four rows a crossing (their "item"), of params c0, c1 and answers r0, r1 of one
    base. "asked" and "answered" say which; the row is satisfied where they are equal. Neither answer's text
    was sampled under c0 or c1. "one_relation" and "n_difference" (counts only, else None) tell whether c0 and
    c1 have the same relation, and how far apart their numbers are; every second crossing of a base, from its
    first on, prefers one relation, then numbers that are near.

    Variant "without_constraint": own answers, one satisfied and one violated of each item if there are, with
    the unconstrained prompt; "answer_from" is the id of the answer's own row. (The answers of
    crossings would tell nothing there: each is once satisfied and once violated.)

    Truncated answers are left out, and those that the judge leaves undecided.
    """
    judges.prepare(judge, [answer["response"] for answer in answers])
    own = "own" in settings
    world = world if own else adapted(world, settings)
    allowed = {} if own else allowed_phrasings(task, settings)
    of_base: dict[str, list[Mapping]] = {}
    for item in items:
        of_base.setdefault(item["base"], []).append(item)
    by_item = {item["item"]: item for item in items}
    whole: dict[str, list[Mapping]] = {}
    for answer in answers:
        if not (answer["truncated"] or is_undecided(judge, answer["response"])):
            whole.setdefault(answer["base"], []).append(answer)
    rows = []
    for base, asked in of_base.items():
        rng = random.Random(seed_from("crossings", seed, task.name, base))
        prompts = crossable(asked) if own else {}
        sampled = [item["params"] for item in prompts.values()]
        if not own:
            sampled = [task.sample_params(rng, world) for _ in range(_DRAWS)]
        draws = {key_of(params): params for params in sampled}
        found = _cross(task, draws, whole.get(base, []), by_item, judge, settings["crossings"], rng)
        for number, (params, chosen) in enumerate(found):
            if own:
                worded = [prompts[key_of(each)] for each in params]
            else:
                phrasing = deal_phrasing(allowed, base_number(base), ("crossing", seed, task.name, number))
                worded = [_worded(task, phrasing, asked[0], each) for each in params]
            rows += _crossed_rows(task, f"{task.name}/{base}/x{number}", worded, params, chosen, judge)
    return rows + list(_without_constraint(labels, by_item))


def can_cross(task: Task, world: World) -> bool:
    """Whether the task has two constraints to cross. world: with the lists that the config gives."""
    rng = random.Random(seed_from("crossings", task.name))
    first = task.sample_params(rng, world)
    return any(task.sample_params(rng, world) != first for _ in range(_DRAWS))


def _cross(
    task: Task,
    draws: Mapping[str, dict],
    answers: Sequence[Mapping],
    items: Mapping[str, Mapping],
    judge,
    most: int,
    rng: random.Random,
) -> Iterator[tuple[tuple[dict, dict], tuple[Mapping, Mapping]]]:
    """Params and answers of up to `most` crossings of a base, none of which has an answer of another, nor
    params while there are others."""
    texts: dict[str, Mapping] = {}
    under: dict[str, set[str]] = {}
    for answer in answers:
        text = answer["response"]
        texts.setdefault(text, answer)
        # Items of other tasks are not among these: no answer to them was sampled under this constraint.
        if answer["variant"] == "constrained" and answer["item"] in items:
            under.setdefault(text, set()).add(key_of(items[answer["item"]]["params"]))
    whole = list(texts.values())

    # Most draws are never needed.
    @cache
    def satisfied(key: str) -> np.ndarray:
        return np.array([task.verify(text, draws[key], judge).satisfied for text in texts], bool)

    @cache
    def sampled(key: str) -> np.ndarray:
        return np.array([key in under.get(text, ()) for text in texts], bool)

    pairs = list(combinations(draws, 2))
    rng.shuffle(pairs)
    alike = sorted(pairs, key=lambda pair: _unlike(*map(draws.get, pair)))
    spent, used = np.zeros(len(texts), bool), set()
    for number in range(most):
        # Of different relations, which numbers were asked hardly matters: half have one relation.
        order = pairs if number % 2 else alike
        for first, second in sorted(order, key=lambda pair: len(used.intersection(pair))):
            free = ~(spent | sampled(first) | sampled(second))
            fitting = [
                np.flatnonzero(free & satisfied(own) & ~satisfied(other))
                for own, other in ((first, second), (second, first))
            ]
            if all(map(len, fitting)):
                chosen = [rng.choice(places.tolist()) for places in fitting]
                spent[chosen] = True
                used |= {first, second}
                yield (draws[first], draws[second]), tuple(whole[place] for place in chosen)
                break
        else:
            return


def _unlike(first: Mapping, second: Mapping) -> tuple[bool, int]:
    one_relation, difference = _counts(first, second)
    return not one_relation, difference or 0


def _counts(first: Mapping, second: Mapping) -> tuple[bool | None, int | None]:
    # Tasks of users may mean something else by these names, and draw params of several forms.
    for params in (first, second):
        if "relation" not in params or type(params.get("n")) not in (int, float):
            return None, None
    return first["relation"] == second["relation"], abs(first["n"] - second["n"])


def _worded(task: Task, phrasing: Phrasing, item: Mapping, params: Mapping) -> dict:
    """The prompt of an item under other params, in a phrasing."""
    return {
        "prompt": render(task, phrasing, item["request"], item["subject"], params),
        "instruction_type": phrasing.instruction_type,
        "polarity": phrasing.polarity,
        "phrasing": phrasing.id,
    }


def _crossed_rows(task, name, worded, params, chosen, judge) -> Iterator[dict]:
    """worded: of each of the two params, its prompt and wording."""
    one_relation, difference = _counts(*params)
    for answered, answer in enumerate(chosen):
        for asked, constraint in enumerate(params):
            own = {"id": f"{name}/{CROSSED}/{asked}{answered}", "item": name, "variant": CROSSED}
            verdict = task.verify(answer["response"], constraint, judge)
            yield label_row({**answer, **own}, constraint, verdict, worded[asked]) | {
                "asked": asked,
                "answered": answered,
                "answer_from": answer["id"],
                "one_relation": one_relation,
                "n_difference": difference,
            }


def _without_constraint(labels: Sequence[Mapping], items: Mapping[str, Mapping]) -> Iterator[dict]:
    dealt = set()
    for row in labels:
        outcome = row["item"], row["satisfied"]
        if row["variant"] != "constrained" or row["truncated"] or outcome in dealt:
            continue
        if items[row["item"]]["unconstrained_prompt"] is None:
            continue
        dealt.add(outcome)
        name = "satisfied" if row["satisfied"] else "violated"
        changed = {
            "id": f"{row['item']}/{WITHOUT}/{name}",
            "variant": WITHOUT,
            "prompt": items[row["item"]]["unconstrained_prompt"],
            "answer_from": row["id"],
        }
        yield {**row, **changed}
