"""Pools of responses: from K independent ones to a prompt, what each policy of sampling again would make.

A policy that only stops, selects or samples again takes responses in the order in which they come, and what
it does with one depends on nothing but that response's tokens so far. So it can be run afterwards, for any
threshold and number of starts, on responses that were sampled once and to their end: one that is stopped
after t tokens costs t. The order is random; the result is the mean over many orders, which are the same for
all policies. `skillprobe.monitor.guard` runs the same policies while a model writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skillprobe.storage import hdf5

# Random orders of the responses, each in all its rotations: so each response comes first equally often.
ORDERS = 32


@dataclass(frozen=True)
class Steered:
    """Responses that were steered with one strength where the monitor was below a threshold: [m, S] of m
    prompts, which are the first of the pool's; as of `Pool`."""

    threshold: float
    strength: float
    tokens: np.ndarray
    satisfied: np.ndarray
    truncated: np.ndarray


@dataclass(frozen=True)
class Pool:
    """K responses to each of m prompts of one task and model, read by its monitor.

    items, groups: [m] names; tokens: [m, K] how many were written, EOS included; satisfied, truncated:
    [m, K] bool; lost: [m, K], after how many tokens the verifier knew that the constraint couldn't be met any
    more, 0 for never; probabilities: [m, K, T + 1] float32, at the prompt's end and after each token, NaN
    where there is none. status: "", or why there are no responses.
    """

    items: np.ndarray
    groups: np.ndarray
    tokens: np.ndarray
    satisfied: np.ndarray
    truncated: np.ndarray
    lost: np.ndarray
    probabilities: np.ndarray
    steered: Sequence[Steered] = field(default=())
    status: str = ""

    @classmethod
    def blank(cls, status: str) -> Pool:
        """Of a task that has no monitor."""
        names, numbers = np.zeros(0, str), np.zeros((0, 1), int)
        return cls(
            names,
            names,
            numbers,
            numbers > 0,
            numbers > 0,
            numbers,
            np.zeros((0, 1, 1), np.float32),
            (),
            status,
        )

    @property
    def at_end(self) -> np.ndarray:
        """[m, K] probabilities after the last token."""
        return np.take_along_axis(self.probabilities, self.tokens[..., None], axis=2)[..., 0]

    def first_below(self, threshold: float) -> np.ndarray:
        """[m, K]: after how many tokens, at least 1, the probability is below a threshold; 0 for never."""
        # Comparisons with NaN are false.
        below = self.probabilities[:, :, 1:] < threshold
        return np.where(below.any(axis=2), below.argmax(axis=2) + 1, 0)


@dataclass(frozen=True)
class Fates:
    """What a policy does with each response of a pool, [m, K] each, should it come to it.

    cost: tokens until the policy is done with it; accepted: whether it is the answer then, and no other is
    sampled; value: of those that aren't, the one with the highest becomes the answer when the starts are
    spent (of equals the first), and costs the tokens that are missing to its end, `rest`.
    """

    cost: np.ndarray
    accepted: np.ndarray
    value: np.ndarray
    rest: np.ndarray


def verify_again(pool: Pool) -> Fates:
    """Written to the end and verified; the first that satisfies."""
    zero = np.zeros(pool.tokens.shape)
    return Fates(pool.tokens, pool.satisfied, zero, zero)


def stop_on_prefix(pool: Pool) -> Fates:
    """As `verify_again`, but stopped as soon as the constraint can't be met any more. One that is whole, or
    else the first, is the answer if none satisfies."""
    stopped = pool.lost > 0
    cost = np.where(stopped, pool.lost, pool.tokens)
    return Fates(cost, pool.satisfied & ~stopped, (~stopped).astype(float), pool.tokens - cost)


def best_of(pool: Pool) -> Fates:
    """Written to the end; the one of the highest probability there."""
    none = np.zeros(pool.tokens.shape, bool)
    return Fates(pool.tokens, none, pool.at_end, np.zeros(pool.tokens.shape))


def stop_early(pool: Pool, threshold: float, verified: bool = False) -> Fates:
    """Stopped where the monitor falls below the threshold; what isn't stopped is the answer, if it satisfies
    the verifier too (verified). Else the one that was stopped at the highest probability is written to its
    end; with a verifier, rather than one that is known to be wrong."""
    below = pool.first_below(threshold)
    stopped = below > 0
    cost = np.where(stopped, below, pool.tokens)
    value = np.take_along_axis(pool.probabilities, cost[..., None], axis=2)[..., 0]
    accepted = ~stopped
    if verified:
        accepted, value = ~stopped & pool.satisfied, np.where(stopped, value, -1.0)
    return Fates(cost, accepted, value, pool.tokens - cost)


def orders(number: int, seed: int) -> np.ndarray:
    """[R, K] of K responses, in which each of them is at each place equally often."""
    rng = np.random.default_rng([seed, number])
    drawn = [rng.permutation(number) for _ in range(ORDERS)]
    return np.array([np.roll(order, turn) for order in drawn for turn in range(number)])


def run(fates: Fates, satisfied: np.ndarray, tries: int, order: np.ndarray) -> tuple[np.ndarray, ...]:
    """What a policy of at most so many starts comes to, [m, R] each: the number of the answer among the
    pool's responses, whether it is satisfied, tokens spent, starts. order: [R, K]."""
    order = order[:, :tries]
    cost, accepted, value, rest = (
        part[:, order] for part in (fates.cost, fates.accepted, fates.value, fates.rest)
    )
    any_accepted = accepted.any(axis=2)
    place = np.where(any_accepted, accepted.argmax(axis=2), value.argmax(axis=2))
    starts = np.where(any_accepted, place + 1, order.shape[1])

    def at(values, where):
        return np.take_along_axis(values, where[..., None], axis=2)[..., 0]

    spent = at(cost.cumsum(axis=2), starts - 1) + np.where(any_accepted, 0, at(rest, place))
    number = order[np.arange(len(order)), place]
    return number, np.take_along_axis(satisfied, number, axis=1), spent, starts


def mean_over_orders(
    fates: Fates, pool: Pool, tries: int, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[m] each: the chance that a prompt's answer satisfies, and mean tokens spent on it."""
    _, satisfied, spent, _ = run(fates, pool.satisfied, tries, order)
    return satisfied.mean(axis=1), spent.mean(axis=1)


def save(path: str | Path, pool: Pool) -> None:
    """Store as HDF5: equal pools, equal bytes."""
    with hdf5.create(path) as file:
        file.attrs["status"] = pool.status
        for name in _TEXTS:
            hdf5.write_texts(file, name, getattr(pool, name))
        arrays = {name: getattr(pool, name) for name in _ARRAYS}
        arrays |= {name: np.array([getattr(each, name) for each in pool.steered]) for name in _OF_STEERED[:2]}
        nothing = np.zeros((0, len(pool.items), 0), int)
        for name in _OF_STEERED[2:]:
            parts = [getattr(each, name) for each in pool.steered]
            arrays[f"steered_{name}"] = np.stack(parts) if parts else nothing.astype(arrays[name].dtype)
        for name, values in arrays.items():
            file.create_dataset(name, data=values)


def load(path: str | Path) -> Pool:
    """What `save` stored. Raises DamagedFile if it isn't such a file."""
    with hdf5.whole(path, "guard") as file:
        of_steered = [file[name][()].tolist() for name in _OF_STEERED[:2]]
        of_steered += [list(file[f"steered_{name}"][()]) for name in _OF_STEERED[2:]]
        return Pool(
            **{name: hdf5.read_texts(file, name) for name in _TEXTS},
            **{name: file[name][()] for name in _ARRAYS},
            steered=tuple(Steered(*each) for each in zip(*of_steered, strict=True)),
            status=str(file.attrs["status"]),
        )


_TEXTS = ("items", "groups")
_ARRAYS = ("tokens", "satisfied", "truncated", "lost", "probabilities")
_OF_STEERED = ("threshold", "strength", "tokens", "satisfied", "truncated")


# {policy: its fates}, for those without a threshold.
PLAIN_POLICIES: Mapping[str, Callable[[Pool], Fates]] = {
    "verify_again": verify_again,
    "stop_on_prefix": stop_on_prefix,
    "best_of": best_of,
}
