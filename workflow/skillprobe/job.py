"""What every script of the workflow begins with: its log file, its settings, its errors in one sentence."""

import errno
import json
import sys
from contextlib import suppress

from skillprobe.errors import UserError


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
            kind, error = UserError, "the disk is full; make room and run again: what is done stays"
        if issubclass(kind, UserError):
            for stream in (terminal, sys.stderr):
                with suppress(OSError):
                    print(f"{snakemake.rule}: {error}", file=stream, flush=True)
        else:
            show_trace(kind, error, trace)

    sys.excepthook = show
    return json.loads(snakemake.params.settings)
