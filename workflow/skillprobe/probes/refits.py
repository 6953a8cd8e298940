"""Draws of groups with the training in them: probes fitted anew on every draw (ESTIMANDS, "Intervals").

A draw gives each group a weight, how often it was drawn. Training and test rows have the weights of their
groups, and a group that is drawn twice keeps its one fold. Weighted rows are repeated rows, so that all draws
share one set of rows in their principal axes, and are columns of one fit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from skillprobe.errors import UserError
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.solver import Rows
from skillprobe.statistics.bootstrap import Draws, weighted_pairs
from skillprobe.statistics.folds import CALIBRATION

# Columns of one fit: as many draws at once as keep its matrices small.
DRAWS_AT_ONCE = 50


def refit(
    x_by_layer: Mapping[int, np.ndarray],
    by_layer: Mapping[int, ProbeResult],
    draws: Draws,
    layers: np.ndarray,
    scale: Mapping[int, np.ndarray | None],
) -> tuple[np.ndarray, np.ndarray]:
    """Concordant pairs and pairs of each draw in each test fold, [n_draws, K] each, first fold seed.

    x_by_layer: [n, d] activations of the results' rows, as they were trained on; by_layer: the results, of
    which penalties are those chosen for each outer fold; layers: [K], the layer of each outer fold; scale:
    [d] of each layer. Raises UserError where rows and results don't belong together.
    """
    first = next(iter(by_layer.values()))
    folds, labels = first.folds[0], first.labels
    n_folds = len(layers)
    weights = np.zeros((len(draws.weights), len(labels)))
    used = folds != CALIBRATION
    weights[:, used] = draws.weights[:, draws.columns(first.groups[used])]
    concordant, pairs = np.zeros((2, len(weights), n_folds))
    for layer in np.unique(layers):
        x = x_by_layer[int(layer)]
        if len(x) != len(labels):
            raise UserError(
                f"layer {layer}: {len(x)} activations for {len(labels)} rows of its probes; train them again"
            )
        rows = Rows(x, scale[int(layer)])
        for f in np.flatnonzero(layers == layer):
            penalty = by_layer[int(layer)].chosen_c[0, f]
            test = folds == f
            for start in range(0, len(weights), DRAWS_AT_ONCE):
                some = weights[start : start + DRAWS_AT_ONCE]
                found = rows.fit((some * (used & ~test)).T, labels, [penalty])
                scores = found.decision[0, test].T
                items = first.items[test] if len(first.items) else None
                end = start + len(some)
                concordant[start:end, f], pairs[start:end, f] = weighted_pairs(
                    scores, labels[test], some[:, test], items
                )
    return concordant, pairs
