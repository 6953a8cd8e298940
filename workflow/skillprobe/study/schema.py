"""The config against its schema: unknown keys and wrong values in one sentence each, defaults filled in."""

import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from skillprobe.errors import UserError, suggestion

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "config.schema.json"
KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping of keys to values",
    "string": "a text",
}
# Keys whose values are in a unit that their names don't say plainly: its name, and how many of it others are.
_MB = {"kb": 1e-3, "mb": 1, "gb": 1e3, "tb": 1e6, "kib": 2**10 / 1e6, "mib": 2**20 / 1e6}
_MB |= {"gib": 2**30 / 1e6, "tib": 2**40 / 1e6, "k": 1e-3, "m": 1, "g": 1e3, "t": 1e6}
_MINUTES = {"s": 1 / 60, "sec": 1 / 60, "m": 1, "min": 1, "minutes": 1, "h": 60, "hours": 60, "d": 1440}
_MINUTES |= {"seconds": 1 / 60, "minute": 1, "hour": 60, "days": 1440, "day": 1440}
UNITS = {"mem_mb": ("megabytes", _MB), "runtime": ("minutes", _MINUTES)}


@cache
def load_schema() -> dict:
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


def plain(value: object, path: tuple = ()) -> object:
    """Plain dicts and lists (Snakemake gives ordered mappings), refusing what YAML read by mistake."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise UserError(
                    f"YAML reads the key '{key}' of {_spelt(path) or 'the config'} as {key!r}: quote it"
                )
        return {key: plain(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, (*path, number)) for number, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{_spelt(path)} must be a finite number, not {value}")
    return value


def check_schema(config: dict) -> None:
    import jsonschema

    errors = list(jsonschema.Draft202012Validator(load_schema()).iter_errors(config))
    if errors:
        # Unknown keys first: a misspelt key is often the reason why a required one is missing.
        leaves = [_leaf(error) for error in errors]
        leaves.sort(key=lambda error: error.validator != "additionalProperties")
        raise UserError(_sentence(leaves[0], config))


def _leaf(error):
    """The error inside an `anyOf` that is about the alternative which was meant, or the error itself, as
    where a title says what all alternatives are."""
    inner = [_leaf(sub) for sub in _of_kind(error)]
    meant = [sub for sub in inner if len(sub.absolute_path) > len(error.absolute_path)]
    meant += [sub for sub in inner if sub.validator not in ("type", "enum", "anyOf") and sub not in meant]
    if meant and "title" in error.schema and meant[0].validator != "minimum":
        return error
    return meant[0] if meant else error


def _of_kind(error) -> list:
    """The errors inside an `anyOf`: where the alternatives have kinds, as judges have, those of the kind that
    was given, if there is such."""
    inner = list(error.context or [])
    other = {sub.schema_path[0] for sub in inner if list(sub.path) == ["kind"]}
    kept = [sub for sub in inner if sub.schema_path[0] not in other]
    # The others are alternatives that are no mappings.
    return [sub for sub in kept if sub.path or sub.validator not in ("enum", "type")] or inner


def _sentence(error, config: dict) -> str:
    path = list(error.absolute_path)
    where = _spelt(path) or "the config"
    entry = config["models"][path[1]] if len(path) > 1 and path[0] == "models" else None
    if isinstance(entry, dict) and isinstance(entry.get("name"), str):
        where += f" (model {entry['name']!r})"
    value, wanted = error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = list(error.schema["properties"])
            key = next(key for key in value if key not in known)
            within = f" in {where}" if path else ""
            meant = suggestion(key, known, cutoff=0.8) or _elsewhere(key) or suggestion(key, known)
            meant = meant or _elsewhere(key, spelt_alike=True)
            return f"unknown key '{key}'{within}{meant}; the keys there are {', '.join(known)}"
        case "required":
            missing = next(key for key in wanted if key not in value)
            return f"{where} lacks the key '{missing}'; add it"
        case "type" | "enum" | "anyOf":
            texts, kinds = _alternatives(error)
            # Where a title says it better than the kinds of its alternatives.
            title = error.schema.get("title") if path else None
            if path[:1] == ["judges"] and path[2:] == ["kind"]:
                texts = _judge_kinds()
            choices = [title] if title else [*texts, *(KINDS[kind] for kind in dict.fromkeys(kinds))]
            one_of = "one of " if len(choices) > 2 else ""
            hint = _unit_hint(path, value) or _yaml_hint(value, kinds, texts)
            if path[:1] == ["judges"] and value in ("transformers", "embedding"):
                hint = f": write {{kind: {value}, model: …}}, with a Hub id or a folder (docs/judges.md)"
            return f"{where} must be {one_of}{_joined(choices)}, not {shown(value)}{hint}"
        case "minimum":
            return f"{where} must be at least {wanted}, not {value}"
        case "exclusiveMinimum":
            return f"{where} must be more than {wanted}, not {value}"
        case "maximum":
            return f"{where} must be at most {wanted}, not {value}"
        case "exclusiveMaximum":
            return f"{where} must be less than {wanted}, not {value}"
        case "minItems" | "minLength":
            return (
                f"{where} is empty; give at least one"
                if isinstance(value, list)
                else f"{where} is empty; give a text"
            )
        case "maxLength":
            return f"{where} is longer than {wanted} characters: shorten '{value}'"
        case "uniqueItems":
            twice = next(item for number, item in enumerate(value) if item in value[:number])
            return f"{where} lists {shown(twice)} twice; remove one"
        case "pattern" if path[-1] == "sha256":
            return f"{where} can't be {shown(value)}: a SHA-256 has 64 hexadecimal digits, in lower case"
        case "pattern":
            return (
                f"{where} can't be {shown(value)}: it becomes part of a path, so begin with a letter or "
                "digit and use only letters, digits, '.', '_' and '-'"
            )
    return f"{where}: {error.message}"


def _judge_kinds() -> list[str]:
    """The kinds that a judge's entry may have, as it is a mapping."""
    branches = load_schema()["$defs"]["judge"]["anyOf"]
    return [kind for each in branches if "properties" in each for kind in each["properties"]["kind"]["enum"]]


def _alternatives(error) -> tuple[list[str], list[str]]:
    """What would have been right instead: fixed texts, and kinds of values by their JSON name."""
    if error.validator == "anyOf":
        parts = [_alternatives(sub) for sub in error.context]
        return [text for texts, _ in parts for text in texts], [kind for _, kinds in parts for kind in kinds]
    if error.validator == "enum":
        return [str(item) for item in error.validator_value], []
    # Of a number that is too large, say, its kind was right.
    kinds = error.validator_value if error.validator == "type" else error.schema.get("type", [])
    return [], [kinds] if isinstance(kinds, str) else list(kinds)


def _unit_hint(path: list, value: object) -> str:
    """What to write for "24GB" or "2h", of keys of UNITS; "" for other keys."""
    if not path or path[-1] not in UNITS:
        return ""
    unit, known = UNITS[path[-1]]
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", value) if isinstance(value, str) else None
    if not found or found[2].lower() not in known:
        return f": it is in {unit}" if isinstance(value, str) and _number(value) is None else ""
    number = math.ceil(float(found[1]) * known[found[2].lower()])
    return f": it is in {unit}; write {max(number, 1)}"


def _yaml_hint(value: object, kinds: list[str], texts: list[str]) -> str:
    """What to do about a value that YAML reads otherwise than its author."""
    if value is None:
        return ": give a value or remove the key"
    number = _number(value)
    if number is not None and "array" in kinds:
        return f": write [{number}]"
    if isinstance(value, str):
        if texts:
            return suggestion(value, texts)
        if "number" in kinds or "integer" in kinds:
            return "" if number is None else f": YAML reads it as text; write {number} without quotes"
        if "array" in kinds:
            return f": write [{value}]"
    elif "string" in kinds or texts:
        return "" if isinstance(value, list | dict) else ": put it in quotes if it is meant as text"
    return ""


def _number(value: object) -> float | int | None:
    """The number that a value is, or is the text of; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(value) if isinstance(value, str | int | float) else str(value)


def _joined(words: Iterable[str]) -> str:
    words = list(words)
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _elsewhere(key: str, spelt_alike: bool = False) -> str:
    """A suggestion of the places in the whole config where a key of this name, or of nearly this name, is."""
    names: dict[str, list[str]] = {}
    for path in _places(load_schema()):
        of_name = names.setdefault(path.rpartition(".")[2], [])
        # Kinds of judges share keys.
        of_name += [path] if path not in of_name else []
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.8) if spelt_alike else [key]
    found = names.get(near[0], []) if near else []
    if found and all(path.startswith("judges.") for path in found):
        # What judges call so may have a longer name elsewhere: max_tokens, and max_new_tokens of models.
        others = {name: paths for name, paths in names.items() if not paths[0].startswith("judges.")}
        found = [
            path for each in difflib.get_close_matches(key, others, n=1, cutoff=0.8) for path in others[each]
        ] + found
    # The first: a model's layers are less often meant than the study's.
    return f" (did you mean {_joined(found[:3])}?)" if found else ""


def _places(schema: Mapping, path: str = "") -> Iterator[str]:
    """The paths of all keys, of models as models[0].name and of judges as judges.TASK.kind."""
    for name, sub in schema.get("properties", {}).items():
        yield f"{path}{name}"
        yield from _places(sub, f"{path}{name}.")
    if not path:
        kinds = schema["$defs"]
        yield from _places(kinds["model"], "models[0].")
        for kind in kinds["judge"]["anyOf"]:
            yield from _places(kind, "judges.TASK.")


def _spelt(path: Iterable[str | int]) -> str:
    """A key's path as one would write it: models[0].layers."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def fill_defaults(value: object, schema: dict) -> object:
    """A copy of a valid value with the schema's defaults, and numbers in one spelling (1 is 1.0)."""
    if "$ref" in schema:
        schema = {**load_schema()["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    for branch in schema.get("anyOf", []):
        kind = load_schema()["$defs"][branch["$ref"].rpartition("/")[2]] if "$ref" in branch else branch
        if "anyOf" in kind or kind.get("type") == {list: "array", dict: "object"}.get(type(value)):
            kinds = kind.get("properties", {}).get("kind", {}).get("enum")
            if kinds is None or value["kind"] in kinds:
                return fill_defaults(value, kind)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        filled = {
            key: fill_defaults(value.get(key, sub.get("default")), sub)
            for key, sub in known.items()
            if key in value or "default" in sub
        }
        return filled | {
            key: fill_defaults(item, schema["additionalProperties"])
            for key, item in value.items()
            if key not in known
        }
    if isinstance(value, list):
        return [fill_defaults(item, schema.get("items", {})) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        kinds = schema.get("type") or ()
        if {"integer", "number"} <= set(kinds):  # it is as it was written
            return value
        return float(value) if "number" in kinds or value != int(value) else int(value)
    return value
