"""A response that can't fit into a model's context window is refused before any job, where its files tell."""

import json
import subprocess
import sys

import pytest
from made.configs import ROOT, a_model, make_folder, study
from made.gguf import make_model, write_model
from made.models import edited
from skillprobe.errors import UserError
from skillprobe.models import folders
from skillprobe.study import plan
from skillprobe.study.config import complete
from skillprobe.study.windows import check_windows

FREE = {"tasks": ["word_count"], "judges": {}, "prompts__world": "general", "layers": [1]}


def config_of(root, source, longest=None, **changes):
    return complete(study(models=a_model(source=str(source), max_new_tokens=longest), **FREE | changes), root)


def refusal(config, root):
    """What is said, or "" where it fits."""
    try:
        check_windows(config, root)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "qwen2"])
def test_the_longest_response_that_fits_is_that_of_the_job(root, model_folders, architecture):
    """As many tokens as the job that loads the model would say, which has the prompts."""
    from skillprobe.models.generation import generate
    from skillprobe.models.loading import load
    from skillprobe.study.windows import _prompts

    folder = model_folders[architecture]
    config = config_of(root, folder, 250)
    said = refusal(config, root)
    assert said.startswith(
        "models[0].max_new_tokens is 250, but model 'a' has a context window of 256 tokens, and a"
    )
    most = int(said.rpartition("at most ")[2])
    assert refusal(config_of(root, folder, most + 1), root) and not refusal(
        config_of(root, folder, most), root
    )

    loaded, prompts = load({"name": "a", "source": str(folder)}), _prompts(config, root)
    assert len(prompts) > 100
    settings = {"max_new_tokens": most + 1, "batch_size": 512, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
    with pytest.raises(UserError, match=rf"but a prompt takes {256 - most} and .*to at most {most}$"):
        generate(loaded, prompts, list(range(len(prompts))), settings)


def test_the_key_is_named_where_it_stands(root, model_folders):
    shared = config_of(root, model_folders["llama"], generation__max_new_tokens=300)
    said = refusal(shared, root)
    assert said.startswith(
        "generation.max_new_tokens is 300, but model 'a' has a context window of 256 tokens"
    )
    assert f"the run would stop: {said}" in plan.describe(shared, root)
    # The default is refused as well: 256 for free text.
    assert refusal(config_of(root, model_folders["llama"]), root).startswith(
        "generation.max_new_tokens is 256"
    )


def test_a_window_that_no_prompt_fits_into(root, model_folders, tmp_path):
    tiny = edited(model_folders["llama"], tmp_path, "config.json", max_position_embeddings=3)
    assert refusal(config_of(root, tiny, 1), root).endswith("choose another model")


def test_where_nothing_tells_there_is_nothing_to_refuse(root):
    # The folder of made.configs states no window; a hub model is not there.
    assert folders.window(root / "models/a") is None
    check_windows(complete(study(), root), root)
    hub = [{"name": "h", "source": "org/h", "num_layers": 4, "max_new_tokens": 10**6}]
    check_windows(complete(study(models=hub, **FREE), root), root)


@pytest.mark.parametrize("key", ["max_position_embeddings", "n_positions"])
def test_other_spellings_of_the_window(tmp_path, key):
    folder = make_folder(tmp_path / "a")
    for settings in ({"num_hidden_layers": 1, key: 77}, {"text_config": {"num_hidden_layers": 1, key: 77}}):
        (folder / "config.json").write_text(json.dumps(settings))
        assert folders.window(folder) == 77


def test_of_a_gguf_file_the_longest_response_is_compared(root):
    path = root / "models/m.gguf"
    write_model(path, "llama", make_model("llama"))
    window = make_model("llama").config.max_position_embeddings
    check_windows(config_of(root, "models/m.gguf", window - 1), root)
    assert refusal(config_of(root, "models/m.gguf", window), root).startswith(
        f"models[0].max_new_tokens is {window}, but model 'a' has a context window of {window} tokens, and a"
    )


def test_a_study_that_surely_fits_loads_no_tokenizer():
    """As the default one does: its models are studied at every start of Snakemake."""
    code = (
        "import sys; from skillprobe.study.config import complete; from skillprobe.study.reading import *;"
        "from skillprobe.study.windows import check_windows;"
        "check_windows(complete(read_config('config.yaml').values, '.'), '.');"
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
