"""Keys that must fit each other, the tasks, the models and judges: what is refused, with which sentence."""

import importlib.util
import json
import re
import shutil
import sys

import huggingface_hub.constants
import pytest
from made.configs import ROOT, a_model, make_folder, refused, study
from made.gguf import make_model, write_model
from made.judges import shipped
from skillprobe.errors import UserError
from skillprobe.study import checks, slices, sources
from skillprobe.study.config import complete
from skillprobe.tasks.world import find_world, load_world


def test_judges_of_tasks_not_studied_are_left_out(root):
    config = complete(study(judges__sentiment="lexicon"), root)
    assert config["judges"] == {"topic": "lexicon"}


# --- models and layers


def test_lists_in_place_of_the_worlds_are_checked(root):
    refused(root, r"^prompts.terms contains '  ', which has no letter; remove it", prompts__terms=["a", "  "])
    refused(root, r"^prompts.terms lists 'a' twice", prompts__terms=["a", "a"])
    refused(root, r"^prompts.word_targets is empty; give at least one", prompts__word_targets=[])
    refused(root, r"^prompts.word_targets\[0\] must be at least 1, not 0", prompts__word_targets=[0])
    refused(root, r"^pilot.samples must be at least 2, not 1", pilot__samples=1)


def test_a_world_with_a_brace_in_its_path_is_refused(root):
    """Snakemake would take it for a wildcard. Folders are no inputs of rules, so theirs may have some."""
    (root / "w{x}.json").write_bytes(find_world("toy").read_bytes())
    refused(root, r"^prompts.world: the path 'w{x}.json' contains a brace, which", prompts__world="w{x}.json")
    (root / "models/a").rename(root / "models/{model}")
    assert complete(study(models=a_model(source="models/{model}")), root)["models"][0]["num_layers"] == 4


def test_more_memory_than_there_is_is_a_warning(root):
    judge = {"kind": "transformers", "model": "org/judge", "mem_mb": 5000}
    models = a_model(mem_mb=40000) + a_model(name="b", mem_mb=4000)
    config = complete(study(models=models, tasks=["topic"], judges={"topic": judge}), root)
    assert checks.memory_warning(config, 40000) is None
    assert re.search(
        "^model 'a' asks for mem_mb: 40000, judges.topic asks for mem_mb: 5000, but .* mem_mb: 4000, "
        "so its job gets no more",
        checks.memory_warning(config, 4000),
    )


def test_a_gguf_file_in_the_home_folder_is_found_and_named_where_it_speaks_no_world(root, monkeypatch):
    write_model(root / "models/m.gguf", "llama", make_model("llama"))
    monkeypatch.setenv("HOME", str(root / "models"))
    config = study(models=a_model(source="~/m.gguf"), tasks=["json_format"], prompts__world="general")
    assert complete(config, root)["models"][0]["source"] == "models/m.gguf"
    refused(
        root,
        r"model 'a'\) is not known to speak \(the GGUF file models/m.gguf doesn't say that it does\); set",
        models=a_model(source="~/m.gguf"),
    )


def test_gguf_files_are_refused_before_any_job(root):
    path, tiny = root / "models/m.gguf", make_model("llama")
    write_model(path, "llama", tiny)
    here = {"source": "models/m.gguf"}
    packaged = {"source": "pypi:tiny==1.0#m.gguf", "sha256": "ab" * 32, "num_layers": 2}
    of_hub = {"source": "org/tiny/m.gguf", "num_layers": 2}
    for entry, match in (
        (here | {"num_layers": 5}, "num_layers is 5, but .*m.gguf says 2; remove the key"),
        (
            here | {"revision": "main"},
            "revision is for hub models, but 'models/m.gguf' is a file of this machine",
        ),
        (
            here | {"sha256": "ab" * 32},
            "sha256 is for files that are fetched, but 'models/m.gguf' is on this",
        ),
        ({"source": "models/a", "sha256": "ab" * 32}, "sha256 is for files that are fetched, but 'models/a'"),
        ({"source": "org/x", "num_layers": 2, "sha256": "ab" * 32}, "sha256 is for one file, but 'org/x' is"),
        (packaged | {"sha256": None}, "sha256 is missing: a model of a package needs the hash of .*'m.gguf'"),
        (packaged | {"num_layers": None}, "num_layers is missing: a model of a package needs its number"),
        (packaged | {"revision": "v1"}, "revision is for hub models, but .* is of a package, whose version"),
        (packaged | {"source": "pypi:tiny#m.gguf"}, "names no file of a package; write pypi:name==version#"),
        (
            of_hub | {"num_layers": None},
            "there is no file 'org/tiny/m.gguf', so it is read as one of the Hub",
        ),
        ({"source": "models/n.gguf"}, "there is no file 'models/n.gguf' .did you mean 'm.gguf'"),
    ):
        refused(root, rf"^models\[0\] \(model 'a'\): .*{match}", models=a_model(**entry))
    refused(root, r"sha256 .*can't be|sha256 .*must", models=a_model(**packaged | {"sha256": "abc"}))
    free = {"tasks": ["word_count"], "prompts__world": "general"}
    complete(study(models=a_model(**packaged) + a_model(**of_hub, name="f"), **free), root)
    complete(study(models=a_model(**here), **free), root)
    # Such a file is not known to speak the toy language.
    refused(root, "prompts.world is 'toy', .*model 'a'.* is not known to speak", models=a_model(**here))
    path.write_bytes(path.read_bytes()[:-50])
    refused(root, r"^models\[0\] \(model 'a'\): the file .*m.gguf is cut short", models=a_model(**here))
    write_model(path, "llama", tiny, change={"tokenizer.chat_template": None})
    refused(root, r"^models\[0\] \(model 'a'\): the file .*has no chat template", models=a_model(**here))
    format = {"prompt_format": "{prompt}"}
    complete(study(models=a_model(**here | format), **free), root)
    refused(root, "^study can't be 'models'", study="models")


def test_models_are_refused_by_name(root):
    refused(
        root,
        r"^models\[0\] \(model 'a'\): there is no folder './models/aa' \(did you mean 'a'\?\)",
        models=a_model(source="./models/aa"),
    )
    refused(
        root, r"num_layers is missing: .* 'org/x', so it is read as a Hub id", models=a_model(source="org/x")
    )
    refused(root, r"num_layers is 5, but .*config.json says 4; remove the key", models=a_model(num_layers=5))
    refused(root, r"revision is for hub models, but 'models/a' is a folder", models=a_model(revision="main"))
    refused(
        root,
        r"^models\[0\] \('a'\) and models\[2\] \('A'\) have the same name; names must differ, and not",
        models=a_model() + a_model(name="b") + a_model(name="A"),
    )
    refused(
        root,
        r"^models\[1\] \('b'\), models\[2\] \('b'\) and models\[3\] \('B'\) have the same name",
        models=a_model() + 2 * a_model(name="b") + a_model(name="B"),
    )
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
        r"^ablation.max_rank is 64, but model 'a' has at most 64 training responses per task in "
        "64 dimensions",
        ablation__max_rank=64,
        prompts__bases=23,
        prompts__items_per_base=1,
        models=a_model(hidden_size=64),
    )
    refused(
        root,
        r"^ablation.layers contains layer 5, but the deepest model has layers 0 to 4; remove it",
        ablation__layers=[2, 5],
    )
    refused(
        root,
        r"^ablation.layers contains none of the analysed layers of model 'a' \(0, 4\); add one",
        ablation__layers=[2],
        layers=[0, 4],
    )
    refused(
        root,
        r"^behaviour.layers contains none of the layers of model 'a' at which signals are erased \(2\)",
        ablation__layers=[2],
        behaviour__layers=[4],
    )
    refused(root, r"^behaviour.bases is 91, more than prompts.bases, 90", behaviour__bases=91)
    refused(root, r"^behaviour.samples is 9, more than generation.samples, 4", behaviour__samples=9)
    config = complete(study(ablation__layers=[4, 2], layers=[0, 1, 4]) | {"layers": [0, 2, 4]}, root)
    assert slices.section_layers_of(config, "ablation", "a") == [2, 4]


def test_guarded_prompts_are_of_subjects_that_no_monitor_has_seen(root):
    message = (
        r"^guard.bases is 43, but the study's 90 content requests leave 42 of the 132 subjects of world "
        r"'toy' that no monitor has seen; lower guard.bases or prompts.bases, or add subjects"
    )
    refused(root, message, guard__bases=43)
    config = complete(study(guard__bases=42, guard__thresholds=[0.5, 0.1], guard__tries=[8, 2]), root)
    assert slices.guarded(config) and slices.guarded_bases(config) == [90, 132]
    assert (config["guard"]["thresholds"], config["guard"]["tries"]) == ([0.1, 0.5], [2, 8])
    assert not slices.guarded(complete(study(), root))
    # Where all subjects are used.
    refused(root, r"^guard.bases is 1, but the study's 200 .* leave 0 of", guard__bases=1, prompts__bases=200)
    refused(root, r"^guard.tries has 9, more than guard.samples, 8", guard__bases=9, guard__tries=[2, 9])
    refused(root, r"^guard.steered is 9, more than guard.samples, 8", guard__bases=9, guard__steered=9)
    refused(
        root,
        r"^guard.bases is above 0, but there are no monitors without the positions prompt_100 and eos",
        guard__bases=9,
        activations__positions=["prompt_100", "last"],
        probes__position="last",
    )
    # Nothing is asked of what isn't done.
    assert complete(study(guard__bases=0, guard__tries=[99]), root)


def test_positions_are_probed_at_layers_that_are_there(root):
    refused(root, r"^time.layers contains layer 7, but the deepest model has layers 0 to 4", time__layers=[7])
    refused(
        root,
        r"^time.layers contains none of the analysed layers of model 'a' \(0, 4\); add one, or set it to all",
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
    refused(root, r"^robustness.layers contains layer 7, but the deepest", robustness__layers=[7])
    refused(
        root,
        r"^robustness.layers contains none of the analysed layers of model 'a' \(0, 4\); add one",
        robustness__layers=[2],
        layers=[0, 4],
    )
    refused(root, r"^robustness.draws must be at least 1, not 0", robustness__draws=0)
    config = complete(study(robustness__layers=[4, 2]) | {"layers": [0, 2, 4]}, root)
    assert slices.section_layers_of(config, "robustness", "a") == [2, 4]


def test_similarity_is_refused_by_name(root):
    refused(root, r"^similarity.layers contains layer 7, but the deepest", similarity__layers=[7])
    refused(
        root,
        r"^similarity.layers contains none of the analysed layers of model 'a' \(0, 4\); add one",
        similarity__layers=[2],
        layers=[0, 4],
    )
    refused(root, r"^similarity.rank must be at least 1, not 0", similarity__rank=0)
    config = complete(study(similarity__layers=[4, 2]) | {"layers": [0, 2, 4]}, root)
    assert slices.section_layers_of(config, "similarity", "a") == [2, 4]


def test_layers_are_refused_by_model(root):
    refused(root, r"^layers contains layer 9, but model 'a' has layers 0 .*to 4", layers=[0, 9])
    refused(root, r"^models\[0\].layers contains layer 5", models=a_model(layers=[5]))
    refused(root, r"^layers must be all or a list, not 'al' \(did you mean 'all'\?\)", layers="al")
    refused(root, r"^layers must be all or a list, not 3", layers=3)
    refused(root, r"^layers\[1\] must be at least 0, not -1", layers=[0, -1])
    refused(root, r"^layers lists 2 twice", layers=[2, 0, 2])
    refused(
        root,
        r"^models\[0\].layers\[0\] \(model 'a'\) must be the number of a layer or a relative depth",
        models=a_model(layers=[1.5]),
    )
    refused(
        root,
        r"^time.layers\[1\] must be the number of a layer or a relative depth such as 0.75, not 'last'",
        time__layers=[0, "last"],
    )
    refused(root, r"^layers is empty", layers=[])


@pytest.mark.parametrize(
    "layer, instead", [(1.0, "write 1 .*, or 0.999 for the last"), (0.0, "write 0 for"), (3.0, "write 3 for")]
)
@pytest.mark.parametrize("key", ["layers", "time__layers", "models"])
def test_a_layer_that_may_be_meant_in_two_ways_is_refused(root, key, layer, instead):
    value = a_model(layers=[layer]) if key == "models" else [0.5, layer]
    where = {"layers": "layers", "time__layers": "time.layers", "models": r"models\[0\].layers"}[key]
    refused(root, rf"^{where} contains {layer}, which is neither .*; {instead}", **{key: value})


# --- tasks, judges, prompts


def test_tasks_are_refused_by_name(root):
    refused(
        root,
        r"^tasks contains 'word_cout', which is not a task \(did you mean 'word_count'\?\); the tasks are ",
        tasks=["word_cout"],
    )
    refused(root, r"^tasks lists 'topic' twice", tasks=["topic", "word_count", "topic"])
    refused(root, r"^tasks must be a list, not 'topic': write \[topic\]", tasks="topic")


HUB = [{"name": "h", "source": "org/h", "num_layers": 4}]


def test_judges_are_refused_by_task(root):
    wanted = (
        r"^judges.topic must be one of lexicon, formality or a mapping of keys to values, not 'lexcon' \(did"
    )
    refused(root, wanted, judges={"topic": "lexcon"})
    missing = r"^judges.{0} is missing: no rule decides the task {0}; give {1}"
    missing += (
        r"a classifier, \{{kind: transformers, model: …\}} or an encoder, \{{kind: embedding, model: …\}} "
    )
    missing += r"\(docs/judges.md\)$"
    # Those that can judge this task, of this world.
    refused(root, missing.format("topic", "lexicon, "), judges={})
    refused(root, missing.format("topic", ""), judges={}, prompts__world="general", models=HUB)
    register = {"judges": {}, "tasks": ["register"]}
    refused(root, missing.format("register", "lexicon, formality, "), **register)
    free = {"prompts__world": "general", "models": HUB}
    refused(root, missing.format("register", "formality, "), **register, **free)
    refused(
        root,
        r"^judges.topic must be .*, not 'transformers': write \{kind: transformers, model: …\}, with a Hub",
        judges={"topic": "transformers"},
    )
    refused(root, r"^judges.word_count: a rule decides the task", judges__word_count="lexicon")
    refused(
        root,
        r"^judges contains 'topics', which is not a task \(did you mean 'topic'",
        judges__topics="lexicon",
    )


def test_lexicon_judges_are_never_offered_for_free_text(root):
    refusal = r"^judges.topic: lexicon judges cannot judge free text"
    toy = json.loads((ROOT / "workflow/skillprobe/tasks/worlds/toy.json").read_text())
    (root / "free.json").write_text(json.dumps(toy | {"controlled": False}))
    refused(root, refusal + r", which the world 'free.json' asks for", prompts__world="free.json")
    complete(study(prompts__world="free.json", tasks=["json_format"]), root)


def test_a_world_with_a_language_of_its_own_is_refused_to_models_that_do_not_speak_it(root, monkeypatch):
    """Whether or not a judge needs it, and without looking at more of a model than its config.json."""
    refusal = r"^prompts.world is 'toy', a small language of its own, which models\[1\] \(model '{}'\) is "
    refusal += r"not known to speak \({}\); set prompts.world to general, or to a JSON file of your own$"
    make_folder(root / "models/b", world=None)
    two = [*a_model(), {"name": "b", "source": "models/b"}]
    hub = [*a_model(), {"name": "h", "source": "org/h", "num_layers": 4}]
    for tasks in (["topic"], ["json_format"]):
        refused(
            root,
            refusal.format("b", 'its config.json lacks "skillprobe_world": "toy"'),
            models=two,
            tasks=tasks,
        )
        refused(root, refusal.format("h", "it isn't on this machine"), models=hub, tasks=tasks)
    # Of a Hub model, what is in the cache says it, whatever its branches are at now.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root / "hub"))
    make_folder(root / "hub/models--org--h/snapshots" / ("f" * 40), world=None)
    refused(root, refusal.format("h", 'its config.json lacks "skillprobe_world": "toy"'), models=hub)
    make_folder(root / "hub/models--org--h/snapshots" / ("0" * 40))
    complete(study(models=hub), root)
    complete(study(models=two + hub[1:], prompts__world="general", tasks=["json_format"]), root)
    # A world of one's own, as controlled, is another language; of free text it is for all.
    toy = json.loads(find_world("toy").read_text())
    (root / "other.json").write_text(json.dumps(toy | {"name": "other"}))
    refused(
        root,
        r"^prompts.world is 'other.json', .*lacks \"skillprobe_world\": \"other\"",
        prompts__world="other.json",
    )
    make_folder(root / "models/o", world="other")
    complete(study(models=a_model(source="models/o"), prompts__world="other.json"), root)
    (root / "free.json").write_text(json.dumps(toy | {"controlled": False}))
    complete(study(models=two, prompts__world="free.json", tasks=["json_format"]), root)


def test_vllm_is_refused_what_it_cannot_do(root):
    assert complete(study(generation__engine="vllm"), root)["generation"]["engine"] == "vllm"
    refused(
        root,
        r"^generation.temperature is 3, but generation.engine is vllm, which takes 0.01 to 2; change",
        generation={"engine": "vllm", "temperature": 3},
    )
    complete(study(generation__temperature=3), root)
    refused(
        root,
        r"^models\[0\].temperature is 3, but generation.engine is vllm, which takes 0.01 to 2; change",
        generation__engine="vllm",
        models=a_model(temperature=3),
    )
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
    with pytest.raises(UserError, match="^generation.engine is vllm, which isn't installed; install it in"):
        checks.check_installed(asked)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "vllm" else None)
    checks.check_installed(asked)


def test_the_python_that_is_to_have_vllm_is_looked_at(root, tmp_path, monkeypatch):
    def check(python):
        config = complete(study(generation={"engine": "vllm", "vllm_python": str(python)}), root)
        checks.check_installed(config)

    with pytest.raises(UserError, match="^generation.vllm_python is '.*none', which is no Python that runs"):
        check(tmp_path / "none")
    (tmp_path / "false").symlink_to(shutil.which("false"))
    with pytest.raises(UserError, match="^generation.vllm_python is '.*false', which is no Python that runs"):
        check(tmp_path / "false")
    if importlib.util.find_spec("vllm") is None:
        with pytest.raises(UserError, match="but vLLM isn't installed there; install it .*-m pip install"):
            check(sys.executable)
    (tmp_path / "vllm.py").write_text("1 / 0")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    # There, and not imported.
    check(sys.executable)


def test_prompts_are_refused_by_key(root):
    refused(root, r"^prompts.world: no world 'tye'", prompts__world="tye")
    refused(root, r"^prompts.world: no world '.*missing.json'", prompts__world="missing.json")
    refused(root, r"^prompts.bases is 9999, but the world 'toy' has \d+ \(", prompts__bases=9999)
    for bases in (0, -5):
        refused(root, rf"^prompts.bases must be at least 1, not {bases}$", prompts__bases=bases)
    refused(root, r"^generation.block must be at least 1, not 0$", generation__block=0)
    refused(root, r"^claims.looks must be at least 1, not 0$", claims__looks=0)
    refused(root, r"^claims.looks must be a whole number, not 1.5$", claims__looks=1.5)
    refused(
        root, r"^prompts.instruction_types\[0\] must be one of human", prompts__instruction_types=["humn"]
    )
    refused(
        root,
        r"^task 'word_count' has no phrasing of instruction types \['plm'\] and polarities \['negated'\]",
        prompts__instruction_types=["plm"],
        prompts__polarities=["negated"],
    )


def test_a_key_of_an_older_version_is_refused_with_todays(root):
    today = r"^generation.shards is now generation.block, the number of content requests per job \(not "
    refused(
        root,
        today + r".*; for shards: 4 and prompts.bases: 90, write block: 23$",
        generation__shards=4,
        prompts__bases=90,
    )
    for wrong in (0, "four", None):
        refused(root, today + r"the number of jobs\)$", generation__shards=wrong)
    refused(root, r"^unknown key 'shards' in prompts", prompts__shards=4)
    refused(root, r"^generation must be a mapping", generation=4)


# --- positions, probes, the rest


def test_positions_are_refused_by_name(root):
    refused(root, r"^activations.positions: .*promt_50", activations__positions=["promt_50", "eos"])
    refused(
        root, r"^probes.position is 'eos', which is not stored; .*\(onset\)", activations__positions=["onset"]
    )


def test_folds_need_groups(root):
    refused(root, r"^probes.feature_scaling needs calibration groups", probes__calibration_fraction=0)
    complete(study(probes__calibration_fraction=0, probes__feature_scaling=False), root)
    refused(root, r"^probes.folds is 5, but only 3 of the study's 4 subjects", prompts__bases=4)


def test_more_requests_than_subjects_are_warned_of_and_go_on(root):
    subjects = len(load_world("toy").subjects)
    config = complete(study(prompts__bases=subjects), root)
    assert sources.groups(config, root) == subjects and checks.groups_warning(config, subjects) is None
    config = complete(study(prompts__bases=subjects + 1), root)
    assert sources.groups(config, root) == subjects
    warning = checks.groups_warning(config, subjects)
    assert re.search(rf"has only {subjects} subjects: .* count as one group", warning)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "./nowhere"}, "judges.toxicity.model: there is no folder './nowhere'"),
        ({"model": "x", "treshold": 1}, "unknown key 'treshold'.*did you mean 'threshold'"),
        ({}, "judges.toxicity lacks the key 'model'"),
        ({"model": "x", "threshold": 2}, "judges.toxicity.threshold must be at most 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        complete(shipped("toxicity", settings), ".")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"chat_template_kwargs": {"enable_thinkng": False}},
            "sets 'enable_thinkng', which the chat template of",
        ),
        ({"chat_template_kwargs": {"message": False}}, "sets 'message', which the chat template of"),
        (
            {"chat_template_kwargs": {"messages": "x"}},
            "sets 'messages', which no chat template has as a variable",
        ),
        ({"chat_template_kwargs": {"a b": 1}}, "sets 'a b', which no chat template has as a variable"),
        (
            {"chat_template_kwargs": {"enable_thinking": [1]}},
            r"chat_template_kwargs.enable_thinking .*must be",
        ),
        (
            {"chat_template_kwargs": {"enable_thinking": True}, "prompt_format": "{prompt}"},
            "is for a chat template, but prompt_format replaces it",
        ),
    ],
)
def test_variables_of_a_chat_template(root, changes, match):
    make_folder(root / "models/b", template="{{ enable_thinking }}{{ messages }}{{ budget }}")
    models = [{"name": "b", "source": "models/b"}]
    refused(root, match, models=[models[0] | changes])
    good = {"enable_thinking": False, "budget": 512}
    (entry,) = complete(study(models=[models[0] | {"chat_template_kwargs": good}]), root)["models"]
    assert entry["chat_template_kwargs"] == good and isinstance(entry["chat_template_kwargs"]["budget"], int)
    assert complete(study(models=models), root)["models"][0]["chat_template_kwargs"] == {}


def test_the_judge_of_formality_is_for_register(root):
    make_folder(root / "models/free", world=None)
    models = [{"name": "free", "source": "models/free"}]
    free = {"models": models, "tasks": ["word_count", "register"], "prompts__world": "general"}
    config = complete(study(**free, judges={"register": "formality"}), root)
    assert config["judges"] == {"register": "formality"}
    free["tasks"] = ["topic"]
    refused(root, "^judges.topic: the judge 'formality' is for .*", **free, judges={"topic": "formality"})
    refused(root, "^judges.topic .*mean 'formality'", **free, judges={"topic": "formalty"})


ENCODER = {"kind": "embedding", "model": "pypi:tiny==1.0#tiny/model", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("task", "changes", "match"),
    [
        ("topic", {"sha256": None}, "sha256 is missing: a judge of a package needs that of the wheel"),
        ("topic", {"model": "org/name"}, "sha256 is for judges of packages, and 'org/name' is none; remove"),
        ("topic", {"sha256": "abc"}, "sha256 can't be 'abc': a SHA-256 has 64 hexadecimal digits"),
        (
            "topic",
            {"model": "pypi:tiny#model"},
            "model: the model 'pypi:tiny#model' names no folder of a pack",
        ),
        ("topic", {"hypothesis": "About."}, "hypothesis is 'About.'; it must have one {}"),
        ("topic", {"threshold": 0.5}, "threshold is for labelled"),
        ("topic", {"margin": 2}, "margin must be at most 1, not 2"),
        ("topic", {"labelled": "none.csv"}, "labelled: there is no file .*none.csv; correct the path"),
        ("topic", {"method": "zero-shot"}, "unknown key 'method' in judges.topic"),
        (
            "topic",
            {"kind": "embeding"},
            "kind must be one of transformers, embedding or formality, not 'embed",
        ),
        ("toxicity", {}, "the task toxicity has one label, toxicity"),
        ("topic", {"kind": "formality"}, "unknown key 'model' in judges.topic"),
    ],
)
def test_a_judge_that_is_an_encoder_is_checked_before_any_job(root, task, changes, match):
    free = {"prompts__world": "general", "models": HUB}
    refused(root, match, tasks=[task], judges={task: ENCODER | changes}, **free)
    complete(study(**free, tasks=["topic"], judges={"topic": ENCODER}), root)


def test_a_rule_may_have_a_margin(root):
    free = {"prompts__world": "general", "models": HUB, "tasks": ["register"]}
    given = {"kind": "formality", "margin": 0.2}
    assert complete(study(**free, judges={"register": given}), root)["judges"] == {"register": given}
