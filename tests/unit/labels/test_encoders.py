"""Folders of sentence encoders: how states become a vector, and what is refused before anything is loaded."""

import json

import pytest
from made.encoders import make_encoder
from skillprobe.errors import UserError
from skillprobe.labels.encoders import Encoder, check_judge, check_settings, describe

SETTINGS = {"labelled": None, "hypothesis": None, "threshold": None}


def described(folder):
    return describe("topic", "mine", folder)


@pytest.mark.parametrize(
    ("pooling", "said"),
    [
        ("mean", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}),
        ("cls", {"pooling_mode_cls_token": True}),
        ("max", {"pooling_mode": "max"}),
    ],
)
def test_what_a_folder_says_of_its_encoder(tmp_path, pooling, said):
    folder = make_encoder(tmp_path / "encoder", said)
    assert described(folder) == Encoder(pooling, None, False, "")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 7, "do_lower_case": true}')
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert described(folder) == Encoder(pooling, 7, True, "query: ")
    check_judge("topic", {"kind": "embedding", "model": "mine"}, folder, ["a", "b"])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"modules.json": None}, "'mine' is no sentence encoder: its folder has no modules.json; choose"),
        ({"modules.json": {}}, "modules.json isn't what sentence-transformers writes"),
        ({"modules.json": [{"type": "a.Dense", "path": "2"}]}, "has a part of the kind Dense .modules.json."),
        ({"modules.json": [{"type": "a.Transformer", "path": ""}]}, "must list a Transformer"),
        ({"1_Pooling/config.json": None}, "by nothing that it names; choose"),
        ({"1_Pooling/config.json": {"pooling_mode_lasttoken": True}}, "by lasttoken; choose an encoder"),
        ({"1_Pooling/config.json": {"pooling_mode": "weightedmean"}}, "by weightedmean; choose an encoder"),
        (
            {
                "1_Pooling/config.json": {"pooling_mode": "mean", "include_prompt": False},
                "config_sentence_transformers.json": {"prompts": {"q": "q: "}, "default_prompt_name": "q"},
            },
            "leaves the prompt that it puts before each text out of its pooling .include_prompt.",
        ),
    ],
)
def test_folders_that_are_no_known_encoder_are_refused(tmp_path, changes, match):
    folder = make_encoder(tmp_path / "encoder")
    for name, content in changes.items():
        (folder / name).unlink() if content is None else (folder / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"^judges.topic: .*{match}"):
        check_judge("topic", {"kind": "embedding", "model": "mine"}, folder, ["a", "b"])


def test_pickled_weights_are_refused(tmp_path):
    folder = make_encoder(tmp_path / "encoder")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"^judges.topic: the folder .* has no \*.safetensors file"):
        check_judge("topic", {"kind": "embedding", "model": "mine"}, folder, ["a", "b"])


@pytest.mark.parametrize(
    ("labels", "settings", "match"),
    [
        (["toxicity"], {}, "the task toxicity has one label, toxicity, .*give labelled: file.csv"),
        (["a", "b"], {"threshold": 0.5}, "threshold is for labelled"),
        (["a", "b"], {"hypothesis": "No place."}, "hypothesis is 'No place.'; it must have one {}"),
        (["a", "b"], {"labelled": "a.csv", "hypothesis": "About {}."}, "has labelled and hypothesis"),
    ],
)
def test_settings_that_contradict_each_other(labels, settings, match):
    with pytest.raises(UserError, match=f"^judges.toxicity.*{match}"):
        check_settings("toxicity", SETTINGS | settings, labels)
    check_settings("toxicity", SETTINGS | {"labelled": "a.csv", "threshold": 0.4}, labels)
