"""The one error that a user's input can cause."""

import difflib
import re
import shlex
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """Bad input: the message names the key, file, task or layer and says what to do."""


class DamagedFile(UserError):
    """A result that can't be used: which, why, and the command that makes it, and nothing else, anew.

    also: others to make anew, where it isn't known which of them is to blame.
    """

    def __init__(self, path: str | Path, why: object, *also: str | Path):
        files = " ".join(shlex.quote(str(each)) for each in (path, *also))
        super().__init__(
            f"{path} {why}; make {'them' if also else 'it'} again: snakemake --cores 1 --force {files} "
            "(add the --configfile of your run)"
        )


def first_sentence(error: Exception) -> str:
    """Of what a library says, which may go on for a page; without its full stop."""
    # A colon at the end of a line ends no sentence.
    return re.split(r"\. |\n", re.sub(r":\s+", ": ", str(error).strip()))[0].rstrip(".")


def suggestion(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """What to add to a message about an unknown word: the known one that is spelt most alike, or nothing.

    cutoff: how alike the spellings must be, from 0 to 1.
    """
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=cutoff)
    return f" (did you mean '{near[0]}'?)" if near else ""
