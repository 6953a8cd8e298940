"""L2 logistic regression, solved to convergence for many training sets, labels and penalties at once.

min ½‖w‖² + C Σ log-loss with the intercept unpenalised: scikit-learn's C, on rows that are centred by
training means and divided by one scalar (docs/definitions.md, "Scale").

The rows are rotated once into their principal axes, from the Gram matrix (n < d) or the features' products
(n ≥ d). Rotations change no decision value, and in these axes a Hessian is nearly diagonal, so that
conjugate gradients need few steps. With thousands of features and more rows, the rotation would take longer
than the fits: the rows stay as they are, and only the leading axes are found, in which Hessians differ most
from a multiple of one. Every step is one matrix product for all the fits that share the rows:
folds, fold seeds, shuffled labels and left-out tasks are columns, at little more than the price of one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# A Newton step that moves no decision value by more than this leaves an error of about its square. Near the
# optimum it is also how large a residual of the linear system may be, relative to its right-hand side ...
TOLERANCE = 1e-3
# ... and this far from it.
FAR = 0.1
# Single precision is twice as fast, and exact enough for linear systems that may leave a residual of this.
SINGLE = 1e-4
# A step that moves no decision value by more than SURE goes down without asking: no row's curvature changes
# by more than the factor e on the way, so the loss rises above its tangent by at most e − 2 = 0.72 of the
# step's curvature, which is no more than BEND times its descent (equal to it, if the system is solved). After
# UNCHECKED_STEPS rounding may be in the way.
SURE, BEND, UNCHECKED_STEPS = 1.0, 1.2, 20
# With no more columns than this, the penalties are solved side by side and not one after another: products of
# a large matrix with few columns take as long as those with many.
FEW = 64
MAX_STEPS = 200
MAX_PRODUCTS = 2000
# Training rows whose variance is below this share of their mean square differ by rounding only.
NO_VARIANCE = 1e-13
# Axes with less than this share of the first one's variance are rounding errors of the Gram matrix.
NO_AXIS = 1e-14
BLOCK = 512
# With more features than this, and still more rows, only so many LEADING principal axes are looked for, by
# so many PASSES over the rows.
MANY, LEADING, PASSES = 1024, 128, 3
# ... or one in so many. Rows without variance along the last of them, up to the rounding of single precision,
# are few different ones: only principal axes then tell what is theirs from what is none's.
SHARE, NO_LEADING = 8, 1e-11


def feature_scale(x: np.ndarray) -> np.ndarray:
    """Standard deviation of each feature, [d] float64; x: [n, d] rows of calibration groups.

    A feature that is constant here says nothing about its scale and gets that of the median feature, so
    that it neither explodes nor vanishes where it does vary. Without two rows, all ones.
    """
    if len(x) < 2:
        return np.ones(x.shape[1])
    x = x.astype(np.float64)
    deviation = x.std(axis=0)
    varies = deviation > 1e-10 * np.abs(x).max(axis=0)
    if not varies.any():
        return np.ones(x.shape[1])
    return np.where(varies, deviation, np.median(deviation[varies]))


class Rows:
    """Rows of one (model, layer, position), prepared once for every fit on them.

    x: [n, d] activations of any float type, kept as they are; scale: [d] per-feature divisor, or None for
    none. Beside x, memory holds a few matrices of n · min(n, d) numbers and no more. coordinates: [n, r], the
    centred, scaled rows in orthonormal axes, which are the principal ones unless there are `leading` ones;
    once: whether one fit is to come, so that axes pay less than for many.
    """

    def __init__(self, x: np.ndarray, scale: np.ndarray | None = None, once: bool = False) -> None:
        n, d = x.shape
        self.x, self.scaled = x, scale is not None
        self.scale = np.ones(d) if scale is None else np.asarray(scale, float)
        # Removing any common offset changes no centred Gram, but saves the digits that centring would lose;
        # constant features are taken out exactly, or their rounding errors would pass for signal.
        self.offset = x.mean(axis=0, dtype=np.float64)
        constant = x.max(axis=0) == x.min(axis=0)
        self.offset[constant] = x[0, constant]
        # Where the coordinates are not along principal axes: the first of these, [r, k], and their spectrum.
        self.leading: tuple[np.ndarray, np.ndarray] | None = None
        if n <= d:
            gram = np.zeros((n, n))
            for start in range(0, d, BLOCK):
                block = self._features(slice(start, start + BLOCK))
                gram += block @ block.T
            squares, vectors = np.linalg.eigh(gram)
            # From coordinates back to features: wᵀ = βᵀ (vectors / lengths)ᵀ Z.
            kept = squares > NO_AXIS * squares[-1]
            lengths = np.sqrt(squares[kept])
            self.coordinates = vectors[:, kept] * lengths
            self._back = vectors[:, kept] / lengths
        else:
            self.coordinates = np.concatenate([self._rows(slice(i, i + BLOCK)) for i in range(0, n, BLOCK)])
            kept, self._back = slice(None), None
            if d > MANY or (once and d >= SHARE):
                # A decomposition of d × d products would take longer than all the fits.
                squares, self.leading = _leading(self.coordinates)
            if self.leading is None:
                squares, vectors = np.linalg.eigh(self.coordinates.T @ self.coordinates)
                kept = squares > NO_AXIS * squares[-1]
                self._back = vectors[:, kept]
                self.coordinates = self.coordinates @ self._back
        # Sum of squares along each axis: nearly the diagonal of every Hessian, but for a factor.
        self.spectrum = squares[kept]

    def _features(self, which: slice) -> np.ndarray:
        centred = self.x[:, which] - self.offset[which]
        return centred / self.scale[which] if self.scaled else centred

    def _rows(self, which: slice) -> np.ndarray:
        centred = self.x[which] - self.offset
        return centred / self.scale if self.scaled else centred

    def along_axes(self, directions: np.ndarray) -> np.ndarray:
        """Parts along the axes of the coordinates, [r, k], of directions [d, k] among the scaled features;
        what points out of the rows' span is lost."""
        n, d = self.x.shape
        if n > d:
            return directions if self._back is None else self._back.T @ directions
        blocks = [slice(start, start + BLOCK) for start in range(0, d, BLOCK)]
        return self._back.T @ sum(self._features(here) @ directions[here] for here in blocks)

    def overlap(self, other: Rows) -> np.ndarray:
        """Products of each of these axes with each of another's, [r, r of the other], among the scaled
        features, whose scale both have."""
        (n, d), m = self.x.shape, len(other.x)
        if n > d:
            axes = np.eye(d) if self._back is None else self._back
            return other.along_axes(axes).T
        if m > d:
            return other.overlap(self).T
        blocks = [slice(start, start + BLOCK) for start in range(0, d, BLOCK)]
        products = sum(self._features(here) @ other._features(here).T for here in blocks)
        return self._back.T @ products @ other._back

    def weights(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """On raw activations; coefficients: [r, m] in the axes of the coordinates. Weights [d, m], and what
        they give the common offset, [m]: x @ weights − that is the projection of a row."""
        n, d = self.x.shape
        if n <= d:
            spread = self._back @ coefficients
            parts = [self._features(slice(start, start + BLOCK)).T @ spread for start in range(0, d, BLOCK)]
            weights = np.concatenate(parts) / self.scale[:, None]
        else:
            spread = coefficients if self._back is None else self._back @ coefficients
            weights = spread / self.scale[:, None]
        return weights, self.offset @ weights

    def fit(
        self,
        train: np.ndarray,
        labels: np.ndarray,
        penalties: Sequence[float | np.ndarray],
        confounds: np.ndarray | None = None,
        erased: Erased | None = None,
        start: tuple[np.ndarray, np.ndarray] | None = None,
        tolerance: float = TOLERANCE,
        blocks: np.ndarray | None = None,
        confounded: np.ndarray | None = None,
    ) -> Fit:
        """Fit at each penalty C, in ascending order, for m training sets side by side.

        train: [n, m], the rows of each training set: bool, or how often each row is there (≥ 0); labels: [n]
        or [n, m] in {0, 1}, read where `train` only; penalties: numbers, or arrays [m] of one for each
        training set; confounds: [n, q], whose linear prediction of the activations, estimated on the training
        rows, is subtracted from all rows (one-hot groups: centring within the group); erased: what is taken
        out of the rows for each training set; start: coefficients [r, m] and intercepts [m] to begin from
        where that helps, or for each of the first k penalties [k, r, m] and [k, m]; tolerance: of decision
        values, about its square in the end; blocks: [n] integers, such as folds, for speed alone: products
        skip those of which a training set has no row; confounded: [m] bool, the training sets that confounds
        are taken out of (None: all). Training sets of one class, or without any variance, give the constant
        score 0 and are marked degenerate. Raises ValueError for both confounds and erased.
        """
        if confounds is not None and erased is not None:
            raise ValueError("confounds can't be taken out of erased rows")
        fit = self._side_by_side if 1 < len(penalties) <= FEW / train.shape[1] else self._fit
        return fit(train, labels, penalties, confounds, erased, start, tolerance, blocks, confounded)

    def _fit(self, train, labels, penalties, confounds, erased, start, tolerance, blocks, confounded) -> Fit:
        """`fit` of one penalty after another."""
        n, d = self.x.shape
        m, k = train.shape[1], len(penalties)
        # Rows that no training set holds take part in the scores alone.
        used = np.flatnonzero(train.any(axis=1))
        if blocks is not None:
            used = used[np.argsort(blocks[used], kind="stable")]
        labels = np.broadcast_to(labels.reshape(n, -1), (n, m))[used].astype(float)
        leading = None if self.leading is None else (self.leading[0], self.leading[1] / n)
        if erased is None:
            held = None if confounds is None else confounds[used]
            design = _Design(
                self.coordinates[used],
                self.spectrum / n,
                train[used].astype(float),
                held,
                None if blocks is None else blocks[used],
                leading,
                confounded,
            )
        else:
            design = _ErasedDesign(
                *(self.coordinates[used], self.spectrum / n, train[used].astype(float), erased),
                leading,
            )
        count = train.sum(axis=0)
        variance, reference = design.variance()
        ones = (labels * design.train).sum(axis=0)
        degenerate = (variance <= NO_VARIANCE * reference) | (ones == 0) | (ones == count)

        coefficients = np.zeros((k, len(design.spectrum), m))
        intercepts, decision, loss = np.zeros((k, m)), np.zeros((k, n, m)), np.full((k, m), np.nan)
        usable = np.flatnonzero(~degenerate)
        if len(usable):
            # With rows divided by s, ½‖w‖² is ½ s²‖β‖² in the coefficients β of undivided rows.
            path = _Path(design, labels, variance / (count * d), usable)
            starts = self._starts(start, usable)
            for p, penalty in enumerate(penalties):
                near = starts[p] if p < len(starts) else None
                path.solve(np.broadcast_to(penalty, m)[usable], tolerance, near)
                coefficients[p][:, usable], intercepts[p, usable] = path.coefficients, path.intercepts
                loss[p, usable] = path.loss(np.broadcast_to(penalty, m)[usable])
                kept = path.coefficients
                if erased is not None:
                    kept = erased.columns(usable).kept(kept)
                scores = self.coordinates @ kept + path.intercepts
                if confounds is not None:
                    scores -= confounds @ design.explained(path.coefficients, usable)
                decision[p][:, usable] = scores
        return Fit(self, design, decision, coefficients, intercepts, loss, degenerate)

    def _side_by_side(
        self, train, labels, penalties, confounds, erased, start, tolerance, blocks, confounded
    ) -> Fit:
        """`fit` with a column for each penalty and training set: more steps in all, of products that are wide
        enough to be fast."""
        n, (m, k) = len(train), (train.shape[1], len(penalties))
        every = np.concatenate([np.broadcast_to(penalty, m) for penalty in penalties])
        if start is not None:
            given = self._starts(start, slice(None))
            # Those of the last for the penalties that have none.
            given += [given[-1]] * (k - len(given))
            start = tuple(np.concatenate(part, axis=-1) for part in zip(*given, strict=True))
        if erased is not None:
            erased = erased.columns(np.tile(np.arange(m), k))
        labels = np.tile(np.broadcast_to(labels.reshape(n, -1), (n, m)), k)
        if confounded is not None:
            confounded = np.tile(confounded, k)
        found = self._fit(
            np.tile(train, k), labels, [every], confounds, erased, start, tolerance, blocks, confounded
        )
        return Fit(
            self,
            found.design,
            found.decision.reshape(n, k, m).transpose(1, 0, 2),
            found.coefficients.reshape(-1, k, m).transpose(1, 0, 2),
            found.intercepts.reshape(k, m),
            found.loss.reshape(k, m),
            found.degenerate[:m],
        )

    @staticmethod
    def _starts(start, columns):
        """Coefficients and intercepts of these columns for each penalty that has a start."""
        if start is None:
            return []
        coefficients, intercepts = start
        if coefficients.ndim == 2:
            coefficients, intercepts = coefficients[None], intercepts[None]
        return list(zip(coefficients[:, :, columns], intercepts[:, columns], strict=True))


@dataclass(frozen=True)
class Erased:
    """What is taken out of the rows for each of m training sets: rows @ read @ right, in the principal axes.

    read: [m, r, k]; right: [m, k, r + e] of r axes, and e more for what points out of the rows' span.
    Products are with coefficients, of which there are fewer than rows.
    """

    read: np.ndarray
    right: np.ndarray

    def columns(self, which: np.ndarray) -> Erased:
        """Of some training sets."""
        # No copies while no column is done.
        return self if len(which) == len(self.read) else Erased(self.read[which], self.right[which])

    def kept(self, beta: np.ndarray) -> np.ndarray:
        """The coefficients on the rows before, [r, m], of coefficients [r + e, m] on what is left of them."""
        return beta[: self.read.shape[1]] - (self.read @ (self.right @ beta.T[:, :, None]))[..., 0].T

    def spread(self, values: np.ndarray) -> np.ndarray:
        """The transpose of `kept`: [r, m] to [r + e, m]."""
        found = -((values.T[:, None, :] @ self.read) @ self.right)[:, 0].T
        found[: len(values)] += values
        return found


@dataclass(frozen=True)
class Fit:
    """decision: [penalty, n, m] of *all* rows; loss: [penalty, m], the objective at its minimum, NaN for
    those that are degenerate, [m], whose scores are constant."""

    rows: Rows
    design: _Design
    decision: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray
    loss: np.ndarray
    degenerate: np.ndarray

    def raw(
        self, penalty: int | np.ndarray = 0, columns: slice | np.ndarray = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights [d, columns] and intercepts [columns] on raw activations.

        penalty: its number, or one for each column; columns: which, or their numbers, each any times. With
        confounds, intercepts are [q, columns], alike where none were taken out, and x @ weights + confounds @
        intercepts is the decision value, if confounds add up to 1 (one-hot groups then have an intercept
        each).
        """
        which = np.arange(self.coefficients.shape[2])[columns]
        penalty = np.broadcast_to(penalty, which.shape)
        beta = self.coefficients[penalty, :, which].T
        weights, of_offset = self.rows.weights(beta)
        intercepts = self.intercepts[penalty, which] - of_offset
        if self.design.confounds is not None:
            intercepts = intercepts - self.design.explained(beta, which)
        return weights, intercepts


class _Design:
    """Products with the rows [n, r] of each training set, confounds taken out.

    spectrum: [r], mean square of each coordinate, or, with leading axes [r, k] and their mean squares [k], of
    all others on average; train: [n, m] ≥ 0, how often each row is there; blocks: [n], ascending; confounded:
    [m] bool (None: all). Columns of the arguments belong to the training sets `which`.
    """

    def __init__(self, x, spectrum, train, confounds, blocks=None, leading=None, confounded=None):
        self.x, self.spectrum, self.train, self.confounds = x, spectrum, train, confounds
        self.leading = leading
        # Where each block lies, and which training sets [m] have rows of it.
        self.parts = []
        if blocks is not None:
            ends = [*np.flatnonzero(np.diff(blocks)) + 1, len(x)]
            parts = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
            self.parts = [(part, train[part].any(axis=0)) for part in parts]
        if confounds is not None:
            self.confounds = np.asarray(confounds, float)
            self.confounded = np.ones(train.shape[1], bool) if confounded is None else confounded
            # [m, q, r]: how the confounds predict the coordinates, from the training rows of each set. Sets
            # that occur again (with other labels) share theirs.
            places: dict[bytes, int] = {}
            self.same = np.full(train.shape[1], -1)
            sets = np.flatnonzero(self.confounded)
            for column in sets:
                self.same[column] = places.setdefault(train[:, column].tobytes(), len(places))
            unique = train[:, sets[np.unique(self.same[sets], return_index=True)[1]]]
            if self.one_hot:
                self.prediction = self._means(unique)
            else:
                self.prediction = np.stack([self._predict(x, weights) for weights in unique.T])

    def _confounded(self, which):
        """The columns of `which` that confounds are taken out of."""
        some = self.confounded[which]
        return slice(None) if some.all() else np.flatnonzero(some)

    @cached_property
    def one_hot(self):
        """Whether the confounds say which of several groups a row is of."""
        return bool(np.isin(self.confounds, (0, 1)).all() and (self.confounds.sum(axis=1) == 1).all())

    def _means(self, train):
        """[m, q, r] of one-hot confounds: each group's mean, 0 where a training set has none of it."""
        means = np.zeros((train.shape[1], self.confounds.shape[1], self.x.shape[1]))
        for q, member in enumerate(self.confounds.T > 0):
            count = train[member].sum(axis=0)
            total = train[member].T @ self.x[member]
            means[:, q] = np.divide(total, count[:, None], out=np.zeros_like(total), where=count[:, None] > 0)
        return means

    def _predict(self, x, weights):
        """[q, r], by weighted least squares."""
        rows = weights > 0
        root = np.sqrt(weights[rows])[:, None]
        return np.linalg.pinv(root * self.confounds[rows]) @ (root * x[rows])

    @cached_property
    def single(self):
        """The same in single precision."""
        same = copy.copy(self)
        same.x, same.spectrum = self.x.astype(np.float32), self.spectrum.astype(np.float32)
        if self.leading is not None:
            same.leading = tuple(part.astype(np.float32) for part in self.leading)
        if self.confounds is not None:
            same.confounds = self.confounds.astype(np.float32)
            same.prediction = self.prediction.astype(np.float32)
        return same

    def inverse(self, ridge, total):
        """A rough inverse of the Hessians of some columns, as a function of residuals [r, columns] and of the
        columns among these that they are of: exact if each training set had the spectrum of all rows, and
        curvatures that add up to `total`, [columns], were alike on all of them."""
        diagonal = ridge + np.outer(self.spectrum, total)
        if self.leading is None:
            return lambda residual, columns: residual / diagonal[:, columns]
        axes, squares = self.leading
        more = 1 / (ridge + np.outer(squares, total)) - 1 / (ridge + self.spectrum[0] * total)

        def apply(residual, columns):
            return residual / diagonal[:, columns] + axes @ (more[:, columns] * (axes.T @ residual))

        return apply

    def explained(self, beta, which):
        """What the confounds predict of a projection, per unit of each: [q, columns]."""
        result, some = np.zeros((self.confounds.shape[1], len(which)), beta.dtype), self._confounded(which)
        result[:, some] = np.einsum("cqr,rc->qc", self.prediction[self.same[which[some]]], beta[:, some])
        return result

    def project(self, beta, which):
        """Rows times coefficients: [r, columns] to [n, columns]."""
        result = self._times(beta, which)
        if self.confounds is not None:
            some = self._confounded(which)
            result[:, some] -= self.confounds @ self.explained(beta[:, some], which[some])
        return result

    def _times(self, beta, which):
        """x @ beta; where a training set has no row of a block, 0."""
        if not self.parts:
            return self.x @ beta
        result = np.zeros((len(self.x), beta.shape[1]), np.result_type(self.x, beta))
        for part, sets in self.parts:
            columns = np.flatnonzero(sets[which])
            if len(columns) == beta.shape[1]:
                result[part] = self.x[part] @ beta
            elif len(columns):
                result[part, columns] = self.x[part] @ beta[:, columns]
        return result

    def _gathered(self, values, which):
        """xᵀ @ values, which are 0 where a training set has no row; as (valuesᵀ @ x)ᵀ, which BLAS does in
        two thirds of the time or less."""
        if not self.parts:
            return np.ascontiguousarray((values.T @ self.x).T)
        result = np.zeros((values.shape[1], self.x.shape[1]), np.result_type(self.x, values))
        for part, sets in self.parts:
            columns = np.flatnonzero(sets[which])
            if len(columns) == values.shape[1]:
                result += values[part].T @ self.x[part]
            elif len(columns):
                result[columns] += values[part][:, columns].T @ self.x[part]
        return np.ascontiguousarray(result.T)

    def gather(self, values, which):
        """The transpose of `project`: [n, columns] to [r, columns]."""
        result = self._gathered(values, which)
        if self.confounds is not None:
            some = self._confounded(which)
            by_confound = self.confounds.T @ values[:, some]
            result[:, some] -= np.einsum("cqr,qc->rc", self.prediction[self.same[which[some]]], by_confound)
        return result

    def variance(self):
        """Sum of squares of each set's training rows about their mean, and about the common offset: [m]."""
        squares, count = np.einsum("nr,nr->n", self.x, self.x) @ self.train, self.train.sum(axis=0)
        plain = np.full(len(squares), True) if self.confounds is None else ~self.confounded
        result = np.empty_like(squares)
        mean = (self.x.T @ self.train[:, plain]) / count[plain]
        result[plain] = squares[plain] - count[plain] * np.einsum("rm,rm->m", mean, mean)
        if plain.all():
            return result, squares
        if self.one_hot:
            of_means = np.square(self.prediction).sum(axis=2)[self.same[~plain]]
            within = np.einsum("nm,nq,mq->m", self.train[:, ~plain], self.confounds, of_means, optimize=True)
            result[~plain] = squares[~plain] - within
            return result, squares
        for m in np.flatnonzero(~plain):
            weights = self.train[:, m]
            rows = weights > 0
            weight = weights[rows][:, None]
            residual = self.x[rows] - self.confounds[rows] @ self.prediction[self.same[m]]
            mean = (weight * residual).sum(axis=0) / weight.sum()
            result[m] = (weight * (residual - mean) ** 2).sum()
            squares[m] = (weight * self.x[rows] ** 2).sum()
        return result, squares


class _ErasedDesign(_Design):
    """Products with rows of which each training set has something else taken out.

    Their variance is that of the rows before: else a penalty would weigh less the more is erased.
    """

    def __init__(self, x, spectrum, train, erased, leading=None):
        # For the preconditioner alone, so one training set may speak for all.
        outside = np.square(x @ erased.read[0] @ erased.right[0][:, x.shape[1] :]).mean(axis=0)
        if leading is not None:
            leading = np.pad(leading[0], ((0, len(outside)), (0, 0))), leading[1]
        super().__init__(x, np.append(spectrum, outside), train, None, leading=leading)
        self.erased = self.recent = erased
        self.recent_sets = np.arange(len(erased.read))

    @cached_property
    def single(self):
        same, erased = super().single, self.erased
        same.erased = same.recent = Erased(erased.read.astype(np.float32), erased.right.astype(np.float32))
        same.recent_sets = np.arange(len(erased.read))
        return same

    def project(self, beta, which):
        return self.x @ self._of(which).kept(beta)

    def gather(self, values, which):
        return self._of(which).spread(self.x.T @ values)

    def _of(self, which):
        # The same columns are asked for many times over: copied once.
        if not np.array_equal(which, self.recent_sets):
            self.recent, self.recent_sets = self.erased.columns(which), which.copy()
        return self.recent


class _Path:
    """The solutions of some of a design's fits (`which`), from one penalty to the next.

    coefficients [r, columns], intercepts [columns], decision [n, columns]; ridge: [m], the weight of
    ½‖β‖² of each fit.
    """

    def __init__(self, design, labels, ridge, which):
        self.design, self.which = design, which
        self.train, self.labels, self.ridge = design.train[:, which], labels[:, which], ridge[which]
        self.coefficients = np.zeros((len(design.spectrum), len(which)))
        rate = (self.labels * self.train).sum(axis=0) / self.train.sum(axis=0)
        self.intercepts = np.log(rate / (1 - rate))
        self.decision = np.tile(self.intercepts, (len(labels), 1))
        # Whether no row is there more than once, or in part.
        self.once = bool(((self.train == 0) | (self.train == 1)).all())
        # The penalties of the last solution; of the two before the next penalty, log penalties and places.
        self.penalties, self.solved = None, []

    def solve(
        self, penalties: np.ndarray, near: float, start: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        """Newton's method with inexact steps and backtracking, each column until it has converged;
        penalties: [columns]; start: coefficients [r, columns] and intercepts [columns] that may be near."""
        self._begin(penalties, start)
        rough = self.design.single
        error = np.full(len(self.which), np.inf)
        self._descend(error, FAR**2, penalties, near, rough, rough)
        # What the rounding of those steps has added up to is taken out.
        self.decision = self.design.project(self.coefficients, self.which) + self.intercepts
        error = np.maximum(error, SINGLE)
        self._descend(error, near**2, penalties, near, self.design, rough)
        self.penalties = penalties

    @property
    def _place(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.coefficients, self.intercepts, self.decision

    def _begin(self, penalties, start) -> None:
        """Go, in each column, to where the loss is lowest of: the last solution, and the `_places` near the
        next one."""
        if self.penalties is not None:
            last = np.log(self.penalties), [part.copy() for part in self._place]
            self.solved = [*self.solved[-1:], last]
        lowest = None
        for place in self._places(penalties, start):
            lowest = self.loss(penalties) if lowest is None else lowest
            loss = self._loss_at(penalties, place)
            better = loss < lowest
            lowest[better] = loss[better]
            for own, other in zip(self._place, place, strict=True):
                own[..., better] = other[..., better]

    def _places(self, penalties, start) -> Iterator[Sequence[np.ndarray]]:
        """Two on the line through the last two solutions, which is nearly straight in log C, and the start
        that is given."""
        if len(self.solved) > 1:
            (before, old), (last, new) = self.solved
            ahead = np.divide(
                np.log(penalties) - last, last - before, out=np.zeros_like(last), where=last > before
            )
            for share in (0.5, 1.0):
                yield [b + share * ahead * (b - a) for a, b in zip(old, new, strict=True)]
        if start is not None:
            beta = np.zeros_like(self.coefficients)
            beta[: len(start[0])] = start[0]
            yield beta, start[1], self.design.project(beta, self.which) + start[1]

    def _descend(self, error, goal, penalties, near, design, rough) -> None:
        """Steps, by products of `design`, until no decision value of a column is farther than the goal from
        the solution; error: [columns], how far they may be, changed in place: a step leaves its square, and
        what its linear system, which is solved in `rough`, has left open."""
        # A solution that is to be nearer than single precision comes takes more steps.
        least = max(near, SINGLE)
        for number in range(MAX_STEPS):
            going = np.flatnonzero(error > goal)
            if not len(going):
                return
            # No copies while no column is done.
            columns = slice(None) if len(going) == len(error) else going
            # A far solution needs several steps in any case, and so no good ones.
            tolerance = np.where(
                error > FAR**2, FAR, np.clip(near**2 / np.maximum(error, near**2), least, FAR)
            )[columns]
            penalty = penalties[columns]
            ridge, decision = self.ridge[columns], self.decision[:, columns]
            train, labels = self.train[:, columns], self.labels[:, columns]
            beta, which = self.coefficients[:, columns], self.which[columns]
            probability = 0.5 + 0.5 * np.tanh(decision / 2)
            weight = penalty * train
            # Where every probability has saturated, any small curvature gives a way down.
            curvature = (probability * (1 - probability) + 1e-12) * weight
            slope = (probability - labels) * weight
            gradient = ridge * beta + design.gather(slope.astype(design.x.dtype, copy=False), which)
            gradient_intercept, total = slope.sum(axis=0), curvature.sum(axis=0)
            # Minimising over the intercept leaves a system in the coefficients alone.
            centre = rough.gather(curvature.astype(rough.x.dtype, copy=False), which) / total
            right = centre * gradient_intercept - gradient
            step = _conjugate_gradients(rough, which, curvature, ridge, right, tolerance)
            step_intercept = -gradient_intercept / total - _dot(centre, step)
            change = design.project(step.astype(design.x.dtype, copy=False), which) + step_intercept
            moved = np.abs(change)
            largest = (moved * train).max(axis=0)
            descent = _dot(gradient, step) + gradient_intercept * step_intercept
            square = _dot(step, step)
            bend = ridge * square + np.einsum("nc,nc,nc->c", curvature, change, change)
            farthest = largest if self.once else (moved * (train > 0)).max(axis=0)
            sure = (farthest <= SURE) & (bend <= -BEND * descent)
            if number >= UNCHECKED_STEPS:
                sure = largest <= TOLERANCE
            length = self._backtrack(
                penalty, going, change, descent, _dot(beta, step), square, np.flatnonzero(~sure)
            )
            self.coefficients[:, columns] += length * step
            self.intercepts[columns] += length * step_intercept
            self.decision[:, columns] += length * change
            # Without a way down, nothing is left but rounding errors.
            error[columns] = np.where(length == 0, 0.0, np.maximum(tolerance, largest) * largest)

    def loss(self, penalties: np.ndarray) -> np.ndarray:
        """½‖w‖² + C Σ log-loss, [columns]."""
        return self._loss_at(penalties, self._place)

    def _loss_at(self, penalties, place) -> np.ndarray:
        coefficients, _, decision = place
        each = _log_loss((1 - 2 * self.labels) * decision) * self.train
        return self.ridge / 2 * _dot(coefficients, coefficients) + penalties * each.sum(axis=0)

    def _backtrack(self, penalty, columns, change, slope, cross, square, unsure):
        """Step lengths [columns]: halved until the descent is a fair share of the promised one, up to
        rounding, for those that are `unsure`."""
        length = np.ones(len(columns))
        if not len(unsure):
            return length
        sign = 1 - 2 * self.labels

        def loss(of, shift):
            here = columns[of]
            each = _log_loss(sign[:, here] * (self.decision[:, here] + shift)) * self.train[:, here]
            return penalty[of] * each.sum(axis=0)

        current = loss(unsure, 0.0)
        norm = _dot(self.coefficients, self.coefficients)[columns]
        while len(unsure):
            here = length[unsure]
            ridge = self.ridge[columns[unsure]]
            # ½‖β + λδ‖² − ½‖β‖² without the difference of two large numbers.
            growth = ridge * (here * cross[unsure] + here**2 / 2 * square[unsure])
            rise = loss(unsure, here * change[:, unsure]) - current + growth
            rounding = 1e-13 * (current + ridge * norm[unsure])
            bad = rise > 1e-4 * here * slope[unsure] + rounding
            unsure, current = unsure[bad], current[bad]
            length[unsure] /= 2
            length[unsure[length[unsure] < 1e-9]] = 0
            current, unsure = current[length[unsure] > 0], unsure[length[unsure] > 0]
        return length


def _leading(x: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Of rows [n, r]: what sum of squares an axis has on average beside the leading ones, [r]; the leading
    ones, [r, k], nearly orthonormal, and their sums of squares, [k], or None where the rows have fewer.

    By subspace iteration from random axes (Halko et al. 2011, arXiv 0909.4061, algorithm 4.4), in single
    precision: they precondition, and take no part in the result.
    """
    rows, count = x.astype(np.float32), min(LEADING, x.shape[1] // SHARE)
    axes = np.random.default_rng(0).normal(size=(x.shape[1], count)).astype(np.float32)
    for _ in range(PASSES):
        axes = np.linalg.qr(((rows @ axes).T @ rows).T)[0]
    squares, turn = np.linalg.eigh((of := rows @ axes).T @ of)
    total = np.einsum("nr,nr->", x, x)
    rest = max(total - squares.sum(), 0.0) / (x.shape[1] - count)
    found = (axes @ turn, np.maximum(squares, rest)) if squares[0] > NO_LEADING * squares[-1] else None
    return np.full(x.shape[1], rest), found


def _conjugate_gradients(design, which, curvature, ridge, right, tolerance):
    """Solve (ridge + Xᵀ W X − what the intercept takes up) step = right for every column, to its tolerance.

    In the design's precision. Preconditioned by the diagonal that it would have if each training set had the
    spectrum of all rows.
    """
    # Of length 1, whose square is a number in single precision too.
    length_of_right = np.maximum(np.sqrt(_dot(right, right)), np.finfo(float).tiny)
    curvature, ridge, right, tolerance = (
        array.astype(design.x.dtype, copy=False)
        for array in (curvature, ridge, right / length_of_right, tolerance)
    )
    total = curvature.sum(axis=0)
    inverse = design.inverse(ridge, total)
    solution, residual = np.zeros_like(right), right.copy()
    scaled = inverse(residual, slice(None))
    direction, size = scaled.copy(), _dot(residual, scaled)
    goal = tolerance**2 * size
    live, tiny = np.arange(right.shape[1]), np.finfo(right.dtype).tiny
    for _ in range(MAX_PRODUCTS):
        weights, sets = curvature[:, live], which[live]
        image = design.project(direction, sets)
        image -= _dot(weights, image) / total[live]
        image *= weights
        image = design.gather(image, sets) + ridge[live] * direction
        length = size / np.maximum(_dot(direction, image), tiny)
        solution[:, live] += length * direction
        residual -= length * image
        scaled = inverse(residual, live)
        previous, size = size, _dot(residual, scaled)
        going = size > goal[live]
        if not going.any():
            break
        direction = scaled + size / np.maximum(previous, tiny) * direction
        if going.mean() < 0.7:  # Columns that are done cost nothing once they are left out.
            live, size = live[going], size[going]
            residual, direction = residual[:, going], direction[:, going]
    return solution * length_of_right


def _log_loss(scores: np.ndarray) -> np.ndarray:
    """log(1 + exp(scores)): numpy's logaddexp(0, scores), in half its time."""
    return np.maximum(scores, 0) + np.log1p(np.exp(-np.abs(scores)))


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Product of each column of a with that of b."""
    return np.einsum("rc,rc->c", a, b)
