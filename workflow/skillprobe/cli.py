"""The command `skillprobe`. Subcommands stand in one table; each imports what it needs when it runs."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from skillprobe import __version__
from skillprobe.errors import UserError
from skillprobe.models.thoughts import after_thought


@dataclass(frozen=True)
class Command:
    """A subcommand: one line of help, its arguments, and what it does (returning the exit status)."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand. Exit status 2, and one sentence on standard error, for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="skillprobe",
        description="Is instruction-following one universal signal, or many skills in coordination?",
    )
    parser.add_argument("--version", action="version", version=f"skillprobe {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=command.help, description=command.help, allow_abbrev=False
        )
        command.add_arguments(subparser)
    options = parser.parse_args(arguments)
    try:
        return COMMANDS[options.command].run(options)
    except UserError as error:
        print(f"skillprobe {options.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (such as `head`) has gone; keep Python from complaining once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


# verify


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", required=True, metavar="NAME", help="the task whose constraint is checked")
    parser.add_argument(
        "--judge",
        metavar="KIND",
        help="for a judged task, such as topic: lexicon, transformers, embedding, or for register formality",
    )
    parser.add_argument(
        "--judge-settings",
        metavar="JSON",
        help='as in the config: {"model": "org/name", ...}',
    )
    parser.add_argument(
        "--world", default="toy", help="world whose word lists a lexicon judge uses: its name or file"
    )


def _verify(options: argparse.Namespace) -> int:
    from skillprobe import tasks

    task = tasks.get(options.task)
    judge = _judge(options) if task.judged else None
    failed = False
    for answer in verified(sys.stdin.buffer, task, judge):
        failed |= "error" in answer
        print(json.dumps(answer), flush=True)
    return int(failed)


def _judge(options: argparse.Namespace):
    from skillprobe.labels.judges import NAMES, get_judge
    from skillprobe.tasks.world import load_world

    if options.judge is None:
        raise UserError(f"task '{options.task}' needs a judge: give --judge {' or '.join(NAMES)}")
    try:
        settings = json.loads(options.judge_settings or "{}")
    except ValueError as error:
        raise UserError(f"--judge-settings is not valid JSON: {error}") from error
    if not isinstance(settings, dict):
        raise UserError("--judge-settings must be a JSON object")
    return get_judge(options.judge, options.task, load_world(options.world), settings)


def verified(lines: Iterable[bytes], task, judge=None) -> Iterator[dict]:
    """For each JSON line {"params", "response"}: {"satisfied", "evidence"}, or {"error"} naming the line."""
    for number, line in enumerate(lines, start=1):
        try:
            row = _read_row(line)
            verdict = task.verify(_answer(row["response"]), row["params"], judge)
        except UserError as error:
            yield {"error": f"line {number}: {error}"}
        else:
            yield {"satisfied": verdict.satisfied, "evidence": verdict.evidence}


def _answer(response: str) -> str:
    answer = after_thought(response)
    if answer is None:
        raise UserError("the response ends within its thought (<think>), so it is truncated; leave it out")
    return answer


def _read_row(line: bytes) -> dict:
    from skillprobe.storage.files import json_object

    row = json_object(line, '{"params": {...}, "response": "..."}')
    for key, kind, what in (("params", dict, "an object"), ("response", str, "a text")):
        if key not in row:
            raise UserError(f"'{key}' is missing")
        if not isinstance(row[key], kind):
            raise UserError(f"'{key}' must be {what}")
    return row


# inspect


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="any file below results/, such as a probe or a table")


def _inspect(options: argparse.Namespace) -> int:
    from skillprobe.catalogue.inspection import describe

    print(describe(options.file))
    return 0


# check


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE.yaml", nargs="*", help="config files, in the order of --configfile"
    )


def _check(options: argparse.Namespace) -> int:
    from skillprobe.findings import decidable
    from skillprobe.report.html import counted
    from skillprobe.study import reading, sources
    from skillprobe.study.config import complete
    from skillprobe.study.sources import fetched_words
    from skillprobe.study.windows import check_windows

    if not os.path.isfile("Snakefile"):
        raise UserError("there is no Snakefile here; run it in the repository's folder")
    files = [reading.read_config(path) for path in ("config.yaml", *options.files)]
    try:
        config = complete(reading.merged(files), ".")
        check_windows(config, ".")
        for entry in config["models"]:
            if entry["answers"]:
                sources.given_answers(config, entry["name"], ".")
    except UserError as error:
        raise UserError(reading.placed(str(error), files)) from error
    unnamed = reading.check_named(files)
    models, tasks = (counted(len(config[key]), key.removesuffix("s")) for key in ("models", "tasks"))
    chosen = f" --configfile {' '.join(map(shlex.quote, options.files))}" if options.files else ""
    print(f"study {config['study']}: the config is valid ({models}, {tasks})")
    for line in (*filter(None, [unnamed]), *fetched_words(config, "."), *decidable.describe(config, ".")):
        print(line)
    # A target after --configfile would be taken for one more config file.
    print(f"plan it with: snakemake --cores 1 plan{chosen}")
    return 0


# import


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "kind",
        choices=("ifeval", "ifbench", "activations"),
        help="whose format the file has, or activations for arrays",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="+",
        help="the benchmark's prompts, as JSON lines; or .npy and .safetensors files, or folders with them",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        required=True,
        help="where to write prompts for prompts.file, or the folder for models[].activations",
    )
    parser.add_argument(
        "--single", action="store_true", help="leave out prompts that have several instructions"
    )
    own = parser.add_argument_group("of activations")
    own.add_argument("--rows", metavar="FILE", help="what each row of the arrays is of, as JSON lines")
    own.add_argument("--model", metavar="NAME", help="the model's name in the config")
    own.add_argument("--source", metavar="TEXT", default="", help="what the model is called elsewhere")
    own.add_argument("--task", metavar="NAME", help="the task of rows that don't name one")
    own.add_argument(
        "--position", metavar="NAME", default="eos", help="of arrays that don't name one (default: eos)"
    )
    own.add_argument(
        "--layers", metavar="N,N,…", type=_numbers, help="the layers of an array [layer, row, hidden]"
    )
    own.add_argument(
        "--num-layers", metavar="N", type=int, help="of the model's blocks (default: the highest layer given)"
    )


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers from 0, such as 8,16,24")
    return [int(part) for part in parts]


def _import(options: argparse.Namespace) -> int:
    if options.kind == "activations":
        _refuse_unread(options, {"single": False}, "import ifeval and ifbench")
        return _import_activations(options)
    own = {"rows": None, "model": None, "source": "", "task": None, "position": "eos"}
    _refuse_unread(options, own | {"layers": None, "num_layers": None}, "import activations")
    return _import_prompts(options)


def _refuse_unread(options: argparse.Namespace, unread: Mapping[str, object], of: str) -> None:
    """Raises UserError for an option that nothing would read, and hasn't its default."""
    for name, default in unread.items():
        if getattr(options, name) != default:
            raise UserError(f"--{name.replace('_', '-')} is of {of}; remove it")


def _import_activations(options: argparse.Namespace) -> int:
    from skillprobe.activations import arrays, given

    for name in ("rows", "model"):
        if getattr(options, name) is None:
            raise UserError(f"--{name} is missing; `skillprobe import --help` says what it is")
    rows = given.read_given(options.rows, options.task)
    found = arrays.read_arrays(options.file, options.position, options.layers)
    card = given.write_folder(
        options.output,
        found,
        rows,
        model=options.model,
        source=options.source,
        num_layers=options.num_layers,
        rows_file=options.rows,
    )
    print(given.described(card, options.output))
    return 0


def _import_prompts(options: argparse.Namespace) -> int:
    from skillprobe.prompts import imports
    from skillprobe.storage import files

    if len(options.file) > 1:
        raise UserError(f"{options.kind} takes one file, not {len(options.file)}; import one after the other")
    (file,) = options.file
    if os.path.realpath(options.output) == os.path.realpath(file):
        raise UserError(f"{options.output} is the file that is read; write to another one")
    found = imports.read_benchmark(file, options.single)
    files.write_jsonl(options.output, found.lines)
    print(imports.described(found, file, options.kind, options.output))
    return 0


# export


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("shards", "probes", "erasers"), help="what to export")
    parser.add_argument("study", metavar="FOLDER", help="a study's folder, results/STUDY")
    parser.add_argument("--model", metavar="NAME", required=True, help="the model's name in the study")
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        required=True,
        help="a .safetensors file to write; of shards a folder to make, with the rows beside it",
    )
    parser.add_argument("--tasks", metavar="NAME,…", type=_names, default=[], help="default: all")
    parser.add_argument(
        "--layers", metavar="N,…", type=_numbers, default=[], help="default: all that there are"
    )
    parser.add_argument(
        "--positions", metavar="NAME,…", type=_names, default=[], help="of shards (default: all)"
    )


def _names(text: str) -> list[str]:
    return text.split(",")


def _export(options: argparse.Namespace) -> int:
    from pathlib import Path

    from skillprobe.catalogue import exports

    if options.kind != "shards":
        _refuse_unread(options, {"positions": []}, "export shards")
    study = exports.Study(Path(options.study))
    chosen = (options.model, options.tasks, options.layers)
    if options.kind == "shards":
        written = exports.export_shards(study, options.output, *chosen, options.positions)
    elif options.kind == "probes":
        written = exports.export_probes(study, options.output, *chosen)
    else:
        written = exports.export_erasers(study, options.output, *chosen)
    for path in written:
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


# compare


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    for name in ("a", "b"):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help="a study's folder, results/STUDY, or one model of it: FOLDER:MODEL",
        )
    parser.add_argument(
        "--csv", metavar="FILE", help="also write the table to this file, one row per model and claim"
    )


def _compare(options: argparse.Namespace) -> int:
    from skillprobe.findings import compare
    from skillprobe.storage import tables

    results, models = [], []
    for given in (options.a, options.b):
        folder, _, model = (given, "", "") if os.path.isdir(given) else given.rpartition(":")
        if not os.path.isdir(folder):
            raise UserError(f"there is no folder {folder or given}; give a study's, such as results/demo")
        results.append(compare.read_results(folder))
        models.append(model)
    rows = compare.compare(*results, *models)
    if options.csv:
        tables.write_csv(options.csv, rows)
    print(compare.describe(rows), end="")
    return 0


# monitor


def _monitor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", nargs="?", help="what the model is asked; without it, --input")
    parser.add_argument("--study", required=True, metavar="FOLDER", help="a study's folder, results/STUDY")
    parser.add_argument("--model", required=True, metavar="NAME", help="the model's name in the study")
    parser.add_argument(
        "--constraint",
        action="append",
        default=[],
        metavar="TASK:PARAMS",
        help="""what is watched, such as 'word_count:{"relation": "exactly", "n": 7}'; may be repeated
        (default: every task that has a monitor)""",
    )
    parser.add_argument(
        "--ask", action="store_true", help="add the constraints to the prompt, in the study's own words"
    )
    parser.add_argument(
        "--input", metavar="FILE", help='read responses that are there: JSON lines {"prompt", "response"}'
    )
    parser.add_argument("--model-path", metavar="FOLDER", help="use this model's folder, of the same shape")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run code that the model's folder or repository holds",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for each response")
    parser.add_argument("--html", metavar="FILE", help="also write a page to look at")
    parser.add_argument("--seed", type=int, default=0, help="of the response (default: 0)")
    parser.add_argument("--temperature", type=float, help="default: the study's; 0: the likeliest token")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="default: the study's")


def _monitor(options: argparse.Namespace) -> int:
    from skillprobe.monitor import command

    return command.run(options)


COMMANDS = {
    "verify": Command(
        "read params and responses as JSON lines; write whether each response satisfies the task's "
        "constraint, and why",
        _verify_arguments,
        _verify,
    ),
    "inspect": Command(
        "say what a file of a study is and holds, and whether it is whole", _inspect_arguments, _inspect
    ),
    "check": Command(
        "check the config of a study, config.yaml with the given files over it; errors name file and line",
        _check_arguments,
        _check,
    ),
    "import": Command(
        "make prompts of your own (prompts.file) of a benchmark's, or a folder for a study "
        "(models[].activations) of activations that another tool has saved",
        _import_arguments,
        _import,
    ),
    "export": Command(
        "write the activations, probes or erasers of a study as safetensors with a card, for other tools",
        _export_arguments,
        _export,
    ),
    "compare": Command(
        "put the findings of two studies, or of two models, side by side", _compare_arguments, _compare
    ),
    "monitor": Command(
        "show, token by token, how likely a response is to satisfy its constraints",
        _monitor_arguments,
        _monitor,
    ),
}
