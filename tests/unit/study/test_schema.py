"""The schema describes every key, and wrong values are refused in one sentence."""

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


def test_the_shipped_config_states_every_key_and_its_default():
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())
    for name, sub in SCHEMA["properties"].items():
        assert name in shipped
        for key, setting in sub.get("properties", {}).items():
            # The toy models have few layers, and all analyses at each would be most of the demo's time.
            trimmed = {("ablation", "layers"): [3], ("time", "layers"): [4]}
            trimmed |= {("robustness", "layers"): [4]}
            # Of 14,580 answers of the toy models, one is longer.
            trimmed |= {("generation", "max_new_tokens"): 64, ("generation", "batch_size"): 512}
            trimmed |= {("prompts", "bases"): 80, ("similarity", "layers"): [2, 4]}
            trimmed |= {("behaviour", "bases"): 12, ("behaviour", "strengths"): [-4, 4]}
            default = trimmed.get((name, key), fill_defaults(setting["default"], setting))
            assert shipped[name][key] == default, f"{name}.{key}"


def test_the_judges_of_the_schema_are_those_of_the_package():
    from skillprobe.labels.judges import NAMES, OPTIONS

    alone, with_settings = SCHEMA["$defs"]["judge"]["anyOf"]
    assert [*alone["enum"], *with_settings["properties"]["kind"]["enum"]] == list(NAMES)
    options = {key: sub.get("default") for key, sub in with_settings["properties"].items()}
    # A job knows by itself whether its judge has been fetched.
    options["offline"] = False
    assert {key: options[key] for key in OPTIONS} == OPTIONS


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "demo\n", "a b", "x" * 65])
def test_a_study_stays_inside_results(root, name):
    refused(root, r"^study (can't be|is longer)", study=name)


@pytest.mark.parametrize(
    "match, changes",
    [
        (r"^generation.temperature must be a number, not 'hot'$", {"generation__temperature": "hot"}),
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
        (r"^generation must be a mapping .*, not null: give a value or remove", {"generation": None}),
        (r"^study must be a text, not 2024: put it in quotes", {"study": 2024}),
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
