"""The overview says what the tables hold, and where everything comes from."""

import pytest
from made.findings import THRESHOLDS, finding, made_findings
from made.pages import parse
from made.tables import auroc_row, compliance_rows, generality_rows, transfer_rows
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
        "prompts": {"file": None, "bases": 90},
        "generation": {"twin_samples": 2},
        "labels": {"crossings": 2},
        "probes": {"position": "eos", "max_truncated": 0.05, "calibration_fraction": 0.1},
        "ablation": {"min_rows": 80},
        "claims": THRESHOLDS,
    }


def test_overview_says_what_own_prompts_leave_out():
    config = small_config()
    assert "Not computed" not in overview([], [], config)
    by_task = dict.fromkeys(config["tasks"], 0)
    found = {"unconstrained": by_task | {"topic": 5}, "crossed": by_task, "constrained": by_task}
    found["worded"] = {task: ["phrasing", "instruction_type", "polarity"] for task in by_task}
    page = overview([], [], config | {"prompts": {"file": "own.jsonl", "bases": 9, "found": found}})
    assert "<code>own.jsonl</code>" in page and "Not computed" in page
    assert "The prompts of word_count, toxicity have no unconstrained_prompt" in page
    assert "The prompts have no subject whose request is asked under two params" in page
    assert "phrasings are not compared" not in page


def overview(compliance, generality, config, **optional):
    tables = {"generality": generality, "transfer_summary": [], "ablation_summary": [], "layers": []}
    models = [entry["name"] for entry in config["models"]]
    found = rules.judge(tables, models, config["tasks"], config["claims"])
    return overview_page(compliance, generality, found, config, **optional)


def test_overview_has_the_numbers():
    config = small_config()
    rows = generality_rows(["a"], config["tasks"], insufficient=["topic"], difference=0.123)
    rows += generality_rows(["b"], config["tasks"], insufficient=["topic", "toxicity"])
    rows += [row | {"scope": "within"} for row in generality_rows(["a"], ["toxicity"], difference=0.2)]
    compliance = compliance_rows(["a", "b"], config["tasks"])
    page = overview(compliance, rows, config)
    text = " ".join(parse(page).text.split())
    # A specialist of 0.80 [0.75, 0.85] with topic missing; 0.75 [0.70, 0.80] without the confounds.
    assert "Across prompts, 2 of 3 tasks had enough data (240 tested responses about 40 subjects)" in text
    assert "and 2 of them a clear signal (2 after the confounds are regressed out)" in text
    assert "within prompts, 1 and 1." in text and "within prompts, 0 and 0." in text
    assert "Within prompts, specialists reach a mean AUROC of 0.800 [0.750, 0.850] and the general" in text
    assert "general probe 0.600 [0.550, 0.650]. Across prompts" in text
    assert "supported if its lower bound is above 0.02" in text
    assert "12 violated responses from 6 groups" in text
    assert "Seed 7" in text and '"study": "demo"' in text and "torch" in text
    assert page == overview(compliance, rows, config)


def answers(found, config, compliance=(), generality=()):
    """{claim: its sentences}, and all of the page's text."""
    page = overview_page(list(compliance), list(generality), found, config)
    text = " ".join(parse(page).text.split())
    # After title, style sheet and heading, nothing comes before the answer.
    text = text.split("One signal, or many skills?")[2].strip()
    assert text.lstrip("+−?≈ ").startswith("A specialist probe is better than one general probe:")
    places = [(text.index(f"{meaning[1:]}:"), claim) for claim, meaning in rules.CLAIMS.items()]
    places = [*sorted(places), (text.index("Each claim has one scope that decides"), "")]
    return {claim: text[at : places[k + 1][0]] for k, (at, claim) in enumerate(places[:-1])}, text


def one_verdict(verdict, models=("a", "b"), **cells):
    """Every claim with one verdict, in all models and pooled."""
    found = {model: {} for model in (*models, rules.POOLED)}
    for claim in rules.CLAIMS:
        for model in found:
            found[model][claim] = finding(claim, verdict, tasks=["word_count", "topic"], **cells)
        found[rules.POOLED][claim] |= {"models": list(models), "counted": {verdict: list(models)}}
    return found


def test_the_page_begins_with_a_sentence_a_claim():
    said, text = answers(one_verdict("supported"), small_config())
    assert said.keys() == rules.CLAIMS.keys()
    assert (
        "supported for a and b within prompts, on 2 of 3 tasks (word count, topic): the AUROC of specialists "
        "is 0.081 above that of the general probe (99 % interval 0.052 to 0.110)." in said["generality"]
    )
    assert "supported for a and b across prompts" in said["monitoring"]
    # The scorecard, and what would have shown the opposite, come before the rest of the page.
    order = ["Each claim has one scope", "All verdicts", "What would have shown the opposite", "In the study"]
    assert sorted(order, key=text.index) == order


def test_models_that_differ_are_told_apart():
    config = small_config()
    found = one_verdict("supported")
    found["b"]["generality"] = finding("generality", "contradicted", estimate=-0.01, interval=[-0.03, 0.01])
    found[rules.POOLED]["generality"] |= {"counted": {"supported": ["a"], "contradicted": ["b"]}}
    said, _ = answers(found, config)
    text = said["generality"]
    assert "supported for a within prompts" in text and "contradicted for b within prompts" in text
    assert "0.010 below that of the general probe (99 % interval −0.030 to 0.010)" in text
    assert "supported in the mean of 2 models within prompts" in text
    # The tasks are named once.
    assert text.count("(word count, topic)") == 2 and text.count("on the same tasks") == 0
    found["b"]["generality"] |= {"tasks": ["word_count", "topic"], "n": found["a"]["generality"]["n"]}
    text = answers(found, config)[0]["generality"]
    assert text.count("(word count, topic)") == 1 and text.count("on the same tasks") == 2


def test_models_in_which_other_tasks_count_are_not_said_to_share_them():
    found = one_verdict("supported")
    found[rules.POOLED]["generality"] |= {"tasks": ["topic"], "n": {"tasks": 1, "fewest_tasks": 2}}
    text = answers(found, small_config())[0]["generality"]
    assert "on at least 2 of 3 tasks in each model, 1 of them in all (topic): the AUROC" in text
    found[rules.POOLED]["generality"] |= {"tasks": [], "n": {"tasks": 0, "fewest_tasks": 2}}
    text = answers(found, small_config())[0]["generality"]
    assert "on at least 2 of 3 tasks in each model, none of them in all: the AUROC" in text


def test_tasks_that_are_obeyed_less_than_by_chance_are_explained():
    config = small_config()
    compliance = compliance_rows(["a", "b"], config["tasks"])
    found = one_verdict("supported")
    assert "a prompt can call up what it names" not in answers(found, config, compliance)[1]
    # Of one model clearly; of the other within the interval.
    compliance[0] |= {"compliance": 0.8, "upper95": 0.85, "twin_compliance": 0.95}
    compliance[3] |= {"compliance": 0.8, "upper95": 0.85, "twin_compliance": 0.84}
    text = answers(found, config, compliance)[1]
    assert "without it in word count (a 80% against 95%). This is no error" in text.replace(" %", "%")
    assert "a prompt can call up what it names" in text


def test_models_are_counted_only_where_all_hold_at_once():
    """What is supported in each model, but not in all of them at the level of the sentence, isn't counted."""
    found = one_verdict("supported", models=("a", "b", "c"))
    config = small_config() | {"models": [{"name": name} for name in "abc"]}
    assert "for all 3 models" in answers(found, config)[0]["generality"]
    found[rules.POOLED]["generality"]["counted"] = {"supported": ["a", "b"], "inconclusive": ["c"]}
    text = answers(found, config)[0]["generality"]
    assert "for all" not in text and "supported for a, b and c within prompts" in text


def test_what_is_read_is_said_where_too_few_tasks_count():
    """As of SmolLM2-135M: too few tasks for a verdict, but a signal, which the general probe hardly has."""
    config = small_config() | {"models": [{"name": "a"}]}
    found = {"a": {claim: finding(claim, "insufficient", tasks=["word_count"]) for claim in rules.CLAIMS}}
    rows = generality_rows(["a"], config["tasks"], insufficient=["topic"])
    for task, values in {"word_count": (0.88, 0.61, 0.81), "toxicity": (0.52, 0.5, 0.5)}.items():
        for probe, value in zip(("specialist", rules.GENERAL, "surface_response_words"), values, strict=True):
            row = auroc_row("a", task, "lexical", "selected", probe, value, half=0.01)
            rows = [
                each
                for each in rows
                if (each["task"], each["probe"], each["layer"], each["metric"])
                != (task, probe, "selected", "auroc")
            ]
            rows.append(row)
    said, _ = answers(found, config, compliance_rows(["a"], config["tasks"]), rows)
    words = "Probes have a signal all the same, in AUROC: across prompts word count 0.88 (general probe "
    assert words + "0.61, words of the response alone 0.81)." in said["generality"]
    assert "all the same" not in "".join(text for claim, text in said.items() if claim != "generality")


def test_what_is_missing_is_said_with_what_to_do():
    config = small_config() | {"models": [{"name": "a"}]}
    found = {"a": {claim: finding(claim, "insufficient", tasks=["word_count"]) for claim in rules.CLAIMS}}
    compliance = compliance_rows(["a"], config["tasks"])
    compliance[1] |= {"compliance": 0.12, "truncated": 0.0, "n": 120}
    rows = [
        row | {"scope": "within"} for row in generality_rows(["a"], config["tasks"], ["topic", "toxicity"])
    ]
    said, text = answers(found, config, compliance, rows)
    assert (
        "insufficient within prompts: 1 task counts; 4 are needed. Topic has 12 % satisfied responses: "
        "snakemake pilot proposes changes; toxicity has too little data" in said["generality"]
    )
    # Once is enough, in each scope.
    assert "4 are needed. The same tasks are missing as above." in said["transfer_weak"]
    assert "topic 12 %" not in said["transfer_weak"] and "Topic has" not in said["ablation_sparse"]
    assert "across prompts: 1 task counts; 4 are needed. Topic has" in said["monitoring"]
    assert "as above. A task also needs 40 crossings of 20 subjects" in said["specificity"]
    # These need four and five tasks.
    assert "as above. The study has only 3 tasks." in said["ablation_sparse"]
    assert "The study has only 3 tasks." in said["layers_stratified"]
    assert "has only" not in said["generality"] + said["monitoring"]
    # Where as many tasks count as a claim needs, they aren't what is missing.
    enough = finding("generality", "insufficient", tasks=config["tasks"]) | {"tasks": config["tasks"]}
    found["a"]["generality"] = enough | {"reason": "erasure failed"}
    only = answers(found, config, compliance, rows)[0]["generality"]
    assert "within prompts: erasure failed." in only and "12 %" not in only
    # All are listed below, in both scopes.
    assert "Tasks that do not count" in text and "atopicwithin promptshas 12" in text


def test_what_is_inconclusive_says_how_many_requests_it_would_take():
    cells = {"estimate": 0.05, "interval": [-0.01, 0.11]}
    said, _ = answers(one_verdict("inconclusive", **cells), small_config())
    assert "0.020, where the verdict turns, is in the interval" in said["generality"]
    assert (
        "about 4 times as many content requests (prompts.bases or prompts.file) would decide it."
        in said["generality"]
    )
    # A reason that the rules give goes first.
    found = one_verdict("inconclusive", reason="the two directions differ <as they do>")
    said = answers(found, small_config())[0]
    text = said["ablation_asymmetric"]
    assert "the two directions differ <as they do>." in text and "as many content requests" not in text
    # Of a claim that is decided task by task, the reason says in which tasks it is open.
    assert "they do>; this leaves it open; about four times as many" in said["monitor_adds"]


def test_every_claim_has_what_would_have_shown_the_opposite():
    config = small_config() | {"claims": THRESHOLDS | {"margin": 0.037, "not_sparse": 0.66}}
    _, text = answers(one_verdict("supported"), config)
    part = text[text.index("What would have shown the opposite") : text.index("In the study")]
    assert part.count("contradicted by") == len(rules.CLAIMS)
    for claim in rules.CLAIMS:
        assert rules.opposite(claim, config["claims"]) in part
    assert "0.037" in part and "66%" in part


def test_verdicts_of_every_kind_fit_on_the_page():
    config = small_config()
    page = overview_page([], [], made_findings(["a", "b", rules.POOLED]), config)
    text = " ".join(parse(page).text.split())
    assert all(verdict in text for verdict in rules.VERDICTS)
    # Classes of the style sheet are single words.
    classes = {attrs["class"] for tag, attrs in parse(page).tags if tag == "section"}
    assert classes <= {
        "finding supported",
        "finding contradicted",
        "finding inconclusive",
        "finding insufficient",
    }


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
    values = {"gain": 0.1, "beyond_text": -0.3, "prompt": 0.6, "surface": 0.55, "planning_share": 0.2}
    about = {"model": "a", "layer": "selected", "task": "mean"}
    rows = [
        about | {"quantity": name, "estimate": value, "lower99": value - 0.05, "upper99": value + 0.05}
        for name, value in values.items()
    ]
    changes = ({"task": "topic"}, {"layer": 2}, {"scope": "within"})
    wrong = [row | {"estimate": 9.0} | change for row in rows for change in changes]
    text = " ".join(parse(overview([], [], small_config(), time=wrong + rows)).text.split())
    assert "From the prompt's end to EOS its probes gain 0.100 [0.050, 0.150] in AUROC" in text
    assert "at EOS, the verifier's verdict on the text is 0.300 better than the probes" in text
    assert "the probes reach 0.600 [0.550, 0.650], and the prompt's surface alone 0.550." in text
    assert "the state at the prompt's end tells a share of 0.20 [0.15, 0.25]." in text
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
    assert "All models" in text


def test_overview_names_transfer_that_is_reversed():
    names = ["term_inclusion", "term_exclusion", "topic"]
    transfer = transfer_rows(["a"], names)
    assert "reversed" not in parse(overview([], [], small_config(), transfer=transfer)).text
    flipped = {"term_inclusion": 0.2, "term_exclusion": 0.15}
    for row in transfer:
        if row["layer"] == "selected" and {row["source"], row["target"]} == set(flipped):
            row |= {"estimate": flipped[row["source"]], "upper_simultaneous95": 0.3}
    transfer += [row | {"scope": "within", "upper_simultaneous95": 0.6} for row in transfer]
    text = " ".join(parse(overview([], [], small_config(), transfer=transfer)).text.split())
    assert (
        "Across prompts, 2 of 6 transfers are reversed" in text and text.count("transfers are reversed") == 1
    )
    assert (
        "most that of the probe of term exclusion to term inclusion, with an AUROC of 0.15. What reads"
        in text
    )
    for row in transfer:
        row["upper_simultaneous95"] = 0.3 if (row["source"], row["layer"]) == ("topic", "selected") else 0.6
    one = [row for row in transfer if (row["source"], row["target"]) != ("topic", "term_exclusion")]
    one = [row for row in one if row.get("scope") != "within"]
    text = " ".join(parse(overview([], [], small_config(), transfer=one)).text.split())
    assert (
        "1 of 5 transfers is reversed (simultaneous 95 % intervals below 0.5): that of the probe of topic"
        in text
    )


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
    assert f"Brackets: {level} intervals over the subjects" in text


def test_overview_says_what_to_change():
    warnings = ["a, topic: 2% compliance, where <15%> is useful", "b, topic: 3% of the items are mixed"]
    text = " ".join(parse(overview([], [], small_config(), warnings=warnings)).text.split())
    assert "What to change for the next study" in text and all(warning in text for warning in warnings)
    text = " ".join(parse(overview([], [], small_config())).text.split())
    assert "Nothing: every task has responses of both kinds" in text


def test_overview_of_nothing():
    text = " ".join(parse(overview([], [], small_config())).text.split())
    assert "It has no untruncated responses." in text
    assert (
        "insufficient for a and b within prompts: there is no estimate. Word count has no responses" in text
    )
