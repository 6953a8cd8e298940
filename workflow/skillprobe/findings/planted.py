"""Planted worlds: activation shards that no model wrote, in which it is known how tasks share their signal.

The analyses run on them as on any shards; how often they then say what is true is their calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from skillprobe.activations.positions import resolve
from skillprobe.analyses.blocks import paper_groups
from skillprobe.analyses.layers import CATEGORY_RANKS
from skillprobe.errors import UserError
from skillprobe.findings.worlds import (
    FAINT,
    FEW_VIOLATIONS,
    GROUP_COSINE,
    LEADER_STRENGTH,
    NEARLY_COSINE,
    PAIR_COSINE,
    PAIR_STRENGTH,
    STRONGEST,
    SUBJECT_ODDS,
    WEAKEST,
    WORLDS,
    World,
)
from skillprobe.prompts.bases import seed_from

# In standard deviations of the noise: what the response length adds, and how far tasks are apart.
LENGTH_EFFECT = 2.0
TASK_EFFECT = 3.0
# But for the directions of signals, half of the variance is the request's, so that folds which split requests
# would leak, and a fifth the item's. Along the signals all of it is the row's own, so that the best AUROC is
# the same across and within prompts.
BASE_SHARE, ITEM_SHARE = 0.5, 0.2
# Of the row's own noise, what the text has under whatever prompt. The rest is of this text and this prompt.
TEXT_SHARE = 0.8
# What prompts add to states along the task's own direction, where they are crossed with responses.
PROMPT_EFFECT = 1.5
# The correlation of the noise at neighbouring layers, as in a residual stream.
LAYER_CORRELATION = 0.8
LENGTH_CENTRE, LENGTH_SPREAD = 3.3, 0.35

# The positions before EOS of a world with a course, and how much of the signal at EOS an answer that is
# monitored has there.
COURSE = {"prompt_100": 0.0, "onset": 0.1, "body_50": 0.5, "last": 0.8}
# How much an answer's satisfaction depends on its prompt there, in log-odds a standard deviation.
PROMPT_ODDS = 2.5
# How far apart, in the gap of satisfied and violated answers, the states of prompts are that will surely be
# satisfied or violated, where that is planned. More than 1, as there are fewer prompts than answers to learn
# it from.
PLANNED_GAP = 4.0
# Of what a prompt decides, in standard deviations of the probability: what its params tell, and what else the
# state at its end knows, beside as much that it doesn't or nothing.
SURFACE_SPREAD, KNOWN_SPREAD = 0.15, {"half": 0.18, "all": 0.25}
# What the state holds of these, in standard deviations of the noise.
KNOWN_EFFECT = 3.0
# Log-odds a standard deviation of the params that foretell a label, and what the state holds of them.
PARAMS_ODDS, PARAMS_EFFECT = 2.0, 3.0
# Crossings of a content request, and by how much the log-probability of responses that match is higher, in
# standard deviations of what text and prompt add.
CROSSINGS, LIKELIHOOD_EFFECT = 2, 6.0
RELATIONS = ("at_least", "at_most")


@dataclass(frozen=True)
class Crossed:
    """n crossings of one task: groups [n] names; x: [layer, n, 2, 2, d] float32 at EOS, of constraint c and
    response r at [:, :, c, r]; log_probability: [n, 2, 2]."""

    groups: np.ndarray
    x: np.ndarray
    log_probability: np.ndarray


@dataclass(frozen=True)
class Planted:
    """One task: labels [n] in {0, 1}; lengths [n] in tokens; decided [n], the number of the token that
    decides; x: [layer, n, d] float32, at EOS; names of groups [n]; items [n], numbers within the group;
    params: of each row; course: {position: as x} before EOS, or nothing; unconstrained: answers without the
    constraint, or None; crossed: the crossings, or None."""

    labels: np.ndarray
    lengths: np.ndarray
    decided: np.ndarray
    x: np.ndarray
    groups: np.ndarray
    items: np.ndarray
    params: Sequence[Mapping] = ()
    course: Mapping[str, np.ndarray] = field(default_factory=dict)
    unconstrained: Planted | None = None
    crossed: Crossed | None = None


def plant(
    world: str,
    categories: Mapping[str, str],
    groups: Sequence[str],
    *,
    seed: int,
    auroc: float,
    items: int = 1,
    samples: int = 4,
    hidden_size: int = 128,
    num_layers: int = 4,
    joined: Mapping[str, str] | None = None,
) -> dict[str, Planted]:
    """Make the world, {task: rows at layers 0 to num_layers}.

    categories: {task: category}, as the tasks say; groups: of the study, with `items` prompts each and
    `samples` responses to each of these; auroc: the best that any linear probe of one task can reach, across
    and within prompts, in [½, 1): satisfied and violated rows are √2 Φ⁻¹(auroc) standard deviations of the
    noise apart; joined: as of `blocks.paper_groups`. Noise has a power-law spectrum in random axes. Raises
    UserError where tasks and directions don't fit into the hidden size.
    """
    plan = WORLDS[world]
    rng = np.random.default_rng(seed_from("planted", world, auroc, seed))
    space = _Space.make(plan, list(categories), hidden_size, num_layers, rng, joined)
    of_group = space.shared(rng.normal(size=(len(groups), hidden_size))) * np.sqrt(BASE_SHARE)
    ease = rng.normal(size=len(groups))
    gap = np.sqrt(2) * NormalDist().inv_cdf(auroc)
    requests = _Requests(np.array(groups), of_group, ease, items, samples)
    return {
        task: _plant_task(plan, space, requests, number, task, categories[task], gap)
        for number, task in enumerate(categories)
    }


@dataclass(frozen=True)
class _Requests:
    """What all tasks share: names of groups [G], what each adds to states [G, d], how easy it is to obey [G],
    and how many items and samples it has."""

    groups: np.ndarray
    states: np.ndarray
    ease: np.ndarray
    items: int
    samples: int


@dataclass(frozen=True)
class _Space:
    """Everything is laid out in coordinates in which the noise is white, then stretched and turned: turn
    [d, d]. axes: [2T + 1, d], of the signals, at right angles; directions: {task: [d]}."""

    axes: np.ndarray
    directions: Mapping[str, np.ndarray]
    turn: np.ndarray
    num_layers: int
    rng: np.random.Generator

    @classmethod
    def make(
        cls,
        plan: World,
        tasks: Sequence[str],
        hidden_size: int,
        num_layers: int,
        rng,
        joined: Mapping[str, str] | None,
    ) -> _Space:
        least = 2 * len(tasks) + 1
        if hidden_size < least:
            raise UserError(
                f"calibration.hidden_size is {hidden_size}; planting {len(tasks)} tasks takes at least "
                f"{least}"
            )
        axes = np.linalg.qr(rng.normal(size=(hidden_size, least)))[0].T
        spectrum = np.arange(1, hidden_size + 1) ** -0.35
        turn = np.linalg.qr(rng.normal(size=(hidden_size, hidden_size)))[0] * (spectrum / spectrum.mean())
        directions = _directions(plan, tasks, axes[1:], joined)
        return cls(axes, directions, turn, num_layers, rng)

    @property
    def size(self) -> int:
        return len(self.turn)

    @property
    def length_axis(self) -> np.ndarray:
        return self.axes[0]

    def shared(self, noise: np.ndarray) -> np.ndarray:
        """Noise [..., d] of whole requests or items, of which there is none along the signals."""
        return noise - noise @ self.axes.T @ self.axes

    def own(self, noise: np.ndarray) -> np.ndarray:
        """Noise [..., d] of rows, of unit variance along the signals."""
        along = noise @ self.axes.T @ self.axes
        return along + np.sqrt(1 - BASE_SHARE - ITEM_SHARE) * (noise - along)

    def layers(self, still: np.ndarray, signal: np.ndarray, present: np.ndarray, parts) -> np.ndarray:
        """[layer, n, d]: what is the same at all layers, the signal where it is present ([layer] bool), and
        noise. parts: (share of the noise's variance, which of the drawn noises a row has [n]) each."""
        noises = [np.zeros((int(of_row.max(initial=-1)) + 1, self.size)) for _, of_row in parts]
        found = []
        for layer in range(self.num_layers + 1):
            keep = LAYER_CORRELATION if layer else 0.0
            x = still + (signal if present[layer] else 0)
            for number, (share, of_row) in enumerate(parts):
                fresh = self.own(self.rng.normal(size=noises[number].shape))
                noises[number] = keep * noises[number] + np.sqrt(1 - keep**2) * fresh
                x = x + np.sqrt(share) * noises[number][of_row]
            found.append(x @ self.turn.T)
        return np.array(found, np.float32)


def _plant_task(
    plan: World, space: _Space, requests: _Requests, number: int, task: str, category: str, gap: float
) -> Planted:
    rng, groups, items = space.rng, requests.groups, requests.items
    n_items = len(groups) * items
    group = np.repeat(np.arange(len(groups)), items)  # of each item
    item = np.repeat(np.arange(n_items), requests.samples)  # of each row
    chance, told, params = _chances(plan, number, group, requests.ease, rng)
    labels = (rng.random(len(item)) < chance[item]).astype(np.int8)
    z = rng.normal(size=len(item))
    if plan.by_length:
        # More, since activations tell the length with noise.
        z += np.sqrt(1 + LENGTH_EFFECT**-2) * gap * (labels - 0.5)
    # At least two tokens and EOS, so that the last one is not the first.
    lengths = np.maximum(np.rint(np.expm1(LENGTH_CENTRE + LENGTH_SPREAD * z)), 3).astype(np.int32)
    z = (np.log1p(lengths) - LENGTH_CENTRE) / LENGTH_SPREAD
    direction = space.directions[task] * _strength(plan, number, len(space.directions))
    of_item = space.shared(rng.normal(size=(n_items, space.size))) * np.sqrt(ITEM_SHARE)
    if plan.reads in ("match", "likelihood") and not plan.course:
        of_item = of_item + PROMPT_EFFECT * rng.normal(size=(n_items, 1)) * space.directions[task]
    of_task = TASK_EFFECT * rng.normal(size=space.size) / np.sqrt(space.size)
    still_of_item = of_task + requests.states[group] + of_item
    still = still_of_item[item] + LENGTH_EFFECT * z[:, None] * space.length_axis
    signal = gap * (labels - 0.5)[:, None] * direction
    if plan.odds == "params":
        signal = PARAMS_EFFECT * told[item, None] * direction
    present = _present(plan, number, category, space.num_layers)
    each_row = [(1.0, np.arange(len(item)))]
    x = space.layers(still, signal, present, each_row)
    decided = lengths - 1
    if plan.course == "text":
        decided = 1 + (rng.random(len(item)) * decided).astype(np.int32)
    course = {}
    for position, share in COURSE.items() if plan.course else ():
        if position == "prompt_100":
            # What is not yet written has no length, and samples of one prompt share its state.
            at_prompt = _at_prompt(plan, chance, told, gap, direction, space.length_axis)[item]
            course[position] = space.layers(still_of_item[item], at_prompt, present, [(1.0, item)])
            continue
        here = share * signal
        if plan.course == "planned" or plan.odds == "params":
            here = signal
        if plan.course == "text":
            token = np.array([resolve([position], 1, length, True)[0][0] for length in lengths.tolist()])
            here = signal * (decided <= token)[:, None]
        course[position] = space.layers(still, here, present, each_row)
    unconstrained = crossed = None
    if plan.reads:
        unconstrained = _unconstrained(plan, space, requests, direction, gap, present)
        crossed = _crossed(plan, space, requests, direction, gap, present)
    return Planted(
        labels,
        lengths,
        decided,
        x,
        groups[group[item]],
        np.arange(n_items)[item] % items,
        [params[k] for k in item],
        course,
        unconstrained,
        crossed,
    )


def _chances(plan: World, number: int, group: np.ndarray, ease: np.ndarray, rng):
    """Of each item the chance that a response satisfies [n], what the state at the prompt's end knows of it
    [n, 2] or [n], of unit variance, and its params."""
    n = len(group)
    params: list[dict] = [{}] * n
    known = np.zeros(n)
    if plan.odds in ("params", "half", "all"):
        relation, count = rng.integers(0, 2, n), rng.integers(5, 60, n)
        # The more is asked for, the harder; the more is allowed, the easier.
        u = np.where(relation == 0, 32 - count, count - 32) * np.sqrt(3) / 27
        params = [{"relation": RELATIONS[r], "n": int(k)} for r, k in zip(relation, count, strict=True)]
        if plan.odds == "params":
            return _logistic(PARAMS_ODDS * u), u, params
        h, w = rng.uniform(-np.sqrt(3), np.sqrt(3), (2, n))
        spread = KNOWN_SPREAD[plan.odds]
        p = 0.5 + SURFACE_SPREAD * u + spread * (h + (w if plan.odds == "half" else 0))
        return np.clip(p, 0, 1), np.stack([h, u], axis=1), params
    if plan.odds == "prompt":
        return _logistic(PROMPT_ODDS * rng.normal(size=n)), known, params
    if plan.odds == "subject":
        return _logistic(SUBJECT_ODDS * rng.normal(size=len(ease))[group]), known, params
    if plan.few and number == 0:
        return np.full(n, 1 - FEW_VIOLATIONS), known, params
    # Some requests are easier to obey than others, in all tasks and in this one, and so are some items.
    odds = rng.uniform(-0.5, 1) + 0.5 * ease[group] + 0.8 * rng.normal(size=len(ease))[group]
    return _logistic(odds + 0.5 * rng.normal(size=n)), known, params


def _logistic(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds))


def _at_prompt(plan: World, chance, told, gap, direction, other) -> np.ndarray:
    """What the state at the prompt's end holds of each item's outcome, [n, d]."""
    if plan.odds == "params":
        return PARAMS_EFFECT * told[:, None] * direction
    if plan.odds in KNOWN_SPREAD:
        return KNOWN_EFFECT * (told[:, :1] * direction + told[:, 1:] * other)
    share = PLANNED_GAP if plan.course == "planned" else 0.0
    return share * gap * (chance - 0.5)[:, None] * direction


def _unconstrained(plan, space, requests, direction, gap, present) -> Planted:
    """Half as many answers, who obey by chance."""
    rng, groups = space.rng, requests.groups
    own = np.repeat(np.arange(len(groups)), max(requests.items * requests.samples // 2, 1))
    happen = rng.integers(0, 2, len(own)).astype(np.int8)
    told = gap * (happen - 0.5)[:, None] * direction * (plan.reads == "text")
    still = TASK_EFFECT * rng.normal(size=space.size) / np.sqrt(space.size) + requests.states[own]
    size = np.full(len(own), int(np.expm1(LENGTH_CENTRE)), np.int32)
    x = space.layers(still, told, present, [(1.0, np.arange(len(own)))])
    return Planted(happen, size, size - 1, x, groups[own], np.zeros(len(own), int), [{}] * len(own))


def _crossed(plan, space, requests, direction, gap, present) -> Crossed:
    """Two prompts and two responses of one request, each response under both prompts. Under prompt 0,
    response 0 satisfies; the property that a reader of the text goes by is that of response 0, too."""
    rng, groups = space.rng, requests.groups
    own = np.repeat(np.arange(len(groups)), CROSSINGS)
    n = len(own)
    place = np.arange(4 * n).reshape(n, 2, 2)
    prompt = np.repeat(np.arange(2 * n).reshape(n, 2, 1), 2, axis=2)
    text = np.repeat(np.arange(2 * n).reshape(n, 1, 2), 2, axis=1)
    satisfied = np.broadcast_to(np.eye(2), (n, 2, 2))
    property_of = np.broadcast_to(np.array([1.0, 0.0]), (n, 2, 2))
    seen = property_of if plan.reads == "text" else satisfied
    of_prompt = space.shared(rng.normal(size=(2 * n, space.size))) * np.sqrt(ITEM_SHARE)
    of_prompt = of_prompt + PROMPT_EFFECT * rng.normal(size=(2 * n, 1)) * direction
    still = TASK_EFFECT * rng.normal(size=space.size) / np.sqrt(space.size)
    still = still + np.repeat(requests.states[own], 4, axis=0) + of_prompt[prompt.ravel()]
    signal = gap * (seen.reshape(-1, 1) - 0.5) * direction
    parts = [(TEXT_SHARE, text.ravel()), (1 - TEXT_SHARE, place.ravel())]
    x = space.layers(still, signal, present, parts)
    told = rng.normal(size=2 * n)[prompt] + rng.normal(size=2 * n)[text] + rng.normal(size=(n, 2, 2))
    told = told - 100.0 + LIKELIHOOD_EFFECT * satisfied * (plan.reads == "likelihood")
    return Crossed(groups[own], x.reshape(len(x), n, 2, 2, -1), told)


def _leaders(n_tasks: int) -> list[int]:
    """The number of the task that leads each: every third one itself. Those between follow other leaders, so
    that few who share a direction are of one group of the paper."""
    leading = range(0, n_tasks, 3)
    others = [number for number in range(n_tasks) if number % 3]
    return [
        number if number % 3 == 0 else leading[(others.index(number) + 1) % len(leading)]
        for number in range(n_tasks)
    ]


def _strength(plan: World, number: int, n_tasks: int) -> float:
    if plan.silent and number % 3 == 2:
        return 0.0
    if plan.directions == "pairs" and number % 2 == 0:
        return PAIR_STRENGTH
    if plan.directions == "led" and number % 3 == 0:
        return LEADER_STRENGTH
    if plan.strengths != "equal" and n_tasks > 1:
        weakest = FAINT if plan.strengths == "faint" else WEAKEST
        return weakest * (STRONGEST / weakest) ** (number / (n_tasks - 1))
    return 1.0


def _directions(
    plan: World, tasks: Sequence[str], axes: np.ndarray, joined: Mapping[str, str] | None
) -> dict[str, np.ndarray]:
    """Unit vectors by task, or zeros; axes: [2 · tasks, d] at right angles."""
    own, shared = axes[: len(tasks)], axes[len(tasks) :]
    if plan.directions == "none":
        return dict.fromkeys(tasks, np.zeros(axes.shape[1]))
    if plan.directions == "one":
        return dict.fromkeys(tasks, shared[0])
    if plan.directions == "pairs":
        sine = np.sqrt(1 - PAIR_COSINE**2)
        return {
            task: PAIR_COSINE * own[k - 1] + sine * own[k] if k % 2 else own[k]
            for k, task in enumerate(tasks)
        }
    if plan.directions == "led":
        return {task: own[leader] for task, leader in zip(tasks, _leaders(len(tasks)), strict=True)}
    cosine = {"groups": GROUP_COSINE, "nearly": NEARLY_COSINE}.get(plan.directions, 0.0)
    groups = paper_groups(tasks, joined) if plan.directions == "groups" else [""] * len(tasks)
    of_group = {group: shared[k] for k, group in enumerate(dict.fromkeys(groups))}
    return {
        task: np.sqrt(cosine) * of_group[group] + np.sqrt(1 - cosine) * own[k]
        for k, (task, group) in enumerate(zip(tasks, groups, strict=True))
    }


def _present(plan: World, number: int, category: str, num_layers: int) -> np.ndarray:
    """At which layers, [layer] bool, a task's signal is there: from a third, two thirds or all of the depth
    on; or in the first or second half only."""
    layer = np.arange(num_layers + 1)
    if plan.depths == "apart":
        half = (num_layers + 1) // 2
        return (layer >= 1) & (layer <= half) if number % 2 else layer > half
    rank = {"same": 2, "ranked": CATEGORY_RANKS[category], "reversed": 4 - CATEGORY_RANKS[category]}
    return layer >= round(num_layers * rank[plan.depths] / 3)
