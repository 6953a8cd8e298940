"""Gradient-boosted trees of many labellings and training sets at once.

The trees of scikit-learn's HistGradientBoostingClassifier (Ke et al. 2017, "LightGBM") without early
stopping: grown leaf by leaf, the one that gains the most first, by the second-order gain of the log-loss.
Rows are items here, each with how many of its samples are satisfied. The sums over what lies left of every
split are then one matrix product for all labellings and training sets. For some hundred items this takes a
tenth of the time of scikit-learn's fits one by one, and makes the same trees.
"""

from __future__ import annotations

import numpy as np

# At most so many values of a feature are told apart, and a leaf has this Hessian at least: scikit-learn's.
MAX_BINS = 255
LEAST_HESSIAN = 1e-3
# Of two splits whose gains differ by this share only, the first: sums don't add up alike everywhere.
SAME_GAIN = 1e-9


def splits(features: np.ndarray) -> np.ndarray:
    """All splits of items by features [n, q], feature by feature and in ascending order: [splits, n], 1 for
    the items on the left, whose value is at most some other's."""
    found = [np.zeros((0, len(features)))]
    for values in features.T:
        kinds = np.unique(values)
        if len(kinds) > MAX_BINS:
            kinds = np.unique(np.sort(values)[np.linspace(0, len(values) - 1, MAX_BINS).astype(int)])
        found.append(values <= kinds[:-1, None])
    return np.concatenate(found).astype(float)


def boosted(
    features: np.ndarray,
    satisfied: np.ndarray,
    samples: np.ndarray,
    train: np.ndarray,
    *,
    max_iter: int,
    learning_rate: float,
    max_leaf_nodes: int,
    min_samples_leaf: int,
) -> np.ndarray:
    """Probabilities [L, M, n] that a sample of an item is satisfied, by trees of each labelling and training
    set.

    features: [n, q]; satisfied: [L, n], how many of an item's samples are; samples: [n], how many there are;
    train: [M, n] bool, the items of each training set. The parameters are scikit-learn's; min_samples_leaf
    counts samples. A training set of one class gives that class, an empty one ½.
    """
    left = splits(features)
    n_labels, n_sets, n = len(satisfied), len(train), len(samples)
    of_label, of_set = (numbers.ravel() for numbers in np.indices((n_labels, n_sets)))
    # Columns are the fits: of each labelling, those of all training sets.
    count = (train * samples).T[:, of_set].astype(float)
    ones = (train[of_set] * satisfied[of_label]).T.astype(float)
    size = count.sum(axis=0)
    rate = np.divide(ones.sum(axis=0), size, out=np.full(len(size), 0.5), where=size > 0)
    score = np.tile(rate, (n, 1))
    usable = np.flatnonzero((rate > 0) & (rate < 1) & (size > 0))
    if len(left) and len(usable):
        grown = _Boosting(left, ones[:, usable], count[:, usable], max_leaf_nodes, min_samples_leaf)
        for _ in range(max_iter):
            grown.add_trees(learning_rate)
        score[:, usable] = grown.probability()
    return score.T.reshape(n_labels, n_sets, n)


class _Boosting:
    """Scores [n, fits] before the logistic function, and trees that add to them.

    left: [splits, n]; ones, count: [n, fits], satisfied and all samples of the training items of each fit.
    """

    def __init__(self, left, ones, count, max_leaves, least):
        self.left, self.ones, self.count = left, ones, count
        self.max_leaves, self.least = max_leaves, least
        rate = ones.sum(axis=0) / count.sum(axis=0)
        self.score = np.tile(np.log(rate / (1 - rate)), (left.shape[1], 1))
        # The same in every tree.
        self.root_count = left @ count

    def probability(self) -> np.ndarray:
        return 1 / (1 + np.exp(-self.score))

    def add_trees(self, learning_rate: float) -> None:
        p = self.probability()
        expected = self.count * p
        slope, curvature = expected - self.ones, expected * (1 - p)
        fits = np.arange(self.score.shape[1])
        # The leaf that each item is in, and of each leaf its sums, and its best split.
        leaf = np.zeros(self.score.shape, int)
        nodes = [
            _Node(
                [values.sum(axis=0) for values in (slope, curvature, self.count)],
                [self.left @ slope, self.left @ curvature, self.root_count.copy()],
            )
        ]
        gain, split = (values[None] for values in nodes[0].best(self.least))
        while True:
            chosen = gain.argmax(axis=0)
            grows = gain[chosen, fits] > 0
            if not grows.any():
                break
            goes = (leaf == chosen) & grows
            stays = goes & (self.left[split[chosen, fits]].T > 0)
            leaf[goes & ~stays] = len(nodes)
            last = len(nodes) + 1 == self.max_leaves
            parts = [values * stays for values in (slope, curvature, self.count)]
            sums = [values.sum(axis=0) for values in parts]
            lefts = [] if last else [self.left @ values for values in parts]
            nodes.append(self._split(nodes, chosen, grows, sums, lefts))
            if last:
                break
            gain, split = np.pad(gain, ((0, 1), (0, 0))), np.pad(split, ((0, 1), (0, 0)))
            gain[-1], split[-1] = nodes[-1].best(self.least)
            # What stays on the left keeps the number of the leaf that was split.
            again = _Node(sums, lefts).best(self.least)
            gain[chosen[grows], fits[grows]] = again[0][grows]
            split[chosen[grows], fits[grows]] = again[1][grows]
        value = np.array([-node.sums[0] / (node.sums[1] + 1e-15) for node in nodes])
        self.score += learning_rate * value[leaf, fits]

    @staticmethod
    def _split(nodes, chosen, grows, sums, lefts) -> _Node:
        """The right part of each fit's chosen node; the left part, of these sums, takes the node's place."""
        right = _Node([np.zeros_like(values) for values in sums], [np.zeros_like(values) for values in lefts])
        for number, node in enumerate(nodes):
            here = grows & (chosen == number)
            for old, new, rest in zip(
                node.sums + (node.lefts if lefts else []),
                sums + lefts,
                right.sums + right.lefts,
                strict=True,
            ):
                rest[..., here] = old[..., here] - new[..., here]
                old[..., here] = new[..., here]
        return right


class _Node:
    """One leaf of every fit's tree. sums: of slope, curvature and samples, [fits] each; lefts: the same of
    what lies left of every split, [splits, fits] each."""

    def __init__(self, sums, lefts):
        self.sums, self.lefts = list(sums), list(lefts)

    def best(self, least: int) -> tuple[np.ndarray, np.ndarray]:
        """The largest gain of any split, 0 where none is allowed, and its number: [fits] each."""
        slope, curvature, count = self.lefts
        all_slope, all_curvature, all_count = self.sums
        other = all_curvature - curvature
        allowed = (
            (count >= least)
            & (all_count - count >= least)
            & (curvature >= LEAST_HESSIAN)
            & (other >= LEAST_HESSIAN)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = slope**2 / curvature + (all_slope - slope) ** 2 / other - all_slope**2 / all_curvature
        gain = np.where(allowed, gain, 0.0)
        most = gain.max(axis=0)
        return most, (gain >= most * (1 - SAME_GAIN)).argmax(axis=0)
