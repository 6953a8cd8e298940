"""All tasks: phrasings that say what the verifiers check, and verifiers that stand any text."""

import json
import re
import time
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import strategies as st
from made.tasks import JUDGED, any_text, given, judge_for, sampled, satisfied
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.study.task_files import check_task
from skillprobe.tasks.world import load_world

# Whatever files there are: also those that users add.
EVERY = tasks.available()

# The table of tasks


def test_nine_tasks_in_four_categories():
    assert len(tasks.NAMES) == 9
    found = [tasks.get(name) for name in tasks.NAMES]
    assert [task.name for task in found] == list(tasks.NAMES)
    assert tuple(dict.fromkeys(task.category for task in found)) == tasks.CATEGORIES
    assert {task.name for task in found if task.judged} == set(JUDGED)


@pytest.mark.parametrize("name", ["nope", "base", "text", "world", "../x", "", "word_count.x"])
def test_unknown_task_lists_the_known(name):
    with pytest.raises(UserError, match="word_count.*toxicity"):
        tasks.get(name)


def test_every_file_in_the_folder_is_a_task_but_for_what_they_share():
    holds = {path.stem for path in Path(tasks.__path__[0]).glob("*.py") if "\nTASK = " in path.read_text()}
    assert holds == set(EVERY)


def test_a_new_task_is_one_new_file(tmp_path, monkeypatch):
    source = (tasks.__path__[0]) + "/toxicity.py"
    with open(source, encoding="utf-8") as file:
        (tmp_path / "kindness.py").write_text(file.read().replace('name = "toxicity"', 'name = "kindness"'))
    (tmp_path / "hollow.py").write_text("")
    (tmp_path / "_lists.py").write_text("")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    assert tasks.get("kindness").name == "kindness"
    assert "kindness" in tasks.available() and "kindness" not in tasks.NAMES
    assert "_lists" not in tasks.available()
    with pytest.raises(UserError, match="hollow.py does not define TASK"):
        tasks.get("hollow")


# Phrasings and samplers


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("world", ["toy", "general"])
def test_a_study_takes_it(name, world):
    check_task(name, load_world(world))


@pytest.mark.parametrize("name", EVERY)
def test_enough_phrasings_of_each_kind(name):
    phrasings = tasks.get(name).phrasings
    assert (
        len({phrasing.id for phrasing in phrasings}) == len({p.template for p in phrasings}) == len(phrasings)
    )
    kinds = [phrasing.instruction_type for phrasing in phrasings]
    assert kinds.count("human") >= 4 and kinds.count("plm") >= 2 and kinds.count("entailment") >= 2
    assert {phrasing.polarity for phrasing in phrasings} == {"positive", "negated"}
    for phrasing in phrasings:
        assert phrasing.id.startswith(f"{name}.{phrasing.instruction_type}.")
        assert (phrasing.polarity == "negated") == bool(re.search(r"\bnot\b", phrasing.template))
        fields = {field for _, field, _, _ in Formatter().parse(phrasing.template)}
        assert ("request" in fields) != (phrasing.instruction_type == "plm")
        assert phrasing.template.endswith(":" if phrasing.instruction_type == "plm" else ".")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("world", ["toy", "general"])
def test_prompts_say_what_the_params_ask(name, world):
    task, world = tasks.get(name), load_world(world)
    for seed in range(30):
        params = sampled(name, seed, world)
        assert params == sampled(name, seed, world) == json.loads(json.dumps(params))
        task.check_params(params)
        for phrasing in task.phrasings:
            prompt = tasks.render(task, phrasing, world.requests[0], world.subjects[0], params)
            assert world.subjects[0] in prompt and not re.search(r"[{}]|  | [.:]", prompt)
            if name not in tasks.NAMES:  # Others may word theirs in another way; `check_task` compares them.
                continue
            named = [str(params[key]) for key in ("n", "label") if key in params]
            named += [f'"{item}"' for key in ("terms", "keys") for item in params.get(key, [])]
            assert all(item in prompt for item in named), prompt


# All tasks


@pytest.mark.parametrize("name", tasks.NAMES)
@pytest.mark.parametrize("seed", range(8))
def test_what_an_empty_response_satisfies(name, seed):
    params = sampled(name, seed)
    may = name in ("term_exclusion", "toxicity") or params.get("relation") in ("at_most", "less_than")
    assert satisfied(name, "", params) is may


@pytest.mark.parametrize("name", EVERY)
@given(text=any_text | st.just("a" * 3000), seed=st.integers(0, 20))
def test_verdicts_are_small_json(name, text, seed):
    verdict = tasks.get(name).verify(text, sampled(name, seed), judge_for(name))
    assert isinstance(verdict.satisfied, bool)
    evidence = json.dumps(verdict.evidence, allow_nan=False)
    assert json.loads(evidence) == verdict.evidence and len(evidence) < 500


BAD_PARAMS = [
    ("word_count", {"relation": "exactly"}, "n"),
    ("word_count", {"relation": "around", "n": 3}, "relation"),
    ("word_count", {"relation": ["exactly"], "n": 3}, "relation"),
    ("word_count", {"relation": "exactly", "n": -1}, "n"),
    ("word_count", {"relation": "exactly", "n": True}, "n"),
    ("word_count", {"relation": "exactly", "n": 3.0}, "n"),
    ("word_count", {"relation": "exactly", "n": "3"}, "n"),
    ("word_count", {"relation": "exactly", "n": -(10**5000)}, "n"),
    ("word_count", {"relation": "exactly", "n": 3, "words": "joined"}, "words"),
    ("word_count", {"relation": "exactly", "n": 3, "unit": "grapheme"}, "unit"),
    ("character_count", {"relation": "exactly", "n": 3, "unit": "byte"}, "unit"),
    ("json_format", {"keys": []}, "keys"),
    ("json_format", {"keys": "ab"}, "keys"),
    ("json_format", {"keys": [1]}, "keys"),
    ("json_format", {"key": ["a"]}, "key"),
    ("term_inclusion", {}, "terms"),
    ("term_inclusion", {"terms": []}, "terms"),
    ("term_inclusion", {"terms": ["a", " "]}, "terms"),
    ("term_inclusion", {"terms": "river"}, "terms"),
    ("term_inclusion", {"terms": ["a"], "min_count": 0}, "min_count"),
    ("term_inclusion", {"terms": ["a"], "match": "regex"}, "match"),
    ("term_exclusion", {"terms": ["a"], "min_count": 2}, "min_count"),
    ("term_exclusion", {"terms": [["a"]]}, "terms"),
    ("topic", {"label": "x", "labels": ["food", "music"]}, "label"),
    ("topic", {"label": "food", "labels": ["food"]}, "labels"),
    ("sentiment", {"label": "positive"}, "labels"),
    ("register", {"label": None, "labels": ["formal", "informal"]}, "label"),
    ("register", {"label": "formal", "labels": ["formal", "formal"]}, "labels"),
    ("toxicity", {"threshold": 0.5}, "threshold"),
]


@pytest.mark.parametrize(("name", "params", "key"), BAD_PARAMS)
def test_wrong_params_are_refused_by_name(name, params, key):
    for use in (tasks.get(name).check_params, lambda params: satisfied(name, "", params)):
        with pytest.raises(UserError, match=f"task '{name}': '{key}' ") as caught:
            use(params)
        assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EVERY)
def test_what_is_no_mapping_or_no_text_is_refused(name):
    with pytest.raises(UserError, match=name):
        satisfied(name, "text", ["n"])
    with pytest.raises(UserError, match=f"'{name}': the response must be a text"):
        satisfied(name, None, sampled(name, 0))


@pytest.mark.parametrize(
    ("name", "params", "text"),
    [
        ("word_count", {"relation": "at_least", "n": 3}, "a-'1.5é " * 1_250_000),
        ("json_format", {}, "[" * 10_000_000),
        ("json_format", {}, '["' + "\\n" * 5_000_000 + '", NaN]'),
        ("json_format", {}, "`" * 10_000_000),
        ("term_exclusion", {"terms": ["zebra", "(a+)+"]}, "a" * 9_999_990 + " é zebra"),
        ("topic", {"label": "food", "labels": ["food", "music"]}, "bread, a song, " * 660_000),
    ],
)
def test_ten_million_characters_are_quick(name, params, text):
    start = time.process_time()
    satisfied(name, text, params)
    assert time.process_time() - start < 20  # about 2; anything quadratic takes hours
