"""What scripts of the workflow begin with: the log file, the settings, errors in one sentence."""

import errno
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from skillprobe.errors import DamagedFile, UserError
from skillprobe.storage import files


def start(snakemake) -> dict:
    """Send the job's output to its log file and return its settings (the slice of the config in `params`).

    A UserError then ends the job with its sentence, in the log and on the terminal, and no stack trace.
    """
    terminal = sys.stderr
    # Line by line, so that a long job's log can be followed.
    sys.stdout = sys.stderr = open(snakemake.log[0], "w", buffering=1, encoding="utf-8")  # noqa: SIM115
    show_trace = sys.excepthook

    def show(kind, error, trace):
        if issubclass(kind, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            # Writing to the log, most likely, which then can't hold a trace either.
            kind = UserError
            error = "the disk is full; free disk space and run again: finished results are kept"
        if issubclass(kind, UserError):
            for stream in (terminal, sys.stderr):
                with suppress(OSError):
                    print(f"{snakemake.rule}: {error}", file=stream, flush=True)
        else:
            show_trace(kind, error, trace)

    sys.excepthook = show
    return json.loads(snakemake.params.settings)


def model_entry(snakemake, settings: dict) -> dict:
    """The entry of the job's model, as `loading.load` takes it."""
    more = {"name": snakemake.wildcards.model, "gpu": snakemake.resources.gpu}
    return settings["model"] | more | fetched(snakemake.input.fetched)


def judge_entry(snakemake, settings: dict) -> str | dict | None:
    """The entry of the judge of the job's task, as `judges.for_task` takes it."""
    judge = settings["judge"]
    if not isinstance(judge, dict):
        return judge
    return judge | {"gpu": snakemake.resources.gpu} | fetched(snakemake.input.fetched_judge)


def fetched(paths: Sequence[str | Path]) -> dict:
    """Of a model or judge that a rule has fetched, converted or fitted, what its entry doesn't say: the
    commit or the folder, the file with the head, and to ask nobody. {} for those without such a file."""
    if not paths:
        return {}
    found = files.read_json(paths[0])
    head = {"head": str(paths[0])} if "head" in found else {}
    if "folder" in found:
        if not Path(found["folder"]).is_dir():
            raise DamagedFile(paths[0], f"says that the model is in {found['folder']}, which is gone")
        return {"folder": found["folder"], "offline": True} | head
    return ({"revision": found["revision"], "offline": True} if "revision" in found else {}) | head
