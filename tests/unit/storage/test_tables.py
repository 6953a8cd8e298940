"""Tables come back as they were written, and those that can't be read are named."""

import numpy as np
import pytest
from skillprobe.errors import DamagedFile, UserError
from skillprobe.storage import tables


def test_tables_come_back_and_are_deterministic(tmp_path):
    rows = [
        {"task": "topic", "layer": 3, "estimate": 0.1 + 0.2, "lower95": float("nan"), "status": ""},
        {
            "task": "json, format",
            "layer": "selected",
            "estimate": -1e-9,
            "lower95": np.float64(1),
            "status": "no",
        },
    ]
    tables.write_csv(tmp_path / "a.csv", rows)
    tables.write_csv(tmp_path / "b.csv", rows)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    back = tables.read_csv(tmp_path / "a.csv")
    assert [row["layer"] for row in back] == [3, "selected"] and back[1]["task"] == "json, format"
    assert back[0]["estimate"] == 0.3 and np.isnan(back[0]["lower95"]) and back[0]["status"] == ""
    with pytest.raises(UserError, match="no rows"):
        tables.write_csv(tmp_path / "c.csv", [])


def test_names_that_look_like_numbers_stay_names(tmp_path):
    names = ["007", "1e5", "7", "nan", "1.50", "0.5", "-0"]
    rows = [{"model": name, "first": name, "estimate": 1e7, "n": 3} for name in names]
    tables.write_csv(tmp_path / "a.csv", rows)
    back = tables.read_csv(tmp_path / "a.csv")
    assert [row["model"] for row in back] == [str(row["first"]) for row in back] == names
    assert all((row["estimate"], row["n"]) == (1e7, 3) for row in back)
    tables.write_csv(tmp_path / "b.csv", back)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is empty"),
        (b"a,b\n1,\xff\n", "is not a UTF-8 text .*"),
        (b"a,b\n1,2\n3\n", "has 1 cells instead of 2 in row 2"),
        (b"a,b\n1,2,3\n", "has 3 cells instead of 2 in row 1"),
        (b'a,b\n1,"2\n', "is not a table .*"),
    ],
)
def test_tables_that_cannot_be_read_are_named(tmp_path, content, words):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    for read in (tables.read_csv, tables.read_columns):
        with pytest.raises(DamagedFile, match=f"x.csv {words}; make it again: snakemake "):
            read(path)


def test_a_table_without_scopes_is_across_prompts():
    rows = [{"scope": "across", "n": 1}, {"scope": "within", "n": 2}, {"n": 3}]
    assert [row["n"] for row in tables.in_scope(rows)] == [1, 3]
    assert [row["n"] for row in tables.in_scope(rows, "within")] == [2]
