"""Prompts of IFEval and IFBench as prompts of the user's own: the instructions that tasks here can judge.

Both have JSON lines of "key", "prompt", "instruction_id_list" and "kwargs" (one mapping an instruction,
which may have null for what others need). docs/own_data.md names where verdicts can differ from the
original checkers' (https://github.com/google-research/google-research/tree/master/instruction_following_eval).
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.storage.files import user_lines
from skillprobe.tasks.base import shown

NAMES = {"ifeval": "IFEval", "ifbench": "IFBench"}
_RELATIONS = {"less than": "less_than", "at least": "at_least"}
# The original checkers take keywords for patterns: these are the same as text, and as pattern.
_PLAIN = re.compile(r"[\w\s'’‘\"/,:;!&@#%<>=~-]+")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._-]+")


class _LeftOut(Exception):
    """An instruction that no task judges, and why."""


@dataclass(frozen=True)
class Imported:
    """lines: of a file as `prompts.own.read_own` reads it; prompts, instructions: how many there were;
    mapped: {(instruction id, task): lines}; left_out: {(instruction id, why or ""): how many}; skipped:
    prompts with several instructions, or none, where these were not asked for. Of their instructions, neither
    mapped nor left_out counts any."""

    lines: list[dict]
    prompts: int
    instructions: int
    mapped: Counter
    left_out: Counter
    skipped: int


def _words(kwargs: Mapping) -> tuple[str, dict]:
    relation, n = _RELATIONS.get(kwargs.get("relation")), _whole(kwargs.get("num_words"))
    if relation is None or n is None:
        raise _LeftOut("without its number or relation")
    return "word_count", {"relation": relation, "n": n, "words": "regex"}


def _json(kwargs: Mapping) -> tuple[str, dict]:
    return "json_format", {}


def _existence(kwargs: Mapping) -> tuple[str, dict]:
    return "term_inclusion", {"terms": _plain_terms(kwargs.get("keywords")), "match": "substring"}


def _frequency(kwargs: Mapping) -> tuple[str, dict]:
    word, n = kwargs.get("keyword"), _whole(kwargs.get("frequency"))
    terms = _plain_terms([word.strip()] if isinstance(word, str) else None)
    if kwargs.get("relation") == "at least" and n:
        return "term_inclusion", {"terms": terms, "min_count": n, "match": "substring"}
    if kwargs.get("relation") == "less than" and n == 1:
        return "term_exclusion", {"terms": terms, "match": "substring"}
    raise _LeftOut("fewer than so many times")


def _forbidden(kwargs: Mapping) -> tuple[str, dict]:
    terms = _plain_terms(kwargs.get("forbidden_words"))
    if not all(re.fullmatch(r"\w(?:.*\w)?", term, re.DOTALL) for term in terms):
        raise _LeftOut("a word that begins or ends with a mark")
    return "term_exclusion", {"terms": terms}


def _no_comma(kwargs: Mapping) -> tuple[str, dict]:
    return "term_exclusion", {"terms": [","], "match": "substring"}


MAPPED = {
    "length_constraints:number_words": _words,
    "detectable_format:json_format": _json,
    "keywords:existence": _existence,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "punctuation:no_comma": _no_comma,
}


def _whole(value: object) -> int | None:
    """A number of a file in which some are written as 100.0; None for what is none, or below 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        return None
    return int(value) if value >= 0 else None


def _plain_terms(value: object) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise _LeftOut("without its words")
    if not all(each.strip() and _PLAIN.fullmatch(each) for each in value):
        raise _LeftOut("a word that is a pattern")
    return list(dict.fromkeys(value))


def read_benchmark(path: str | Path, single: bool = False) -> Imported:
    """A file of IFEval or IFBench: one line for each instruction that a task judges, of every prompt.

    single: only of prompts with a single instruction. Raises UserError with file and line for what is in no
    such format, and for a file without any instruction that can be judged.
    """
    lines, keys = [], {}
    mapped, left_out, prompts, instructions, skipped = Counter(), Counter(), 0, 0, 0
    for number, row in user_lines(path, _check):
        where = f"{path}, line {number}"
        key = _NOT_IN_IDS.sub("-", str(row["key"])).strip("-._") or "prompt"
        if key in keys:
            raise UserError(f"{where}: the key {shown(key)} is there twice (first in line {keys[key]})")
        keys[key] = number
        prompts += 1
        instructions += len(row["instruction_id_list"])
        if single and len(row["instruction_id_list"]) != 1:
            skipped += 1
            continue
        for place, (name, kwargs) in enumerate(zip(row["instruction_id_list"], row["kwargs"], strict=True)):
            try:
                if name not in MAPPED:
                    raise _LeftOut("")
                task, params = MAPPED[name](kwargs or {})
                tasks.get(task).check_params(params)
            except _LeftOut as reason:
                left_out[name, str(reason)] += 1
                continue
            mapped[name, task] += 1
            lines.append({"id": f"{key}-{place}", "task": task, "params": params, "prompt": row["prompt"]})
    if not prompts:
        raise UserError(f"{path} has no prompts; give a file of JSON lines")
    if not lines:
        found = ", ".join(f"{name} ({n})" for name, n in _by_name(left_out).most_common(5))
        most = f" (the most frequent are {found})" if found else ""
        of = f" (of the {prompts - skipped} prompts with a single one)" if single else ""
        raise UserError(
            f"{path}: no task judges any of its instructions{of}{most}; tasks judge {', '.join(MAPPED)}"
        )
    return Imported(lines, prompts, instructions, mapped, left_out, skipped)


def _check(row: Mapping) -> None:
    kinds = {"prompt": (str, "a text"), "instruction_id_list": (list, "a list"), "kwargs": (list, "a list")}
    for key, (kind, what) in kinds.items():
        if key not in row:
            raise UserError(
                f"'{key}' is missing; give a file in IFEval's format (key, prompt, instruction_id_list, "
                "kwargs)"
            )
        if not isinstance(row[key], kind):
            raise UserError(f"'{key}' must be {what}, not {shown(row[key])}")
    if "key" not in row or not isinstance(row["key"], str | int):
        raise UserError("'key' is missing, or neither a number nor a text; add it")
    if not row["prompt"].strip():
        raise UserError("'prompt' is empty; give a text or remove the line")
    names, kwargs = row["instruction_id_list"], row["kwargs"]
    if len(names) != len(kwargs):
        raise UserError(f"it has {len(names)} instructions, but kwargs for {len(kwargs)}; correct it")
    if not all(isinstance(name, str) for name in names) or not all(
        each is None or isinstance(each, dict) for each in kwargs
    ):
        raise UserError("'instruction_id_list' must hold texts, and 'kwargs' objects; correct it")


def _by_name(left_out: Counter) -> Counter:
    found = Counter()
    for (name, _), n in left_out.items():
        found[name] += n
    return found


def described(found: Imported, source: str, kind: str, target: str) -> str:
    """What was written, and what was left out, for a terminal."""
    used = list(dict.fromkeys(task for _, task in sorted(found.mapped)))
    lines = [
        f"{source} ({NAMES[kind]}): {found.prompts} prompts, {found.instructions} instructions",
        f"{target}: {len(found.lines)} prompts of the tasks {', '.join(used)}",
    ]
    if found.skipped:
        lines.append(f"  {found.skipped} prompts with several instructions are left out (--single)")
    lines += [f"  {n:>5}  {name} -> {task}" for (name, task), n in sorted(found.mapped.items())]
    if found.left_out:
        lines.append("left out, because no task here judges exactly this:")
        ordered = sorted(found.left_out.items(), key=lambda each: (-each[1], each[0]))
        lines += [f"  {n:>5}  {name}{f' ({why})' if why else ''}" for (name, why), n in ordered]
    lines.append("docs/own_data.md says where verdicts can differ from the original checkers'")
    return "\n".join(lines)
