"""What edits of the hidden states do to the model's compliance, and to how well it predicts neutral text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from skillprobe.errors import UserError
from skillprobe.labels.verdicts import decided
from skillprobe.probes.cross_validation import Settings
from skillprobe.statistics.bootstrap import Draws, draw_groups, ratio
from skillprobe.statistics.intervals import BOUNDS, FIXED_PROBES, both_intervals

UNEDITED, IDENTITY, RANDOM = "none", "identity", "random"
COLUMNS = (
    *("model", "condition", "task", "quantity", "estimate", *BOUNDS),
    *("n", "n_groups", "truncated", "status"),
)
_BOUNDS = {
    "compliance": (0.0, 1.0),
    "unedited": (0.0, 1.0),
    "change": (-1.0, 1.0),
    "change_minus_random": (-1.0, 1.0),
    "perplexity_ratio": (0.0, np.inf),
}


def behaviour_table(
    model: str,
    rows: Sequence[Mapping],
    perplexities: Sequence[Mapping],
    settings: Settings,
    *,
    controls: Mapping[str, str] | None = None,
    n_draws: int = 2000,
    seed: int = 0,
) -> list[dict]:
    """Rows with COLUMNS, one for each condition but "none", target task and quantity.

    rows: label rows of constrained responses, each with its "condition" and its "task" besides; responses of
    one id have one prompt and seed. perplexities: rows of `behaviour.perplexity` with the same two, or none.
    settings: the probes', for what counts as enough data. controls: {condition: the one that edits a random
    subspace of the same rank in the same way}, "random" for those left out.

    Quantities: "compliance" under the condition and "unedited" without; "change", the first minus the second;
    "change_minus_random", the change less that under the control; "perplexity_ratio", the perplexity of the
    same unedited responses under the condition over that without. All are paired by id: n counts pairs
    (tokens, for perplexity), n_groups their groups. A pair with an undecided response is left out, and with a
    truncated one; `truncated` is the share of these. One set of draws of the edited rows' groups serves all.
    status: "", or "insufficient: …" with NaN for the numbers.

    Of conditions named "<edit>:<task>" there are also the means of change_minus_random over the sufficient
    cells, as rows with the edit as condition: of each task edited by its own ("own" as task), and by the
    other tasks' ("others"); n counts cells. Raises UserError where nothing was edited, or an edited
    response has no unedited one.
    """
    cells, texts = _by_cell(rows), _by_cell(perplexities)
    edited = [row for row in (*rows, *perplexities) if row["condition"] != UNEDITED]
    if not edited:
        raise UserError(f"there are no responses of model {model!r} under any edit; generate them first")
    draws = draw_groups((row["group"] for row in edited), n_draws=n_draws, seed=seed)
    conditions = list(dict.fromkeys(row["condition"] for row in edited))
    controls = {condition: (controls or {}).get(condition, RANDOM) for condition in conditions}
    no_control = {IDENTITY, *controls.values()}

    table, beyond_random = [], {}
    for condition in conditions:
        for task in dict.fromkeys(row["task"] for row in (*rows, *perplexities)):
            found = {}
            ours, unedited, random = (
                cells.get((name, task), {}) for name in (condition, UNEDITED, controls[condition])
            )
            _check_paired(ours, unedited)
            for quantity, weights in (("compliance", (1, 0)), ("unedited", (0, 1)), ("change", (1, -1))):
                found[quantity] = _satisfied(ours, unedited, weights, settings, draws)
            if condition not in no_control:
                # Both changes are from the same unedited responses, which cancel.
                found["change_minus_random"] = _satisfied(ours, random, (1, -1), settings, draws)
            if (condition, task) in texts:
                ours, unedited = (texts.get((name, task), {}) for name in (condition, UNEDITED))
                _check_paired(ours, unedited)
                found["perplexity_ratio"] = _perplexity_ratio(ours, unedited, settings, draws)
            if "change_minus_random" in found and not found["change_minus_random"][-1]["status"]:
                beyond_random[condition, task] = found["change_minus_random"]
            for quantity, (estimate, drawn, about) in found.items():
                row = {"model": model, "condition": condition, "task": task, "quantity": quantity}
                by_seed = None if about["status"] else [estimate]
                row |= both_intervals(by_seed, drawn, _BOUNDS[quantity], FIXED_PROBES)
                table.append(row | about)
    return table + [{"model": model, **row} for row in _means(beyond_random)]


def _means(cells: Mapping[tuple[str, str], tuple]) -> Iterator[dict]:
    """Of conditions "<edit>:<task>": the mean effects on the edited tasks themselves, and on the others."""
    tasks = {task for _, task in cells}
    cells_of: dict[tuple[str, str], list[tuple]] = {}
    for (condition, task), cell in cells.items():
        edit, _, source = condition.partition(":")
        if source in tasks:
            cells_of.setdefault((edit, "own" if source == task else "others"), []).append(cell)
    for (edit, word), chosen in cells_of.items():
        estimates, draws, abouts = zip(*chosen, strict=True)
        yield {
            "condition": edit,
            "task": word,
            "quantity": "change_minus_random",
            **both_intervals([float(np.mean(estimates))], np.mean(draws, axis=0), (-1.0, 1.0), FIXED_PROBES),
            "n": len(chosen),
            "n_groups": max(about["n_groups"] for about in abouts),
            "truncated": float(np.mean([about["truncated"] for about in abouts])),
            "status": "",
        }


def _by_cell(rows: Sequence[Mapping]) -> dict[tuple[str, str], dict[str, Mapping]]:
    """{(condition, task): {id: row}}"""
    cells: dict[tuple[str, str], dict[str, Mapping]] = {}
    for row in rows:
        cells.setdefault((row["condition"], row["task"]), {})[row["id"]] = row
    return cells


def _check_paired(edited: Mapping[str, Mapping], unedited: Mapping[str, Mapping]) -> None:
    for name in sorted(edited.keys() - unedited.keys()):
        raise UserError(
            f"response '{name}' was generated under an edit, but not without it; generate that one, too"
        )


def _satisfied(ours, theirs, weights: tuple[int, int], settings: Settings, draws: Draws):
    """Mean over pairs of weights · (satisfied in ours, in theirs), its draws, and the row's last cells."""
    pairs = [(row, theirs[name]) for name, row in ours.items() if name in theirs]
    pairs = [pair for pair in pairs if len(decided(pair)) == len(pair)]
    whole = [pair for pair in pairs if not any(row["truncated"] for row in pair)]
    satisfied = np.array([[row["satisfied"] for row in pair] for pair in whole], float).reshape(-1, 2)
    groups = [row["group"] for row, _ in whole]
    n_groups = len(set(groups))
    truncated = 1 - len(whole) / len(pairs) if pairs else float("nan")
    status = ""
    if truncated > settings.max_truncated:
        most = f"at most {settings.max_truncated:.1%} may"
        status = f"{truncated:.1%} of the pairs have a truncated response; {most}"
    elif len(whole) < settings.min_rows or n_groups < settings.min_groups:
        needed = f"{settings.min_rows} from {settings.min_groups} are needed"
        status = f"{len(whole)} pairs from {n_groups} groups; {needed}"
    about = {"n": len(whole), "n_groups": n_groups, "truncated": truncated, "status": _insufficient(status)}
    return *ratio(satisfied @ weights, np.ones(len(whole)), groups, draws), about


def _perplexity_ratio(ours, theirs, settings: Settings, draws: Draws):
    """Ratio of the perplexities of the same texts, its draws, and the row's last cells."""
    change = np.array([row["nll"] - theirs[name]["nll"] for name, row in ours.items()])
    tokens = np.array([row["tokens"] for row in ours.values()], float)
    groups = [row["group"] for row in ours.values()]
    n_groups = len(set(groups))
    status = ""
    if n_groups < settings.min_groups or not tokens.sum():
        status = f"texts from {n_groups} groups; {settings.min_groups} are needed"
    about = {"n": int(tokens.sum()), "n_groups": n_groups, "truncated": "", "status": _insufficient(status)}
    estimate, drawn = ratio(change, tokens, groups, draws)
    return np.exp(estimate), np.exp(drawn), about


def _insufficient(status: str) -> str:
    return status and f"insufficient: {status}"
