"""Responses are sampled as a model's entry says, else the study, else the model, else as fits it."""

import json

import pytest
from made.configs import a_model, make_folder, study
from skillprobe.study.config import complete
from skillprobe.study.sampling import (
    described,
    generation_of,
    generation_of_toys,
    own_of_folders,
    place,
    planned,
)
from skillprobe.study.slices import generated_models
from skillprobe.study.sources import model_identity, pilot_of

OWN = {"do_sample": True, "temperature": 0.6, "top_p": 0.9}


@pytest.fixture
def real(root):
    """Beside the toy model a one that says how it is to be sampled, and one that doesn't."""
    for name, said in (("b", OWN), ("c", {"eos_token_id": 2})):
        folder = make_folder(root / "models" / name, world=None)
        (folder / "generation_config.json").write_text(json.dumps(said))
    return root


def several(**own):
    """Three folders and a hub model; own: {name: keys of its entry}."""
    models = [{"name": name, "source": f"models/{name}"} for name in "abc"]
    models += [{"name": "h", "source": "org/h", "num_layers": 4}]
    return [entry | own.get(entry["name"], {}) for entry in models]


def config_of(root, models, **changes):
    free = {"tasks": ["word_count"], "prompts__world": "general"}
    return complete(study(models=models, **free | changes), root)


def sampled(root, config):
    """{model: [temperature, top_p, top_k, max_new_tokens]}"""
    keys = ("temperature", "top_p", "top_k", "max_new_tokens")
    generations = {entry["name"]: generation_of(config, entry["name"], root) for entry in config["models"]}
    return {model: [section[key] for key in keys] for model, section in generations.items()}


def test_where_nobody_says_anything_it_is_what_fits_the_model(real):
    config = config_of(real, several())
    assert sampled(real, config) == {
        "a": [1.0, 1.0, 0, 256],
        "b": [0.6, 0.9, 0, 256],
        "c": [1.0, 1.0, 0, 256],
        # Known when it is fetched.
        "h": [None, None, None, 256],
    }
    assert {generation_of(config, name, real)["batch_size"] for name in "abch"} == {128}
    assert "block" not in generation_of(config, "b", real)
    # In the toy world responses are short.
    config = complete(study(), real)
    assert sampled(real, config) == {"a": [1.0, 1.0, 0, 64]}
    assert generation_of(config, "a", real)["batch_size"] == 512
    assert generation_of(config, "a", real) == generation_of_toys(config)


def test_the_study_is_above_the_model_and_the_entry_above_both(real):
    models = several(b={"temperature": 0.8, "max_new_tokens": 32}, h={"top_k": 5})
    config = config_of(real, models, generation={"temperature": 1.2, "max_new_tokens": 100, "batch_size": 7})
    assert sampled(real, config) == {
        "a": [1.2, 1.0, 0, 100],
        "b": [0.8, 0.9, 0, 32],
        "c": [1.2, 1.0, 0, 100],
        "h": [1.2, None, 5, 100],
    }
    assert generation_of(config, "a", real)["batch_size"] == 7
    assert place(config, "b", "temperature") == "models[1].temperature"
    assert place(config, "b", "top_p") == place(config, "a", "top_p") == "generation.top_p"


def test_another_temperature_of_one_model_changes_its_responses_alone(root):
    make_folder(root / "models/b")
    two = [*a_model(), {"name": "b", "source": "models/b"}]
    before = complete(study(models=two), root)
    for key, value in (("temperature", 0.5), ("top_p", 0.9), ("top_k", 7), ("max_new_tokens", 9)):
        after = complete(study(models=[two[0], two[1] | {key: value}]), root)
        assert generation_of(after, "a", root) == generation_of(before, "a", root)
        changed = generation_of(before, "b", root) | {key: value}
        assert generation_of(after, "b", root) == changed != generation_of(before, "b", root)
        # What reads the responses doesn't depend on how they were sampled.
        assert model_identity(after, "b", root) == model_identity(before, "b", root)
        old, new = pilot_of(before), pilot_of(after)
        assert {name for name in new if new[name] != old[name]} == {"models"}


def test_the_python_of_vllm_is_part_of_a_response_of_vllm_alone(root):
    def section(**generation):
        config = config_of(root, [a_model()[0]], generation=generation, prompts__world="toy")
        return generation_of(config, "a", root)

    given = {"vllm_python": "env/bin/python"}
    assert section(**given) == section() and "vllm_python" not in section()
    assert section(engine="vllm", **given) == section(engine="vllm") | given


def test_the_report_says_how_each_model_was_sampled_and_what_of_it_is_its_own(real):
    def said(models, own=None, **changes):
        config = config_of(real, models, **changes)
        generations = {entry["name"]: generation_of(config, entry["name"], real) for entry in models}
        return described(config, generations, own_of_folders(config, real) | (own or {}))

    assert said(several()[:1], prompts__world="toy") == "temperature 1, at most 64 tokens"
    own = "temperature 0.6 (its generation_config.json), top-p 0.9 (its generation_config.json)"
    assert said(several()[1:2]) == f"{own}, at most 256 tokens"
    hub = {"h": {"temperature": 0.6, "top_p": 0.9}}
    assert said(several(), hub) == (
        f"a, c: temperature 1, at most 256 tokens; b, h: {own}, at most 256 tokens"
    )
    # What the study or the entry says isn't the model's own.
    assert said(several(h={"temperature": 0.6})[3:], hub, generation__top_p=0.9) == (
        "temperature 0.6, top-p 0.9, at most 256 tokens"
    )
    # A model that asks for all tokens says so; one whose file says nothing doesn't.
    assert said(several()[3:], {"h": {"top_k": 0}}).startswith("temperature 1, top-k 0 (its gen")


def test_the_plan_says_of_each_value_where_it_is_from(real):
    config = config_of(real, several(c={"temperature": 0.3, "max_new_tokens": 9}), generation__top_k=5)
    said = {model: planned(config, model, real) for model in "abch"}
    assert said["a"] == (
        "temperature 1 (default), top-p 1 (default), top-k 5 (generation), at most 256 tokens (default)"
    )
    own = "(its generation_config.json)"
    assert said["b"] == (
        f"temperature 0.6 {own}, top-p 0.9 {own}, top-k 5 (generation), at most 256 tokens (default)"
    )
    assert said["c"].startswith("temperature 0.3 (its entry), ") and said["c"].endswith(
        "9 tokens (its entry)"
    )
    # Of a hub model, before and after it is fetched.
    later = "(or what its generation_config.json says, once it is fetched)"
    assert said["h"].startswith(f"temperature 1 {later}, top-p 1 {later}, top-k 5 (generation)")
    fetched = real / "results/small/models/h.json"
    fetched.parent.mkdir(parents=True)
    fetched.write_text(json.dumps({"revision": "f" * 40, "sampling": {"temperature": 0.2}}))
    assert planned(config, "h", real).startswith(f"temperature 0.2 {own}, top-p 1 (default), ")
    # What is planned is what the jobs are told.
    for model in "abc":
        section = generation_of(config, model, real)
        assert planned(config, model, real).startswith(f"temperature {section['temperature']:g} (")
    gguf = [{"name": "g", "source": "org/g/g.gguf", "num_layers": 4}]
    assert planned(config_of(real, gguf), "g", real).startswith("temperature 1 (default), top-p 1 (default)")


def test_of_given_responses_nobody_says_how_they_were_sampled(root):
    make_folder(root / "models/b")
    (root / "given").mkdir()
    (root / "given/0.jsonl").write_text("")
    two = [*a_model(answers="given"), {"name": "b", "source": "models/b", "temperature": 0.5}]
    config = complete(study(models=two), root)
    said = described(config, {name: generation_of(config, name, root) for name in "ab"}, {})
    assert said == (
        "a: the responses were given (given), and the study does not know how they were sampled; "
        "b: temperature 0.5, at most 64 tokens"
    )
    # They are no part of what the model is.
    assert model_identity(config, "a", root) == model_identity(complete(study(), root), "a", root)
    assert generated_models(config) == ["b"]
