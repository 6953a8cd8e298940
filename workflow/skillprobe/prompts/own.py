"""Prompts from a file of the user's own (docs/own_data.md), checked line by line, as items of a study."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skillprobe import tasks
from skillprobe.errors import UserError, suggestion
from skillprobe.prompts.bases import base_id, base_number, group_id
from skillprobe.storage.files import user_lines
from skillprobe.tasks.base import INSTRUCTION_TYPES, POLARITIES, shown

REQUIRED = ("task", "params", "prompt")
WORDING = ("phrasing", "instruction_type", "polarity")
FIELDS = (*REQUIRED, "unconstrained_prompt", "subject", "group", "id", *WORDING)
_CHOICES = {"instruction_type": INSTRUCTION_TYPES, "polarity": POLARITIES}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What a study's own phrasings have names of, and these prompts may not.
UNNAMED = {"phrasing": "own", "instruction_type": "", "polarity": ""}


@dataclass(frozen=True)
class OwnPrompts:
    """items: rows of prompts/<task>/<shard>.jsonl, of all tasks, in the order of the file; lines: the line of
    each, from 1."""

    items: list[dict]
    lines: list[int]

    def of(self, task: str, bases: Sequence[int] | None = None) -> list[dict]:
        """The items of a task; bases: [first, one past the last] of the content requests, None for all."""
        return [
            item
            for item in self.items
            if item["task"] == task and (bases is None or bases[0] <= base_number(item["base"]) < bases[1])
        ]


def read_own(path: str | Path) -> OwnPrompts:
    """The prompts of a file. Raises UserError, with file and line, for the first line that can't be used.

    A line's group is its `subject` (or `group`), else that of a line above with the same prompt, else its
    unconstrained prompt, else its prompt. Groups are
    numbered in the order in which they first occur, and so are content requests: a group's lines with one
    unconstrained prompt, or without any. So lines that are appended leave the others as they are.
    """
    items, lines = [], []
    groups: dict[str, int] = {}
    bases: dict[tuple, int] = {}
    counts: dict[tuple, int] = {}
    ids: dict[str, int] = {}
    subjects: dict[str, tuple[str, int]] = {}
    worded: dict[str, tuple[set[str], int]] = {}
    for number, row in user_lines(path, _check_row):
        where = f"{path}, line {number}"
        task, plain = row["task"], row.get("unconstrained_prompt")
        given = row.get("subject", row.get("group"))
        texts = [text for text in (plain, row["prompt"]) if text is not None]
        before = next((subjects[text][0] for text in texts if text in subjects), texts[0])
        subject = before if given is None else str(given)
        for text in texts:
            said, before = subjects.setdefault(text, (subject, number))
            if said != subject:
                raise UserError(
                    f"{where}: the prompt {shown(text)} is of the subject {shown(subject)} here, but of "
                    f"{shown(said)} in line {before}; give both lines one subject, or its responses would be "
                    "in two folds"
                )
        wording = {name for name in WORDING if name in row}
        said, before = worded.setdefault(task, (wording, number))
        if said != wording:
            name = min(said ^ wording)
            raise UserError(
                f"{where}: it has {'a' if name in wording else 'no'} '{name}', unlike the first line of its "
                f"task (line {before}); give it in all lines of a task, or in none"
            )
        if "id" in row and ids.setdefault(row["id"], number) != number:
            raise UserError(
                f"{where}: the id {shown(row['id'])} is there twice (first in line {ids[row['id']]}); change "
                "one"
            )
        group = groups.setdefault(subject, len(groups))
        base = bases.setdefault((subject, plain), len(bases))
        index = counts[task, base] = counts.get((task, base), -1) + 1
        name = base_id(base)
        items.append(
            {
                "item": f"{task}/{row['id']}" if "id" in row else f"{task}/{name}/{index}",
                "task": task,
                "base": name,
                "group": group_id(group),
                "subject": subject,
                "request": None,
                "params": row["params"],
                **{key: row.get(key, otherwise) for key, otherwise in UNNAMED.items()},
                "prompt": row["prompt"],
                "unconstrained_prompt": plain,
            }
        )
        lines.append(number)
    if not items:
        raise UserError(f"{path} has no prompts; give one JSON object per line")
    return OwnPrompts(items, lines)


def check_keys(
    row: Mapping, fields: Sequence[str], required: Sequence[str], unread: Sequence[str] = ()
) -> None:
    """Raises UserError for a key of a user's line that is neither among the fields nor among those that may
    be there unread, and for one that is missing."""
    for key in row:
        if key not in (*fields, *unread):
            meant = suggestion(key, fields)
            raise UserError(f"unknown key {shown(key)}{meant}; the keys are {', '.join(fields)}")
    for key in required:
        if key not in row:
            raise UserError(f"'{key}' is missing; add it")


def _check_row(row: Mapping) -> None:
    check_keys(row, FIELDS, REQUIRED)
    known = tasks.available()
    if row["task"] not in known:
        meant = suggestion(row["task"], known)
        raise UserError(f"no task {shown(row['task'])}{meant}; the tasks are {', '.join(known)}")
    for key in ("prompt", "unconstrained_prompt"):
        value = row.get(key)
        if key in row and value is None and key != "prompt":
            continue
        if key in row and not isinstance(value, str):
            raise UserError(f"'{key}' must be a text, not {shown(value)}")
        if key in row and not value.strip():
            raise UserError(
                f"'{key}' is empty; give a text or remove {'the line' if key == 'prompt' else 'it'}"
            )
    if row["prompt"] == row.get("unconstrained_prompt"):
        raise UserError(
            "'unconstrained_prompt' is the same as 'prompt'; give the request without the constraint, or "
            "remove it"
        )
    if "subject" in row and "group" in row:
        raise UserError("it has a 'subject' and a 'group', which mean the same; remove one")
    for key in ("subject", "group"):
        value = row.get(key)
        if key in row and not (type(value) is int or (isinstance(value, str) and value.strip())):
            raise UserError(f"'{key}' must be a text that is not empty, not {shown(value)}")
    if "id" in row and not (isinstance(row["id"], str) and _ID.fullmatch(row["id"])):
        raise UserError(
            f"'id' must be of letters, digits, '.', '_' and '-', beginning with a letter or digit, not "
            f"{shown(row['id'])}"
        )
    for key in WORDING:
        value = row.get(key)
        if key in row and not (isinstance(value, str) and value.strip()):
            raise UserError(f"'{key}' must be a text that is not empty, not {shown(value)}")
        if key in row and value not in _CHOICES.get(key, (value,)):
            raise UserError(f"'{key}' must be one of {', '.join(_CHOICES[key])}, not {shown(value)}")
    try:
        tasks.get(row["task"]).check_params(row["params"])
    except UserError as error:
        raise UserError(f"params can't be used ({error}); correct them") from error


def check_tasks(path: str, own: OwnPrompts, studied: Iterable[str], world) -> None:
    """Raises UserError for a task of the study without a line, and for a label that no judge gives. world:
    whose labels judges choose from."""
    there = {item["task"] for item in own.items}
    for name in studied:
        if name not in there:
            raise UserError(
                f"{path} has no line of the task {name}, which tasks lists; add lines, or remove it from "
                "tasks"
            )
        task = tasks.get(name)
        for item, line in zip(own.items, own.lines, strict=True):
            if item["task"] != name or not task.judged or "label" not in item["params"]:
                continue
            if (known := task.labels_in(world)) and item["params"]["label"] not in known:
                raise UserError(
                    f"{path}, line {line}: params can't be used (the label {shown(item['params']['label'])} "
                    f"is not one that the judge of {name} gives: {', '.join(known)}); correct them, or "
                    "choose another prompts.world"
                )


def found(own: OwnPrompts, studied: Sequence[str]) -> dict:
    """What a file has for a study of these tasks: "sha256" of all items, the numbers of "groups" and "bases",
    and by task how many
    prompts ("constrained"), how many with an unconstrained one, how many content requests that are asked
    under two or more params ("crossed"), and which of WORDING are named."""
    by_task = {name: own.of(name) for name in studied}
    return {
        "sha256": items_hash(own.items),
        "groups": len({item["group"] for item in own.items}),
        "bases": len({item["base"] for item in own.items}),
        "constrained": {name: len(items) for name, items in by_task.items()},
        "unconstrained": {
            name: sum(item["unconstrained_prompt"] is not None for item in items)
            for name, items in by_task.items()
        },
        "crossed": {name: _crossed(items) for name, items in by_task.items()},
        "worded": {
            name: [key for key in WORDING if items and items[0][key] != UNNAMED[key]]
            for name, items in by_task.items()
        },
    }


def key_of(params: Mapping) -> str:
    """The same of equal params."""
    return json.dumps(params, sort_keys=True)


def crossable(items: Sequence[Mapping]) -> dict[str, Mapping]:
    """{`key_of` params: the first item with them}, of one task and content request, no two with one prompt:
    of two constraints in one prompt nothing tells which is asked."""
    chosen: dict[str, Mapping] = {}
    for item in items:
        if item["prompt"] not in {each["prompt"] for each in chosen.values()}:
            chosen.setdefault(key_of(item["params"]), item)
    return chosen


def _crossed(items: Sequence[Mapping]) -> int:
    by_base: dict[str, list[Mapping]] = {}
    for item in items:
        by_base.setdefault(item["base"], []).append(item)
    return sum(len(crossable(asked)) > 1 for asked in by_base.values())


def items_hash(items: Sequence[Mapping]) -> str:
    """SHA-256 of items: what a job's prompts are, whatever else is in their file."""
    text = json.dumps(items, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def missing(prompts: Mapping, crossings: int) -> Iterator[str]:
    """Sentences on what a study with these prompts can't compute; none for prompts of the study's own making.

    prompts: the section of a completed config; crossings: labels.crossings.
    """
    there = prompts.get("found")
    if not there:
        return
    studied = list(there["constrained"])
    without = [name for name in studied if not there["unconstrained"][name]]
    if without:
        yield (
            f"{_of(without, studied)} no unconstrained_prompt, so what happens without the constraint is not "
            "measured: compliance without it, the same responses under the prompt without it, perplexity "
            "under edits"
        )
    uncrossed = [name for name in studied if not there["crossed"][name]]
    if uncrossed and crossings:
        yield (
            f"{_of(uncrossed, studied)} no subject whose request is asked under two params, so nothing can "
            "be crossed, and specificity is insufficient there"
        )
    for key, what in (
        ("phrasing", "phrasings"),
        ("instruction_type", "instruction types"),
        ("polarity", "polarities"),
    ):
        unnamed = [name for name in studied if key not in there["worded"][name]]
        if unnamed:
            yield f"{_of(unnamed, studied)} no {key}, so {what} are not compared (wording, robustness)"


def _of(names: Sequence[str], studied: Sequence[str]) -> str:
    if len(names) == len(studied):
        return "the prompts have"
    return f"the prompts of {', '.join(names)} have"
