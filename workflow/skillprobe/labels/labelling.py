"""Labels by verification of the model's own answers (docs/definitions.md, "Rows and groups")."""

from collections.abc import Mapping, Sequence

from skillprobe.errors import UserError
from skillprobe.labels import judges
from skillprobe.labels.verdicts import is_undecided
from skillprobe.tasks import Task

PHRASING = ("instruction_type", "polarity", "phrasing")


def label_rows(task: Task, items: Sequence[Mapping], responses: Sequence[Mapping], judge) -> list[dict]:
    """Rows of labels/<model>/<task>/<shard>.jsonl, one for each response.

    A response to an unconstrained prompt is verified with its item's params. judge: None, or what the task's
    `verify` takes. Raises UserError for responses without an item.
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
        prompt = item | {"prompt": response["prompt"]}
        # Asked of the judge: a user's task may keep other evidence than what the judge says.
        undecided = is_undecided(judge, response["response"])
        rows.append(label_row(response, item["params"], verdict, prompt, undecided))
    return rows


def label_row(response: Mapping, params: dict, verdict, prompt: Mapping, undecided: bool = False) -> dict:
    """One row; prompt: what the answer is of, its text and wording; undecided: whether the judge leaves it
    open."""
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
        **({"undecided": True} if undecided else {}),
        **({"thinking": response["thinking"]} if "thinking" in response else {}),
        **{name: prompt[name] for name in PHRASING},
    }
