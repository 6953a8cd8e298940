"""What the figures of probes say where there are too few rows."""

from made.tables import (
    FIGURES,
    ablation_rows,
    compliance_rows,
    draw_ablation,
    generality_rows,
    make_settings,
    robustness_rows,
    texts_of,
    time_rows,
    transfer_rows,
)


def test_insufficient_tasks_are_labelled_blanks(tmp_path):
    tasks = ["word_count", "topic", "toxicity"]
    rows = generality_rows(["a"], tasks, insufficient=["topic"])
    settings = make_settings(["a"], tasks)
    assert "insufficient: few violated" in texts_of("generality", rows, settings)
    assert "insufficient: topic" in texts_of("layers", rows, settings)
    few = "insufficient: a test fold has 7 prompts with both satisfied and violated responses; it takes 8"
    mixed = [row | {"status": few if row["status"] else "", "scope": "within"} for row in rows]
    assert "insufficient: few mixed" in texts_of("generality", mixed, settings)
    assert "no responses" in texts_of("compliance", compliance_rows(["a"], tasks), settings)
    # Of the matrix, a row and a column of three stay blank.
    assert len(texts_of("transfer", transfer_rows(["a"], tasks, ["topic"]), settings)) == 4
    rows = ablation_rows(["a"], tasks, ["topic"])
    assert "insufficient: topic" in texts_of("ablation", rows, settings)
    matrix, graph, _ = draw_ablation(rows, settings).canvas.axes[:3]
    assert sum(bool(patch.get_hatch()) for patch in matrix.patches) == 5 and len(matrix.texts) == 4
    assert [point.get_markerfacecolor() == "white" for point in graph.lines] == [False, True, False]


def test_the_title_names_the_scope_within_prompts():
    tasks = ["word_count", "topic", "toxicity"]
    settings = make_settings(["a"], tasks)
    for figure, rows in (
        ("generality", generality_rows(["a"], tasks)),
        ("layers", generality_rows(["a"], tasks)),
        ("transfer", transfer_rows(["a"], tasks, [])),
        ("time", time_rows(["a"], tasks)),
        ("robustness", robustness_rows(["a"], tasks)),
        ("ablation", ablation_rows(["a"], tasks)),
    ):
        for scope, words in (("across", "?"), ("within", "?\nwithin one prompt")):
            drawn = FIGURES[figure]([row | {"scope": scope} for row in rows], settings)
            assert drawn.canvas.get_suptitle().endswith(words), figure
