"""What is watched, and what is refused in one sentence."""

import pytest
from made.monitors import made_monitor
from skillprobe.errors import UserError
from skillprobe.monitor.constraints import Constraint, Watched, open_monitors, parse
from skillprobe.probes import monitors

SEVEN = {"relation": "exactly", "n": 7}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies") / "results/demo"
    for task in ("word_count", "json_format", "toxicity"):
        monitors.save(folder / f"monitors/m/{task}.safetensors", made_monitor(task))
    empty = made_monitor("topic", status="insufficient: 3 violated responses from 2 groups", stages=[])
    monitors.save(folder / "monitors/m/topic.safetensors", empty)
    monitors.save(folder / "monitors/m/register.safetensors", made_monitor("register", rules_version=1))
    return folder


def test_a_constraint_is_a_text_or_a_mapping():
    expected = Constraint("word_count", SEVEN)
    assert parse('word_count:{"relation": "exactly", "n": 7}') == expected
    assert parse({"task": "word_count", "params": SEVEN}) == parse(expected) == expected
    assert parse("toxicity") == Constraint("toxicity") and parse("toxicity:{}") == Constraint("toxicity", {})
    assert expected.words == 'word_count {"relation": "exactly", "n": 7}'
    assert parse("toxicity").words == parse("toxicity:{}").words == "toxicity"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nope", "no task 'nope'"),
        ("word_count:{", "params of constraint 'word_count' are not valid JSON"),
        ("word_count:" + "[" * 100_000, "are not valid JSON"),
        ("word_count:7", "params must be an object"),
        ('word_count:{"relation": "exactly"}', "'n' is missing"),
        ('word_count:{"relation": "exactly", "n": 7, "m": 1}', "'m' is not one of its params"),
        ('word_count:{"relation": "about", "n": 7}', "'relation' must be one of"),
        ({"name": "word_count"}, "a constraint is a text or"),
        ({"task": "word_count", "n": 7}, "a constraint is a text or"),
    ],
)
def test_unknown_constraints_and_params_are_one_sentence(given, message):
    with pytest.raises(UserError, match=message) as error:
        parse(given)
    assert "\n" not in str(error.value)


def test_monitors_come_in_the_order_of_the_constraints(study):
    found = open_monitors(study, "m", ["toxicity", {"task": "word_count", "params": SEVEN}])
    assert [each.constraint.task for each in found] == ["toxicity", "word_count"]
    assert [each.stored.card["task"] for each in found] == ["toxicity", "word_count"]


def test_without_constraints_all_tasks_that_have_a_monitor_are_watched(study, tmp_path):
    for task in ("word_count", "json_format", "topic"):
        target = tmp_path / f"results/demo/monitors/m/{task}.safetensors"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((study / f"monitors/m/{task}.safetensors").read_bytes())
    found = open_monitors(tmp_path / "results/demo", "m")
    assert [each.constraint for each in found] == [Constraint("json_format"), Constraint("word_count")]


@pytest.mark.parametrize(
    ("model", "asked", "message"),
    [
        ("n", ["toxicity"], "no monitors of model 'n'.*it has those of m"),
        (
            "m",
            ["character_count"],
            "no monitor of task 'character_count' for model 'm'; it has those of json",
        ),
        ("m", ["topic"], "task 'topic' has no monitor for model 'm' in this study: 3 violated responses"),
        ("m", ["register"], "was made by version 1 of the rules"),
        ("m", ["toxicity", "toxicity:{}"], "two constraints of task 'toxicity' have one monitor"),
    ],
)
def test_what_the_study_lacks_is_one_sentence(study, model, asked, message):
    with pytest.raises(UserError, match=message) as error:
        open_monitors(study, model, asked)
    assert "\n" not in str(error.value)


def test_a_study_without_monitors_and_no_study(study, tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        open_monitors(tmp_path / "none", "m")
    with pytest.raises(UserError, match="has no monitors; make them with `snakemake --cores 1 monitors`"):
        open_monitors(tmp_path, "m")


def test_params_that_were_never_asked_are_said_so():
    def unseen(params):
        return Watched(Constraint("word_count", params), made_monitor()).unseen

    assert unseen(SEVEN) == "" and unseen(None) == ""
    assert "never asked word_count with n 8 (it asked 5, 7)" in unseen({**SEVEN, "n": 8})
    many = made_monitor(params={"n": {"n": 99, "values": None}})
    assert Watched(Constraint("word_count", {"n": 8}), many).unseen == ""
