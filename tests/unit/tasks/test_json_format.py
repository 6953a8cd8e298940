"""JSON by the letter of its grammar, at any depth."""

import json

import pytest
from hypothesis import strategies as st
from made.tasks import given, json_values, satisfied
from skillprobe import tasks


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
        '```json title="x"\n{}\n```', "```application/json\n{}\n```", "```{.json}\r\n{}\r\n```",
        "``` vnd.api+json; charset=utf-8 \n{}\n```", '~~~json `a` ~ ~~~ "b"\n[1]\n~~~', "```5 {\n[]\n```",
        '```json {\n"a": 1}\n```', "```[1,\n2]\n```", '```{"a": 1}\n```', "```json {}\n```",
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
        "```json `a`\n{}\n```", "```application/json {}```", '```json title="x"\n{} {}\n```',
        '```json title="x"\n```', '```json title="x"\nSure: {}\n```', "```json\n\n```",
        "```json\n{}\n```\n```json\n{}\n```",
    ],
)  # fmt: skip
def test_other_fences_are_text_around_json(text):
    assert not satisfied("json_format", text, {})


@given(
    st.text(st.characters(exclude_characters="`\r\n")), st.sampled_from("`~"), st.sampled_from(["\n", "\r\n"])
)
def test_any_info_string_is_taken_off(info, mark, end):
    fence = mark * 3
    info = info.lstrip(mark)
    assert satisfied("json_format", f'{fence}{info}{end}{{"a": 1}}{end}{fence}', {"keys": ["a"]})
    assert not satisfied("json_format", f"{fence}{info}{end}no{end}{fence}", {"keys": ["a"]})


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


@given(json_values, st.sampled_from([None, 0, 2]), st.booleans(), st.booleans())
def test_no_beginning_of_json_is_lost(value, indent, ascii_only, fenced):
    task = tasks.get("json_format")
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    text = f"```json\n{text}\n```\n" if fenced else f" {text}\n"
    params = [{}]
    if isinstance(value, dict) and any(key.strip() for key in value):
        params.append({"keys": [key for key in value if key.strip()]})
    for each in params:
        assert [text[:end] for end in range(len(text) + 1) if task.is_lost(text[:end], each)] == []


@pytest.mark.parametrize(
    "text", ["Sure", "{'a'", '{"a" 1', "[1,]", "NaN", "{} and", '{"a": tru ,', "```json\n{a", "[1] [", "01"]
)
def test_what_can_not_become_json_is_lost(text):
    assert tasks.get("json_format").is_lost(text, {})


@pytest.mark.parametrize(
    "text",
    ['```{"a": 1,\n"b": 2}\n```', '```json {"a": [1,\n2]}\n```', '~~~\r{"a":\n1}\r~~~', "```[\n1\n]```"],
)
def test_json_beside_its_opening_fence_is_not_lost_either(text):
    task = tasks.get("json_format")
    assert task.verify(text, {}).satisfied
    assert [text[:end] for end in range(len(text) + 1) if task.is_lost(text[:end], {})] == []
    # Where neither reading can become JSON, it is known.
    assert task.is_lost("```json\n{'a'", {}) and task.is_lost('```{"a" 1\nx', {})


def test_a_whole_value_without_its_keys_is_lost():
    task = tasks.get("json_format")
    assert task.is_lost('{"a": 1}', {"keys": ["b"]}) and not task.is_lost('{"a": 1', {"keys": ["b"]})
    assert not task.is_lost('{"b": 1}', {"keys": ["b"]})
