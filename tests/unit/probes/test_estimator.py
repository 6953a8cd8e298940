"""The scikit-learn estimator is the solver."""

import numpy as np
import pytest
from made.probes import data, fit_one
from skillprobe.probes.solver import Rows, feature_scale


def test_estimator_passes_scikit_learns_checks():
    from skillprobe.probes import LogisticProbe
    from sklearn.utils.estimator_checks import check_estimator

    check_estimator(LogisticProbe())


def test_estimator_is_the_solver():
    from skillprobe.probes import LogisticProbe

    x, y = data(60, 20)
    scale = feature_scale(x)
    probe = LogisticProbe(C=0.1, scale=scale).fit(x, np.array(["no", "yes"])[y])
    np.testing.assert_allclose(
        probe.decision_function(x), fit_one(Rows(x, scale, once=True), np.arange(60), y, [0.1])[1][0]
    )
    assert (
        probe.predict_proba(x).sum(1) == pytest.approx(1) and probe.score(x, np.array(["no", "yes"])[y]) > 0.6
    )
    with pytest.raises(ValueError, match="one positive number for each of the 20"):
        LogisticProbe(scale=np.ones(3)).fit(x, y)
