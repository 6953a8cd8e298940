"""What acting on a monitor brings: compliance against tokens spent, beside asking the verifier alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from skillprobe.analyses import pools
from skillprobe.analyses.pools import Pool
from skillprobe.statistics.bootstrap import Draws, draw_groups
from skillprobe.statistics.intervals import BOUNDS, FIXED_PROBES, both_intervals
from skillprobe.storage.tables import MEAN, NO_TASK

PLAIN, AGAIN, PREFIX, BEST, EARLY, CHECKED, STEER = (
    *("plain", "verify_again", "stop_on_prefix", "best_of", "stop_early", "stop_early_verified", "steer"),
)
# What needs no monitor.
TRIVIAL = (PLAIN, AGAIN, PREFIX)
POLICIES = (*TRIVIAL, BEST, EARLY, CHECKED, STEER)
COMPLIANCE, TOKENS = "compliance", "tokens"
# Of a policy, at equal tokens: its compliance minus that of this one.
GAINS = {"gain": AGAIN, "gain_over_prefix": PREFIX}
# In the place of a setting: the mean over all settings of a policy.
ALL = "all"
COLUMNS = (
    *("model", "task", "policy", "threshold", "tries", "strength", "quantity", "estimate", *BOUNDS),
    *("n", "n_groups", "truncated", "status"),
)
_LIMITS = {COMPLIANCE: (0.0, 1.0), TOKENS: (0.0, np.inf)} | dict.fromkeys(GAINS, (-1.0, 1.0))
Setting = tuple[str, float | str, int | str, float | str]


def guard_table(
    model: str, by_task: Mapping[str, Pool], settings: Mapping, *, n_draws: int = 2000, seed: int = 0
) -> list[dict]:
    """Rows with COLUMNS, one for each task, policy, setting and quantity, then those of the mean over tasks.

    by_task: {task: its pool}; settings: the config's "guard.thresholds", "guard.tries",
    "probes.max_truncated" and "probes.min_groups".

    Quantities: "compliance", the chance that an answer satisfies; "tokens", as many as were spent on it, as a
    multiple of one plain response's; "gain" and "gain_over_prefix", compliance minus that of sampling again
    until the verifier is satisfied, or of the same with the verifier asked after each token, at equal tokens:
    between two numbers of starts on the straight line, beyond the last as there. Of each policy of a monitor
    the mean of the gains over all its settings has "all" as setting. Prompts are drawn by subject with the
    monitor as it is, so deviations are times FIXED_PROBES. The mean over tasks is of those that have data:
    each with its own tokens and gains.
    """
    known, rows = {}, []
    groups = [group for pool in by_task.values() for group in pool.groups.tolist()]
    draws = draw_groups(groups, n_draws=n_draws, seed=seed)
    for task, pool in by_task.items():
        about = {"n": len(pool.items), "n_groups": len(set(pool.groups.tolist()))}
        about["truncated"] = float(pool.truncated.mean()) if pool.truncated.size else float("nan")
        about["status"] = _status(pool, about, settings)
        if about["status"]:
            rows.append(_row(model, task, (PLAIN, "", 1, ""), COMPLIANCE, None, about))
            continue
        known[task] = _curves(pool, settings, draws, seed), about
        rows += _rows(model, task, known[task][0], about)
    about = {"n": len(known), "n_groups": 0, "truncated": float("nan"), "status": "" if known else NO_TASK}
    if not known:
        return [*rows, _row(model, MEAN, (PLAIN, "", 1, ""), COMPLIANCE, None, about)]
    about["n_groups"] = max(each["n_groups"] for _, each in known.values())
    about["truncated"] = float(np.mean([each["truncated"] for _, each in known.values()]))
    curves = [curve for curve, _ in known.values()]
    mean = {key: np.mean([curve[key] for curve in curves], axis=0) for key in curves[0]}
    return [*rows, *_rows(model, MEAN, mean, about)]


def _status(pool: Pool, about: Mapping, settings: Mapping) -> str:
    if pool.status:
        return pool.status
    if about["truncated"] > settings["probes.max_truncated"]:
        most = f"at most {settings['probes.max_truncated']:.1%} may be"
        return f"insufficient: {about['truncated']:.1%} of the responses are truncated; {most}"
    if about["n_groups"] < settings["probes.min_groups"]:
        needed = f"{settings['probes.min_groups']} are needed"
        return f"insufficient: prompts about {about['n_groups']} subjects; {needed}"
    return ""


def _curves(pool: Pool, settings: Mapping, draws: Draws, seed: int) -> dict[tuple[Setting, str], np.ndarray]:
    """{(setting, quantity): [1 + n_draws], of all prompts and then of each draw}."""
    made = dict(_outcomes(pool, settings, seed))
    names, group = np.unique(pool.groups, return_inverse=True)
    weights = np.vstack([np.ones(len(names)), draws.weights[:, draws.columns(names)]])

    def summed(values: np.ndarray) -> np.ndarray:
        return weights @ np.bincount(group, values, len(names))

    prompts, plain = summed(np.ones(len(group))), summed(pool.tokens.mean(axis=1))
    # A draw without any prompt of the task says nothing.
    prompts, plain = (np.where(total > 0, total, np.nan) for total in (prompts, plain))
    found = {}
    for setting, (satisfied, tokens) in made.items():
        found[setting, COMPLIANCE] = summed(satisfied) / prompts
        found[setting, TOKENS] = summed(tokens) / plain
    for gain, trivial in GAINS.items():
        line = [setting for setting in made if setting[0] == trivial]
        x, y = (np.array([found[setting, key] for setting in line]) for key in (TOKENS, COMPLIANCE))
        of_policy: dict[str, list[np.ndarray]] = {}
        for setting in made:
            if setting[0] not in (PLAIN, AGAIN, trivial):
                values = found[setting, COMPLIANCE] - interpolated(x, y, found[setting, TOKENS])
                found[setting, gain] = values
                of_policy.setdefault(setting[0], []).append(values)
        for policy, values in of_policy.items():
            if policy not in TRIVIAL:
                found[(policy, ALL, ALL, ALL), gain] = np.mean(values, axis=0)
    return found


def _outcomes(
    pool: Pool, settings: Mapping, seed: int
) -> Iterator[tuple[Setting, tuple[np.ndarray, np.ndarray]]]:
    """Each setting with [m] chances that an answer satisfies and [m] tokens spent."""
    number = pool.tokens.shape[1]
    order = pools.orders(number, seed)
    yield (PLAIN, "", 1, ""), (pool.satisfied.mean(axis=1), pool.tokens.mean(axis=1))
    for policy, fates in pools.PLAIN_POLICIES.items():
        made = fates(pool)
        for tries in range(1, number + 1) if policy in TRIVIAL else settings["guard.tries"]:
            yield (policy, "", tries, ""), pools.mean_over_orders(made, pool, tries, order)
    for policy, verified in ((EARLY, False), (CHECKED, True)):
        for threshold in settings["guard.thresholds"]:
            made = pools.stop_early(pool, threshold, verified)
            for tries in settings["guard.tries"]:
                setting = (policy, float(threshold), tries, "")
                yield setting, pools.mean_over_orders(made, pool, tries, order)
    for each in pool.steered:
        setting = (STEER, each.threshold, 1, each.strength)
        yield setting, (each.satisfied.mean(axis=1), each.tokens.mean(axis=1))


def interpolated(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """[n] values at `at` [n] of lines through points x, y [k, n]; constant beyond the ends.

    A point that costs more than another and is lower counts as high as that one: more starts can cost less,
    where the first one fails late (a response that was lost is written to its end if there is no other).
    """
    order = np.argsort(x, axis=0, kind="stable")
    x = np.take_along_axis(x, order, axis=0)
    y = np.maximum.accumulate(np.take_along_axis(y, order, axis=0), axis=0)
    upper = np.clip((x <= at).sum(axis=0), 1, max(1, len(x) - 1))
    lower = np.minimum(upper, len(x) - 1) - 1 if len(x) > 1 else upper - 1
    upper = np.minimum(upper, len(x) - 1)

    def of(values, place):
        return np.take_along_axis(values, place[None], axis=0)[0]

    width = of(x, upper) - of(x, lower)
    share = np.divide(at - of(x, lower), width, out=np.ones(len(at)), where=width > 0)
    return of(y, lower) + np.clip(share, 0, 1) * (of(y, upper) - of(y, lower))


def _rows(model: str, task: str, curves: Mapping, about: Mapping) -> list[dict]:
    order = {policy: number for number, policy in enumerate(POLICIES)}
    keys = sorted(curves, key=lambda key: order[key[0][0]])
    return [
        _row(model, task, setting, quantity, curves[setting, quantity], about) for setting, quantity in keys
    ]


def _row(
    model: str, task: str, setting: Setting, quantity: str, values: np.ndarray | None, about: Mapping
) -> dict:
    row = {"model": model, "task": task} | dict(
        zip(("policy", "threshold", "tries", "strength"), setting, strict=True)
    )
    given = (None,) if values is None else ([float(values[0])], values[1:])
    return row | {"quantity": quantity} | both_intervals(*given, _LIMITS[quantity], FIXED_PROBES) | about
