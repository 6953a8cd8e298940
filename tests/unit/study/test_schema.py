"""The schema describes every key, and wrong values are refused in one sentence."""

import re

import pytest
import yaml
from made.configs import ROOT, SCHEMA, refused, study
from skillprobe.errors import UserError
from skillprobe.study.config import complete
from skillprobe.study.schema import SCHEMA as SCHEMA_FILE
from skillprobe.study.schema import fill_defaults


def test_every_key_of_the_schema_has_a_description_and_a_default_or_is_required():
    def check(schema, path):
        assert schema.get("description"), path
        for name, sub in schema.get("properties", {}).items():
            assert "default" in sub or name in schema["required"], f"{path}.{name}"
            check(sub, f"{path}.{name}")
        if "properties" in schema:
            assert schema["additionalProperties"] is False, path

    check(SCHEMA, "config")
    check(SCHEMA["$defs"]["model"], "model")
    for branch in SCHEMA["$defs"]["judge"]["anyOf"]:
        check(branch, "judge")


def defaults(schema, path=()):
    """(key, value that the schema gives it) of every key of a study."""
    for name, sub in schema["properties"].items():
        if "properties" in sub:
            yield from defaults(sub, (*path, name))
        elif "default" in sub:
            yield (*path, name), fill_defaults(sub["default"], sub)


def differences(text):
    """{key: (value, the schema's default, what its line says of that)} of a config's text, of keys whose
    value is another, and of those whose line says something though it isn't."""
    found, lines = {}, text.splitlines()
    for key, default in defaults(SCHEMA):
        # As in a study: a node's place, and the value in the end.
        node, value = yaml.compose(text), yaml.safe_load(text)
        for name in key:
            node = next(pair for pair in node.value if pair[0].value == name)
            line, node, value = node[0].start_mark.line, node[1], value[name]
        said = re.search(r"# .*?\bdefault (?P<value>\S.*?): (?P<reason>.{10,})", lines[line])
        if value != default or said:
            found[".".join(key)] = value, default, said
    return found


def test_the_shipped_config_states_every_key_and_why_it_is_not_the_default():
    text = (ROOT / "config.yaml").read_text()
    found = differences(text)
    for key, (value, default, said) in found.items():
        assert said, f"{key} is {value}, and the schema's default {default}: its line must say why"
        assert value != default, f"{key} is the default, and its line says another one"
        assert yaml.safe_load(said["value"]) == default, f"{key}: its line says another default"
    assert {"ablation.layers", "prompts.bases", "behaviour.strengths"} <= found.keys()


@pytest.mark.parametrize(
    "before, after, key",
    [
        ("  folds: 5", "  folds: 4", "probes.folds"),
        ("seed: 0 ", "seed: 1 ", "seed"),
        ("  bases: 80          #", "  bases: 90          #", "prompts.bases"),
        ("default 30: so the demo", "so the demo", "behaviour.bases"),
        ("default all: hours", "default [3]: hours", "ablation.layers"),
    ],
)
def test_a_silent_difference_would_be_found(before, after, key):
    text = (ROOT / "config.yaml").read_text()
    assert text.count(before) == 1
    value, default, said = differences(text.replace(before, after))[key]
    assert not said or value == default or yaml.safe_load(said["value"]) != default


def test_the_judges_of_the_schema_are_those_of_the_package():
    from skillprobe.labels.judges import NAMES, OPTIONS

    branches = SCHEMA["$defs"]["judge"]["anyOf"]
    alone = [kind for each in branches if "enum" in each for kind in each["enum"]]
    with_settings = {each["properties"]["kind"]["enum"][0]: each for each in branches if "enum" not in each}
    assert {*alone, *with_settings} == set(NAMES) == set(OPTIONS)
    for kind, branch in with_settings.items():
        options = {key: sub.get("default") for key, sub in branch["properties"].items()}
        # A job knows by itself whether its judge has been fetched, where to and with which head, and asks for
        # its resources.
        by_jobs, of_jobs = {"offline", "folder", "head"}, {"kind", "gpu", "mem_mb"}
        known = {key: value for key, value in OPTIONS[kind].items() if key not in by_jobs}
        assert {key: value for key, value in options.items() if key not in of_jobs} == known


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "demo\n", "a b", "x" * 65])
def test_a_study_stays_inside_results(root, name):
    refused(root, r"^study (can't be|is longer)", study=name)


@pytest.mark.parametrize(
    "match, changes",
    [
        (r"^generation.temperature must be a number or null, not 'hot'$", {"generation__temperature": "hot"}),
        (
            r"^probes.penalties\[0\] must be a number, not '1e-3': .*write 0.001 without",
            {"probes__penalties": ["1e-3"]},
        ),
        (r"^generation.samples must be a whole number, not 1.5", {"generation__samples": 1.5}),
        (r"^generation.samples must be a whole number, not true", {"generation__samples": True}),
        (r"^generation.samples must be at least 1, not 0", {"generation__samples": 0}),
        (r"^generation.temperature must be more than 0, not 0", {"generation__temperature": 0}),
        (
            r"^generation.temperature must be a finite number, not nan",
            {"generation__temperature": float("nan")},
        ),
        (r"^generation.top_p must be at most 1, not 2", {"generation__top_p": 2}),
        (
            r"^unknown key 'temprature' in generation \(did you mean 'temperature'\?\)",
            {"generation__temprature": 1},
        ),
        (r"^unknown key 'reprot' \(did you mean 'report'\?\); the keys there are study", {"reprot": {}}),
        # The same name elsewhere, before another in the section; else a near one elsewhere.
        (
            r"^unknown key 'world' \(did you mean prompts.world\?\); the keys there are study",
            {"world": "toy"},
        ),
        (
            r"^unknown key 'samples' in prompts \(did you mean .*\bgeneration.samples\b",
            {"prompts__samples": 4},
        ),
        (
            r"^unknown key 'threshold' in claims \(did you mean guard.thresholds or judges.TASK.thres",
            {"claims__threshold": 1},
        ),
        (
            r"^unknown key 'dtype' in generation \(did you mean activations.dtype or models\[0\].dtype\?\)",
            {"generation__dtype": "float16"},
        ),
        (
            r"^unknown key 'max_new_token' in prompts \(did you mean generation.max_new_t",
            {"prompts__max_new_token": 4},
        ),
        (r"^unknown key 'qwertz' in prompts; the keys there are world", {"prompts__qwertz": 4}),
        (r"^generation must be a mapping .*, not null: give a value or remove", {"generation": None}),
        (r"^study must be a text, not 2024: put it in quotes", {"study": 2024}),
        (r"^layers must be all or a list, not 12: write \[12\]$", {"layers": 12}),
        (r"^layers must be all or a list, not '0.5': write \[0.5\]$", {"layers": "0.5"}),
        (r"^seed must be .*, not '7': YAML reads it as text; write 7 without quotes", {"seed": "7"}),
        (r"^probes.feature_scaling must be true or false, not 'yes'", {"probes__feature_scaling": "yes"}),
        (r"^figures.palette must be one of .*mean 'colorblind'", {"figures__palette": "colourblind"}),
        (r"YAML reads the key 'True' of judges as True: quote it", {"judges": {True: "lexicon"}}),
    ],
)
def test_wrong_values_are_refused_in_one_sentence(root, match, changes):
    refused(root, match, **changes)


def test_a_missing_key_is_named(root):
    config = study()
    del config["models"]
    with pytest.raises(UserError, match=r"^the config lacks the key 'models'; add it"):
        complete(config, root)


def test_the_schema_is_a_schema():
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA_FILE == ROOT / "workflow/schemas/config.schema.json"


HERE = {"name": "a", "source": "models/a"}


@pytest.mark.parametrize(
    "changes, said",
    [
        (
            {"models": [HERE | {"max_tokens": 9}]},
            r"in models\[0\] \(model 'a'\) \(did you mean 'max_new_tokens'\?\);",
        ),
        ({"generation__max_tokens": 9}, r"in generation \(did you mean 'max_new_tokens'\?\);"),
        (
            {"max_tokens": 9},
            r"\(did you mean generation.max_new_tokens, models\[0\].max_new_tokens or judges.TASK.max_tokens",
        ),
        ({"models": [HERE | {"batch_size": 9}]}, r"\(did you mean generation.batch_size or judges.TASK"),
        ({"threshold": 0.5}, r"\(did you mean guard.thresholds or judges.TASK.threshold\?\)"),
        (
            {"judges__topic": {"kind": "transformers", "model": "m/m", "max_token": 9}},
            r"\(did you mean 'max_tokens'",
        ),
    ],
)
def test_a_key_of_another_place_or_of_nearly_the_same_name_is_suggested(root, changes, said):
    refused(root, f"^unknown key '\\w+'.*{said}", **changes)


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("mem_mb", "24GB", ": it is in megabytes; write 24000"),
        ("mem_mb", "24 GB", ": it is in megabytes; write 24000"),
        ("mem_mb", "1.5g", ": it is in megabytes; write 1500"),
        ("mem_mb", "2GiB", ": it is in megabytes; write 2148"),
        ("mem_mb", "10kB", ": it is in megabytes; write 1"),
        ("mem_mb", "much", ": it is in megabytes"),
        ("mem_mb", "24000", ": YAML reads it as text; write 24000 without quotes"),
        ("runtime", "2h", ": it is in minutes; write 120"),
        ("runtime", "1 day", ": it is in minutes; write 1440"),
        ("runtime", "90s", ": it is in minutes; write 2"),
        ("runtime", "2 weeks", ": it is in minutes"),
        ("num_layers", "24GB", ""),
    ],
)
def test_a_value_with_a_unit_is_told_in_the_keys_own(root, key, value, said):
    kind = "a whole number or null" if key == "num_layers" else "a whole number"
    start = re.escape(f"models[0].{key} (model 'a') must be {kind}, not {value!r}{said}")
    refused(root, f"^{start}$", models=[HERE | {key: value}])
    if key == "mem_mb":
        judge = {"kind": "transformers", "model": "m/m", key: value}
        refused(
            root, re.escape(f"judges.topic.mem_mb must be {kind}, not {value!r}{said}"), judges__topic=judge
        )


@pytest.mark.parametrize("layer", [1.5, "50%", None])
def test_what_is_neither_a_layer_nor_a_depth_is_told_what_both_are(root, layer):
    said = r"^layers\[0\] must be the number of a layer or a relative depth such as 0.75, not "
    refused(root, said, layers=[layer])
