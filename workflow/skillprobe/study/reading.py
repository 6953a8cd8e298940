"""The files of a study's config, merged as Snakemake merges them, with what is wrong named by file and line.

Snakemake itself reads them before any code of this package, and names no place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skillprobe.errors import UserError, suggestion

# How a message about a key begins, and one about a key that isn't known.
_KEY = re.compile(r"([a-z_]+(?:\.[a-z_]+|\[\d+\])*)")
_MISSING = re.compile(r"[\w.\[\]]+ is missing")
_UNKNOWN = re.compile(r"unknown key '([^']+)'(?: in ([\w.\[\]]+))?")


@dataclass(frozen=True)
class ConfigFile:
    """values: what it holds; lines: {path of a key, as one would write it: its line, from 1}."""

    path: str
    values: dict
    lines: dict[str, int]


def read_config(path: str | Path) -> ConfigFile:
    """A file of a config. Raises UserError, with file and line, for one that isn't there, is no YAML, has no
    keys or has one of them twice."""
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except FileNotFoundError as error:
        parent = Path(path).parent
        near = [str(parent / each.name) for each in parent.glob("*.y*ml")]
        raise UserError(f"there is no config file {path}{suggestion(str(path), near)}; correct it") from error
    except OSError as error:
        raise UserError(f"the config file {path} can't be read ({error.strerror}); correct it") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}"
        raise UserError(f"{where}: no valid YAML, {_said(error)}; correct it") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: no valid YAML, {' '.join(str(error).split())}; correct it") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} must have keys at its top level, such as study: my-study; add some")
    return ConfigFile(str(path), values, dict(_lines(str(path), node)))


def _said(error) -> str:
    """What YAML says, in one line, and what is mostly meant."""
    said = error.problem or error.context or "it can't be parsed"
    # Of a bracket or quote that isn't closed, the problem is at the end of the file.
    if error.context_mark and error.problem_mark and error.context_mark.line < error.problem_mark.line:
        said += f" ({error.context}, which begins in line {error.context_mark.line + 1})"
    if "\\t" in said:
        return f"{said}: indent with blanks, not tabs"
    if "mapping values are not allowed" in said:
        return f"{said}: quote a text that has ': ' in it, or check the indent"
    return said


def _lines(file: str, node, path: str = "") -> Iterator[tuple[str, int]]:
    """(path, line) of every key below a node, and of the items of lists."""
    children = getattr(node, "value", None)
    if not isinstance(children, list):
        return
    seen: dict[str, int] = {}
    for number, child in enumerate(children):
        if isinstance(child, tuple):
            key, value = child
            line, name = key.start_mark.line + 1, str(key.value)
            below = f"{path}.{name}" if path else name
            if name in seen:
                raise UserError(
                    f"{file}, line {line}: the key '{below}' is there twice (first in line {seen[name]}), "
                    "and only one of them counts; merge them"
                )
            seen[name] = line
        else:
            value, line, below = child, child.start_mark.line + 1, f"{path}[{number}]"
        yield below, line
        yield from _lines(file, value, below)


def merged(files: Sequence[ConfigFile]) -> dict:
    """The values of all files, those of later ones above: mappings key by key, everything else as a whole."""
    values: dict = {}
    for file in files:
        values = laid_over(values, file.values)
    return values


def laid_over(below: Mapping, above: Mapping) -> dict:
    """As Snakemake lays one config over another."""
    values = dict(below)
    for key, value in above.items():
        under = below.get(key) if isinstance(below.get(key), Mapping) else {}
        values[key] = laid_over(under, value) if isinstance(value, Mapping) else value
    return values


def given(values: Mapping) -> ConfigFile:
    """What the option --config gives, as one more file, whose places have no lines."""

    def paths(below: Mapping, path: str) -> Iterator[str]:
        for key, value in below.items():
            yield f"{path}{key}"
            if isinstance(value, Mapping):
                yield from paths(value, f"{path}{key}.")

    return ConfigFile("--config", dict(values), dict.fromkeys(paths(values, ""), 0))


def check_named(files: Sequence[ConfigFile]) -> str:
    """What to say of a study that another file than config.yaml, the first, describes without naming it: ""
    or a warning. Its results go among those of config.yaml's study.

    Raises UserError where its models or tasks are others, so that it is another study. A change of a key, or
    --config alone, is one of the same study, whose jobs are run again as far as they depend on it.
    """
    base, *above = files
    unnamed = [file.path for file in above if file.lines and all(file.lines.values())]
    if not unnamed or any("study" in file.values for file in above):
        return ""
    study, values = base.values.get("study"), merged(files)
    for key in ("models", "tasks"):
        if values.get(key) != base.values.get(key):
            raise UserError(
                f"{unnamed[-1]} lacks the key 'study', but has other {key} than {base.path}, and its results "
                f"would go to results/{study}/ all the same; give your study a name, such as study: my_study"
            )
    return (
        f"{unnamed[-1]} lacks the key 'study', so it changes the study '{study}' of {base.path}, and what "
        f"depends on the change is made again in results/{study}/; for a study of its own, give it a name, "
        "such as study: my_study"
    )


def placed(message: str, files: Sequence[ConfigFile]) -> str:
    """The message after the place that it is about, where that can be told. Of config.yaml, the first file,
    which is laid under every study, with the file to write the key into."""
    place, own = place_of(message, files), [file.path for file in files[1:] if any(file.lines.values())]
    if own and place.startswith(f"{files[0].path}, "):
        if _MISSING.match(message):  # It stands in no line.
            return f"{own[-1]}: {message}"
        message += f" (write the key into {own[-1]}, which is laid over {files[0].path})"
    return f"{place}: {message}" if place else message


def place_of(message: str, files: Sequence[ConfigFile]) -> str:
    """Where the key that a message begins with stands: "my.yaml, line 7", or "" where that can't be told."""
    if unknown := _UNKNOWN.match(message):
        key = f"{unknown[2]}.{unknown[1]}" if unknown[2] else unknown[1]
    else:
        found = _KEY.match(message)
        key = found[1] if found else ""
    places = _deciding(files)
    # One that has only what is above the key says less.
    while key:
        if key in places:
            return places[key]
        key = re.sub(r"(\.[^.\[]+|\[\d+\])$|^[^.\[]+$", "", key)
    return ""


def _deciding(files: Sequence[ConfigFile]) -> dict[str, str]:
    """{path of a key: the place that decides its value}: the last file that has it, and none below a list or
    another value that a later file has in its place."""
    places: dict[str, str] = {}
    values: dict = {}
    for file in files:
        for key, line in file.lines.items():
            if not isinstance(_value(file.values, key), Mapping) or not isinstance(
                _value(values, key), Mapping
            ):
                places = {
                    each: at for each, at in places.items() if not each.startswith((f"{key}.", f"{key}["))
                }
            places[key] = f"{file.path}, line {line}" if line else file.path
        values = laid_over(values, file.values)
    return places


def _value(values: object, key: str) -> object:
    """At the path of a key; None where there is none."""
    for part in re.findall(r"[^.\[\]]+", key):
        if isinstance(values, list):
            values = values[int(part)] if int(part) < len(values) else None
        else:
            values = values.get(part) if isinstance(values, Mapping) else None
    return values
