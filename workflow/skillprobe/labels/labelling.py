"""Labels by verification: of the model's own answers, and of counterfactual crossings (ESTIMANDS)."""

import json
import random
from collections.abc import Mapping, Sequence
from itertools import combinations

from skillprobe.errors import UserError
from skillprobe.labels import judges
from skillprobe.prompts.bases import base_number, seed_from
from skillprobe.prompts.items import allowed_phrasings, deal_phrasing
from skillprobe.tasks import Task, render
from skillprobe.tasks.world import World

_DRAWS = 40
_PHRASING = ("instruction_type", "polarity", "phrasing")


def label_rows(
    task: Task,
    world: World,
    items: Sequence[Mapping],
    responses: Sequence[Mapping],
    judge,
    settings: Mapping,
    seed: int,
) -> list[dict]:
    """Rows of labels/<model>/<task>/<shard>.jsonl: one for each response, then the counterfactual ones.

    An unconstrained twin's response is verified with its item's params. settings: "crossings" (2×2 crossings
    a base, 0 for none, fewer where the responses give no more), "instruction_types" and "polarities" (as the
    prompts'). judge: None, or what the task's `verify` takes. Raises UserError for responses without an item.
    """
    by_id = {item["item"]: item for item in items}
    judges.prepare(judge, [response["response"] for response in responses])
    rows = []
    for response in responses:
        item = by_id.get(response["item"])
        if item is None:
            raise UserError(
                f"task '{task.name}': response '{response['id']}' belongs to none of the prompts; "
                "delete the responses and run again"
            )
        verdict = task.verify(response["response"], item["params"], judge)
        rows.append(_row(response, item["params"], verdict, item | {"prompt": response["prompt"]}))
    if settings["crossings"]:
        for base in dict.fromkeys(item["base"] for item in items):
            own = [
                response for response in responses if response["base"] == base and not response["truncated"]
            ]
            rows += _counterfactual_rows(task, world, base, by_id, own, judge, settings, seed)
    return rows


def _counterfactual_rows(task, world, base, items, responses, judge, settings, seed) -> list[dict]:
    """Up to `crossings` times four rows: params c1, c2 crossed with responses r1, r2, of which each satisfies
    its own params and violates the other's, and none was sampled under a prompt with c1 or c2."""
    rng = random.Random(seed_from("crossings", seed, task.name, base))
    draws = {_key(params): params for params in (task.sample_params(rng, world) for _ in range(_DRAWS))}
    known: dict[tuple[str, str], object] = {}

    def verify(response: Mapping, key: str):
        place = response["response"], key
        if place not in known:
            known[place] = task.verify(response["response"], draws[key], judge)
        return known[place]

    def sampled_under(response: Mapping) -> str | None:
        constrained = response["variant"] == "constrained"
        return _key(items[response["item"]]["params"]) if constrained else None

    rows: list[dict] = []
    used: set[str] = set()
    for first, second in combinations(draws, 2):
        if len(rows) == 4 * settings["crossings"]:
            break
        if used & {first, second}:
            continue
        others = [response for response in responses if sampled_under(response) not in (first, second)]
        chosen = []
        for own, other in ((first, second), (second, first)):
            fitting = [r for r in others if verify(r, own).satisfied and not verify(r, other).satisfied]
            chosen.append(rng.choice(fitting) if fitting else None)
        if None in chosen:
            continue
        used |= {first, second}
        number = len(rows) // 4
        deal = ("crossing", seed, task.name, number)
        phrasing = deal_phrasing(allowed_phrasings(task, settings), base_number(base), deal)
        content = items[chosen[0]["item"]]
        for index, (response, key) in enumerate((r, key) for r in chosen for key in (first, second)):
            params = draws[key]
            item = f"{task.name}/{base}/x{number}"
            row = response | {
                "id": f"{item}/counterfactual/{index}",
                "item": item,
                "variant": "counterfactual",
            }
            prompt = {
                "prompt": render(task, phrasing, content["request"], content["subject"], params),
                "instruction_type": phrasing.instruction_type,
                "polarity": phrasing.polarity,
                "phrasing": phrasing.id,
            }
            rows.append(_row(row, params, verify(response, key), prompt))
    return rows


def _row(response: Mapping, params: dict, verdict, prompt: Mapping) -> dict:
    return {
        "id": response["id"],
        "item": response["item"],
        "base": response["base"],
        "group": response["group"],
        "variant": response["variant"],
        "satisfied": verdict.satisfied,
        "truncated": response["truncated"],
        "params": params,
        "evidence": verdict.evidence,
        "prompt": prompt["prompt"],
        "response": response["response"],
        "token_ids": response["token_ids"],
        **{name: prompt[name] for name in _PHRASING},
    }


def _key(params: dict) -> str:
    return json.dumps(params, sort_keys=True)
