"""Probes of one task that are trained on some wordings of the instruction and tested on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skillprobe.probes.course import without_weights
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.rows import ProbeRows
from skillprobe.probes.solver import feature_scale
from skillprobe.probes.subsets import equal_parts, on_subsets
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.folds import CALIBRATION, keyed_hash, unpaired
from skillprobe.storage.tables import ACROSS, WITHIN
from skillprobe.tasks.base import INSTRUCTION_TYPES, POLARITIES

TYPE, POLARITY, HELD_OUT, DIVERSITY = "type", "polarity", "held_out", "diversity"
CONTRASTS = (TYPE, POLARITY, HELD_OUT, DIVERSITY)
OTHER_TYPES, OTHER, ANY = "other_types", "other_phrasings", "any_phrasing"
PARTS = 3


# {contrast: {trained on: {tested on: result}}}
Wordings = dict[str, dict[str, dict[str, ProbeResult]]]


def fit_wordings(rows: ProbeRows, settings: Mapping) -> dict[str, Wordings]:
    """{scope: {contrast: {trained on: {tested on: result}}}}, tested on other groups than those trained on,
    and without weights.

    settings: the config's "seed", "groups" and "probes", and "robustness.draws". The probes of one contrast
    are trained on equally many rows, but for "held_out", where this holds of the probes that are compared.
    A contrast that the rows' wordings don't allow is left out. A prompt has one wording, so within prompts
    all is the same with the rows of `ProbeRows.within`.

    "type": instruction types, each on each, and of three types both "other_types" together on each.
    "polarity": the polarities of human phrasings, each on each; of other types none is negated. "held_out":
    phrasings are dealt into PARTS, and those of a part are tested by a probe of the "other_phrasings" and by
    one of "any_phrasing"; outer folds are those of groups crossed with the parts. "diversity": {number of
    phrasings: {"draw_1": result, …}}. A draw is an order of the phrasings: the first one, two, four, … of one
    half are trained on, and those of the other half tested. In each draw, all numbers have as many rows as
    the smallest one that suffices in at least half of the draws; those below it, and draws that don't suffice
    there, are insufficient. Parts and draws depend on the phrasings' names and the seed alone.
    """
    probes = replace(Settings.from_config(settings["probes"], settings["seed"]), shuffles=0)
    dealt = probes.row_folds(rows.groups, group_ids(settings["groups"]))[0] != CALIBRATION
    # One scale, and one choice of phrasings, for both.
    scale = feature_scale(rows.x[~dealt]) if probes.feature_scaling else None
    names = sorted(set(rows.phrasings[dealt].tolist()))
    within = rows.within()
    return {
        ACROSS: _fit(rows, (), probes, settings, names, scale),
        WITHIN: _fit(within, within.items, probes, settings, names, scale),
    }


def _fit(
    rows: ProbeRows,
    items: Sequence[str],
    probes: Settings,
    settings: Mapping,
    names: Sequence[str],
    scale: np.ndarray | None,
) -> Wordings:
    """Of one scope; names: of the phrasings."""
    study_groups = group_ids(settings["groups"])
    folds = probes.row_folds(rows.groups, study_groups)
    dealt = folds[0] != CALIBRATION
    human = rows.instruction_types == INSTRUCTION_TYPES[0]
    kinds = {
        TYPE: {name: rows.instruction_types == name for name in INSTRUCTION_TYPES},
        POLARITY: {name: human & (rows.polarities == name) for name in POLARITIES},
    }
    kinds = {
        contrast: {name: kind for name, kind in by_name.items() if (kind & dealt).any()}
        for contrast, by_name in kinds.items()
    }
    parts = _parts(rows.phrasings, names, probes.seed)
    draws = _draws(rows.phrasings, names, probes.seed, settings["robustness.draws"])
    status = _draws_status(draws, rows, folds, probes)

    subsets: dict[object, list[np.ndarray]] = {
        contrast: list(by_name.values()) for contrast, by_name in kinds.items() if len(by_name) > 1
    }
    if len(types := kinds[TYPE]) > 2:
        # No larger than one type, so that the second type is all that they have more.
        subsets[TYPE] += [rows.instruction_types != tested for tested in types]
    subsets |= {(HELD_OUT, p): [~part, np.ones_like(part)] for p, part in enumerate(parts)}
    for r, draw in enumerate(draws):
        usable = [kind for size, kind in draw.trained.items() if not status[size, r]]
        subsets |= {(DIVERSITY, r): usable} if usable else {}
    fitted = on_subsets(
        rows.x,
        rows.y,
        rows.groups,
        probes,
        list(subsets.values()),
        ids=rows.ids,
        study_groups=study_groups,
        truncated_fraction=rows.truncated,
        scale=scale,
        items=items,
    )
    results = dict(zip(subsets, fitted, strict=True))

    found: dict[str, dict[str, dict[str, ProbeResult]]] = {}
    for contrast, by_name in kinds.items():
        for trained, result in zip(by_name, results.get(contrast, ()), strict=False):
            by_tested = {tested: _tested(result, which) for tested, which in by_name.items()}
            found.setdefault(contrast, {})[trained] = by_tested
    if len(types) > 2:
        fits = zip(types, results[TYPE][len(types) :], strict=True)
        found[TYPE][OTHER_TYPES] = {tested: _tested(result, types[tested]) for tested, result in fits}
    for k, trained in enumerate((OTHER, ANY) if parts else ()):
        by_part = [results[HELD_OUT, p][k] for p in range(len(parts))]
        found.setdefault(HELD_OUT, {})[trained] = {HELD_OUT: _joined(by_part, parts, probes.n_folds)}
    for r, draw in enumerate(draws):
        fits = iter(results.get((DIVERSITY, r), ()))
        for size in draw.trained:
            # Any result has the rows that an insufficient one is about.
            blank = replace(results[HELD_OUT, 0][0], status=status[size, r])
            result = _tested(blank if status[size, r] else next(fits), draw.tested)
            found.setdefault(DIVERSITY, {}).setdefault(str(size), {})[f"draw_{r + 1}"] = result
    return {contrast: found[contrast] for contrast in CONTRASTS if contrast in found}


def _shuffled(names: Sequence[str], key: str) -> list[str]:
    return sorted(names, key=lambda name: (keyed_hash(key, name), name))


def _parts(phrasings: np.ndarray, names: Sequence[str], seed: int) -> list[np.ndarray]:
    """The rows, [n] bool, of each part of the phrasings; none of a single phrasing."""
    order = _shuffled(names, f"held_out/{seed}")
    n_parts = min(PARTS, len(names))
    return [np.isin(phrasings, order[p::n_parts]) for p in range(n_parts)] if n_parts > 1 else []


@dataclass(frozen=True)
class _Draw:
    """Rows, [n] bool: trained on, by the number of phrasings, and tested."""

    trained: dict[int, np.ndarray]
    tested: np.ndarray


def _draws(phrasings: np.ndarray, names: Sequence[str], seed: int, n_draws: int) -> list[_Draw]:
    """None of fewer than four phrasings, of which only one could be trained on."""
    half = len(names) // 2
    sizes = [2**k for k in range(half.bit_length())] if half > 1 else []
    draws = []
    for r in range(n_draws if sizes else 0):
        order = _shuffled(names, f"diversity/{seed}/{r}")
        trained = {size: np.isin(phrasings, order[:size]) for size in sizes}
        draws.append(_Draw(trained, np.isin(phrasings, order[half:])))
    return draws


def _draws_status(
    draws: Sequence[_Draw], rows: ProbeRows, folds: np.ndarray, settings: Settings
) -> dict[tuple[int, int], str]:
    """ "" or why it is insufficient, of each number of phrasings and each draw."""
    status: dict[tuple[int, int], str] = {}
    sizes = list(draws[0].trained) if draws else []
    for size in sizes:
        for r, draw in enumerate(draws):
            kinds = [draw.trained[larger] for larger in sizes if larger >= size]
            problems = (
                settings.sufficiency(rows.y, rows.groups, folds, rows.truncated, training)
                for training in equal_parts(kinds, rows.groups, rows.ids, settings.seed)
            )
            status[size, r] = next(filter(None, problems), unpaired(rows.y, folds, draw.tested[None]))
        good = sum(not status[size, r] for r in range(len(draws)))
        if 2 * good >= len(draws):
            # Larger numbers have as many rows as this one, so what suffices here does there.
            return status | {(k, r): status[size, r] for k in sizes if k > size for r in range(len(draws))}
        few = f"{size} phrasings have enough responses in only {good} of {len(draws)} draws"
        status |= {(size, r): status[size, r] or few for r in range(len(draws))}
    return status


def _tested(result: ProbeResult, tested: np.ndarray) -> ProbeResult:
    """The result on some rows, [n] bool."""
    status = result.status or unpaired(result.labels, result.folds, tested[None])
    return replace(
        without_weights(result),
        ids=result.ids[tested],
        groups=result.groups[tested],
        labels=result.labels[tested],
        folds=result.folds[:, tested],
        scores=np.where(status == "", result.scores, np.float32("nan"))[:, tested],
        items=result.items[tested] if len(result.items) else result.items,
        status=status,
    )


def _joined(results: Sequence[ProbeResult], parts: Sequence[np.ndarray], n_folds: int) -> ProbeResult:
    """Of each part's rows what its result says. Rows are compared within a fold of groups and a part."""
    first = results[0]
    folds, scores = first.folds.astype(np.int16), np.full_like(first.scores, np.nan)
    for p, (result, part) in enumerate(zip(results, parts, strict=True)):
        folds[:, part] = np.where(first.folds == CALIBRATION, CALIBRATION, first.folds + p * n_folds)[:, part]
        scores[:, part] = result.scores[:, part]
    status = next(filter(None, (result.status for result in results)), "")
    status = status or unpaired(first.labels, first.folds, np.array(parts))
    return replace(
        without_weights(first),
        folds=folds,
        scores=np.where(status == "", scores, np.float32("nan")),
        chosen_c=np.concatenate([result.chosen_c for result in results], axis=1),
        inner_auroc=np.concatenate([result.inner_auroc for result in results], axis=1),
        task_inner_auroc=np.concatenate([result.task_inner_auroc for result in results], axis=1),
        status=status,
    )
