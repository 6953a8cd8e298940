"""Which layer a probe is taken from in each outer fold: the one of best inner AUROC.

See docs/definitions.md, "Probes and layers".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from skillprobe.probes.results import ProbeResult


def best_of_task(by_layer: Mapping[int, ProbeResult], own: bool = False) -> np.ndarray:
    """Which of the layers, by its place in the mapping, has a task's best inner AUROC in each outer fold,
    the first among equals: [S, K].

    own: by the inner AUROC of the task itself, of a general probe that was trained on it.
    """
    results = list(by_layer.values())
    inner = np.array([result.task_inner_auroc if own else result.inner_auroc for result in results])
    if np.isnan(inner).all():
        inner = np.array([result.inner_auroc for result in results])
    return np.argmax(inner, axis=0)


def best_layers(
    specialists: Mapping[str, Mapping[int, ProbeResult]], layers: Sequence[int]
) -> np.ndarray | None:
    """Which of `layers` has the best mean inner AUROC of all tasks' specialists, for each outer fold: [S, K];
    None if no task is sufficient."""
    usable = [by_layer for by_layer in specialists.values() if not by_layer[layers[0]].status]
    if not usable:
        return None
    # [layer, S, K]
    inner = np.mean([[by_layer[layer].inner_auroc for layer in layers] for by_layer in usable], axis=0)
    return inner.argmax(axis=0)
