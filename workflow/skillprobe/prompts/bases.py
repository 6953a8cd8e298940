"""Ids of bases and groups, and seeds that belong to things by their names."""

import hashlib
import json


def seed_from(*parts: object) -> int:
    """A 64-bit seed from the parts' JSON: the same on every machine, Python and hash seed."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def base_id(number: int) -> str:
    """Of a content request: "b000", "b001", …, the same for every task."""
    return f"b{number:03d}"


def base_number(base: str) -> int:
    """The inverse of `base_id`: 12 for "b012"."""
    return int(base[1:])


def item_of(response: str) -> str:
    """The item (docs/definitions.md, "Rows and groups") that a response's id names: "topic/b012/0" of
    "topic/b012/0/constrained/3"."""
    return response.rsplit("/", 2)[0]


def group_id(number: int) -> str:
    """Of the subject that requests are about: "g000", "g001", …, the same for every task."""
    return f"g{number:03d}"


def group_ids(groups: int) -> list[str]:
    """Of so many groups: all requests about one subject are one (docs/definitions.md, "Rows and groups")."""
    return [group_id(number) for number in range(groups)]
