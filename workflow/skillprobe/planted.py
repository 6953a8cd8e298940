"""Planted worlds: activation shards that no model wrote, in which it is known how tasks share their signal.

The analyses run on them as on any shards; how often they then say what is true is their calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from skillprobe import shards
from skillprobe.analyses.layers import CATEGORY_RANKS
from skillprobe.analyses.transfer import PAPER_GROUPS
from skillprobe.bases import seed_from
from skillprobe.errors import UserError

# How much of a direction tasks of one group share, as a cosine, in a world of clusters.
GROUP_COSINE = 0.7
# In standard deviations of the noise: what the response length adds, and how far tasks are apart.
LENGTH_EFFECT = 2.0
TASK_EFFECT = 3.0
# Half of the variance is the request's, so that folds which split requests would leak.
BASE_SHARE = 0.5
# The correlation of the noise at neighbouring layers, as in a residual stream.
LAYER_CORRELATION = 0.8
LENGTH_CENTRE, LENGTH_SPREAD = 3.3, 0.35
# How much the second task of a pair shares with the first, and how many times as strong the first one is: it
# can lose what they share and hardly notice.
PAIR_COSINE, PAIR_STRENGTH = 0.8, 2.5


@dataclass(frozen=True)
class World:
    """What is planted, and so what is true.

    directions, along which satisfied and violated rows differ: "one" for all tasks, "own" ones at right
    angles, "groups" (own ones, partly shared within the paper's groups), "pairs" (the second of two tasks
    shares most of its own with the first, which is far stronger), or "none". depths, where they begin to:
    "same", "ranked" by category as the paper has it, or "reversed". by_length: satisfied answers are longer.
    truth, by claim: the verdict that is right; "none" where neither supported nor contradicted is, as
    there is nothing to find; "unsupported" where only supported is wrong.
    """

    about: str
    directions: str
    depths: str
    truth: Mapping[str, str]
    by_length: bool = False


WORLDS = {
    "universal": World(
        "one direction for all tasks, from the same layer on",
        "one",
        "same",
        {
            "generality": "contradicted",
            "transfer_weak": "contradicted",
            "transfer_clustered": "unsupported",
            "ablation_sparse": "contradicted",
            "ablation_asymmetric": "unsupported",
            "layers_stratified": "none",
            "signal_beyond_confounds": "supported",
        },
    ),
    "compositional": World(
        "a direction for each task, at right angles to all others; depth by category",
        "own",
        "ranked",
        {
            "generality": "supported",
            "transfer_weak": "supported",
            "transfer_clustered": "unsupported",
            "ablation_sparse": "supported",
            "ablation_asymmetric": "unsupported",
            "layers_stratified": "supported",
            "signal_beyond_confounds": "supported",
        },
    ),
    "clustered": World(
        f"directions with a cosine of {GROUP_COSINE:g} within the paper's groups, 0 between; depth by "
        "category, but the other way round",
        "groups",
        "reversed",
        {
            "generality": "supported",
            "transfer_weak": "supported",
            "transfer_clustered": "supported",
            "ablation_sparse": "supported",
            "ablation_asymmetric": "unsupported",
            "layers_stratified": "contradicted",
            "signal_beyond_confounds": "supported",
        },
    ),
    "asymmetric": World(
        f"pairs of tasks with a cosine of {PAIR_COSINE:g}, the first {PAIR_STRENGTH:g} times as far apart",
        "pairs",
        "same",
        {
            "generality": "supported",
            "transfer_weak": "supported",
            "transfer_clustered": "unsupported",
            "ablation_sparse": "supported",
            "ablation_asymmetric": "supported",
            "layers_stratified": "none",
            "signal_beyond_confounds": "supported",
        },
    ),
    "length_confounded": World(
        "nothing but the length of the answer, which goes with satisfied in every task",
        "none",
        "same",
        # What holds of the length's direction holds: one for all tasks. That it is no more than length is for
        # the residualised control to say.
        {
            "generality": "contradicted",
            "transfer_weak": "contradicted",
            "transfer_clustered": "unsupported",
            "ablation_sparse": "contradicted",
            "ablation_asymmetric": "unsupported",
            "layers_stratified": "none",
            "signal_beyond_confounds": "contradicted",
        },
        by_length=True,
    ),
    "noise": World(
        "nothing: labels and activations share only the request",
        "none",
        "same",
        {
            "generality": "none",
            "transfer_weak": "none",
            "transfer_clustered": "none",
            "ablation_sparse": "none",
            "ablation_asymmetric": "none",
            "layers_stratified": "none",
            "signal_beyond_confounds": "none",
        },
    ),
}


@dataclass(frozen=True)
class Planted:
    """One task: labels [n] in {0, 1}; lengths [n] in tokens; x: [layer, n, d] float32; names of bases [n]."""

    labels: np.ndarray
    lengths: np.ndarray
    x: np.ndarray
    bases: np.ndarray


def plant(
    world: str,
    categories: Mapping[str, str],
    bases: Sequence[str],
    *,
    seed: int,
    auroc: float,
    rows_per_base: int = 4,
    hidden_size: int = 128,
    num_layers: int = 4,
) -> dict[str, Planted]:
    """Make the world, {task: rows at layers 0 to num_layers}.

    categories: {task: category}, as the tasks say; bases: of the study; auroc: the best that any linear probe
    of one task can reach, in [½, 1): satisfied and violated rows are √2 Φ⁻¹(auroc) standard deviations of the
    noise apart. Noise has a power-law spectrum in random axes. Raises UserError where tasks and directions
    don't fit into the hidden size.
    """
    plan, tasks = WORLDS[world], list(categories)
    rng = np.random.default_rng(seed_from("planted", world, auroc, seed))
    if hidden_size < 2 * len(tasks) + 1:
        raise UserError(
            f"calibration.hidden_size is {hidden_size}; planting {len(tasks)} tasks takes at least "
            f"{2 * len(tasks) + 1}"
        )
    # Everything is laid out in coordinates in which the noise is white, then stretched and turned.
    axes = np.linalg.qr(rng.normal(size=(hidden_size, 2 * len(tasks) + 1)))[0].T
    length_axis, directions = axes[0], _directions(plan, tasks, axes[1:])
    spectrum = np.arange(1, hidden_size + 1) ** -0.35
    turn = np.linalg.qr(rng.normal(size=(hidden_size, hidden_size)))[0] * (spectrum / spectrum.mean())
    of_base = rng.normal(size=(len(bases), hidden_size)) * np.sqrt(BASE_SHARE)
    ease = rng.normal(size=len(bases))
    gap = np.sqrt(2) * NormalDist().inv_cdf(auroc)

    planted = {}
    for task in tasks:
        base = np.repeat(np.arange(len(bases)), rows_per_base)
        # Some requests are easier to obey than others, in all tasks and in this one.
        odds = rng.uniform(-0.5, 1) + 0.5 * ease[base] + 0.8 * rng.normal(size=len(bases))[base]
        labels = (rng.logistic(size=len(base)) < odds).astype(np.int8)
        z = rng.normal(size=len(base))
        if plan.by_length:
            # More, since activations tell the length with noise.
            z += np.sqrt(1 + LENGTH_EFFECT**-2) * gap * (labels - 0.5)
        lengths = np.maximum(np.rint(np.expm1(LENGTH_CENTRE + LENGTH_SPREAD * z)), 1).astype(np.int32)
        z = (np.log1p(lengths) - LENGTH_CENTRE) / LENGTH_SPREAD
        still = TASK_EFFECT * rng.normal(size=hidden_size) / np.sqrt(hidden_size)
        still = still + of_base[base] + LENGTH_EFFECT * z[:, None] * length_axis
        strength = PAIR_STRENGTH if plan.directions == "pairs" and tasks.index(task) % 2 == 0 else 1.0
        signal = strength * gap * (labels - 0.5)[:, None] * directions[task]
        first = _first_layer(plan.depths, categories[task], num_layers)
        noise, layers = np.zeros((len(base), hidden_size)), []
        for layer in range(num_layers + 1):
            fresh = rng.normal(size=noise.shape) * np.sqrt(1 - BASE_SHARE)
            keep = LAYER_CORRELATION if layer else 0.0
            noise = keep * noise + np.sqrt(1 - keep**2) * fresh
            layers.append((still + noise + (signal if layer >= first else 0)) @ turn.T)
        planted[task] = Planted(labels, lengths, np.array(layers, np.float32), np.array(bases)[base])
    return planted


def write_shards(
    paths: Mapping[str, str | Path], planted: Mapping[str, Planted], *, position: str, study: str, world: str
) -> None:
    """Write each task's rows as one shard (float16) that has only this position."""
    for task, path in paths.items():
        rows = planted[task]
        n_layers, n, hidden_size = rows.x.shape
        samples = {
            "id": [f"{task}/{base}/{number}" for number, base in enumerate(rows.bases)],
            "base": rows.bases,
            "variant": ["constrained"] * n,
            "instruction_type": ["human"] * n,
            "polarity": ["positive"] * n,
            "phrasing": ["planted"] * n,
            "label": rows.labels,
            "response_length": rows.lengths,
            "truncated": np.zeros(n, bool),
        }
        with shards.create(
            path,
            samples=samples,
            positions=[position],
            valid=np.ones((1, n), bool),
            num_layers=n_layers - 1,
            hidden_size=hidden_size,
            dtype="float16",
            attributes={"study": study, "model": f"planted {world}", "task": task},
        ) as writer:
            for layer, start in ((a, b) for a in range(n_layers) for b in range(0, n, writer.rows_per_block)):
                block = rows.x[layer, start : start + writer.rows_per_block]
                writer.write(layer, start, block[None].astype(np.float16))


def _directions(plan: World, tasks: Sequence[str], axes: np.ndarray) -> dict[str, np.ndarray]:
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
    cosine = GROUP_COSINE if plan.directions == "groups" else 0.0
    group_of = {task: number for number, group in enumerate(PAPER_GROUPS) for task in group}
    groups = {group: shared[k] for k, group in enumerate(dict.fromkeys(group_of.get(t, t) for t in tasks))}
    return {
        task: np.sqrt(cosine) * groups[group_of.get(task, task)] + np.sqrt(1 - cosine) * own[k]
        for k, task in enumerate(tasks)
    }


def _first_layer(depths: str, category: str, num_layers: int) -> int:
    """The layer from which on a task's signal is there: at a quarter, half or three quarters of the depth."""
    rank = {"same": 2, "ranked": CATEGORY_RANKS[category], "reversed": 4 - CATEGORY_RANKS[category]}[depths]
    return round(num_layers * rank / 4)
