"""A world: the subjects, targets and word lists from which prompts and params are drawn."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.tasks.text import fold

FOLDER = Path(__file__).parent / "worlds"
_SENTENCES = ("requests", "subjects", "terms", "json_keys")
_TARGETS = ("word_targets", "character_targets")
_LABELLED = ("topics", "sentiment", "register")
# What a task's `word_lists` may name.
WORD_LISTS = (*_LABELLED, "insults")
# Lists that a study's config may give instead of the world's, under `prompts`.
REPLACEABLE = (*_TARGETS, "terms")


@dataclass(frozen=True)
class World:
    """What prompts are made of.

    requests: templates with `{subject}`; word_targets, character_targets: the n that counts may ask for;
    topics, sentiment, register: label -> the words that decide it; insults: words and phrases that are toxic.
    controlled: whether the language is the toy grammar's, so that the word lists *are* the truth and a
    lexicon judge is exact. A world of free text gives labels with empty lists.
    """

    name: str
    controlled: bool
    requests: list[str]
    subjects: list[str]
    word_targets: list[int]
    character_targets: list[int]
    terms: list[str]
    json_keys: list[str]
    topics: dict[str, list[str]]
    sentiment: dict[str, list[str]]
    register: dict[str, list[str]]
    insults: list[str]


def load_world(name_or_path: str | Path) -> World:
    """The shipped world of that name, or the world in that JSON file.

    Raises UserError naming the file and the key for a world that is missing or malformed.
    """
    path = find_world(str(name_or_path))
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"world file {path} can't be read as JSON: {error}") from error
    return make_world(data, source=f"world file {path}")


def adapted(world: World, settings: Mapping) -> World:
    """The world with the lists of REPLACEABLE that `settings` gives; what is None or missing stays."""
    given = {key: settings[key] for key in REPLACEABLE if settings.get(key) is not None}
    return replace(world, **given)


def make_world(data: object, source: str = "world") -> World:
    """A checked World from the mapping of a world file; `source` begins the messages of UserErrors."""
    keys = World.__dataclass_fields__
    if not isinstance(data, dict):
        raise UserError(f"{source} must hold one JSON object with the keys {', '.join(keys)}")
    if missing := [key for key in keys if key not in data]:
        raise UserError(f"{source} lacks the key '{missing[0]}'; add it")
    if unknown := [key for key in data if key not in keys]:
        raise UserError(f"{source} has an unknown key '{unknown[0]}'; the keys are {', '.join(keys)}")

    if not _is_text(data["name"]):
        raise UserError(f"{source}: 'name' must be a text that is not empty")
    if not isinstance(data["controlled"], bool):
        raise UserError(f"{source}: 'controlled' must be true or false")
    for key in _SENTENCES:
        _check_list(source, key, data[key], _is_text, "texts that are not empty")
    for request in data["requests"]:
        if "{subject}" not in request:
            raise UserError(f"{source}: the request {request!r} has no {{subject}} to fill in; add it")
    for key in _TARGETS:
        _check_list(source, key, data[key], _is_positive_int, "positive whole numbers")
    for key in _LABELLED:
        _check_labels(source, key, data[key], data["controlled"])
    _check_list(source, "insults", data["insults"], _is_text, "texts", may_be_empty=not data["controlled"])
    return World(**data)


def find_world(name_or_path: str) -> Path:
    shipped = FOLDER / f"{name_or_path}.json"
    # A plain name is looked up among the shipped worlds first, so that a stray file can't shadow one.
    if name_or_path.isidentifier() and os.path.isfile(shipped):
        return shipped
    if os.path.isfile(name_or_path):
        return Path(name_or_path)
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.json")))
    raise UserError(f"no world {name_or_path!r}: give the path of a world file or one of {known}")


def _check_list(source, key, value, is_item, what, may_be_empty=False) -> None:
    if not isinstance(value, list) or not all(is_item(item) for item in value):
        raise UserError(f"{source}: '{key}' must be a list of {what}")
    if not value and not may_be_empty:
        raise UserError(f"{source}: '{key}' is empty; give at least one")
    if len(set(value)) < len(value):
        raise UserError(f"{source}: '{key}' lists an item twice")


def _check_labels(source, key, value, controlled) -> None:
    if not isinstance(value, dict) or len(value) < 2 or not all(_is_text(label) for label in value):
        raise UserError(f"{source}: '{key}' must map at least two labels to lists of words")
    for label, words in value.items():
        _check_list(source, f"{key}.{label}", words, _is_text, "texts", may_be_empty=not controlled)
    words = [fold(word) for words in value.values() for word in words]
    if len(set(words)) < len(words):
        raise UserError(f"{source}: '{key}' gives a word to two labels; its label would be ambiguous")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_positive_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
