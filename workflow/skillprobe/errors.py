"""The one error that a user's input can cause."""

import re


class UserError(ValueError):
    """Bad input: the message names the key, file, task or layer and says what to do."""


def first_sentence(error: Exception) -> str:
    """Of what a library says, which may go on for a page; without its full stop."""
    return re.split(r"\. |\n", str(error).strip())[0].rstrip(".")
