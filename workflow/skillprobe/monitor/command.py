"""What `skillprobe monitor` does."""

from __future__ import annotations

import argparse
import sys

from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.monitor import answers, page, terminal
from skillprobe.monitor.constraints import Watched
from skillprobe.monitor.reading import Monitor


def run(options: argparse.Namespace) -> int:
    if (options.prompt is None) == (options.input is None):
        raise UserError("give a prompt to answer, or --input FILE with responses that are there")
    monitor = Monitor.from_study(options.study, options.model, options.constraint)
    rows = answers.read_rows(options.input) if options.input else []
    prompt = asked(options.prompt, monitor.watched) if options.ask else options.prompt
    loaded, warning = answers.load_model(
        options.study, monitor, options.model_path, options.trust_remote_code
    )
    for note in filter(None, (warning, *(each.unseen for each in monitor.watched))):
        print(f"skillprobe monitor: note: {note}", file=sys.stderr)
    verify = answers.Verifiers(options.study, monitor.watched)
    made = []

    def finished(answer: answers.Answer, table: terminal.Table | None) -> None:
        if table:
            table.summary(answer)
        else:
            print(answers.as_json(answer), flush=True)
        if options.html:
            made.append(answer)

    if options.input:
        for row in rows:
            ids, truncated = answers.ids_of(loaded, row)
            answer = answers.read(loaded, monitor, row["prompt"], ids, truncated, verify, row["response"])
            table = None if options.json else _whole_table(answer)
            finished(answer, table)
    else:
        table = None if options.json else terminal.Table(monitor.watched, sys.stdout)
        if table:
            table.head()
        answer = answers.write(
            loaded,
            monitor,
            prompt,
            settings(options),
            options.seed,
            verify,
            table.token if table else None,
        )
        if table:
            for text, line in list(zip(answer.tokens, answer.probabilities[1:], strict=True))[
                table.written - 1 :
            ]:
                table.token(text, line, end=not answer.truncated)
        finished(answer, table)
    if options.html:
        about = f"Study {options.study}, model {options.model}."
        page.write_page(options.html, made, about)
    return 0


def _whole_table(answer: answers.Answer) -> terminal.Table:
    table = terminal.Table(answer.watched, sys.stdout)
    table.head()
    last = len(answer.tokens)
    for k, (text, line) in enumerate(zip(["", *answer.tokens], answer.probabilities, strict=True)):
        table.token(text, line, end=k == last and not answer.truncated)
    return table


def settings(options: argparse.Namespace) -> dict:
    """How the study's model answered, unless the command says otherwise."""
    found = answers.generation_of_study(options.study, options.model)
    given = {"temperature": options.temperature, "max_new_tokens": options.max_new_tokens}
    return found | {key: value for key, value in given.items() if value is not None}


def asked(prompt: str, watched: list[Watched]) -> str:
    """The prompt, and each constraint in the study's own words: of the first phrasing that follows a
    request."""
    for constraint in (each.constraint for each in watched):
        if constraint.params is None:
            raise UserError(f"--ask needs the params of '{constraint.task}': {constraint.task}:{{...}}")
        task = tasks.get(constraint.task)
        phrasing = next(each for each in task.phrasings if each.template.startswith("{request} "))
        fields = task.describe(dict(constraint.params))
        prompt = phrasing.template.format(request=prompt, subject="", **fields)
    return prompt
