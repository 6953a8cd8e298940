"""Planted worlds: activation shards that no model wrote, in which it is known how tasks share their signal.

The analyses run on them as on any shards; how often they then say what is true is their calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from skillprobe.activations import shards
from skillprobe.activations.positions import resolve
from skillprobe.analyses.blocks import paper_groups
from skillprobe.analyses.layers import CATEGORY_RANKS
from skillprobe.errors import UserError
from skillprobe.prompts.bases import seed_from
from skillprobe.tasks.base import Verdict

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
    there is nothing to find; "unsupported" where only supported is wrong. course, over time: "" (EOS is all
    there is), "planned" (whether an answer will satisfy depends on its prompt, whose state says so),
    "monitored" (it depends on the prompt as much, but the state tells only as the answer is written), or
    "text" (the state tells from the word on that decides it, which may stand anywhere). twins, answers
    without the constraint: "" (there are none), "same" (the state tells as much of them as of the others), or
    "silent" (it tells nothing).
    """

    about: str
    directions: str
    depths: str
    truth: Mapping[str, str]
    by_length: bool = False
    course: str = ""
    twins: str = ""


# What is true of tasks with directions of their own that all begin at the same layer.
_OWN = {
    "generality": "supported",
    "transfer_weak": "supported",
    "transfer_clustered": "unsupported",
    "ablation_sparse": "supported",
    "ablation_asymmetric": "unsupported",
    "layers_stratified": "none",
    "signal_beyond_confounds": "supported",
}

WORLDS = {
    "universal": World(
        "one direction shared by all tasks, from the same layer on",
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
        "a direction for each task, orthogonal to all others; the depth depends on the category, in the "
        "paper's order",
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
        f"directions with a cosine of {GROUP_COSINE:g} within the paper's groups and 0 between them; the "
        "depth depends on the category, in the reverse of the paper's order",
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
        f"pairs of tasks whose directions have a cosine of {PAIR_COSINE:g}; the signal of the first task is "
        f"{PAIR_STRENGTH:g} times as strong",
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
    "planned": World(
        "a direction for each task, with and without the constraint; the state at the prompt's end already "
        "predicts the outcome",
        "own",
        "same",
        _OWN | {"monitoring": "contradicted", "specificity": "contradicted"},
        course="planned",
        twins="same",
    ),
    "monitored": World(
        "a direction for each task, only with the constraint; the signal is absent at the prompt's end and "
        "grows while the response is written",
        "own",
        "same",
        _OWN | {"monitoring": "supported", "specificity": "supported"},
        course="monitored",
        twins="silent",
    ),
    "text_decides": World(
        "a direction for each task; the state carries only what the text so far has decided",
        "own",
        "same",
        _OWN | {"monitoring": "supported"},
        course="text",
    ),
    "length_confounded": World(
        "no signal but the length of the response; in every task, satisfied responses are longer",
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
        "no signal; labels and activations have only the content request in common",
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
            "monitoring": "none",
            "specificity": "none",
        },
        course="monitored",
        twins="same",
    ),
}


# The positions before EOS of a world with a course, and how much of the signal at EOS an answer that is
# monitored has there.
COURSE = {"prompt_100": 0.0, "onset": 0.1, "body_50": 0.5, "last": 0.8}
# How much an answer's satisfaction depends on its prompt there, in log-odds a standard deviation.
PROMPT_ODDS = 2.5
# How far apart, in the gap of satisfied and violated answers, the states of prompts are that will surely be
# satisfied or violated, where that is planned. More than 1, as there are fewer prompts than answers to learn
# it from.
PLANNED_GAP = 2.0


@dataclass(frozen=True)
class Planted:
    """One task: labels [n] in {0, 1}; lengths [n] in tokens; decided [n], the number of the token that
    decides; x: [layer, n, d] float32, at EOS; names of groups [n]; course: {position: as x} before EOS, or
    nothing; twins: answers without the constraint, or None."""

    labels: np.ndarray
    lengths: np.ndarray
    decided: np.ndarray
    x: np.ndarray
    groups: np.ndarray
    course: Mapping[str, np.ndarray]
    twins: Planted | None = None


def plant(
    world: str,
    categories: Mapping[str, str],
    groups: Sequence[str],
    *,
    seed: int,
    auroc: float,
    rows_per_group: int = 4,
    hidden_size: int = 128,
    num_layers: int = 4,
) -> dict[str, Planted]:
    """Make the world, {task: rows at layers 0 to num_layers}.

    categories: {task: category}, as the tasks say; groups: of the study; auroc: the best that any linear
    probe of one task can reach, in [½, 1): satisfied and violated rows are √2 Φ⁻¹(auroc) standard
    deviations of the noise apart. Noise has a power-law spectrum in random axes. Raises UserError where tasks
    and directions don't fit into the hidden size.
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
    of_group = rng.normal(size=(len(groups), hidden_size)) * np.sqrt(BASE_SHARE)
    ease = rng.normal(size=len(groups))
    gap = np.sqrt(2) * NormalDist().inv_cdf(auroc)

    planted = {}
    for task in tasks:
        group = np.repeat(np.arange(len(groups)), rows_per_group)
        # Some requests are easier to obey than others, in all tasks and in this one.
        odds = rng.uniform(-0.5, 1) + 0.5 * ease[group] + 0.8 * rng.normal(size=len(groups))[group]
        if plan.course:
            odds = PROMPT_ODDS * rng.normal(size=len(groups))[group]
        labels = (rng.logistic(size=len(group)) < odds).astype(np.int8)
        z = rng.normal(size=len(group))
        if plan.by_length:
            # More, since activations tell the length with noise.
            z += np.sqrt(1 + LENGTH_EFFECT**-2) * gap * (labels - 0.5)
        # At least two tokens and EOS, so that the last one is not the first.
        lengths = np.maximum(np.rint(np.expm1(LENGTH_CENTRE + LENGTH_SPREAD * z)), 3).astype(np.int32)
        z = (np.log1p(lengths) - LENGTH_CENTRE) / LENGTH_SPREAD
        still = TASK_EFFECT * rng.normal(size=hidden_size) / np.sqrt(hidden_size)
        still = still + of_group[group] + LENGTH_EFFECT * z[:, None] * length_axis
        strength = PAIR_STRENGTH if plan.directions == "pairs" and tasks.index(task) % 2 == 0 else 1.0
        signal = strength * gap * (labels - 0.5)[:, None] * directions[task]
        first = _first_layer(plan.depths, categories[task], num_layers)

        def layers(signal, of_row, still=still, first=first) -> np.ndarray:
            """of_row: which of the drawn noises a row has."""
            noise, layers = np.zeros((of_row.max() + 1, hidden_size)), []
            for layer in range(num_layers + 1):
                fresh = rng.normal(size=noise.shape) * np.sqrt(1 - BASE_SHARE)
                keep = LAYER_CORRELATION if layer else 0.0
                noise = keep * noise + np.sqrt(1 - keep**2) * fresh
                layers.append((still + noise[of_row] + (signal if layer >= first else 0)) @ turn.T)
            return np.array(layers, np.float32)

        x, course = layers(signal, np.arange(len(group))), {}
        decided = lengths - 1
        if plan.course == "text":
            decided = 1 + (rng.random(len(group)) * decided).astype(np.int32)
        for position, share in COURSE.items() if plan.course else ():
            prompt = position == "prompt_100"
            here = share * signal
            if plan.course == "planned":
                chance = 1 / (1 + np.exp(-odds))
                here = PLANNED_GAP * gap * (chance - 0.5)[:, None] * directions[task] if prompt else signal
            if plan.course == "text":
                token = np.array([resolve([position], 1, length, True)[0][0] for length in lengths.tolist()])
                here = signal * (decided <= token)[:, None]
            # What is not yet written has no length, and samples of one prompt share its state.
            before = still - LENGTH_EFFECT * z[:, None] * length_axis if prompt else still
            course[position] = layers(here, group if prompt else np.arange(len(group)), before)
        twins = None
        if plan.twins:
            # Half as many, who obey by chance.
            own = np.repeat(np.arange(len(groups)), max(rows_per_group // 2, 1))
            happen = rng.integers(0, 2, len(own)).astype(np.int8)
            told = gap * (happen - 0.5)[:, None] * directions[task] * (plan.twins == "same")
            there = TASK_EFFECT * rng.normal(size=hidden_size) / np.sqrt(hidden_size) + of_group[own]
            size = np.full(len(own), int(np.expm1(LENGTH_CENTRE)), np.int32)
            states = layers(told, np.arange(len(own)), there)
            twins = Planted(happen, size, size - 1, states, np.array(groups)[own], {})
        planted[task] = Planted(labels, lengths, decided, x, np.array(groups)[group], course, twins)
    return planted


def write_shards(
    paths: Mapping[str, str | Path], planted: Mapping[str, Planted], *, position: str, study: str, world: str
) -> None:
    """Write each task's rows as one shard (float16) that has this position, and those of a course."""
    for task, path in paths.items():
        rows = planted[task]
        at = {**rows.course, **({"eos": rows.x} if rows.course else {}), position: rows.x}
        twins, n_layers, hidden_size = rows.twins, len(rows.x), rows.x.shape[-1]
        # Constrained answers first, then those without the constraint, who are there at EOS only.
        variants = [("constrained", rows)] + ([("unconstrained", twins)] if twins else [])
        places = [resolve(list(at), 1, n, True) for _, each in variants for n in each.lengths.tolist()]
        n, total = len(rows.labels), len(places)
        valid = np.array([valid for _, valid in places]).T
        valid[:, n:] &= np.array([name == "eos" for name in at])[:, None]
        texts = [row["response"].split(" ") for _, each in variants for row in label_rows(task, each)]
        characters = [
            [len(" ".join(words[: max(place, 0)])) for place in row.tolist()]
            for (row, _), words in zip(places, texts, strict=True)
        ]
        samples = {
            "id": [name for variant, each in variants for name in _ids(task, each, variant)],
            # Each request is about a subject of its own.
            **dict.fromkeys(("base", "group"), np.concatenate([each.groups for _, each in variants])),
            "variant": [variant for variant, each in variants for _ in each.labels],
            "instruction_type": ["human"] * total,
            "polarity": ["positive"] * total,
            "phrasing": ["planted"] * total,
            "label": np.concatenate([each.labels for _, each in variants]),
            "response_length": np.concatenate([each.lengths for _, each in variants]),
            "truncated": np.zeros(total, bool),
        }
        with shards.create(
            path,
            samples=samples,
            positions=list(at),
            valid=valid,
            characters=np.array(characters, np.int32).T,
            num_layers=n_layers - 1,
            hidden_size=hidden_size,
            dtype="float16",
            attributes={"study": study, "model": f"planted {world}", "task": task},
        ) as writer:
            for layer in range(n_layers):
                values = np.array([x[layer] for x in at.values()])
                if twins:
                    nothing = np.zeros((len(at), len(twins.labels), hidden_size), np.float32)
                    nothing[[name == "eos" for name in at]] = twins.x[layer]
                    values = np.concatenate([values, nothing], axis=1)
                for start in range(0, total, writer.rows_per_block):
                    block = values[:, start : start + writer.rows_per_block]
                    writer.write(layer, start, [(slice(None), block.astype(np.float16))])


def label_rows(task: str, rows: Planted) -> list[dict]:
    """What a label row says of each answer of one task; a word a token, of which one decides."""
    found = []
    for name, group, label, length, decided in zip(
        _ids(task, rows), rows.groups.tolist(), rows.labels, rows.lengths, rows.decided, strict=True
    ):
        words = ["so"] * (length - 1)
        words[decided - 1] = "yes" if label else "no"
        row = {"id": name, "item": f"{task}/{group}", "prompt": f"request {group}", "phrasing": "planted"}
        found.append(row | {"params": {}, "response": " ".join(words)})
    return found


def verify(text: str, params: Mapping) -> Verdict:
    """Of the text of `label_rows`, or of its beginning."""
    words = text.split()
    return Verdict("yes" in words, {"decided": int("yes" in words) - int("no" in words)})


def _ids(task: str, rows: Planted, variant: str = "constrained") -> list[str]:
    return [f"{task}/{group}/{variant}/{number}" for number, group in enumerate(rows.groups)]


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
    groups = paper_groups(tasks)
    of_group = {group: shared[k] for k, group in enumerate(dict.fromkeys(groups))}
    return {
        task: np.sqrt(cosine) * of_group[group] + np.sqrt(1 - cosine) * own[k]
        for k, (task, group) in enumerate(zip(tasks, groups, strict=True))
    }


def _first_layer(depths: str, category: str, num_layers: int) -> int:
    """The layer from which on a task's signal is there: at a quarter, half or three quarters of the depth."""
    rank = {"same": 2, "ranked": CATEGORY_RANKS[category], "reversed": 4 - CATEGORY_RANKS[category]}[depths]
    return round(num_layers * rank / 4)
