"""Ids of bases, and seeds that belong to things by their names."""

import hashlib
import json
from collections.abc import Mapping


def seed_from(*parts: object) -> int:
    """A 64-bit seed from the parts' JSON: the same on every machine, Python and hash seed."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def base_ids(settings: Mapping) -> list[str]:
    """Ids of the study's bases ("b000", "b001", …), the same for every task: the groups of ESTIMANDS."""
    return [base_id(number) for number in range(settings["bases"])]


def base_id(number: int) -> str:
    return f"b{number:03d}"


def base_number(base: str) -> int:
    """The inverse of `base_id`: 12 for "b012"."""
    return int(base[1:])
