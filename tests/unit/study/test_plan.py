"""What a study says of files that it doesn't use. (test_smoke.py holds the jobs against Snakemake's.)"""

import json

import pytest
from made.configs import a_model, refused, study
from skillprobe.storage import files
from skillprobe.study import plan, slices
from skillprobe.study.config import complete


def grown(root, bases, block, tasks=("word_count", "topic")):
    """A config, and the prompts of its blocks on disk."""
    config = complete(study(prompts__bases=bases, generation__block=block), root)
    for task in tasks:
        for number, (first, stop) in enumerate(slices.blocks(config)):
            rows = [{"base": f"b{base:03d}"} for base in range(first, stop)]
            files.write_jsonl(root / f"results/small/prompts/{task}/{number}.jsonl", rows)
    return config


def test_each_block_is_a_job(root):
    few, many = (complete(study(prompts__bases=bases, generation__block=40), root) for bases in (40, 81))
    one, three = plan.jobs(few, root), plan.jobs(many, root)
    blocked = ("make_prompts", "generate_responses", "label_responses", "extract_activations")
    blocked += ("extract_random_activations", "make_crossings", "extract_crossings")
    assert {rule for rule in one if one[rule] != three[rule]} == set(blocked)
    assert all(three[rule] == 3 * one[rule] for rule in blocked)


@pytest.mark.parametrize("bases, more", [(180, 0), (200, 0), (90, 90), (100, 80), (60, 120)])
def test_fewer_bases_than_there_are_get_one_sentence(root, bases, more):
    assert plan.surplus_warning(grown(root, 90, 90, tasks=()), root) is None
    grown(root, 180, 90)
    said = plan.surplus_warning(grown(root, bases, 90, tasks=()), root)
    if not more:
        assert said is None
    else:
        assert said.startswith(f"prompts.bases is {bases}, but results/small has files of {more} more, which")
        assert "\n" not in said
    # A file that can't be read is named by the job that reads it.
    (root / "results/small/prompts/topic/1.jsonl").write_text("{")
    assert plan.surplus_warning(grown(root, 90, 90, tasks=()), root).startswith("prompts.bases is 90")


def test_planned_bytes_are_of_the_dtype_that_is_stored(root):
    """A model's own by default: of its entry, else of its folder, else the largest."""

    def planned(stored, folder=None, **entry):
        path = root / "models/a/config.json"
        settings = json.loads(path.read_text()) | {"hidden_size": 64}
        settings.pop("dtype", None)
        path.write_text(json.dumps(settings | ({"dtype": folder} if folder else {})))
        models = a_model(**entry)
        config = complete(study(models=models, activations__dtype=stored), root)
        return plan.activation_bytes(config, root)

    full = planned("float32")
    assert planned("bfloat16") == planned("float16") == full / 2
    assert planned("auto", dtype="float32") == full and planned("auto", dtype="bfloat16") == full / 2
    assert planned("auto", folder="float16") == full / 2 and planned("auto", folder="bfloat16") == full / 2
    assert planned("auto") == full  # as its weights are
    hub = {"name": "a", "source": "org/hub-model", "num_layers": 4, "hidden_size": 64}
    judged = {"tasks": ["word_count"], "judges": {}, "prompts__world": "general"}
    config = complete(study(models=[hub], **judged), root)
    other = complete(study(models=[hub | {"dtype": "bfloat16"}], **judged), root)
    assert plan.activation_bytes(config, root) == 2 * plan.activation_bytes(other, root)
    assert "dtype of a not stated: float32 assumed" in plan.describe(config, root)
    assert "not stated: float32" not in plan.describe(other, root)


def test_float16_is_refused_for_a_model_in_bfloat16_before_any_job(root):
    sentence = "activations.dtype is float16, but model 'a' computes in bfloat16.*set it to auto"
    refused(root, sentence, models=a_model(dtype="bfloat16"), activations__dtype="float16")
    path = root / "models/a/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"torch_dtype": "bfloat16"}))
    refused(root, sentence, activations__dtype="float16")
    complete(study(models=a_model(dtype="float32"), activations__dtype="float16"), root)
    complete(study(), root)


def test_the_plan_says_which_layers_relative_depths_come_to(root):
    depths = {
        "ablation__layers": [0.75],
        "time__layers": [0.9],
        "robustness__layers": [1],
        "similarity__layers": [0.5],
    }
    config = complete(study(**depths), root)
    said = plan.describe(config, root)
    assert (
        "model a\n  sampling  temperature 1 (default), top-p 1 (default), top-k 0 (default), at most 64 "
        "tokens (default)\n  layers    analysed 0 to 4; random weights 0, 4; ablation 3; behaviour 3; "
        "robustness 1; similarity 2; time 4 (0: embeddings, 4: last block)\n"
    ) in said
    # What a study leaves out has no layers, and numbers that don't follow each other stand one by one.
    less = {"behaviour__bases": 0, "controls__random_weights": False, "activations__positions": ["eos"]}
    config = complete(study(layers=[0, 1, 2, 4], **less), root)
    every = "0 to 2, 4"
    assert (
        f"  layers    analysed {every}; ablation {every}; robustness {every}; similarity {every} (0: emb"
    ) in plan.describe(config, root)


@pytest.mark.parametrize(
    "layers, said", [([3], "3"), ([3, 4], "3, 4"), ([0, 1, 2], "0 to 2"), ([0, 2, 3, 4, 9], "0, 2 to 4, 9")]
)
def test_layers_in_words(layers, said):
    assert plan._ranges(layers) == said
