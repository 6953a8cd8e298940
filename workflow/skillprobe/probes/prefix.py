"""What a reader of the text alone would know at each position: baselines of the probes over time.

See docs/definitions.md, "Monitoring and planning".

A probe that beats none of them has found nothing that isn't written there. Each is fitted by the
specialists' protocol on the same rows, so that it differs from them in nothing but what it sees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from skillprobe.errors import UserError
from skillprobe.probes.course import (
    PROMPT_END,
    CourseRows,
    gathered,
    in_prompt,
    places,
    train_scopes,
    without_weights,
)
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.surface import bag_of_words, one_hot, some_column
from skillprobe.storage.tables import SCOPES
from skillprobe.tasks.text import count_words

TEXT_SO_FAR = "text"
BASELINES = (TEXT_SO_FAR, "length", "words")
SURFACE = "surface"


def fit_prefixes(
    rows: CourseRows,
    labels: Sequence[Mapping],
    verify: Callable[[str, Mapping], object],
    settings: Mapping,
    prepare: Callable[[Sequence[str]], None] = lambda texts: None,
) -> dict[str, dict[str, dict[str, ProbeResult]]]:
    """{scope: {baseline: {position or span of tokens: result}}}.

    labels: label rows, those of rows.ids among them; verify: (text, params) -> Verdict; prepare: told the
    texts that are to be verified next. Baselines of the response up to the position: "text", whether it
    satisfies as it stands, the verifier's evidence, and the params; "length", the number of its tokens (at
    prompt positions of the prompt's words); "words", a bag of its words. And at prompt_100 only: "surface"
    (length, words, phrasing and params of the prompt). Within prompts there is "text" only, after the
    prompt's end. settings: as for `fit_course`. Raises UserError for a row without a label row.
    """
    by_id = {row["id"]: row for row in labels}
    if missing := [name for name in rows.ids.tolist() if name not in by_id]:
        raise UserError(f"response '{missing[0]}' is in the activations but not in the labels; extract again")
    of_row = [by_id[name] for name in rows.ids.tolist()]
    params = params_features([row["params"] for row in of_row])
    prompt_words = np.array([[count_words(row["prompt"])] for row in of_row], float).reshape(-1, 1)
    found: dict[str, dict[str, dict[str, ProbeResult]]] = {scope: {} for scope in SCOPES}

    def fit(name: str, place: str, which: np.ndarray, x: np.ndarray) -> None:
        across = name != TEXT_SO_FAR or in_prompt(place)
        for scope, each in train_scopes(rows, which, some_column(x), settings, across).items():
            found[scope].setdefault(name, {})[place] = without_weights(each.result)

    for place, parts in places(rows).items():
        which, characters = gathered(parts, rows.characters)
        tokens = gathered(parts, rows.tokens)[1][:, None]
        texts = [of_row[n]["response"][:end] for n, end in zip(which, characters, strict=True)]
        prepare(texts)
        verdicts = [verify(text, of_row[n]["params"]) for text, n in zip(texts, which, strict=True)]
        features = {
            TEXT_SO_FAR: np.concatenate([verdict_features(verdicts), params[which]], axis=1),
            "length": np.log1p(np.where(tokens > 0, tokens, prompt_words[which])),
            "words": bag_of_words(texts),
        }
        for name, x in features.items():
            fit(name, place, which, x)
    if PROMPT_END in rows.valid:
        which = np.flatnonzero(rows.valid[PROMPT_END])
        prompts = [of_row[n]["prompt"] for n in which]
        phrasings = one_hot([of_row[n]["phrasing"] for n in which])
        x = np.concatenate(
            [np.log1p(prompt_words[which]), phrasings, params[which], bag_of_words(prompts)], axis=1
        )
        fit(SURFACE, PROMPT_END, which, x)
    return found


def params_features(params: Sequence[Mapping], crossed: bool = False) -> np.ndarray:
    """[n, q] of the constraints' params: numbers and their logarithms, texts one-hot. crossed: also each
    number where a text is what it is (0 elsewhere), as n where the relation is "at_least"."""
    return _flat([_numbers_and_texts(each, deep=True) | _crossed(each, crossed) for each in params])


def _crossed(values: Mapping, wanted: bool) -> dict[str, float]:
    numbers = {key: value for key, value in values.items() if isinstance(value, int | float)}
    texts = {key: value for key, value in values.items() if isinstance(value, str)}
    return {
        f"{number} where {text} {texts[text]}": float(numbers[number])
        for number in numbers
        for text in texts
        if wanted
    }


def verdict_features(verdicts: Sequence) -> np.ndarray:
    """[n, q]: satisfied or not, and the evidence's numbers (of nested ones and lists the smallest and the
    sum, of other lists the length) and short texts."""
    return _flat(
        [
            {"satisfied": float(each.satisfied)} | _numbers_and_texts(each.evidence, deep=False)
            for each in verdicts
        ]
    )


def crossed_features(verdicts: Sequence, params: Sequence[Mapping]) -> np.ndarray:
    """[n, q]: the verdict, and each number of its evidence, where a text of the params is what it is (0
    elsewhere): a limit that is met so far means something else where the relation is "at_most"."""
    return _flat(
        [
            _crossed(
                {"satisfied": float(each.satisfied)}
                | {key: value for key, value in each.evidence.items() if isinstance(value, int | float)}
                | {f"asked {key}": value for key, value in asked.items() if isinstance(value, str)},
                True,
            )
            for each, asked in zip(verdicts, params, strict=True)
        ]
    )


def _numbers_and_texts(values: Mapping, deep: bool) -> dict[str, float]:
    """{column: value}; deep: the texts of lists are columns as well."""
    found: dict[str, float] = {}
    for key, value in values.items():
        nested = list(value.values()) if isinstance(value, Mapping) else value
        if isinstance(value, bool):
            found[key] = float(value)
        elif isinstance(value, int | float):
            found[key] = float(value)
            found[f"log {key}"] = float(np.sign(value) * np.log1p(abs(value)))
        elif isinstance(value, str):
            found[f"{key} {value}"] = 1.0
        elif isinstance(nested, list | tuple):
            numbers = [float(each) for each in nested if isinstance(each, bool | int | float)]
            if numbers:
                found |= {f"{key} smallest": min(numbers), f"{key} sum": sum(numbers)}
            found[f"{key} length"] = float(len(nested))
            if deep:
                found |= {f"{key} {each}": 1.0 for each in nested if isinstance(each, str)}
    return found


def _flat(rows: Sequence[Mapping[str, float]]) -> np.ndarray:
    """[n, q] of the columns that at least two rows have, 0 where one lacks it."""
    n_rows = Counter(name for row in rows for name in row)
    columns = sorted(name for name, n in n_rows.items() if n > 1)
    x = np.zeros((len(rows), len(columns)))
    place = {name: k for k, name in enumerate(columns)}
    for number, row in enumerate(rows):
        for name, value in row.items():
            if name in place:
                x[number, place[name]] = value
    return x
