"""Answers from a folder of the user's own (docs/own_data.md): which of them are to which prompts."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.prompts.own import check_keys
from skillprobe.storage.files import user_lines
from skillprobe.tasks.base import shown

REQUIRED = ("id", "item", "response")
OPTIONAL = ("variant", "sample", "prompt", "token_ids", "truncated", "finish_reason")
# Of rows of responses/ and labels/: they are found anew.
FOUND_ANEW = ("base", "group", "thinking", "satisfied", "params", "evidence")
FOUND_ANEW += ("instruction_type", "polarity", "phrasing")
FIELDS = (*REQUIRED, *OPTIONAL)
VARIANTS = {"constrained": "samples", "unconstrained": "twin_samples"}
# What engines and APIs say of how a response ended.
CUT = ("length", "max_tokens", "max_length")
WHOLE = ("stop", "end_turn", "eos", "eos_token", "stop_sequence")


@dataclass(frozen=True)
class Answer:
    """where: "FILE, line N"; token_ids: None where the file gives none; prompt: that it was given to, None
    where the file doesn't say."""

    where: str
    id: str
    item: str
    variant: str
    sample: int | None
    response: str
    token_ids: list[int] | None
    truncated: bool
    prompt: str | None


def answer_files(folder: str | Path) -> list[str]:
    """The JSON-lines files of a folder and those below it, by name. Raises UserError without any."""
    if not Path(folder).is_dir():
        raise UserError(f"there is no folder {str(folder)!r}; correct the path")
    found = sorted(str(path) for path in Path(folder).rglob("*.jsonl") if path.is_file())
    if not found:
        raise UserError(f"the folder {str(folder)!r} has no *.jsonl file; put the answers there")
    return found


def read_answers(paths: Iterable[str | Path]) -> list[Answer]:
    """The lines of the files, in order. Raises UserError with file and line for the first that can't be used,
    and for an id that is there twice."""
    answers, ids = [], {}
    for path in paths:
        for number, row in user_lines(path):
            where = f"{path}, line {number}"
            try:
                answer = _answer(row, where)
            except UserError as error:
                raise UserError(f"{where}: {error}") from error
            if answer.id in ids:
                raise UserError(
                    f"{where}: the id {shown(answer.id)} is there twice (first in {ids[answer.id]})"
                )
            ids[answer.id] = where
            answers.append(answer)
    return answers


def _answer(row: Mapping, where: str) -> Answer:
    check_keys(row, FIELDS, REQUIRED, FOUND_ANEW)
    for key in (*REQUIRED, "prompt", "variant"):
        if key in row and not isinstance(row[key], str):
            raise UserError(f"'{key}' must be a text, not {shown(row[key])}")
    name, item = row["id"], row["item"]
    variant, sample = row.get("variant"), row.get("sample")
    # As the study itself calls responses.
    if name.startswith(f"{item}/") and name.count("/") == item.count("/") + 2:
        own, number = name.rsplit("/", 2)[1:]
        if own in VARIANTS and number.isdecimal():
            if variant not in (None, own) or sample not in (None, int(number)):
                raise UserError(f"the id {shown(name)} contradicts 'variant' or 'sample'; correct one")
            variant, sample = own, int(number)
    variant = "constrained" if variant is None else variant
    if variant not in VARIANTS:
        raise UserError(f"'variant' must be one of {', '.join(VARIANTS)}, not {shown(variant)}")
    if sample is not None and (type(sample) is not int or sample < 0):
        raise UserError(f"'sample' must be a whole number from 0, not {shown(sample)}")
    ids = row.get("token_ids")
    if ids is not None and not (
        isinstance(ids, list) and all(type(each) is int and each >= 0 for each in ids)
    ):
        raise UserError("'token_ids' must be a list of whole numbers from 0")
    return Answer(
        where, name, item, variant, sample, row["response"], ids, _truncated(row), row.get("prompt")
    )


def _truncated(row: Mapping) -> bool:
    said, reason = row.get("truncated"), row.get("finish_reason")
    if said is not None and not isinstance(said, bool):
        raise UserError(f"'truncated' must be true or false, not {shown(said)}")
    if reason is None:
        return bool(said)
    if reason not in (*CUT, *WHOLE):
        raise UserError(
            f"'finish_reason' is {shown(reason)}; it must be one of {', '.join(CUT)} (truncated), "
            f"{', '.join(WHOLE)}, or null: leave out what ended in another way"
        )
    if said is not None and said != (reason in CUT):
        raise UserError("'truncated' and 'finish_reason' contradict each other; correct one")
    return reason in CUT


def assigned(
    answers: Sequence[Answer],
    items: Sequence[Mapping],
    tasks: Sequence[str],
    settings: Mapping,
    others: Sequence[str] = (),
) -> dict[tuple[str, str, int], Answer]:
    """{(item, variant, sample): its answer}, of every prompt of a study.

    items: of all its tasks; settings: "samples" and "twin_samples". Answers to tasks that are not studied are
    left out; others: names of these. An answer that doesn't say which sample it is takes the next number.
    Raises UserError for an answer without a prompt, a prompt without answers, and for more or fewer of them
    than the settings say.
    """
    prompts = {item["item"]: item for item in items}
    by_prompt: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        item = prompts.get(answer.item)
        if item is None:
            task = answer.item.partition("/")[0]
            if task not in tasks and task in others:
                continue
            raise UserError(
                f"{answer.where}: there is no prompt {shown(answer.item)} in the study (results/STUDY/"
                "prompts/ lists them once `snakemake --until make_prompts` has run); correct 'item', or "
                "remove the line"
            )
        asked = item["prompt" if answer.variant == "constrained" else "unconstrained_prompt"]
        if asked is None:
            raise UserError(
                f"{answer.where}: the prompt {shown(answer.item)} has no unconstrained_prompt to answer; "
                "remove the line"
            )
        if answer.prompt not in (None, asked):
            raise UserError(
                f"{answer.where}: it was given to the prompt {shown(answer.prompt)}, but "
                f"{shown(answer.item)} asks {shown(asked)}; give answers to the study's prompts"
            )
        by_prompt.setdefault((answer.item, answer.variant), []).append(answer)
    found: dict[tuple[str, str, int], Answer] = {}
    for (item, variant), own in by_prompt.items():
        key = VARIANTS[variant]
        if len(own) != settings[key]:
            raise UserError(
                f"{own[-1].where}: the prompt {shown(item)} has {len(own)} {variant} answers, but "
                f"generation.{key} is {settings[key]}; give so many to each prompt, or set the key to "
                f"{len(own)}"
            )
        taken = {answer.sample for answer in own if answer.sample is not None}
        free = (number for number in range(2 * len(own)) if number not in taken)
        for answer in own:
            place = item, variant, next(free) if answer.sample is None else answer.sample
            if place in found:
                raise UserError(
                    f"{answer.where}: sample {place[2]} of the prompt {shown(item)} is there twice (first in "
                    f"{found[place].where}); remove one"
                )
            if place[2] >= settings[key]:
                raise UserError(
                    f"{answer.where}: sample {place[2]} of the prompt {shown(item)}, but generation.{key} is "
                    f"{settings[key]}, and samples are numbered from 0"
                )
            found[place] = answer
    _check_all_answered(items, by_prompt, settings)
    return found


def _check_all_answered(items: Sequence[Mapping], answered: Mapping, settings: Mapping) -> None:
    lacking = [
        (item["item"], variant)
        for item in items
        for variant, key in VARIANTS.items()
        if settings[key]
        and (variant == "constrained" or item["unconstrained_prompt"] is not None)
        and (item["item"], variant) not in answered
    ]
    if not lacking:
        return
    names = ", ".join(f"{item} ({variant})" for item, variant in islice(lacking, 3))
    hint = "give answers to them"
    if all(variant == "unconstrained" for _, variant in lacking):
        hint += ", or set generation.twin_samples to 0"
    raise UserError(f"{len(lacking)} prompts have no answers, such as {names}; {hint}")


def answers_hash(answers: Mapping[tuple[str, str, int], Answer], items: Iterable[Mapping]) -> str:
    """SHA-256 of what was answered to these items, wherever in the files."""
    names = {item["item"] for item in items}
    told = [
        [*place, answer.response, answer.token_ids, answer.truncated]
        for place, answer in sorted(answers.items())
        if place[0] in names
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
