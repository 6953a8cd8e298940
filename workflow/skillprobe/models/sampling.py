"""How a model is meant to be sampled: by its generation_config.json, where nobody says otherwise."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.storage import files

# What such a file may say, what is possible, and what holds where nobody says anything.
POSSIBLE = {
    "temperature": lambda value: 0 < value <= 10,
    "top_p": lambda value: 0 < value <= 1,
    "top_k": lambda value: value >= 0 and value == int(value),
}
DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}


def of_folder(folder: Path) -> dict[str, float]:
    """Those keys of DEFAULTS that the generation_config.json of a model's folder has; {} where there is none,
    or where it asks for the likeliest token (do_sample: false). Impossible values count as missing.

    Raises UserError for a file that can't be read.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} can't be read as JSON ({error}); save the model again") from error
    if not isinstance(found, dict) or found.get("do_sample") is False:
        return {}
    numbers = {key: found[key] for key in DEFAULTS if _is_number(found.get(key))}
    return {key: type(DEFAULTS[key])(value) for key, value in numbers.items() if POSSIBLE[key](value)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_own(paths: Sequence[str | Path]) -> dict[str, dict[str, float]]:
    """{model: of `of_folder`} of hub models, from what is said of each once it is fetched; {} of one that an
    older version fetched."""
    return {Path(path).stem: files.read_json(path).get("sampling", {}) for path in paths}


def with_own(section: Mapping, own: Mapping[str, float]) -> dict:
    """The settings of a generation, with the model's own sampling where they are None, and DEFAULTS where it
    has none. own: of `of_folder`."""
    missing = {key: own.get(key, value) for key, value in DEFAULTS.items() if section[key] is None}
    return {**section, **missing}
