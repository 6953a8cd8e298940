"""The overview says what the tables hold, and where everything comes from."""

import pytest
from made.findings import THRESHOLDS
from made.pages import parse
from made.tables import compliance_rows, generality_rows, transfer_rows
from skillprobe.findings import rules
from skillprobe.report.overview import overview_page
from skillprobe.storage.files import read_json


def test_names_are_escaped():
    config = small_config() | {"study": "<i>s</i>"}
    config["models"] = [{"name": "<b>m"}]
    rows = generality_rows(["<b>m"], config["tasks"])
    text = parse(overview(compliance_rows(["<b>m"], config["tasks"]), rows, config)).text
    assert "<i>s</i>" in text and "<b>m" in text


def small_config():
    return {
        "study": "demo",
        "seed": 7,
        "models": [{"name": "a"}, {"name": "b"}],
        "tasks": ["word_count", "topic", "toxicity"],
        "prompts": {"bases": 90},
        "probes": {"position": "eos"},
        "claims": THRESHOLDS,
    }


def overview(compliance, generality, config, **optional):
    tables = {"generality": generality, "transfer_summary": [], "ablation_summary": [], "layers": []}
    models = [entry["name"] for entry in config["models"]]
    found = rules.judge(tables, models, config["tasks"], config["claims"])
    return overview_page(compliance, generality, found, config, **optional)


def test_overview_has_the_numbers():
    config = small_config()
    rows = generality_rows(["a"], config["tasks"], insufficient=["topic"], difference=0.123)
    rows += generality_rows(["b"], config["tasks"], insufficient=["topic", "toxicity"])
    compliance = compliance_rows(["a", "b"], config["tasks"])
    page = overview(compliance, rows, config)
    text = " ".join(parse(page).text.split())
    assert "0.123 [0.103, 0.143]" in text and "2 of 3 tasks had enough data" in text
    assert "A specialist probe is better than one general probe: supported for a; insufficient for b" in text
    # A specialist of 0.80 [0.75, 0.85] with topic missing; 0.75 [0.70, 0.80] without the confounds.
    assert "2 of them had a clear signal (2 after the confounds are regressed out)" in text
    assert "supported if its lower bound is above 0.02" in text
    assert "12 violated responses from 6 groups" in text
    assert "Seed 7" in text and '"study": "demo"' in text and "torch" in text
    assert page == overview(compliance, rows, config)


def test_overview_says_what_edits_did():
    config = small_config()
    about = {"model": "a", "condition": "flip", "quantity": "change_minus_random"}
    behaviour = [
        about | {"task": "own", "estimate": -0.2, "lower99": -0.3, "upper99": -0.1},
        about | {"task": "others", "estimate": 0.01, "lower99": -0.05, "upper99": 0.07},
    ]
    about = {"model": "a", "edit": "flip"}
    agreement = [
        about | {"quantity": "within", "estimate": 0.41, "p": 0.0312},
        about | {"quantity": "rank_correlation", "estimate": 0.9, "p": 0.001},
    ]
    page = parse(overview([], [], config, behaviour=behaviour, agreement=agreement)).text
    text = " ".join(page.split())
    assert (
        "reflecting a task's signal changes compliance with that task by −20.0 [−30.0, −10.0] percentage"
        in text
    )
    assert "the other tasks by 1.0 [−5.0, 7.0]." in text
    assert "a rank correlation of 0.41 (p = 0.031)" in text
    # The other model's answers were not edited.
    assert text.count("During generation") == 1
    text = " ".join(parse(overview([], [], config, behaviour=behaviour)).text.split())
    assert "During generation" in text and "rank correlation" not in text


def test_overview_says_what_is_known_when():
    values = {"gain": 0.1, "beyond_text": -0.3, "prompt": 0.6, "surface": 0.55, "ceiling": 0.65}
    about = {"model": "a", "layer": "selected", "task": "mean"}
    rows = [
        about | {"quantity": name, "estimate": value, "lower99": value - 0.05, "upper99": value + 0.05}
        for name, value in values.items()
    ]
    wrong = [row | {"estimate": 9.0} | change for row in rows for change in ({"task": "topic"}, {"layer": 2})]
    text = " ".join(parse(overview([], [], small_config(), time=wrong + rows)).text.split())
    assert "From the prompt's end to EOS its probes gain 0.100 [0.050, 0.150] in AUROC" in text
    assert "at EOS, the verifier's verdict on the text is 0.300 better than the probes" in text
    assert "the probes reach 0.600 [0.550, 0.650], the prompt's surface alone 0.550, and the other" in text
    assert text.count("to EOS") == 1


def test_overview_has_the_papers_numbers_beside_ours():
    config = small_config() | {"tasks": ["topic", "sentiment", "json_format"]}
    rows = generality_rows(["a", "b"], config["tasks"], insufficient=["json_format"])
    rows += [row | {"probe": "general_all"} for row in rows if row["probe"] == "general_centred"]
    transfer = transfer_rows(["a"], config["tasks"])
    reported = read_json("workflow/resources/paper.json")
    tables = {"generality": rows, "transfer_summary": [], "ablation_summary": [], "layers": []}
    found = rules.judge(tables, ["a", "b"], config["tasks"], THRESHOLDS, reported["claims"])
    page = overview_page([], rows, found, config, transfer=transfer, source=reported["source"])
    text = " ".join(parse(page.replace("</td>", " </td>")).text.split())
    assert "specialist, topic: accuracy 0.66 0.80 0.80" in text
    assert "general, all data, json format: accuracy 0.68 – –" in text
    assert "probe of topic on sentiment: accuracy; here AUROC 0.78 0.45 –" in text
    assert "dependencies are sparse”; no number reported" in text and "2604.06015" in text
    assert "inconclusive in the mean of 2 models, 0.100" in text and "All models" in text


def test_overview_says_where_everything_comes_from():
    identities = {
        "a": {"source": "hub/<x>", "revision": "abc", "dtype": "float32", "sha256": "0123456789abcdef0"}
    }
    page = overview([], [], small_config(), identities=identities, commit="1234abcd+")
    text = " ".join(parse(page.replace("</td>", " </td>")).text.split())
    assert "workflow at commit 1234abcd+." in text and "a hub/<x> abc float32 0123456789abcdef" in text
    assert " at commit" not in parse(overview([], [], small_config())).text


@pytest.mark.parametrize("looks, level", [(1, "99 %"), (2, "99.5 %")])
def test_overview_names_the_level_of_its_intervals(looks, level):
    config = small_config() | {"claims": THRESHOLDS | {"looks": looks}}
    text = " ".join(parse(overview([], [], config)).text.split())
    assert f"Brackets: {level} intervals over content requests" in text


def test_overview_says_what_to_change():
    warnings = ["a, topic: 2% compliance, where <15%> is useful", "b, topic: 3% of the items are mixed"]
    text = " ".join(parse(overview([], [], small_config(), warnings=warnings)).text.split())
    assert "What to change for the next study" in text and all(warning in text for warning in warnings)
    text = " ".join(parse(overview([], [], small_config())).text.split())
    assert "Nothing: every task has responses of both kinds" in text


def test_overview_of_nothing():
    text = parse(overview([], [], small_config())).text
    assert (
        "insufficient" in text and "no untruncated responses" in text and "there is no estimate" not in text
    )
    assert "0 of 3 tasks have a signal" in text
