"""Tasks: phrasings that say what the verifiers check, and verifiers that stand any text."""

import json
import random
import re
import time
import unicodedata
from string import Formatter

import hypothesis
import pytest
from hypothesis import example, settings
from hypothesis import strategies as st
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels.judges import get_judge
from skillprobe.labels.lexicon import lexicon_judge
from skillprobe.tasks import text as texts
from skillprobe.tasks.world import load_world, make_world

WORLD_DATA = {
    "name": "test",
    "controlled": True,
    "requests": ["Write about {subject}.", "Tell me of {subject}."],
    "subjects": ["the teacher", "an artist"],
    "word_targets": [1, 5, 12],
    "character_targets": [1, 40],
    "terms": ["river", "art", "New York"],
    "json_keys": ["text", "title"],
    "topics": {"food": ["bread", "soup"], "music": ["song"], "sports": ["ball"]},
    "sentiment": {"positive": ["lovely"], "negative": ["awful"]},
    "register": {"formal": ["moreover"], "informal": ["hey"]},
    "insults": ["fool", "old goat"],
}
WORLD = make_world(WORLD_DATA)
JUDGED = ("topic", "sentiment", "register", "toxicity")
EXAMPLES = 60
RELATIONS = ("exactly", "at_least", "at_most", "less_than", "more_than")

any_text = st.text(st.characters())  # lone surrogates included
# Few characters, chosen so that words, boundaries and metacharacters meet often.
knotty_text = st.text("ab1.-' ’+*(\\\n", max_size=12)
accented = st.text("eéEßsS\u0301\u0323ıİı ", max_size=8)


def given(*strategies, **named):
    """hypothesis.given: the same examples every time, and no limit on the time of one (cores are shared)."""
    quick = settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
    return lambda test: quick(hypothesis.given(*strategies, **named)(test))


def judge_for(name):
    return lexicon_judge(name, WORLD) if name in JUDGED else None


def satisfied(name, text, params):
    return tasks.get(name).verify(text, params, judge_for(name)).satisfied


def count(name, text, **option):
    return tasks.get(name).verify(text, {"relation": "exactly", "n": 0, **option}).evidence["count"]


def sampled(name, seed, world=WORLD):
    return tasks.get(name).sample_params(random.Random(seed), world)


# The table of tasks


def test_nine_tasks_in_four_categories():
    assert len(tasks.NAMES) == 9
    found = [tasks.get(name) for name in tasks.NAMES]
    assert [task.name for task in found] == list(tasks.NAMES)
    assert tuple(dict.fromkeys(task.category for task in found)) == tasks.CATEGORIES
    assert {task.name for task in found if task.judged} == set(JUDGED)


@pytest.mark.parametrize("name", ["nope", "base", "world", "../x", "", "word_count.x"])
def test_unknown_task_lists_the_known(name):
    with pytest.raises(UserError, match="word_count.*toxicity"):
        tasks.get(name)


def test_a_new_task_is_one_new_file(tmp_path, monkeypatch):
    source = (tasks.__path__[0]) + "/toxicity.py"
    with open(source, encoding="utf-8") as file:
        (tmp_path / "kindness.py").write_text(file.read().replace('name = "toxicity"', 'name = "kindness"'))
    (tmp_path / "hollow.py").write_text("")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    assert tasks.get("kindness").name == "kindness"
    assert "kindness" in tasks.available() and "kindness" not in tasks.NAMES
    with pytest.raises(UserError, match="hollow.py gives no TASK"):
        tasks.get("hollow")


# Phrasings and samplers


@pytest.mark.parametrize("name", tasks.NAMES)
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


@pytest.mark.parametrize("name", tasks.NAMES)
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
            named = [str(params[key]) for key in ("n", "label") if key in params]
            named += [f'"{item}"' for key in ("terms", "keys") for item in params.get(key, [])]
            assert all(item in prompt for item in named), prompt


def test_samplers_reach_every_relation_and_both_forms():
    draws = [sampled("word_count", seed) for seed in range(100)]
    assert {draw["relation"] for draw in draws} == set(RELATIONS)
    assert {draw["n"] for draw in draws} == set(WORLD.word_targets)
    assert {len(sampled("json_format", seed).get("keys", [])) for seed in range(50)} == {0, 1, 2}
    assert {len(sampled("term_inclusion", seed)["terms"]) for seed in range(50)} == {1, 2}
    assert {sampled("topic", seed)["label"] for seed in range(50)} == {"food", "music", "sports"}


MEANINGS = {
    r"exactly (\d+) (?:words|word)": lambda count, n: count == n,
    r"at least (\d+) (?:words|word)": lambda count, n: count >= n,
    r"at most (\d+) (?:words|word)": lambda count, n: count <= n,
    r"fewer than (\d+) (?:words|word)": lambda count, n: count < n,
    r"more than (\d+) (?:words|word)": lambda count, n: count > n,
    r"more or fewer than (\d+) (?:words|word)": lambda count, n: count != n,
    r"(\d+) or more words": lambda count, n: count >= n,
    r"(\d+) or fewer words": lambda count, n: count <= n,
}


@pytest.mark.parametrize("relation", RELATIONS)
def test_counts_are_worded_as_they_are_verified(relation):
    def meaning(wording, count):
        (found,) = [
            (test, match[1])
            for pattern, test in MEANINGS.items()
            if (match := re.fullmatch(pattern, wording))
        ]
        return found[0](count, int(found[1]))

    for n in range(1, 6):
        fields = tasks.get("word_count").describe({"relation": relation, "n": n})
        for number in range(1, 8):
            obeys = satisfied("word_count", "word " * number, {"relation": relation, "n": n})
            assert meaning(fields["amount"], number) == obeys
            assert meaning(fields["not_amount"], number) != obeys


def test_values_are_never_read_as_templates():
    task = tasks.get("term_inclusion")
    params = {"terms": ["{request}", "{0}"], "min_count": 2}
    for phrasing in task.phrasings:
        prompt = tasks.render(task, phrasing, "Write.", "a {subject} {x}", params)
        assert '"{request}"' in prompt and '"{0}"' in prompt and "2 times" in prompt


# Counts


@pytest.mark.parametrize(
    ("text", "joined", "regex", "whitespace"),
    [
        ("don't well-known 3.5", 3, 6, 3),
        ("the boys\u2019 dog isn\u2019t", 4, 5, 4),
        ("end.Start, v3.5 and 3. 5", 6, 7, 5),
        ("a--b - c 'd'", 4, 4, 4),
        ("state-of-the-art rock-'n'-roll", 4, 7, 2),
        ("snake_case 1,000", 3, 3, 2),
        ("nai\u0308ve cafe\u0301", 2, 3, 2),
        ("नमस्ते दुनिया", 2, 5, 2),
        ("\u0301-a", 1, 1, 1),
        (" \n\t", 0, 0, 0),
    ],
)
def test_words(text, joined, regex, whitespace):
    assert count("word_count", text) == joined
    assert count("word_count", text, words="regex") == regex == len(re.findall(r"\w+", text))
    assert count("word_count", text, words="whitespace") == whitespace


@given(knotty_text)
@example("1.1.1-a'b")
@example("a.1")
def test_words_are_runs_joined_by_inner_marks(text):
    joined = re.findall(r"\w+(?:(?:['’-]|(?<=\d)\.(?=\d))\w+)*", text)
    assert count("word_count", text) == len(joined)


@given(any_text, any_text)
def test_words_add_up_over_a_blank(left, right):
    whole = count("word_count", f"{left} {right}")
    # A mark that begins `right` can't join what a blank parts.
    assert whole == count("word_count", left) + count("word_count", right)


@given(any_text)
def test_counts_do_not_depend_on_how_letters_are_encoded(text):
    composed, decomposed = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    assert count("word_count", composed) == count("word_count", decomposed)
    assert count("character_count", composed, unit="grapheme") == count(
        "character_count", decomposed, unit="grapheme"
    )


@given(any_text)
def test_characters_are_raw(text):
    assert count("character_count", text) == count("character_count", text, unit="codepoint") == len(text)
    graphemes = count("character_count", text, unit="grapheme")
    assert (len(text) > 0) <= graphemes <= len(text)


@given(st.text("a\r\n\0 ", max_size=10))
def test_graphemes_of_ascii_text(text):
    assert texts.count_characters(text, "grapheme") == texts.count_characters(text + "é", "grapheme") - 1


@pytest.mark.parametrize(
    ("text", "graphemes"), [("👩‍👩‍👧", 1), ("e\u0301", 1), ("🇮🇹🇫🇷", 2), ("\r\n", 1), (" a ", 3), ("각", 1)]
)
def test_graphemes(text, graphemes):
    assert count("character_count", text, unit="grapheme") == graphemes


@pytest.mark.parametrize("name", ["word_count", "character_count"])
@given(text=any_text.filter(bool), n=st.integers(0, 5) | st.just(10**4000))
def test_relations_are_consistent(name, text, n):
    holds = {relation: satisfied(name, text, {"relation": relation, "n": n}) for relation in RELATIONS}
    assert holds["at_least"] != holds["less_than"] and holds["at_most"] != holds["more_than"]
    assert holds["exactly"] == (holds["at_least"] and holds["at_most"])


# JSON

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from([None, 0, 2]), st.booleans(), st.booleans())
def test_what_json_writes_is_json(value, indent, ascii_only, fenced):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert satisfied("json_format", f"```json\n{text}\n```\n" if fenced else f" {text}\n", {})
    assert not satisfied("json_format", f"Sure: {text}", {})
    assert not satisfied("json_format", f"{text} done", {})
    if isinstance(value, dict):
        keys = [key for key in value if key.strip()]
        assert not keys or satisfied("json_format", text, {"keys": keys})
        assert not satisfied("json_format", text, {"keys": [*keys, "".join(value) + "another"]})


@given(st.text('[]{}",:1.-e0tnul\\ \n', max_size=12) | json_values.map(json.dumps))
@example('{"a":[]}]')
@example("[[]]]")
@example("[]],[[]")
@example("[{}}")
def test_the_walk_agrees_with_the_parser(text):
    def outcome(check):
        try:
            return check(text)
        except texts.JSONError as error:
            assert 0 <= error.offset <= len(text)
            return "refused"

    assert outcome(texts._check_nested_json) == outcome(texts.check_json)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "NaN", "Infinity", "-Infinity", "[1, NaN]", '{"a": -Infinity}', "nan", "-NaN", "01",
        "1.", ".5",
        "+1", "-", "0x1", "1e", "{'a': 1}", "[1,]", '{"a": 1,}', "{a: 1}", '["\t"]', '"a\nb"',
        '"\\x41"', '"\\u12G4"',
        '"a', "\ufeff1", "[1\u00a0]", "[1] [2]", "// no\n1", "True", '{"a" 1}', '{1: 2}', "[\f1]", "１",
    ],
)  # fmt: skip
def test_strictly_not_json(text):
    verdict = tasks.get("json_format").verify(text, {})
    assert not verdict.satisfied
    assert 0 <= verdict.evidence["offset"] <= len(text)


@pytest.mark.parametrize(
    "text",
    [
        "0", "-0.0e+10", "1E400", '"\\ud800"', '"\ud800"', '"\x7f\u2028"', "null", '{"a": 1, "a": 2}',
        "[[], {}]", "\u00a0{}",
        '"NaN"', "9" * 10_000, "-1." + "0" * 10_000, '"\\"NaN"',
    ],
)  # fmt: skip
def test_strictly_json(text):
    assert satisfied("json_format", text, {})


def test_the_constant_is_found_outside_strings():
    text = '["NaN", "\\"NaN", -Infinity]'
    assert tasks.get("json_format").verify(text, {}).evidence["offset"] == text.index("-")


@pytest.mark.parametrize(
    "text",
    [
        "```\n{}\n```", "```json\n{}\n```", "```JSON\n{}```", "~~~json\n{}\n~~~", "````\n{}\n````",
        "``` json \r\n{}\r\n```",
        "\n```{}```\n", "```json {}```", "```json5\n{}\n`````", "```\n\n\n{}\n\n```",
    ],
)  # fmt: skip
def test_one_surrounding_fence_is_taken_off(text):
    assert satisfied("json_format", text, {})


@pytest.mark.parametrize(
    "text",
    [
        "```", "``````", "```json\n{}", "{}\n```", "```json\n```", "```json\n```\n{}\n```\n```",
        "Here:\n```json\n{}\n```",
        "```json\n{}\n```\nDone.", "```\n{}\n~~~", "`{}`", "````\n{}\n```", "```true\n```",
        "```json\n{}\n```\n```json\n{}\n```",
    ],
)  # fmt: skip
def test_other_fences_are_text_around_json(text):
    assert not satisfied("json_format", text, {})


def test_keys_need_an_object_that_has_them_all():
    task, params = tasks.get("json_format"), {"keys": ["a", "b"]}
    assert task.verify('{"b": {}, "\\u0061": 1}', params).satisfied
    assert task.verify('{"a": {"b": 1}}', params).evidence["missing_keys"] == ["b"]
    assert not task.verify('["a", "b"]', params).satisfied and not task.verify('"a b"', params).satisfied


DEEP = 100_000


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("[" * DEEP + "]" * DEEP, True),
        ('{"a":' * DEEP + "1" + "}" * DEEP, True),
        ('[{"b": "]"}, {"a":' * 10_000 + "[ ]" + "}]" * 10_000, True),
        ("[" * DEEP + "]" * (DEEP + 1), False),
        ("[" * DEEP + "]" * (DEEP - 1), False),
        ("[" * DEEP, False),
        ("[" * DEEP + "NaN" + "]" * DEEP, False),
        ("[" * DEEP + "}" * DEEP, False),
        ('{"a":' * DEEP + "}" * DEEP, False),
    ],
)
def test_nesting_of_any_depth(text, valid):
    assert satisfied("json_format", text, {}) is valid
    if text.startswith("{") and valid:
        assert satisfied("json_format", text, {"keys": ["a"]})


def test_the_offset_of_a_bracket_too_many():
    text = "[ " * DEEP + "] " * DEEP + "\n]"
    assert tasks.get("json_format").verify(text, {}).evidence["offset"] == text.rindex("]")


# Terms


def occurs_by_definition(term, text):
    """Every place is tried: the literal term, with no \\w on both sides of either end."""
    for start in range(len(text) - len(term) + 1):
        end = start + len(term)
        inside_left = start > 0 and re.match(r"\w\w", text[start - 1 : start + 1])
        inside_right = end < len(text) and re.match(r"\w\w", text[end - 1 : end + 1])
        if text[start:end] == term and not inside_left and not inside_right:
            return True
    return False


@given(knotty_text.filter(str.strip), knotty_text)
def test_terms_are_literal_and_whole(term, text):
    assert satisfied("term_inclusion", text, {"terms": [term]}) == occurs_by_definition(term, text)
    assert satisfied("term_inclusion", text, {"terms": [term], "match": "substring"}) == (term in text)


@given(any_text.filter(str.strip), any_text, st.sampled_from(["word", "substring"]))
def test_a_term_between_blanks_always_occurs(term, text, match):
    params = {"terms": [term], "match": match}
    assert satisfied("term_inclusion", f"{text} {term} {text}", params)
    found = tasks.get("term_exclusion").verify(f"{text} {term} {text}", params)
    assert not found.satisfied and found.evidence["found"][0]["term"]


@given(any_text | accented, any_text | accented)
def test_exclusion_is_the_opposite_of_inclusion(term, text):
    if term.strip():
        for match in ("word", "substring"):
            params = {"terms": [term], "match": match}
            assert satisfied("term_exclusion", text, params) != satisfied("term_inclusion", text, params)


@given(accented.filter(str.strip), accented)
def test_case_and_encoding_do_not_matter(term, text):
    def included(term, text):
        return satisfied("term_inclusion", text, {"terms": [term]})

    expected = included(term, text)
    for change in (
        str.casefold,
        lambda s: unicodedata.normalize("NFD", s),
        lambda s: unicodedata.normalize("NFC", s),
    ):
        assert included(change(term), text) == included(term, change(text)) == expected


@given(accented, accented.filter(str.strip), accented)
def test_spans_are_those_of_the_original_text(before, term, after):
    text = f"{before} {term} {after}"
    (found,) = tasks.get("term_exclusion").verify(text, {"terms": [term]}).evidence["found"]
    start, end = found["span"]
    assert texts._fold(term) in texts._fold(text[start:end])
    assert end - start <= len(unicodedata.normalize("NFD", text))


def test_span_beyond_a_block():
    text = "ŉ ß e\u0301 " * 3000 + "STRASSE!"
    (found,) = tasks.get("term_exclusion").verify(text, {"terms": ["straße"]}).evidence["found"]
    assert text[slice(*found["span"])] == "STRASSE"


@pytest.mark.parametrize(
    ("term", "text", "word", "substring"),
    [
        ("art", "state-of-the-art", True, True),
        ("art", "start party", False, True),
        ("art", "ART.", True, True),
        ("art", "art_1", False, True),
        ("don", "don't", True, True),
        ("C++", "I like C++.", True, True),
        ("C++", "ObjC++", False, True),
        (".NET", "use .net or ASP.NET", True, True),
        ("$5", "$50", False, True),
        ("$5", "US$5", True, True),
        ("a.c", "abc", False, False),
        ("New York", "in new york,", True, True),
        ("New York", "New Yorker", False, True),
        ("straße", "STRASSE", True, True),
        ("STRAẞE", "straße", True, True),
        ("café", "cafe\u0301s", False, True),
        ("cafe", "cafe\u0301", False, False),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", True, True),
        ("नमस", "नमस्ते", False, True),
        ("ᾴ", "Α\u0345\u0301", True, True),  # marks in another order, one of which folds to a letter
        ("(?:", "a (?: b", True, True),
    ],
)
def test_occurrence(term, text, word, substring):
    assert satisfied("term_inclusion", text, {"terms": [term]}) is word
    assert satisfied("term_inclusion", text, {"terms": [term], "match": "substring"}) is substring


@given(st.integers(1, 5), st.integers(0, 6))
def test_min_count(least, times):
    text = "no " + "Art. " * times + "start"
    assert satisfied("term_inclusion", text, {"terms": ["art"], "min_count": least}) == (times >= least)
    # With "start" there is one more, as a part of a word.
    params = {"terms": ["art"], "min_count": least, "match": "substring"}
    assert satisfied("term_inclusion", text, params) == (times + 1 >= least)


def test_every_term_counts():
    assert satisfied("term_inclusion", "a river of art", {"terms": ["river", "art"]})
    assert not satisfied("term_inclusion", "a river", {"terms": ["river", "art"]})
    assert not satisfied("term_exclusion", "a river", {"terms": ["art", "river"]})


# Judged tasks


def label_params(name, label):
    return {"label": label, "labels": sorted(getattr(WORLD, tasks.get(name).word_lists))}


@given(st.lists(st.sampled_from(["Bread", "soup", "song", "ball", "breads", "the", "songs."]), max_size=8))
def test_the_strictly_most_frequent_label_wins(words):
    counts = {"food": 0, "music": 0, "sports": 0}
    for word in words:
        label = {"Bread": "food", "soup": "food", "song": "music", "ball": "sports"}.get(word)
        if label:
            counts[label] += 1
    best = [label for label in counts if counts[label] == max(counts.values()) > 0]
    verdicts = {}
    for label in counts:
        verdict = tasks.get("topic").verify(
            ", ".join(words), label_params("topic", label), judge_for("topic")
        )
        verdicts[label] = verdict.satisfied
        assert verdict.evidence["scores"] in ({}, counts)
    assert verdicts == {label: best == [label] for label in counts}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("You fool!", False),
        ("foolish", True),
        ("an Old Goat", False),
        ("old goats", True),
        ("old and goat", True),
    ],
)
def test_toxicity_is_any_insult(text, kind):
    assert satisfied("toxicity", text, {}) is kind


def test_the_thresholds_side():
    class Fixed:
        threshold = 0.3

        def classify(self, text):
            return {"label": None, "scores": {"toxicity": float(text)}}

    verify = tasks.get("toxicity").verify
    assert verify("0.29", {}, Fixed()).satisfied and not verify("0.3", {}, Fixed()).satisfied


def test_lexicon_judges_only_for_controlled_language_and_judged_tasks():
    for name in JUDGED:
        with pytest.raises(UserError, match=f"free text.*'{name}'"):
            lexicon_judge(name, load_world("general"))
    with pytest.raises(UserError, match="'word_count' needs no judge"):
        lexicon_judge("word_count", WORLD)
    with pytest.raises(UserError, match="no judge 'oracle'.*lexicon"):
        get_judge("oracle", "topic", WORLD)
    with pytest.raises(UserError, match="no setting 'threshold'"):
        get_judge("lexicon", "topic", WORLD, {"threshold": 1})


@pytest.mark.parametrize("name", JUDGED)
def test_judged_tasks_say_that_they_need_a_judge(name):
    with pytest.raises(UserError, match=f"'{name}' needs a judge: give --judge"):
        tasks.get(name).verify("text", sampled(name, 0))


def test_a_label_the_judge_never_gives_is_refused():
    params = {"label": "history", "labels": ["history", "food"]}
    with pytest.raises(UserError, match="task 'topic': 'label' is 'history'"):
        satisfied("topic", "text", params)


# All tasks


@pytest.mark.parametrize("name", tasks.NAMES)
@pytest.mark.parametrize("seed", range(8))
def test_what_an_empty_response_satisfies(name, seed):
    params = sampled(name, seed)
    may = name in ("term_exclusion", "toxicity") or params.get("relation") in ("at_most", "less_than")
    assert satisfied(name, "", params) is may


@pytest.mark.parametrize("name", ["word_count", "character_count"])
def test_an_empty_response_fails_even_bounds_of_zero(name):
    holds = [relation for relation in RELATIONS if satisfied(name, "", {"relation": relation, "n": 0})]
    assert holds == ["at_most"]


@pytest.mark.parametrize("name", tasks.NAMES)
@given(text=any_text | st.just("a" * 3000), seed=st.integers(0, 20))
def test_verdicts_are_small_json(name, text, seed):
    verdict = tasks.get(name).verify(text, sampled(name, seed), judge_for(name))
    assert isinstance(verdict.satisfied, bool)
    evidence = json.dumps(verdict.evidence, allow_nan=False)
    assert json.loads(evidence) == verdict.evidence and len(evidence) < 500


def test_evidence_stays_small_whatever_the_params():
    terms = [f"{number}" + "x" * 1000 for number in range(100)]
    for name in ("term_inclusion", "term_exclusion"):
        evidence = tasks.get(name).verify(" ".join(terms), {"terms": terms}).evidence
        assert len(json.dumps(evidence)) < 5000
    evidence = tasks.get("json_format").verify("{}", {"keys": terms}).evidence
    assert len(json.dumps(evidence)) < 5000


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


@pytest.mark.parametrize("name", tasks.NAMES)
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


# Worlds


@pytest.mark.parametrize("name", ["toy", "general"])
def test_shipped_worlds(name):
    world = load_world(name)
    assert world.name == name and world.controlled == (name == "toy")


def test_a_world_from_a_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(WORLD_DATA), encoding="utf-8")
    assert load_world(path) == WORLD
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="mine.json can't be read"):
        load_world(path)
    with pytest.raises(UserError, match="no world 'nowhere'.*general, toy"):
        load_world("nowhere")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "", "'name'"),
        ("controlled", "yes", "'controlled'"),
        ("requests", [], "'requests' is empty"),
        ("requests", ["Write."], "{subject}"),
        ("subjects", "the teacher", "'subjects' must be a list"),
        ("word_targets", [5, 0], "'word_targets'"),
        ("word_targets", [True], "'word_targets'"),
        ("terms", ["a", "a"], "'terms' lists an item twice"),
        ("topics", {"food": ["bread"]}, "'topics' must map at least two"),
        ("topics", {"food": ["bread"], "music": []}, "'topics.music' is empty"),
        ("sentiment", {"good": ["x"], "bad": ["X"]}, "'sentiment' gives a word to two labels"),
        ("insults", [], "'insults' is empty"),
        ("colour", 1, "unknown key 'colour'"),
    ],
)
def test_malformed_worlds(key, value, message):
    with pytest.raises(UserError, match=re.escape(message)):
        make_world({**WORLD_DATA, key: value})


@pytest.mark.parametrize("key", WORLD_DATA)
def test_missing_keys_of_a_world(key):
    with pytest.raises(UserError, match=f"lacks the key '{key}'"):
        make_world({other: value for other, value in WORLD_DATA.items() if other != key})
