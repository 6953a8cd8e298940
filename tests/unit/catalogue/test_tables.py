"""Every table has the columns that the code writes, and every column is described."""

import numpy as np
import pytest
from skillprobe.analyses import (
    ablation,
    agreement,
    behaviour,
    compliance,
    generality,
    guard,
    layers,
    monitors,
    robustness,
    similarity,
    specificity,
    time,
    transfer,
    wording,
)
from skillprobe.catalogue.fields import TABLE
from skillprobe.catalogue.files import FILES, by_place
from skillprobe.catalogue.tables import FIGURES, PARTS, TABLES
from skillprobe.findings import calibration, coverage, error_rates, rules
from skillprobe.labels import heads
from skillprobe.storage.tables import SCOPES
from skillprobe.tasks import CATEGORIES

# Twenty unit vectors of each label, of ten groups.
_LABELLED = heads.Labelled([str(n) for n in range(40)], ["a", "b"] * 20, [f"g{n // 4}" for n in range(40)])
QUALITY = heads.quality(np.eye(2)[[0, 1] * 20], _LABELLED, ("a", "b"), {"threshold": None, "margin": 0.0})

WRITTEN = {
    "tables/generality.csv": (*generality.COLUMNS, "depth"),
    "tables/transfer.csv": transfer.CELL_COLUMNS,
    "tables/transfer_summary.csv": transfer.SUMMARY_COLUMNS,
    "tables/ablation.csv": ablation.CELL_COLUMNS,
    "tables/ablation_curve.csv": ablation.CURVE_COLUMNS,
    "tables/ablation_summary.csv": ablation.SUMMARY_COLUMNS,
    "tables/layers.csv": layers.COLUMNS,
    "tables/time.csv": time.CURVE_COLUMNS,
    "tables/time_summary.csv": time.SUMMARY_COLUMNS,
    "tables/monitors.csv": monitors.CURVE_COLUMNS,
    "tables/monitors_reliability.csv": monitors.RELIABILITY_COLUMNS,
    "tables/monitors_summary.csv": monitors.SUMMARY_COLUMNS,
    "tables/specificity.csv": specificity.COLUMNS,
    "tables/similarity.csv": similarity.COLUMNS,
    "tables/model_similarity.csv": similarity.MODEL_COLUMNS,
    "tables/robustness.csv": robustness.COLUMNS,
    "tables/wording.csv": wording.COLUMNS,
    "tables/behaviour.csv": behaviour.COLUMNS,
    "tables/guard.csv": guard.COLUMNS,
    "tables/agreement.csv": agreement.CELL_COLUMNS,
    "tables/agreement_summary.csv": agreement.SUMMARY_COLUMNS,
    "tables/findings.csv": rules.COLUMNS,
    "tables/judges.csv": ("task", "model", *QUALITY),
    "tables/compliance.csv": ("model", "task", "category", *compliance.summarise([], 2, 0)),
    "tables/calibration.csv": error_rates.TABLE_COLUMNS,
    "tables/power.csv": error_rates.POWER_COLUMNS,
    "tables/coverage.csv": coverage.COLUMNS,
    "calibration/noise/0.5/90/0.csv": calibration.VERDICT_COLUMNS,
    "calibration/coverage/0-10.csv": coverage.STUDY_COLUMNS,
}


@pytest.mark.parametrize("place", WRITTEN)
def test_a_table_has_the_columns_of_the_code(place):
    assert sorted(each.name for each in by_place(place).fields) == sorted(WRITTEN[place])


def test_no_table_is_left_out():
    compared = {by_place(place) for place in WRITTEN} | {by_place("pilot/pilot.csv")}
    assert {each for each in FILES if each.format == TABLE} == compared | set(FIGURES)
    assert {*TABLES, *PARTS} == compared


def cases_of(place, column):
    (field,) = [each for each in by_place(place).fields if each.name == column]
    return {each.name for each in field.cases}


def test_names_in_cells_are_those_of_the_code():
    assert cases_of("tables/time.csv", "scope") == set(SCOPES)
    assert cases_of("tables/layers.csv", "category") == {*CATEGORIES, "mean", "all"}
    assert cases_of("tables/generality.csv", "metric") == set(generality.TABLE_METRICS)
    assert cases_of("tables/time_summary.csv", "quantity") >= set(time.SUMS)
    for name in ("monitors", "monitors_summary"):
        assert cases_of(f"tables/{name}.csv", "reader") == {*monitors.READERS, *monitors.DIFFERENCES}
    summarised = {monitors.AUROC, monitors.BRIER, monitors.SKILL, monitors.ERROR, *monitors.ALARMS}
    assert cases_of("tables/monitors_summary.csv", "quantity") == summarised
    assert cases_of("tables/similarity.csv", "measure") == {*similarity.MEASURES, *similarity.ANGLES}
    assert cases_of("tables/guard.csv", "policy") == set(guard.POLICIES)
    assert cases_of("tables/guard.csv", "quantity") == {guard.COMPLIANCE, guard.TOKENS, *guard.GAINS}
    assert cases_of("tables/findings.csv", "verdict") == set(rules.VERDICTS)
    assert cases_of("tables/layers.csv", "quantity") == {*layers.TAUS, *layers.TAUS.values()}
    assert cases_of("tables/robustness.csv", "contrast") == set(robustness.SUMMARIES)
