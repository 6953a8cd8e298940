"""Named positions in a templated prompt and the response after it (docs/definitions.md, "Positions")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skillprobe.errors import UserError

if TYPE_CHECKING:
    import numpy as np

DEFAULT = (
    "prompt_50",
    "prompt_100",
    "onset",
    "body_10",
    "body_30",
    "body_50",
    "body_70",
    "body_90",
    "last",
    "eos",
)


def check_position_name(name: str) -> None:
    """Raise UserError unless `name` is prompt_<0..100>, onset, body_<10..90>, token_<1..>, last or eos."""
    kind, number = _parse(name)
    allowed = {
        "prompt": range(0, 101),
        "body": range(10, 91),
        "token": range(1, 2**31),
        "onset": (None,),
        "last": (None,),
        "eos": (None,),
    }
    if number not in allowed.get(kind, ()):
        raise UserError(
            f"there is no position '{name}'; use prompt_<0 to 100>, onset, body_<10 to 90>, token_<1, 2, …>, "
            "last or eos"
        )


def resolve(
    names: Sequence[str], prompt_length: int, response_length: int, has_eos: bool, thinking: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(indices, valid), both [n_positions]: indices into prompt + response tokens, int64; valid, bool.

    prompt_length: tokens of the templated prompt; response_length: all tokens generated, with the EOS if
    has_eos, in which case it is the last one. (Where, not which token: padding may be an EOS too.)
    thinking: how many of these come before the answer, which positions of the response are then of.
    prompt_q and body_q are the token at q % of the way from the first to the last of their part, rounded half
    up; the body is the response without its EOS, token_k its k-th token. Invalid, with index 0: eos of a
    truncated response; onset, body_q and last of an empty one; token_k of one with fewer. Invalid as well: a
    position on the same token as another of `names` that comes before it in the order eos, last, onset,
    body_q by q, token_k by k, prompt_100, other prompt_q by q; so coinciding positions are counted once.
    """
    import numpy as np  # planning checks the names of positions, and needs no numpy

    body_length = response_length - thinking - has_eos
    start = prompt_length + thinking
    indices = np.zeros(len(names), dtype=np.int64)
    valid = np.zeros(len(names), dtype=bool)
    taken: set[int] = set()
    for place in sorted(range(len(names)), key=lambda place: _priority(names[place])):
        kind, percent = _parse(names[place])
        if kind == "prompt":
            index = _at(percent, prompt_length)
        elif kind == "eos":
            index = start + body_length if has_eos else None
        elif body_length == 0 or (kind == "token" and percent > body_length):
            index = None
        elif kind == "token":
            index = start + percent - 1
        else:
            percent = {"onset": 0, "last": 100}.get(kind, percent)
            index = start + _at(percent, body_length)
        if index is not None:
            indices[place] = index
            valid[place] = index not in taken
            taken.add(index)
    return indices, valid


def _parse(name: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(prompt|body|token)_(0|[1-9]\d*)", name)
    return (match[1], int(match[2])) if match else (name, None)


def _at(percent: int, length: int) -> int:
    return (percent * (length - 1) + 50) // 100


def _priority(name: str) -> tuple[int, int]:
    kind, percent = _parse(name)
    if name == "prompt_100":
        return 5, -1
    return ("eos", "last", "onset", "body", "token", "prompt").index(kind), percent or 0


def in_order(names: Sequence[str]) -> list[str]:
    """The names as they follow each other in a text: the prompt's, onset, the body's, tokens by number, last,
    eos."""
    kinds = ("prompt", "onset", "body", "token", "last", "eos")
    return sorted(names, key=lambda name: (kinds.index(_parse(name)[0]), _parse(name)[1] or 0))
