"""Model folders as far as planning looks into them."""

import json

import pytest
from made.configs import refused, study
from skillprobe.errors import UserError
from skillprobe.models import folders
from skillprobe.models.loading import load
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


@pytest.mark.parametrize("config", [True, False])
def test_adapters_are_named_as_such(root, config):
    """With the config of what they are of beside them, as some are, or without."""
    folder = root / "models/a"
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    if not config:
        (folder / "config.json").unlink()
    sentence = r"holds an adapter \(adapter_config.json\) and no model; merge it into org/base first"
    refused(root, r"^models\[0\] \(model 'a'\): .*" + sentence)
    with pytest.raises(UserError, match=f"^model 'm': .*{sentence}"):
        load({"name": "m", "source": str(folder)})


def test_a_merged_model_may_keep_what_was_merged(root):
    (root / "models/a/adapter_config.json").write_text("{}")
    complete(study(), root)


def test_weights_in_another_format_alone_are_named(root):
    (root / "models/a/model.safetensors").rename(root / "models/a/consolidated.safetensors")
    refused(root, "has weights in Mistral's own format only .*give the model in Hugging Face's format")


@pytest.mark.parametrize("package", ["sentencepiece", "protobuf"])
def test_tokenizers_that_need_a_package_say_so(root, monkeypatch, package):
    folder, module = root / "models/a", {"protobuf": "google.protobuf"}.get(package, package)
    monkeypatch.setattr(folders, "_is_installed", lambda name: name != module)
    complete(study(), root)
    (folder / "tokenizer.model").write_bytes(b"")
    sentence = f"is a SentencePiece model, which needs the package {package}; install it"
    refused(root, r"^models\[0\] \(model 'a'\): .*" + sentence)
    with pytest.raises(UserError, match=f"^model 'm': .*{sentence}"):
        load({"name": "m", "source": str(folder)})
    # Beside this one it is for other programs.
    (folder / "tokenizer.json").write_text("{}")
    complete(study(), root)


def test_packages_are_looked_for():
    assert folders._is_installed("json") and folders._is_installed("torch.nn")
    assert not folders._is_installed("no_such_package") and not folders._is_installed("no_such.package")
