"""Bases and items: which prompts a study asks, as a pure function of world, settings and seed.

Every draw has a random stream of its own, keyed by what it belongs to (seed, task, base, index). So another
task, more bases, or more items a base leave all existing prompts as they were.
"""

import random
from collections.abc import Mapping

from skillprobe.errors import UserError
from skillprobe.prompts.bases import base_id, group_id, seed_from
from skillprobe.tasks import Phrasing, Task, render
from skillprobe.tasks.world import World, adapted


def make_items(
    task: Task, world: World, settings: Mapping, seed: int, bases: range | None = None
) -> list[dict]:
    """Rows of prompts/<task>/<shard>.jsonl: for each of the bases, `items_per_base` items.

    bases: numbers from 0; None for the first settings["bases"]. settings: "items_per_base" (an int),
    "instruction_types" and "polarities" (lists of names), and the lists to use instead of the world's
    (`tasks.world.adapted`). Each row has the constrained prompt and its
    unconstrained one, and depends on no other base. Raises UserError where the world has too few bases or no
    phrasing of the task is left to use.
    """
    allowed = allowed_phrasings(task, settings)
    world = adapted(world, settings)
    contents = _contents(world)
    bases = range(settings["bases"]) if bases is None else bases
    if bases.stop > len(contents):
        raise UserError(
            f"prompts.bases is {bases.stop}, but world '{world.name}' has only {len(contents)} "
            "content requests (requests × subjects); lower prompts.bases or add requests or subjects "
            "to the world"
        )
    rows = []
    for number in bases:
        base = base_id(number)
        request, subject = contents[number]
        for index in range(settings["items_per_base"]):
            params = task.sample_params(
                random.Random(seed_from("params", seed, task.name, base, index)), world
            )
            phrasing = deal_phrasing(allowed, number, ("phrasing", seed, task.name, index))
            rows.append(
                {
                    "item": f"{task.name}/{base}/{index}",
                    "task": task.name,
                    "base": base,
                    # Subjects come round again only when all have been used.
                    "group": group_id(number % len(world.subjects)),
                    "subject": subject,
                    "request": request,
                    "params": params,
                    "phrasing": phrasing.id,
                    "instruction_type": phrasing.instruction_type,
                    "polarity": phrasing.polarity,
                    "prompt": render(task, phrasing, request, subject, params),
                    "unconstrained_prompt": request.replace("{subject}", subject),
                }
            )
    return rows


def allowed_phrasings(task: Task, settings: Mapping) -> dict[str, dict[str, list[Phrasing]]]:
    """The task's phrasings by instruction type and polarity, those that the settings allow and no empty
    groups. Raises UserError if nothing is left."""
    groups: dict[str, dict[str, list[Phrasing]]] = {}
    for phrasing in task.phrasings:
        kind, polarity = phrasing.instruction_type, phrasing.polarity
        if kind in settings["instruction_types"] and polarity in settings["polarities"]:
            groups.setdefault(kind, {}).setdefault(polarity, []).append(phrasing)
    if not groups:
        raise UserError(
            f"task '{task.name}' has no phrasing of instruction types {list(settings['instruction_types'])} "
            f"and polarities {list(settings['polarities'])}; allow more of them under prompts"
        )
    return groups


def deal_phrasing(groups: Mapping[str, Mapping[str, list[Phrasing]]], number: int, key: tuple) -> Phrasing:
    """The phrasing dealt to base `number`: never a function of params or labels.

    groups: as `allowed_phrasings` gives them; key: names the deal. Of T types, each block of T bases gets
    every type once, in a shuffled order; a type's polarities take turns from block to block, and so do the
    phrasings within. So types, polarities of a type and phrasings of a polarity are each balanced.
    """
    turn, place = divmod(number, len(groups))
    kinds = list(groups)
    random.Random(seed_from(*key, turn)).shuffle(kinds)
    kind = kinds[place]
    start = seed_from(*key, "start", kind) % 2**32
    round_, polarity = divmod(start + turn, len(groups[kind]))
    phrasings = list(groups[kind].values())[polarity]
    return phrasings[round_ % len(phrasings)]


def _contents(world: World) -> list[tuple[str, str]]:
    """All (request, subject) pairs: every subject once, in a hashed order, before any comes again with
    another request, so that the first few are already diverse."""
    subjects = sorted(world.subjects, key=lambda subject: seed_from("subject", world.name, subject))
    requests = [
        sorted(world.requests, key=lambda request: seed_from("request", world.name, subject, request))
        for subject in subjects
    ]
    return [pair for turn in zip(*requests, strict=True) for pair in zip(turn, subjects, strict=True)]
