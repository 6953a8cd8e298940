"""How often each model obeys each task's constraints, and how often without them, by chance."""

from collections.abc import Sequence

import numpy as np

from skillprobe.labels.verdicts import decided
from skillprobe.statistics import bootstrap, intervals


def summarise(rows: Sequence[dict], n_draws: int, seed: int) -> dict:
    """Compliance of one model on one task, from its label rows.

    Truncated responses are left out of the rates and counted in `truncated` (share of constrained ones),
    and those that the judge leaves undecided in `undecided` (share of constrained ones that are whole).
    The 95 % interval is a bootstrap over groups; it is empty where no response was whole. `mixed` is the
    share of items with both outcomes, among the `n_items` that have at least two whole responses, in the
    mean `n_per_item`.
    """
    constrained = [row for row in rows if row["variant"] == "constrained"]
    ended = [row for row in constrained if not row["truncated"]]
    whole = decided(ended)
    unconstrained = [row for row in rows if row["variant"] == "unconstrained" and not row["truncated"]]
    unconstrained = decided(unconstrained)
    estimate = lower = upper = ""
    if whole:
        groups = [row["group"] for row in whole]
        draws = bootstrap.draw_groups(groups, n_draws=n_draws, seed=seed)
        satisfied = np.array([row["satisfied"] for row in whole], float)
        value, drawn = bootstrap.ratio(satisfied, np.ones(len(whole)), groups, draws)
        found = intervals.interval([value], drawn, 0.95, bounds=(0, 1))
        estimate, lower, upper = found.estimate, found.lower, found.upper
    outcomes: dict[str, list[bool]] = {}
    for row in whole:
        outcomes.setdefault(row["item"], []).append(row["satisfied"])
    compared = [found for found in outcomes.values() if len(found) > 1]
    return {
        "compliance": estimate,
        "lower95": lower,
        "upper95": upper,
        "n": len(whole),
        "n_groups": len({row["group"] for row in whole}),
        "truncated": 1 - len(ended) / len(constrained) if constrained else "",
        "undecided": 1 - len(whole) / len(ended) if ended else "",
        "twin_compliance": float(np.mean([row["satisfied"] for row in unconstrained]))
        if unconstrained
        else "",
        "n_twin": len(unconstrained),
        "distinct_responses": len({row["response"] for row in whole}),
        "mixed": sum(len(set(found)) > 1 for found in compared) / len(compared) if compared else "",
        "n_items": len(compared),
        "n_per_item": sum(map(len, compared)) / len(compared) if compared else "",
    }


def as_text(table: Sequence[dict]) -> str:
    """The table for a terminal: a line a task, a column a model; where there is no rate, why."""
    models = list(dict.fromkeys(row["model"] for row in table))
    rate = {(row["task"], row["model"]): _rate(row) for row in table}
    tasks = list(dict.fromkeys(row["task"] for row in table))
    width = max(map(len, [*tasks, "compliance"]))
    lines = [f"{'compliance':<{width}}  " + "  ".join(f"{model:>12}" for model in models)]
    for task in tasks:
        cells = [f"{rate[task, model]:>12}" for model in models]
        lines.append(f"{task:<{width}}  " + "  ".join(cells))
    return "\n".join(lines)


def _rate(row: dict) -> str:
    if row["compliance"] != "":
        return f"{row['compliance']:.1%}"
    if row["truncated"] == "":
        return "no responses"
    return "truncated" if row["truncated"] == 1 else "undecided"
