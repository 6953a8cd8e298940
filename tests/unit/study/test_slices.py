"""Equal configs have equal slices, and layers are those of the model."""

import json
from collections import OrderedDict

import pytest
from made.configs import a_model, make_folder, study
from skillprobe.errors import UserError
from skillprobe.study import slices
from skillprobe.study.config import complete
from skillprobe.study.slices import canonical, layers_of, model_entry

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


@pytest.mark.parametrize(
    "depth, blocks, layer",
    [
        # The default study's, of the toy models.
        *((0.75, 4, 3), (0.9, 4, 4), (0.5, 4, 2)),
        *((0.75, 32, 24), (0.9, 32, 29), (0.5, 30, 15), (0.75, 30, 23), (0.9, 26, 23), (0.25, 26, 7)),
        # As it is written, and halves to the deeper layer.
        *((0.35, 10, 4), (0.15, 10, 2), (0.45, 10, 5), (0.29, 50, 15)),
        # The last block, and never the embeddings.
        *((0.999, 80, 80), (0.01, 4, 1), (0.001, 126, 1)),
    ],
)
def test_a_relative_depth_is_the_nearest_block(root, depth, blocks, layer):
    assert slices.layer_at(depth, blocks, range(blocks + 1)) == layer
    make_folder(root / "models/deep", layers=blocks)
    models = [{"name": "deep", "source": "models/deep"}]
    config = complete(study(models=models, layers=[depth], time__layers="all"), root)
    assert layers_of(config, "deep") == [layer]
    # From all layers a section takes the same.
    config = complete(study(models=models, time__layers=[depth]), root)
    assert slices.section_layers_of(config, "time", "deep") == [layer]


def test_relative_depths_are_of_each_model_and_equal_ones_are_one(root):
    make_folder(root / "models/b", layers=30)
    models = [*a_model(), {"name": "b", "source": "models/b"}]
    config = complete(study(models=models, layers=[0.5, 0.45, 0, 2, 0.9]), root)
    assert layers_of(config, "a") == [0, 2, 4] and layers_of(config, "b") == [0, 2, 14, 15, 27]
    own = [models[0] | {"layers": [0.25, 1]}, models[1] | {"layers": [0.1]}]
    config = complete(study(models=own), root)
    assert layers_of(config, "a") == [1] and layers_of(config, "b") == [3]


def test_a_section_takes_the_analysed_layer_that_is_nearest(root):
    make_folder(root / "models/b", layers=30)
    models = [*a_model(), {"name": "b", "source": "models/b", "layers": [0, 10, 20, 30]}]
    sections = {
        f"{name}__layers": [0.5, 0.6, 0.9] for name in ("ablation", "time", "robustness", "similarity")
    }
    config = complete(study(models=models, layers=[0, 4], behaviour__layers=[0.25], **sections), root)
    for section in ("ablation", "time", "robustness", "similarity"):
        # Of 10 and 20 the deeper; 18 is nearest to 20; and the embeddings are at no depth.
        assert slices.section_layers_of(config, section, "b") == [20, 30]
        assert slices.section_layers_of(config, section, "a") == [4]
    assert slices.edited_layers_of(config, "b") == [20]
    # Where nothing else is analysed, they are.
    config = complete(study(layers=[0], **sections), root)
    assert slices.section_layers_of(config, "time", "a") == [0]


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


# --- blocks


def test_a_study_that_grows_keeps_its_full_blocks(root):
    def blocks(bases, block):
        return slices.blocks(complete(study(prompts__bases=bases, generation__block=block), root))

    assert blocks(90, 90) == [[0, 90]]
    assert blocks(180, 90) == [[0, 90], [90, 180]]
    # A last one that was short is made again, and none before it.
    assert blocks(90, 60) == [[0, 60], [60, 90]] and blocks(100, 60) == [[0, 60], [60, 100]]
    # A block that is larger than the study is the study.
    assert blocks(60, 61) == blocks(60, 1000) == [[0, 60]]


# --- prompts of one task, and of the pilot


def test_a_task_depends_on_the_lists_that_its_params_come_from(root):
    lists = {"word_targets": [7], "character_targets": [70], "terms": ["tea"]}
    config = complete(study(**{f"prompts__{key}": value for key, value in lists.items()}), root)
    for task, read in (
        ("word_count", "word_targets"),
        ("character_count", "character_targets"),
        ("term_inclusion", "terms"),
        ("term_exclusion", "terms"),
        ("json_format", None),
        ("sentiment", None),
        ("toxicity", None),
    ):
        prompts = slices.prompts_of(config, task)
        assert prompts.keys() == config["prompts"].keys() - {"bases", "file"}
        assert {key for key in lists if prompts[key] is not None} == {read} - {None}, task


def test_the_pilot_has_sizes_of_its_own(root):
    config = complete(study(pilot__prompts=20, prompts__items_per_base=3, generation__samples=9), root)
    prompts = slices.pilot_prompts(config, "topic", {"subjects": 132, "requests": 4})
    assert (prompts["bases"], prompts["items_per_base"]) == (20, 1)
    # A world with fewer content requests is asked for all of them.
    assert slices.pilot_prompts(config, "topic", {"subjects": 5, "requests": 2})["bases"] == 10
    assert slices.pilot_samples(config) == {"samples": 4, "twin_samples": 1}
