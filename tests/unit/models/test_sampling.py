"""A model's own sampling is read as it is written, and nothing impossible is taken from it."""

import json

import pytest
from skillprobe.errors import UserError
from skillprobe.models.sampling import DEFAULTS, of_folder, read_own, with_own
from skillprobe.storage import files


@pytest.mark.parametrize(
    "said, own",
    [
        # As the files of Llama 3.1, Qwen 2.5 and Gemma 3 have it.
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9}, {"temperature": 0.6, "top_p": 0.9}),
        (
            {"do_sample": True, "repetition_penalty": 1.1, "temperature": 0.7, "top_p": 0.8, "top_k": 20},
            {"temperature": 0.7, "top_p": 0.8, "top_k": 20},
        ),
        (
            {"do_sample": True, "top_k": 64, "top_p": 0.95, "eos_token_id": [1, 106]},
            {"top_k": 64, "top_p": 0.95},
        ),
        ({"temperature": 1, "max_new_tokens": 2048}, {"temperature": 1.0}),
        # The likeliest token, which leaves no two responses to a prompt.
        ({"do_sample": False, "temperature": 0.6}, {}),
        ({"temperature": 0, "top_p": 0, "top_k": -1}, {}),
        ({"temperature": "hot", "top_p": None, "top_k": True}, {}),
        ({"temperature": float("nan"), "top_p": float("inf"), "top_k": 2.5}, {}),
        ({}, {}),
        ([], {}),
    ],
)
def test_what_a_model_says_of_its_sampling(tmp_path, said, own):
    (tmp_path / "generation_config.json").write_text(json.dumps(said))
    found = of_folder(tmp_path)
    assert found == own and {key: type(value) for key, value in found.items()} == {
        key: type(DEFAULTS[key]) for key in own
    }


def test_a_model_that_says_nothing_has_the_defaults(tmp_path):
    assert of_folder(tmp_path) == {}
    section = {"temperature": None, "top_p": None, "top_k": None, "samples": 4}
    assert with_own(section, {}) == DEFAULTS | {"samples": 4}
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(
        UserError, match="generation_config.json can't be read as JSON .*; save the model again"
    ):
        of_folder(tmp_path)


def test_what_is_given_stays_and_the_rest_is_the_models_own(tmp_path):
    section = {"temperature": 1.3, "top_p": None, "top_k": None, "samples": 4}
    own = {"temperature": 0.6, "top_p": 0.9}
    assert with_own(section, own) == {"temperature": 1.3, "top_p": 0.9, "top_k": 0, "samples": 4}
    files.write_json(tmp_path / "tiny.json", {"source": "org/tiny", "revision": "f" * 40, "sampling": own})
    assert read_own([tmp_path / "tiny.json"]) == {"tiny": own} and read_own([]) == {}
    # Of an older version, of a model whose name has dots.
    files.write_json(tmp_path / "Qwen2.5-0.5B.json", {"source": "org/q", "revision": "f" * 40})
    assert read_own([tmp_path / "Qwen2.5-0.5B.json"]) == {"Qwen2.5-0.5B": {}}
