"""What all figures have in common, from small made-up tables."""

import csv

import pytest
from made.tables import (
    FIGURES,
    ablation_rows,
    agreement_rows,
    behaviour_rows,
    compliance_rows,
    generality_rows,
    guard_rows,
    make_settings,
    monitor_rows,
    robustness_rows,
    scorecard_rows,
    similarity_rows,
    specificity_rows,
    time_rows,
    transfer_rows,
)
from skillprobe.findings import rules
from skillprobe.storage.tables import read_csv, write_csv


def draw(name, rows, settings, folder):
    folder.mkdir(exist_ok=True)
    paths = {kind: folder / f"{name}.{kind}" for kind in ("svg", "png", "csv")}
    FIGURES[name](rows, settings).save(svg=paths["svg"], png=paths["png"], data=paths["csv"])
    return {kind: path.read_bytes() for kind, path in paths.items()}


def table_of(name, models, tasks, folder, **options):
    """As the workflow does: through a CSV file."""
    special = {
        "ablation": ablation_rows,
        "agreement": agreement_rows,
        "behaviour": behaviour_rows,
        "compliance": compliance_rows,
        "monitors": monitor_rows,
        "guard": guard_rows,
        "specificity": specificity_rows,
        "robustness": robustness_rows,
        "scorecard": scorecard_rows,
        "similarity": similarity_rows,
        "time": time_rows,
        "transfer": transfer_rows,
    }
    make = special.get(name, generality_rows)
    rows = make(models, tasks, **options)
    write_csv(folder / "table.csv", rows, None if rows else ["model"])
    return read_csv(folder / "table.csv")


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("n_tasks, n_models", [(1, 1), (5, 4), (40, 1)])
def test_figures_of_any_size(name, n_tasks, n_models, tmp_path):
    models, tasks = [f"model-{k}" for k in range(n_models)], [f"task_{k}" for k in range(n_tasks)]
    options = {"insufficient": tasks[1:2], "constant": tasks[2:3]}
    rows = table_of(name, models, tasks, tmp_path, **({} if name == "compliance" else options))
    files = draw(name, rows, make_settings(models, tasks), tmp_path / "out")
    assert files["svg"].startswith(b"<?xml") and files["svg"].rstrip().endswith(b"</svg>")
    assert files["png"].startswith(b"\x89PNG")
    listed = list(csv.DictReader(files["csv"].decode().splitlines()))
    if name == "scorecard":
        claims = {(model, claim) for model in (*models, rules.POOLED) for claim in rules.CLAIMS}
        assert {(row["model"], row["claim"]) for row in listed} == claims
        return
    # Insufficient tasks are listed too, but for those that no pair can be made of.
    named = {"similarity": "first"} | dict.fromkeys(("ablation", "agreement", "transfer"), "target")
    named = named.get(name, "task")
    # Of pairs without a direction, the last task is the first of none.
    missing = {"agreement": tasks[1:2], "similarity": tasks[-1:]}.get(name, [])
    listed = [row for row in listed if name != "similarity" or row["panel"] in ("tasks", "subspaces")]
    assert {(row["model"], row[named]) for row in listed if row[named] != "mean"} == {
        (model, task)
        # That of monitors is of one model.
        for model in models[: 1 if name == "monitors" else None]
        for task in tasks
        if task not in missing
    }


@pytest.mark.parametrize("name", FIGURES)
def test_same_table_same_bytes(name, tmp_path):
    models, tasks = ["a", "b"], ["word_count", "topic"]
    rows = table_of(name, models, tasks, tmp_path)
    first = draw(name, rows, make_settings(models, tasks), tmp_path / "1")
    assert draw(name, rows, make_settings(models, tasks), tmp_path / "2") == first
    assert b"<dc:date>" not in first["svg"]
    other = draw(name, rows, make_settings(models, tasks, "Set2"), tmp_path / "3")
    # Categories' colours come from the palette, in the matrices those of the labels; verdicts have their own.
    assert (other["svg"] != first["svg"]) == (name != "scorecard") and other["csv"] == first["csv"]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_nothing(name, tmp_path):
    tasks = ["word_count", "topic"]
    rows = table_of(name, ["a"], tasks, tmp_path, **({} if name == "compliance" else {"insufficient": tasks}))
    assert draw(name, rows, make_settings(["a"], tasks), tmp_path / "out")
    assert draw(name, [], make_settings(["a"], tasks), tmp_path / "none")


@pytest.mark.parametrize("name", FIGURES)
def test_legends_and_titles_of_one_model_are_not_cut_off(name, tmp_path):
    """Whose figure is the narrowest."""
    models, tasks = ["model"], [f"task_{k}" for k in range(5)]
    rows = table_of(name, models, tasks, tmp_path)
    canvas = FIGURES[name](rows, make_settings(models, tasks)).canvas
    canvas.canvas.draw()
    whole = canvas.bbox
    # In a browser the letters may be of another font, and wider.
    assert all(legend.get_window_extent().width < 0.9 * whole.width for legend in canvas.legends)
    for part in (*canvas.legends, *filter(None, [canvas._suptitle])):
        box = part.get_window_extent()
        assert box.x0 >= whole.x0 and box.x1 <= whole.x1 and box.y0 >= whole.y0 and box.y1 <= whole.y1, part
