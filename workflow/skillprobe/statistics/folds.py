"""Folds of groups that depend on no label, and what counts as enough data (docs/definitions.md, "Folds")."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from skillprobe.errors import UserError

CALIBRATION = -1
CLASS_NAMES = ("violated", "satisfied")
# The test folds that must have pairs, of all; the others are skipped (docs/definitions.md, "Two scopes").
PAIRED_FOLDS = 0.8


def keyed_hash(key: str, text: str) -> int:
    """A 64-bit hash of `text` that depends on nothing but `key` and `text`."""
    return int.from_bytes(hashlib.blake2b(text.encode(), key=key.encode(), digest_size=8).digest(), "big")


def assign_folds(
    groups: Iterable[str],
    *,
    n_folds: int = 5,
    seed: int = 0,
    fold_seed: int = 0,
    calibration_fraction: float = 0.1,
) -> dict[str, int]:
    """Fold of each group, CALIBRATION (−1) for the groups that are in no fold.

    Depends on the set of group ids only. Calibration groups depend on `seed` but not on `fold_seed`, so that
    one feature scale and one Gram matrix serve all fold seeds. Give it *all* groups of the study: a task that
    lacks some of them must still have the folds of the others.
    """
    unique = set(groups)
    by_study = sorted(unique, key=lambda group: (keyed_hash(f"calibration/{seed}", group), group))
    n_calibration = max(1, round(calibration_fraction * len(unique))) if calibration_fraction > 0 else 0
    calibration, rest = by_study[:n_calibration], by_study[n_calibration:]
    rest.sort(key=lambda group: (keyed_hash(f"folds/{seed}/{fold_seed}", group), group))
    return {group: CALIBRATION for group in calibration} | {
        group: i % n_folds for i, group in enumerate(rest)
    }


def row_folds(groups: Sequence[str], folds: Mapping[str, int]) -> np.ndarray:
    """Fold of each row, [n] int8. Raises UserError where a row's group has no fold."""
    try:
        return np.array([folds[group] for group in groups], dtype=np.int8)
    except KeyError as error:
        raise UserError(
            f"group {error} has activations but is not among the study's groups; make the prompts again"
        ) from error


def sufficiency(
    labels: np.ndarray,
    groups: Sequence[str],
    folds: np.ndarray,
    *,
    min_rows: int = 20,
    min_groups: int = 10,
    truncated_fraction: float = 0.0,
    max_truncated: float = 0.2,
    training: Callable[[np.ndarray], np.ndarray] | None = None,
) -> str:
    """ "" if a task's rows suffice to probe, else the reason in words.

    labels: [n] in {0, 1}; groups: [n]; folds: [n] or [n_fold_seeds, n], from `row_folds`; training: which
    rows of a training part, [n] bool, are trained on (None: all).
    """
    if truncated_fraction > max_truncated:
        return too_truncated(truncated_fraction, max_truncated)
    labels, groups = np.asarray(labels), np.asarray(groups)
    for fold_row in np.atleast_2d(folds):
        found = np.unique(fold_row[fold_row != CALIBRATION])
        if len(found) < 2:
            return f"only {len(found)} folds have rows"
        for label, name in enumerate(CLASS_NAMES):
            of_class = (labels == label) & (fold_row != CALIBRATION)
            for fold in found:
                part = (fold_row != fold) & (fold_row != CALIBRATION)
                trained = of_class & (part if training is None else training(part))
                n_rows, n_groups = int(trained.sum()), len(np.unique(groups[trained]))
                if n_rows < min_rows or n_groups < min_groups:
                    return (
                        f"{n_rows} {name} responses from {n_groups} groups to train on; "
                        f"probes need {min_rows} from {min_groups} of each class"
                    )
                # An inner fold is left out of the part as well, and both classes must be left.
                if len(np.unique(fold_row[trained])) < 2:
                    return f"all {name} responses to train on are in one fold"
        if problem := unpaired(labels, fold_row):
            return problem
    return ""


def within_sufficiency(
    labels: np.ndarray,
    groups: Sequence[str],
    items: np.ndarray,
    folds: np.ndarray,
    *,
    min_items: int = 60,
    min_groups: int = 30,
    min_fold_items: int = 8,
    truncated_fraction: float = 0.0,
    max_truncated: float = 0.2,
) -> str:
    """ "" if a task has enough items with both outcomes, else the reason in words; arguments: as for
    `sufficiency`, and items: [n] names. Items of calibration groups don't count."""
    if truncated_fraction > max_truncated:
        return too_truncated(truncated_fraction, max_truncated)
    mixed = mixed_items(labels, items)
    for fold_row in np.atleast_2d(folds):
        used = mixed & (fold_row != CALIBRATION)
        n_items, n_groups = len(np.unique(items[used])), len(np.unique(np.asarray(groups)[used]))
        if n_items < min_items or n_groups < min_groups:
            return (
                f"{n_items} prompts of {n_groups} groups have both satisfied and violated responses; pairs "
                f"within a prompt take {min_items} of {min_groups}"
            )
        for fold in np.unique(fold_row[fold_row != CALIBRATION]):
            here = len(np.unique(items[used & (fold_row == fold)]))
            if here < min_fold_items:
                return (
                    f"a test fold has {here} prompts with both satisfied and violated responses; it takes "
                    f"{min_fold_items}"
                )
    return ""


def mixed_items(labels: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Which rows, [n] bool, are of an item with both outcomes; labels (in {0, 1}), items (names): [n]."""
    item = np.unique(items, return_inverse=True)[1]
    rate = np.bincount(item, labels) / np.bincount(item) if len(items) else np.zeros(0)
    return (rate[item] > 0) & (rate[item] < 1)


def too_truncated(share: float, most: float) -> str:
    return (
        f"{share:.1%} of the responses are truncated; at most {most:.1%} may "
        "be, since truncated responses are not missing at random"
    )


def unpaired(labels: np.ndarray, folds: np.ndarray, tested: np.ndarray | None = None) -> str:
    """ "" if enough test folds of each fold seed have pairs of responses to compare, else what is missing.

    At least PAIRED_FOLDS of them must have pairs; those without are skipped wherever pairs are counted.
    labels: [n] in {0, 1}; folds: [n] or [n_fold_seeds, n]; tested: [parts, n] bool, sets of rows within which
    responses are compared, of which a fold needs one that has both classes (None: all rows are one).
    """
    tested = np.ones((1, len(labels)), bool) if tested is None else tested
    n_folds = int(folds.max(initial=CALIBRATION)) + 1
    for fold_row in np.atleast_2d(folds):
        paired = sum(
            any(len(np.unique(labels[part & (fold_row == fold)])) == 2 for part in tested)
            for fold in range(n_folds)
        )
        if not n_folds or paired < PAIRED_FOLDS * n_folds - 1e-9:
            return (
                f"only {paired} of {n_folds} test folds have satisfied and violated responses to compare; "
                f"at least {PAIRED_FOLDS:.0%} must"
            )
    return ""
