"""Model folders as far as planning looks into them."""

import json

import pytest
from made.configs import refused, study
from skillprobe.study.config import complete


def say(folder, **changes):
    """Change a model's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("extra", [{"n_layer": 3}, {"text_config": {"num_hidden_layers": 3}}])
def test_other_spellings_of_the_number_of_layers(root, extra):
    (root / "models/a/config.json").write_text(json.dumps(extra | {"skillprobe_world": "toy"}))
    assert complete(study(), root)["models"][0]["num_layers"] == 3


@pytest.mark.parametrize(
    "break_folder, match",
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json can't be read as JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "must hold one JSON object"),
        (
            lambda folder: (folder / "config.json").write_text("{}"),
            "does not give it; set it to the number of blocks",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), r"has no \*.safetensors file"),
        (
            lambda folder: (folder / "model.safetensors").write_text(
                "version https://git-lfs.github.com/spec"
            ),
            "model.safetensors is not a complete safetensors file .*download it again",
        ),
        (
            lambda folder: cut(folder / "model.safetensors"),
            "model.safetensors is not a complete safetensors file .*download it again",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}})
            ),
            "lacks model-2.safetensors, which model.safetensors.index.json lists",
        ),
        (
            lambda folder: say(folder, is_encoder_decoder=True, architectures=["T5ForConditionalGeneration"]),
            "holds a T5ForConditionalGeneration, which is not a decoder-only language model",
        ),
        (
            lambda folder: say(folder, architectures=["BertForMaskedLM"]),
            "holds a BertForMaskedLM, which is not a decoder-only language model",
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
