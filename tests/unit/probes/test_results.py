"""The files hold what was computed."""

from dataclasses import fields

import numpy as np
import pytest
from made.probes import SETTINGS, task_data, tasks_data
from skillprobe.errors import UserError
from skillprobe.probes.general_probes import general
from skillprobe.probes.results import ProbeResult, load, save
from skillprobe.probes.specialists import specialist


def test_fold_probes_give_the_scores():
    x, y, groups = task_data(signal=0.5)
    result = specialist(x, y, groups, SETTINGS)
    for s, f in np.ndindex(result.chosen_c.shape):
        test = result.folds[s] == f
        scores = x[test] @ result.fold_weights[s, f] + result.fold_intercepts[s, f]
        np.testing.assert_allclose(result.scores[s, test], scores, atol=1e-4)


def same(a: ProbeResult, b: ProbeResult) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(ProbeResult)]
    return all(
        np.array_equal(p, q, equal_nan=not isinstance(p, str) and np.asarray(p).dtype.kind == "f")
        for p, q in pairs
    )


def test_files_give_back_the_result_with_equal_bytes(tmp_path):
    x, y, groups = tasks_data([np.eye(24)[0]] * 3)
    y["task2"] = np.ones_like(y["task2"])
    results = general(x, y, groups, SETTINGS, variants=["all", "centred"])
    special = specialist(
        x["task0"], y["task0"], groups["task0"], SETTINGS, ids=[f"é{i}" for i in range(len(x["task0"]))]
    )
    for name, result in (("general", results), ("specialist", special)):
        save(tmp_path / f"{name}.h5", result)
        save(tmp_path / f"{name}2.h5", result)
        assert (tmp_path / f"{name}.h5").read_bytes() == (tmp_path / f"{name}2.h5").read_bytes()
    assert same(load(tmp_path / "specialist.h5"), special)
    back = load(tmp_path / "general.h5")
    assert list(back) == ["all", "centred"] and list(back["all"]) == ["task0", "task1", "task2"]
    assert all(same(back[v][t], results[v][t]) for v in results for t in results[v])
    (tmp_path / "broken.h5").write_text("no")
    with pytest.raises(UserError, match=r"broken\.h5"):
        load(tmp_path / "broken.h5")
