"""Fields: what they may hold, and which name is meant."""

import pytest
from skillprobe.catalogue.fields import Values, auroc, case, count, fits, named, number, string

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "good", "bad"),
    [
        (Values("number", 0, 1), (0, 1, 0.5, NAN, "", 1.0000001), (-0.1, 1.1, "0.5", True, None)),
        (Values("integer", -1), (-1, 7, ""), (-2, 0.5, "selected", False)),
        (Values("number", None, 0, "nats"), (-5.0, 0), (0.1,)),
        (Values("text"), ("a", ""), (1, None)),
        (Values("number or text"), (3, "selected"), (None, [])),
        (Values("true or false"), (True, False), (1, "yes")),
        (Values("number or none"), (None, 2.5), ("x", True)),
        (Values("object or none"), (None, {}), ([],)),
    ],
)
def test_values_hold_what_they_say(values, good, bad):
    assert [value for value in good if not values.hold(value)] == []
    assert [value for value in bad if values.hold(value)] == []


def test_values_in_words():
    assert auroc("a", "").values.words() == "number, 0 to 1, AUROC"
    assert count("a", "").values.words() == "integer, from 0"
    assert number("a", "", -1, 1).values.words() == "number, −1 to 1"
    assert number("a", "", None, 0, "nats").values.words() == "number, at most 0, nats"
    assert string("a", "").values.words() == "text"


def test_names_with_places():
    assert fits("tables/<name>.csv", "tables/c++ (1).csv") and not fits("tables/<name>.csv", "tables/a/b.csv")
    assert fits("a.b", "a.b") and not fits("a.b", "a-b")
    assert fits("time/<model>/<trained on>", "time/m/x")
    fields = [case("steer:<strength>", "first"), case("<any>", "last"), case("none", "plain")]
    assert [named(fields, name).text for name in ("steer:-4", "none", "x")] == ["first", "plain", "last"]
    assert named(fields[:1], "x") is None
    assert string("condition", "", *fields).case(3).text == "last"
