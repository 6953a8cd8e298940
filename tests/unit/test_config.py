"""The config: what is refused, with which sentence, and what comes out of a good one."""

import copy
import importlib.util
import json
import re
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file
from skillprobe.errors import UserError
from skillprobe.study import checks, slices
from skillprobe.study.config import complete
from skillprobe.study.schema import SCHEMA as SCHEMA_FILE
from skillprobe.study.slices import canonical, layers_of, model_entry
from skillprobe.study.sources import model_identity, source_folder
from skillprobe.tasks.world import find_world

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())


def make_folder(path, layers=4, world="toy", template="{{ messages }}"):
    """A model's folder as far as planning looks into it."""
    path.mkdir(parents=True)
    settings = {"model_type": "llama", "num_hidden_layers": layers}
    (path / "config.json").write_text(json.dumps(settings | ({"skillprobe_world": world} if world else {})))
    save_file({"weight": np.zeros(2, np.float32)}, path / "model.safetensors")
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template} if template else {}))
    return path


@pytest.fixture
def root(tmp_path):
    """A root with one four-layer toy model, in models/a."""
    make_folder(tmp_path / "models/a")
    return tmp_path


def say(folder, **changes):
    """Change a model's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def study(**changes):
    """A small good config; keys such as generation__samples change it, None under a key removes it."""
    config = {
        "study": "small",
        "models": [{"name": "a", "source": "models/a"}],
        "tasks": ["word_count", "topic"],
        "judges": {"topic": "lexicon"},
    }
    for path, value in changes.items():
        *above, key = path.split("__")
        inner = config
        for part in above:
            inner = inner.setdefault(part, {})
        inner[key] = value
    return config


def a_model(**changes):
    return [{"name": "a", "source": "models/a"} | changes]


def refused(root, match, **changes):
    with pytest.raises(UserError) as caught:
        complete(study(**changes), root)
    message = str(caught.value)
    assert re.search(match, message), message
    assert "\n" not in message


# --- what comes out


def test_defaults_are_filled_in_and_the_given_config_is_left_alone(root):
    given = study(generation__samples=7)
    before = copy.deepcopy(given)
    config = complete(given, root)
    assert given == before
    assert config["generation"]["samples"] == 7
    assert config["generation"]["top_p"] == 1.0
    assert config["probes"]["folds"] == SCHEMA["properties"]["probes"]["properties"]["folds"]["default"]
    assert config["activations"]["positions"][-1] == "eos"
    defaults = {key: sub.get("default") for key, sub in SCHEMA["$defs"]["model"]["properties"].items()}
    assert config["models"] == [defaults | {"name": "a", "source": "models/a", "num_layers": 4}]
    assert complete(config, root) == config


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
            trimmed |= {("generation", "max_new_tokens"): 64, ("generation", "batch_size"): 256}
            trimmed |= {("similarity", "layers"): [2, 4]}
            trimmed |= {("behaviour", "bases"): 24, ("behaviour", "strengths"): [-4, 4]}
            default = trimmed.get((name, key), setting["default"])
            assert shipped[name][key] == default, f"{name}.{key}"


def test_the_judges_of_the_schema_are_those_of_the_package():
    from skillprobe.labels.judges import NAMES, OPTIONS

    alone, with_settings = SCHEMA["$defs"]["judge"]["anyOf"]
    assert [*alone["enum"], *with_settings["properties"]["kind"]["enum"]] == list(NAMES)
    options = {key: sub.get("default") for key, sub in with_settings["properties"].items()}
    # A job knows by itself whether its judge has been fetched.
    options["offline"] = False
    assert {key: options[key] for key in OPTIONS} == OPTIONS


def shipped_studies():
    return [None, *sorted((ROOT / "workflow/studies").glob("*.yaml"))]


def laid_over(below, above):
    """As Snakemake does it: mappings key by key, everything else as a whole."""
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key) if isinstance(below.get(key), dict) else {}
        merged[key] = laid_over(under, value) if isinstance(value, dict) else value
    return merged


@pytest.mark.parametrize("path", shipped_studies(), ids=lambda path: path.name if path else "config.yaml")
def test_the_shipped_studies_are_good(path, tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    if path:
        config = laid_over(config, yaml.safe_load(path.read_text()))
    for entry in config["models"]:
        if entry["source"].startswith("workflow/resources/models/"):
            make_folder(tmp_path / entry["source"])
    assert complete(config, tmp_path)["study"] == (path.stem if path else "demo")


def test_checking_is_quick(root):
    began = time.process_time()
    complete(study(), root)
    assert time.process_time() - began < 1.0  # about 0.01 s once imported


def test_planning_needs_no_heavy_package(root):
    import subprocess
    import sys

    code = (
        "import json, sys; from skillprobe.study.config import complete; "
        f"complete(json.loads({json.dumps(study())!r}), {str(root)!r}); "
        "print({'torch', 'transformers', 'pandas', 'sklearn', 'scipy'} & sys.modules.keys())"
    )
    path = str(ROOT / "workflow")
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert run.stdout.strip() == "set()", run.stderr


# --- equal configs are equal


def test_order_and_spelling_that_mean_nothing_change_nothing(root):
    one = complete(study(probes__penalties=[1, 0.1], layers=[4, 0], generation__temperature=1), root)
    two = complete(
        OrderedDict(
            reversed(study(probes__penalties=[0.1, 1.0], layers=[0, 4], generation__temperature=1.0).items())
        ),
        root,
    )
    assert canonical(one, *one) == canonical(two, *two)
    assert type(one["generation"]["temperature"]) is float
    flipped = complete(study(prompts__polarities=["negated", "positive"]), root)
    assert flipped == complete(study(), root)
    assert complete(study(seed=1.0), root)["seed"] == 1
    assert type(complete(study(seed=1.0), root)["seed"]) is int


def test_canonical_tells_swapped_and_changed_values_apart(root):
    config = complete(study(generation__samples=2, generation__twin_samples=3), root)
    swapped = complete(study(generation__samples=3, generation__twin_samples=2), root)
    keys = ("generation.samples", "generation.twin_samples")
    assert canonical(config, *keys) == '{"generation.samples":2,"generation.twin_samples":3}'
    assert canonical(config, *keys) == canonical(config, *reversed(keys))
    assert canonical(config, *keys) != canonical(swapped, *keys)
    assert canonical(config, "seed", model="a") != canonical(config, "seed", model="b")
    assert canonical(config, "seed") == canonical(complete(study(figures__dpi=100), root), "seed")
    assert json.loads(canonical(config, "activations.positions"))["activations.positions"][0] == "prompt_50"
    with pytest.raises(KeyError):
        canonical(config, "generation.temprature")


def test_judges_of_tasks_not_studied_are_left_out(root):
    config = complete(study(judges__sentiment="lexicon"), root)
    assert config["judges"] == {"topic": "lexicon"}


def test_identity_of_a_model_follows_its_files_and_not_its_resources(root):
    config = complete(study(), root)
    identity = model_identity(config, "a", root)
    heavier = complete(study(models=a_model(mem_mb=9, gpu=1, runtime=5, layers=[1])), root)
    assert model_identity(heavier, "a", root) == identity
    other = complete(study(models=a_model(dtype="float32")), root)
    assert model_identity(other, "a", root) != identity
    (root / "models/a/model.safetensors").write_bytes(b"x")
    assert model_identity(config, "a", root) != identity


def test_a_folder_is_the_same_however_it_is_written(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root / "models"))
    entries = [{"name": "a", "source": source} for source in ("models/a", "./models/../models/a/", "~/a")]
    entries.append({"name": "a", "source": str(root / "models/a")})
    found = [complete(study(models=[entry]), root) for entry in entries]
    assert [config["models"][0]["source"] for config in found] == ["models/a"] * 4
    assert len({canonical({"m": model_identity(config, "a", root)}, "m") for config in found}) == 1
    (root / "elsewhere").mkdir()
    assert complete(study(models=[entries[3]]), root / "elsewhere")["models"][0]["source"] == str(
        root / "models/a"
    )


def test_the_order_of_confounds_says_nothing(root):
    one, other = (
        complete(study(probes__confounds=names), root)
        for names in (["phrasing", "response_length"], ["response_length", "phrasing"])
    )
    assert canonical(one, "probes") == canonical(other, "probes")


def test_a_slice_of_the_config_ends_no_script_of_the_report(root):
    config = complete(study(models=a_model(prompt_format="</script><b>{prompt}")), root)
    text = canonical(config, "models")
    assert "<" not in text and json.loads(text)["models"] == config["models"]


# --- models and layers


def test_layers_of_a_model(root):
    make_folder(root / "models/b", layers=2)
    models = [{"name": "a", "source": "models/a"}, {"name": "b", "source": "models/b", "layers": [2, 1]}]
    config = complete(study(models=models), root)
    assert layers_of(config, "a") == [0, 1, 2, 3, 4]
    assert layers_of(config, "b") == [1, 2]
    config = complete(study(models=models, layers=[3]), root)
    assert layers_of(config, "a") == [3]
    with pytest.raises(UserError, match=r"no model 'c' in the config; the models are a, b"):
        model_entry(config, "c")


@pytest.mark.parametrize("extra", [{"n_layer": 3}, {"text_config": {"num_hidden_layers": 3}}])
def test_other_spellings_of_the_number_of_layers(root, extra):
    (root / "models/a/config.json").write_text(json.dumps(extra | {"skillprobe_world": "toy"}))
    assert complete(study(), root)["models"][0]["num_layers"] == 3


def test_a_folder_or_a_hub_id(root):
    assert source_folder("models/a", root) == root / "models/a"
    assert source_folder("org/name", root) is None
    assert source_folder("name", root) is None
    assert source_folder(str(root / "models/a"), root) == root / "models/a"
    for missing in ("./a", "/no/such", "~/no_such_folder", "models/sub/a", "../a"):
        with pytest.raises(UserError, match="there is no folder"):
            source_folder(missing, root)


def test_paths_that_cannot_even_be_looked_for_are_refused(root):
    too_long = "a" * 300
    for path, why in (
        ("~nosuch/x", "Could not determine home directory"),
        (too_long, "File name too long"),
        (f"./{too_long}/x", "File name too long"),
        ("x\0", "embedded null byte"),
    ):
        refusal = rf"{re.escape(repr(path))} can't be looked up \({why}\); correct it"
        refused(root, rf"^models\[0\] \(model 'a'\): {refusal}", models=a_model(source=path))
        judge = {"kind": "transformers", "model": path}
        refused(root, f"^judges.topic.model: {refusal}", tasks=["topic"], judges={"topic": judge})
    for path in ("~nosuch/x.json", f"{too_long}.json"):
        refused(root, rf"^prompts.world: '{path}' can't be looked up", prompts__world=path)
    refused(root, "^prompts.world: no world 'aaa", prompts__world=too_long)


def test_line_ends_in_names_end_no_sentence(root):
    """`refused` looks for them."""
    refused(root, r"no folder './a\\nb'", models=a_model(source="./a\nb"))
    refused(root, r"no folder 'a\\nb', so it is", models=a_model(source="a\nb"))
    refused(root, r"no world 'a\\nb'", prompts__world="a\nb")
    refused(root, r"no world '.*/a\\nb.json'", prompts__world="a\nb.json")


def test_a_world_with_a_brace_in_its_path_is_refused(root):
    """Snakemake would take it for a wildcard. Folders are no inputs of rules, so theirs may have some."""
    (root / "w{x}.json").write_bytes(find_world("toy").read_bytes())
    refused(root, r"^prompts.world: 'w{x}.json' has a brace in its path, which", prompts__world="w{x}.json")
    (root / "models/a").rename(root / "models/{model}")
    assert complete(study(models=a_model(source="models/{model}")), root)["models"][0]["num_layers"] == 4


def test_more_memory_than_there_is_is_a_warning(root):
    judge = {"kind": "transformers", "model": "org/judge", "mem_mb": 5000}
    models = a_model(mem_mb=40000) + a_model(name="b", mem_mb=4000)
    config = complete(study(models=models, tasks=["topic"], judges={"topic": judge}), root)
    assert checks.memory_warning(config, 40000) is None
    assert re.search(
        "^model 'a' asks for mem_mb: 40000, judges.topic asks for mem_mb: 5000, but .* mem_mb: 4000, and",
        checks.memory_warning(config, 4000),
    )


def test_a_hub_model_needs_no_network(root):
    models = [{"name": "big", "source": "org/big", "num_layers": 32, "revision": "abc", "layers": [0, 32]}]
    config = complete(study(models=models, tasks=["word_count"]), root)
    assert layers_of(config, "big") == [0, 32]
    assert "sha256" not in model_identity(config, "big", root)


def test_models_are_refused_by_name(root):
    refused(
        root,
        r"^models\[0\] \(model 'a'\): there is no folder './models/aa' \(did you mean 'a'\?\)",
        models=a_model(source="./models/aa"),
    )
    refused(
        root, r"num_layers is missing: .* 'org/x', so it is taken as a hub id", models=a_model(source="org/x")
    )
    refused(root, r"num_layers is 5, but .*config.json says 4; remove the key", models=a_model(num_layers=5))
    refused(root, r"revision is for hub models, but 'models/a' is a folder", models=a_model(revision="main"))
    refused(root, r"models has two entries named 'a' and 'A'", models=a_model() + a_model(name="A"))
    refused(root, r"^models\[0\].name \(model '../x'\) can't be '../x'", models=a_model(name="../x"))
    refused(
        root,
        r"^models\[0\].dtype \(model 'a'\) must be one of .*mean 'float16'",
        models=a_model(dtype="float-16"),
    )
    refused(root, r"^models\[0\] lacks the key 'name'; add it", models=[{"source": "models/a"}])
    refused(root, r"^unknown key 'nmae' in models\[0\] \(did you mean 'name'\?\)", models=[{"nmae": "a"}])
    refused(root, r"^models is empty; give at least one", models=[])
    refused(root, r"^models must be a list, not a mapping", models={"a": {"source": "models/a"}})


def test_ablation_is_refused_by_name(root):
    refused(root, r"^ablation.rank is 9, more than ablation.max_rank, 8", ablation__rank=9)
    refused(
        root,
        r"^ablation.max_rank is 64, but model 'a' has at most 64 training answers a task in 64 dimensions",
        ablation__max_rank=64,
        prompts__bases=23,
        models=a_model(hidden_size=64),
    )
    refused(
        root,
        r"^ablation.layers asks for layer 5, but the deepest model has layers 0 to 4; remove it",
        ablation__layers=[2, 5],
    )
    refused(
        root,
        r"^ablation.layers names none of the analysed layers of the model 'a' \(0, 4\); add one",
        ablation__layers=[2],
        layers=[0, 4],
    )
    refused(
        root,
        r"^behaviour.layers names none of the layers of the model 'a' at which signals are erased \(2\)",
        ablation__layers=[2],
        behaviour__layers=[4],
    )
    refused(root, r"^behaviour.bases is 91, more than prompts.bases, 90", behaviour__bases=91)
    refused(root, r"^behaviour.samples is 9, more than generation.samples, 4", behaviour__samples=9)
    config = complete(study(ablation__layers=[4, 2], layers=[0, 1, 4]) | {"layers": [0, 2, 4]}, root)
    assert slices.section_layers_of(config, "ablation", "a") == [2, 4]


def test_positions_are_probed_at_layers_that_are_there(root):
    refused(root, r"^time.layers asks for layer 7, but the deepest model has layers 0 to 4", time__layers=[7])
    refused(
        root,
        r"^time.layers names none of the analysed layers of the model 'a' \(0, 4\); add one, or say all",
        time__layers=[2],
        layers=[0, 4],
    )
    config = complete(study(time__layers=[4, 2]) | {"layers": [0, 2, 4]}, root)
    assert slices.section_layers_of(config, "time", "a") == [2, 4] and slices.over_time(config)
    # A study of EOS alone needs no layers for it.
    config = complete(
        study(time__layers=[2], layers=[0, 4], activations__positions=["onset", "eos"], ablation__layers=[4]),
        root,
    )
    assert not slices.over_time(config)


def test_wordings_are_compared_at_layers_that_are_there(root):
    refused(root, r"^robustness.layers asks for layer 7, but the deepest", robustness__layers=[7])
    refused(
        root,
        r"^robustness.layers names none of the analysed layers of the model 'a' \(0, 4\); add one",
        robustness__layers=[2],
        layers=[0, 4],
    )
    refused(root, r"^robustness.draws must be at least 1, not 0", robustness__draws=0)
    config = complete(study(robustness__layers=[4, 2]) | {"layers": [0, 2, 4]}, root)
    assert slices.section_layers_of(config, "robustness", "a") == [2, 4]


def test_similarity_is_refused_by_name(root):
    refused(root, r"^similarity.layers asks for layer 7, but the deepest", similarity__layers=[7])
    refused(
        root,
        r"^similarity.layers names none of the analysed layers of the model 'a' \(0, 4\); add one",
        similarity__layers=[2],
        layers=[0, 4],
    )
    refused(root, r"^similarity.rank must be at least 1, not 0", similarity__rank=0)
    config = complete(study(similarity__layers=[4, 2]) | {"layers": [0, 2, 4]}, root)
    assert slices.section_layers_of(config, "similarity", "a") == [2, 4]


def test_models_are_compared_at_the_same_relative_depth(root):
    make_folder(root / "models/b", layers=9)
    models = [*a_model(), {"name": "b", "source": "models/b"}]
    config = complete(study(models=models), root)
    # Of layers 4 and 5 of 9 blocks the deeper.
    assert slices.model_depths(config) == {"middle": {"a": 2, "b": 5}, "last": {"a": 4, "b": 9}}
    assert slices.model_depths(complete(study(), root)) == {}
    # Without a middle between the embeddings and the last layer there is none.
    config = complete(study(models=models, layers=[0, 4]), root)
    assert slices.model_depths(config) == {"last": {"a": 4, "b": 4}}


def test_layers_are_refused_by_model(root):
    refused(root, r"^layers asks for layer 9, but the model 'a' has layers 0 .*to 4", layers=[0, 9])
    refused(root, r"^models\[0\].layers asks for layer 5", models=a_model(layers=[5]))
    refused(root, r"^layers must be all or a list, not 'al' \(did you mean 'all'\?\)", layers="al")
    refused(root, r"^layers must be all or a list, not 3", layers=3)
    refused(root, r"^layers\[1\] must be at least 0, not -1", layers=[0, -1])
    refused(root, r"^layers lists 2 twice", layers=[2, 0, 2])
    refused(
        root,
        r"^models\[0\].layers\[0\] \(model 'a'\) must be a whole number, not 1.5",
        models=a_model(layers=[1.5]),
    )
    refused(root, r"^layers is empty", layers=[])


@pytest.mark.parametrize(
    "break_folder, match",
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json can't be read as JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "must hold one JSON object"),
        (
            lambda folder: (folder / "config.json").write_text("{}"),
            "doesn't tell; state the number of blocks",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), r"has no \*.safetensors file"),
        (
            lambda folder: (folder / "model.safetensors").write_text(
                "version https://git-lfs.github.com/spec"
            ),
            "model.safetensors is no whole safetensors file .*fetch it again",
        ),
        (
            lambda folder: cut(folder / "model.safetensors"),
            "model.safetensors is no whole safetensors file .*fetch it again",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}})
            ),
            "lacks model-2.safetensors, which model.safetensors.index.json names",
        ),
        (
            lambda folder: say(folder, is_encoder_decoder=True, architectures=["T5ForConditionalGeneration"]),
            "holds a T5ForConditionalGeneration, which is no decoder that writes text",
        ),
        (
            lambda folder: say(folder, architectures=["BertForMaskedLM"]),
            "holds a BertForMaskedLM, which is no decoder that writes text",
        ),
        (lambda folder: (folder / "tokenizer_config.json").unlink(), "has no tokenizer"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("{}"), "has no chat template"),
    ],
)
def test_incomplete_folders_are_refused(root, break_folder, match):
    break_folder(root / "models/a")
    refused(root, r"^models\[0\] \(model 'a'\): .*" + match)


def test_a_chat_template_may_be_a_file_of_its_own(root):
    (root / "models/a/tokenizer_config.json").write_text("{}")
    (root / "models/a/chat_template.jinja").write_text("\n")
    refused(root, "has no chat template")
    (root / "models/a/chat_template.jinja").write_text("{{ messages }}")
    complete(study(), root)


@pytest.mark.parametrize(
    ("depth", "width"),
    [("num_hidden_layers", "hidden_size"), ("n_layer", "n_embd"), ("n_layers", "d_model")],
)
def test_depth_and_width_are_known_by_any_of_their_names(root, depth, width):
    (root / "models/a/config.json").write_text(json.dumps({depth: 4, width: 48, "skillprobe_world": "toy"}))
    (entry,) = complete(study(), root)["models"]
    assert (entry["num_layers"], entry["hidden_size"]) == (4, 48)


# --- tasks, judges, prompts


def test_tasks_are_refused_by_name(root):
    refused(
        root,
        r"^tasks names 'word_cout', which is no task \(did you mean 'word_count'\?\); the tasks are ",
        tasks=["word_cout"],
    )
    refused(root, r"^tasks lists 'topic' twice", tasks=["topic", "word_count", "topic"])
    refused(root, r"^tasks must be a list, not 'topic': write \[topic\]", tasks="topic")


def test_judges_are_refused_by_task(root):
    wanted = r"^judges.topic must be lexicon or a mapping of keys to values, not 'lexcon' \(did you mean"
    refused(root, wanted, judges={"topic": "lexcon"})
    refused(root, r"^judges.topic is missing: no rule decides the task topic", judges={})
    refused(root, r"^judges.word_count: a rule decides the task", judges__word_count="lexicon")
    refused(
        root, r"^judges names 'topics', which is no task \(did you mean 'topic'", judges__topics="lexicon"
    )


def test_lexicon_judges_are_never_offered_for_free_text(root):
    refusal = r"^judges.topic: lexicon judges are never offered for free text"
    toy = json.loads((ROOT / "workflow/skillprobe/tasks/worlds/toy.json").read_text())
    (root / "free.json").write_text(json.dumps(toy | {"controlled": False}))
    refused(root, refusal + r", which the world 'free.json' asks for", prompts__world="free.json")
    make_folder(root / "models/b", world=None)
    two = [*a_model(), {"name": "b", "source": "models/b"}]
    refused(root, refusal + r", and the model 'b' is not known", models=two)
    (root / "other.json").write_text(json.dumps(toy | {"name": "other"}))
    refused(root, refusal + r".*lacks \"skillprobe_world\": \"other\"", prompts__world="other.json")
    hub = [{"name": "h", "source": "org/h", "num_layers": 4}]
    refused(root, refusal + r", and the model 'h'", models=hub)
    # Without judged tasks the same models and worlds are fine.
    complete(study(models=two + hub, prompts__world="free.json", tasks=["json_format"]), root)


def test_vllm_is_refused_what_it_cannot_do(root):
    assert complete(study(generation__engine="vllm"), root)["generation"]["engine"] == "vllm"
    refused(
        root,
        r"^generation.temperature is 3, but generation.engine is vllm, which takes 0.01 to 2; change",
        generation={"engine": "vllm", "temperature": 3},
    )
    complete(study(generation__temperature=3), root)
    several = a_model(device_map="auto")
    refused(
        root,
        r"^models\[0\] \(model 'a'\) has a device_map, but generation.engine is vllm, .*; remove it, or set",
        generation__engine="vllm",
        models=several,
    )
    complete(study(models=several), root)
    refused(root, "^generation.engine must be transformers or vllm, not 'vlm'", generation__engine="vlm")


def test_vllm_is_missed_only_where_it_is_asked_for(root, monkeypatch):
    asked = complete(study(generation__engine="vllm"), root)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    checks.check_installed(complete(study(), root))
    with pytest.raises(UserError, match="^generation.engine is vllm, which isn't installed; install it, or"):
        checks.check_installed(asked)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "vllm" else None)
    checks.check_installed(asked)


def test_prompts_are_refused_by_key(root):
    refused(root, r"^prompts.world: no world 'tye'", prompts__world="tye")
    refused(root, r"^prompts.world: no world '.*missing.json'", prompts__world="missing.json")
    refused(root, r"^prompts.bases is 9999, but the world 'toy' has \d+ \(", prompts__bases=9999)
    refused(root, r"^generation.shards is 91, more than the 90 prompts.bases", generation__shards=91)
    refused(
        root, r"^prompts.instruction_types\[0\] must be one of human", prompts__instruction_types=["humn"]
    )
    refused(
        root,
        r"^task 'word_count' has no phrasing of instruction types \['plm'\] and polarities \['negated'\]",
        prompts__instruction_types=["plm"],
        prompts__polarities=["negated"],
    )


# --- positions, probes, the rest


def test_positions_are_refused_by_name(root):
    refused(root, r"^activations.positions: .*promt_50", activations__positions=["promt_50", "eos"])
    refused(
        root, r"^probes.position is 'eos', which is not stored; .*\(onset\)", activations__positions=["onset"]
    )


def test_folds_need_bases(root):
    refused(root, r"^probes.feature_scaling needs calibration bases", probes__calibration_fraction=0)
    complete(study(probes__calibration_fraction=0, probes__feature_scaling=False), root)
    refused(root, r"^probes.folds is 5, but only 3 of the 4 prompts.bases", prompts__bases=4)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "demo\n", "a b", "x" * 65])
def test_a_study_stays_inside_results(root, name):
    refused(root, r"^study (can't be|is longer)", study=name)


def test_names_that_the_workflow_needs_itself_are_taken(root):
    refused(root, r"^study can't be 'toy': results/toy/ is taken", study="toy")


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
