"""A pilot's advice on planted labels: each line where it should be, nowhere else, and all of them valid."""

import json
import random
import re
from itertools import product

import pytest
import yaml
from made.configs import study
from skillprobe import tasks
from skillprobe.analyses import pilot
from skillprobe.analyses.sufficiency import Design
from skillprobe.models.sampling import with_own
from skillprobe.storage import files, tables
from skillprobe.study import sources
from skillprobe.study.config import complete
from skillprobe.study.sampling import generation_of
from skillprobe.tasks.world import adapted, load_world

TASKS = ["word_count", "character_count", "json_format", "term_inclusion", "term_exclusion", "topic"]
CONTENTS = {"subjects": 347, "requests": 6}


def config_of(root, **changes):
    usual = {"tasks": TASKS, "prompts__bases": 120, "prompts__items_per_base": 2}
    usual |= {"generation__max_new_tokens": 96}
    return complete(study(**usual | changes), root)


def cell(task, rates=(0.1, 0.5, 0.9), truncated=0.0, mean=40, now=96, repeating=0.0, seed=0):
    """Label rows of 30 items with 4 responses each, satisfied with the rates in turn, and a fifth without the
    constraint.

    rates: of 0 and 1 alone, no item is mixed; truncated: share of the responses; mean: of the words written;
    repeating: share of the truncated ones.
    """
    rng, repeats = random.Random(f"{task} {seed}"), random.Random(seed)
    nouns = ["river", "garden", "engine", "winter", "market"]
    rows = []
    for k, sample in product(range(30), range(5)):
        plain = sample == 4
        cut = not plain and rng.random() < truncated
        n_words = max(1, round(rng.gauss(mean, mean / 4)))
        text = " ".join(["the", *(noun for noun in nouns if rng.random() < 0.4)])
        text += " title" if task == "json_format" and not plain else ""
        item = {
            "item": f"{task}/b{k:03d}/0",
            "group": f"g{k:03d}",
            "variant": "unconstrained" if plain else "constrained",
        }
        satisfied = rng.random() < rates[k % len(rates)]
        item |= {"satisfied": satisfied, "truncated": cut, "evidence": {"count": n_words}, "response": text}
        written = list(range(now if cut else n_words))
        rows.append(
            item | {"token_ids": [each % 9 for each in written] if repeats.random() < repeating else written}
        )
    return rows


def advised(config, **changes):
    """Changes, notes and the table of a study in which each task is well but those of `changes`."""
    names = [(entry["name"], task) for entry in config["models"] for task in TASKS]
    cells = {(model, task): cell(task, **changes.get(task, changes.get("all", {}))) for model, task in names}
    design = Design.of(config, CONTENTS)
    table = []
    for (model, task), rows in cells.items():
        found = pilot.summarise(rows, n_draws=20, seed=0)
        table.append({"model": model, "task": task} | found | pilot.expected(found, design))
    world = adapted(load_world("general"), config["prompts"])
    generations = {
        entry["name"]: with_own(generation_of(config, entry["name"], "."), {}) for entry in config["models"]
    }
    found, notes = pilot.advise(table, cells, config, world, generations)
    return found, notes, table


def keys(changes):
    return [change.key for change in changes]


def merged(root, changes):
    """The config with the lines pasted into it, completed."""
    values = yaml.safe_load(pilot.as_yaml(changes))
    return config_of(
        root, **{f"{section}__{key}": value for section, own in values.items() for key, value in own.items()}
    )


def test_where_nothing_is_wrong_nothing_is_advised(root):
    config = config_of(root, prompts__word_targets=[30, 40, 50], prompts__character_targets=[30, 40, 50])
    changes, notes, table = advised(config)
    assert changes == [] and notes == []
    assert pilot.warnings(table, Design.of(config, CONTENTS)) == []
    text = pilot.as_text(table, changes, notes, config, Design.of(config, CONTENTS))
    assert text.endswith("What to change in the config: nothing.")
    small = config | {"prompts": config["prompts"] | {"bases": 60, "items_per_base": 1}}
    design = Design.of(small, CONTENTS)
    text = pilot.as_text(table, changes, notes, small, design)
    assert "What to change in the config: only its size (last line)." in text
    assert text.splitlines()[-1].startswith("Enough for every task, in both scopes: ")
    assert {row["across"] for row in table} == {row["within"] for row in table} == {"sufficient"}


def test_all_truncated(root):
    changes, notes, table = advised(config_of(root), topic={"truncated": 1.0})
    assert keys(changes) == ["generation.max_new_tokens"] and notes == []
    assert changes[0].value == 4 * 96 and "100% of the responses are truncated (a: topic)" in changes[0].why
    assert merged(root, changes)["generation"]["max_new_tokens"] == 384
    (warning,) = pilot.warnings(table, Design.of(config_of(root), CONTENTS))
    assert warning == "a, topic: insufficient: all responses are truncated"
    changes, _, _ = advised(config_of(root), all={"truncated": 1.0})
    assert keys(changes) == ["generation.max_new_tokens"]


def test_some_truncated_is_judged_by_the_lengths_of_the_others(root):
    config = config_of(root)
    changes, _, table = advised(config, topic={"truncated": 0.3, "mean": 60})
    (warning,) = pilot.warnings(table, Design.of(config, CONTENTS))
    assert warning.count("of the responses are truncated") == 1
    assert keys(changes) == ["generation.max_new_tokens"] and 120 <= changes[0].value <= 384
    # Below the share that is flagged.
    assert advised(config_of(root), topic={"truncated": 0.02})[0] == []


def test_responses_that_repeat_themselves_call_for_no_length(root):
    """Of a small model on IFEval's prompts, 165 of 188 truncated responses did."""
    changes, notes, table = advised(config_of(root), topic={"truncated": 0.3, "repeating": 1.0})
    assert changes == [] and len(notes) == 1
    assert re.match(r"(\d+) of the \1 truncated responses repeat themselves \(a: topic\), which no", notes[0])
    changes, notes, _ = advised(config_of(root), topic={"truncated": 0.5, "repeating": 0.7, "mean": 60})
    (longer,) = changes
    assert len(notes) == 1 and "50% of" not in notes[0]
    # As if these had not been asked.
    assert longer.value <= advised(config_of(root), topic={"truncated": 0.5, "mean": 60})[0][0].value
    assert advised(config_of(root), topic={"truncated": 0.5, "repeating": 0.3})[1] == []
    assert not pilot.repeats_itself([]) and not pilot.repeats_itself([1] * 7)
    assert pilot.repeats_itself([1, 2, 3] * 9) and not pilot.repeats_itself(range(99))
    # A chorus that ends is none.
    assert not pilot.repeats_itself([*range(20), *range(20, 60), *range(20)])


def test_the_proposed_length_fits_log_normal_lengths():
    rng = random.Random(0)
    lengths = [round(rng.lognormvariate(4.5, 0.4)) for _ in range(2000)]
    quantile = sorted(lengths)[1980]
    whole = [length for length in lengths if length < 110]
    assert 0.2 < 1 - len(whole) / len(lengths) < 0.4
    assert pilot.fitting_length(whole, len(lengths), 110) == pytest.approx(quantile, rel=0.1)
    # Never less than a quarter more, never more than eightfold.
    assert pilot.fitting_length([10] * 90, 100, 96) == 128
    assert pilot.fitting_length([1, 2, 4, 90, 95], 100, 96) == 768
    assert pilot.fitting_length([90], 100, 96) == 384 == pilot.fitting_length([], 100, 96)


@pytest.mark.parametrize(("rates", "shown"), [((0.02, 0.02), "2%"), ((1.0,), "100%"), ((0.0,), "0%")])
@pytest.mark.parametrize("task", ["word_count", "character_count"])
def test_targets_where_counts_are_nearly_always_or_never_right(root, task, rates, shown):
    changes, notes, _ = advised(config_of(root), **{task: {"rates": rates, "mean": 200}})
    key = task.replace("count", "targets")
    assert keys(changes) == [f"prompts.{key}"] and notes == []
    targets = changes[0].value
    # Most of what is written has 136 to 264; the quantiles from 10 % to 90 %, in fives.
    assert 120 <= targets[0] < 200 < targets[-1] <= 280 and len(targets) > 8
    assert targets == sorted(set(targets)) and all(target % 5 == 0 for target in targets)
    assert task in changes[0].why
    assert merged(root, changes)["prompts"][key] == targets
    # With these targets the world is another, and nothing else is advised.
    again = config_of(root, **{f"prompts__{key}": targets})
    assert advised(again, **{task: {"rates": rates, "mean": 200}})[0] == []


def test_targets_where_the_relation_alone_decides(root):
    """33 % compliance, but each item has one outcome: what is asked for is never near what is written."""
    config = config_of(root)
    assert keys(advised(config, word_count={"rates": (0, 0, 1), "mean": 200})[0]) == ["prompts.word_targets"]
    # With targets near what is written it is the temperature, and not of one task alone.
    near = config_of(root, prompts__word_targets=[150, 180, 200, 220, 250])
    changes, notes, _ = advised(near, word_count={"rates": (0, 0, 1), "mean": 200})
    assert changes == [] and len(notes) == 1 and "generation.temperature would change that" in notes[0]


@pytest.mark.parametrize("task", ["term_inclusion", "term_exclusion"])
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_terms_where_they_are_always_or_never_there(root, task, rate):
    changes, notes, _ = advised(config_of(root), **{task: {"rates": (rate,)}})
    assert keys(changes) == ["prompts.terms"] and notes == []
    # What texts use, and neither what a constraint brings along nor what all of them have.
    assert sorted(changes[0].value) == ["engine", "garden", "market", "river", "winter"]
    config = merged(root, changes)
    assert config["prompts"]["terms"] == changes[0].value
    assert advised(config, **{task: {"rates": (rate,)}})[0] == []
    both = {name: {"rates": (rate,)} for name in ("term_inclusion", "term_exclusion")}
    assert keys(advised(config_of(root), **both)[0]) == ["prompts.terms"]


def test_no_mixed_items_ask_for_another_temperature(root):
    config = config_of(root, prompts__word_targets=[30, 40, 50], prompts__character_targets=[30, 40, 50])
    changes, notes, _ = advised(config, all={"rates": (0.0, 1.0)})
    assert keys(changes) == ["generation.temperature"] and notes == []
    assert 1.2 < changes[0].value < 1.4 and "few items are mixed (a: word_count" in changes[0].why
    assert merged(root, changes)["generation"]["temperature"] == changes[0].value
    changes, notes, _ = advised(config, all={"rates": (0.5,)})
    assert keys(changes) == ["generation.temperature"] and notes == []
    assert changes[0].value == 0.75 and "the prompt hardly matters" in changes[0].why
    hot = config_of(
        root, generation__temperature=2.0, prompts__word_targets=[40], prompts__character_targets=[40]
    )
    assert advised(hot, all={"rates": (0.0, 1.0)})[0] == []


@pytest.mark.parametrize("task", ["json_format", "topic"])
@pytest.mark.parametrize("rate", [0.02, 1.0])
def test_what_no_key_changes_is_said(root, task, rate):
    changes, notes, _ = advised(config_of(root), **{task: {"rates": (rate,)}})
    assert changes == [] and len(notes) == 1
    assert notes[0].startswith(f"a, {task}: ") and "leave the task out" in notes[0]


def test_one_value_for_all_models_and_a_reason_for_each(root):
    models = [{"name": "a", "source": "models/a"}, {"name": "b", "source": "models/a"}]
    config = config_of(root, models=models)
    changes, _, table = advised(
        config,
        word_count={"rates": (1.0,), "mean": 200},
        term_exclusion={"rates": (1.0,)},
        topic={"truncated": 0.3},
    )
    assert keys(changes) == ["generation.max_new_tokens", "prompts.word_targets", "prompts.terms"]
    assert "a 100%, b 100%" in changes[1].why
    lines = pilot.as_yaml(changes).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["generation:", "prompts:"]
    text = pilot.as_text(table, changes, [], config, Design.of(config, CONTENTS))
    assert pilot.as_yaml(changes) in text and "\na\n" in text and "\nb\n" in text
    assert merged(root, changes)["prompts"]["terms"]


def test_a_model_with_its_own_sampling_gets_a_sentence_of_its_own(root):
    own = {"name": "b", "source": "models/a", "temperature": 0.5, "max_new_tokens": 40}
    config = config_of(root, models=[{"name": "a", "source": "models/a"}, own])
    changes, notes, _ = advised(config, all={"truncated": 0.15, "rates": (0.0, 1.0), "now": 40})
    assert (keys(changes)[0], keys(changes)[-1]) == ("generation.max_new_tokens", "generation.temperature")
    assert changes[-1].value == 1.3 and "(a: " in changes[-1].why and "b: " not in changes[-1].why
    assert len(notes) == 2 and all("(b: " in note and "a: word" not in note for note in notes)
    assert "truncated" in notes[0] and notes[0].partition("; set models[1].max_new_tokens to ")[2].isdecimal()
    assert notes[1].startswith("few items are mixed") and notes[1].endswith(
        "; set models[1].temperature to 0.66"
    )
    # From its own length, and for the others from the study's.
    longer = int(notes[0].rpartition(" ")[2])
    assert 50 <= longer <= 320 and changes[0].value >= 1.25 * 96


def test_too_small_a_study_is_told_what_it_takes(root):
    config = config_of(root, prompts__bases=40, prompts__items_per_base=1)
    _, _, table = advised(config)
    design = Design.of(config, CONTENTS)
    found = pilot.warnings(table, design)
    assert len(found) == len(TASKS) and all("insufficient within: about" in line for line in found)
    text = pilot.as_text(table, [], [], config, design)
    assert "Enough for every task, in both scopes: prompts.bases: " in text
    values = {name: row[f"needed_{name}"] for row in table for name in pilot.KEYS}
    assert complete(
        study(prompts__bases=values["bases"], prompts__items_per_base=values["items_per_base"]), root
    )


def write(folder, config, table):
    tables.write_csv(folder / "pilot.csv", table)
    files.write_json(folder / "pilot.json", sources.pilot_of(config))
    files.write_text(folder / "pilot.txt", "what it says")


def test_the_plan_reads_the_pilot_against_the_config_as_it_is_now(root, tmp_path):
    config = config_of(root)
    assert "none yet: `snakemake pilot`" in pilot.describe(config, CONTENTS, tmp_path)
    _, _, table = advised(config)
    write(tmp_path / "results/small/pilot", config, table)
    text = pilot.describe(config, CONTENTS, tmp_path)
    assert "results/small/pilot/pilot.txt" in text and "every task will be sufficient" in text
    # Another size is no other pilot, but another forecast.
    fewer = config_of(root, prompts__bases=40)
    text = pilot.describe(fewer, CONTENTS, tmp_path)
    assert "run it again" not in text and "a, topic: insufficient within" in text
    changed = config_of(root, generation__temperature=1.2, prompts__terms=["river"], tasks=["topic"])
    text = pilot.describe(changed, CONTENTS, tmp_path)
    assert "changed: tasks, prompts.terms, generation.temperature; run it again" in text
    assert "word_count" not in text
    (tmp_path / "results/small/pilot/pilot.csv").write_text("model,task\na,topic\n")
    assert "has changed since it was written" in pilot.describe(config, CONTENTS, tmp_path)
    (tmp_path / "results/small/pilot/pilot.json").unlink()
    assert "run it again (snakemake pilot)" in pilot.describe(config, CONTENTS, tmp_path)


def test_the_table_says_what_was_counted():
    found = pilot.summarise(cell("topic", rates=(1.0, 0.0)), n_draws=10, seed=0)
    assert (found["satisfied"], found["violated"], found["mixed"], found["compliance"]) == (60, 60, 0.0, 0.5)
    assert found["median_tokens"] == pytest.approx(40, abs=5) and found["most_tokens"] > 50
    nothing = pilot.summarise([], n_draws=10, seed=0)
    assert nothing["satisfied"] == 0 and nothing["median_tokens"] == nothing["most_tokens"] == ""
    assert json.dumps(nothing)


def test_every_tasks_lever_is_one_that_its_params_are_drawn_from():
    for name in tasks.NAMES:
        assert set(tasks.get(name).draws) <= {"word_targets", "character_targets", "terms"}


def test_a_tenth_truncated_is_flagged_and_a_quarter_insufficient(root):
    for share, flag, said in ((0.1, 0.05, "% of the responses are truncated"), (0.1, 0.2, None)):
        config = config_of(root, probes__flag_truncated=flag)
        table = advised(config, topic={"truncated": share})[2]
        found = pilot.warnings(table, Design.of(config, CONTENTS))
        assert [said in line and "insufficient" not in line for line in found] == ([True] if said else [])
    table = advised(config_of(root), topic={"truncated": 0.25})[2]
    (warning,) = pilot.warnings(table, Design.of(config_of(root), CONTENTS))
    assert "insufficient: " in warning and warning.count("of the responses are truncated") == 1


def judged_row(n, said, satisfied, **more):
    evidence = {"label": said, "scores": {"positive": 0.75, "negative": 0.25}}
    row = {"id": f"r{n}", "variant": "constrained", "truncated": False, "satisfied": satisfied, "prompt": "?"}
    return row | {"response": f"text {n}", "params": {"label": "positive"}, "evidence": evidence} | more


def test_ten_verdicts_of_each_judge_are_shown_but_of_an_exact_one():
    rows = [judged_row(n, "positive", True) for n in range(30)]
    rows += [
        judged_row(40, None, False, response="x" * 999),
        judged_row(41, "negative", False, undecided=True),
    ]
    cells = {("m", "sentiment"): rows, ("m", "topic"): rows, ("m", "word_count"): rows}
    lines = pilot.verdicts(cells, {"sentiment": {"kind": "embedding"}, "topic": "lexicon"}, seed=0)
    assert lines[1] == "Verdicts of the judge of sentiment to read: would you have said the same?"
    assert len(lines) == 2 + 2 * 10 and lines == pilot.verdicts(cells, {"sentiment": "formality"}, seed=0)
    assert lines[2] == " 1. positive (positive 0.75, negative 0.25), positive was asked for: satisfied"
    assert lines[4].startswith(" 2. no label (") and lines[4].endswith("asked for: violated")
    assert lines[5] == f"    {'x' * 400}…"
    assert not any("text 41" in line for line in lines)
    assert pilot.verdicts({("m", "word_count"): rows}, {}, seed=0) == []


def test_verdicts_of_a_users_task_are_shown_as_it_keeps_them():
    rows = [
        judged_row(0, None, False, response="", evidence={"label": None, "scores": {}}),
        judged_row(1, None, True, evidence={"sarcasm": 0.7}),
        judged_row(2, None, True, evidence={"label": "a", "scores": {"a": "high"}}),
    ]
    rows = [row | {"params": {}} for row in rows]
    shown = "\n".join(pilot.verdicts({("m", "sarcasm"): rows}, {"sarcasm": {"kind": "embedding"}}, seed=0))
    assert "no label (not judged): violated\n    (empty)" in shown
    assert '{"sarcasm": 0.7}: satisfied\n    text 1' in shown
    assert '{"label": "a", "scores": {"a": "high"}}: satisfied\n    text 2' in shown


def test_answers_that_are_too_close_to_call_are_named(root):
    config = config_of(root)
    row = {"compliance": 0.5, "truncated": 0.0, "mixed": 0.5, "n_per_item": 4, "undecided": 0.3}
    found = pilot.problems(row, config["probes"]["flag_truncated"])
    assert found == ["30% of the others are too close to call for the judge's margin"]
