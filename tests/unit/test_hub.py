"""Hub models are fetched once, and what can't be had is said in one sentence."""

import shutil

import huggingface_hub
import pytest
from huggingface_hub import errors
from skillprobe import hub, store
from skillprobe.errors import UserError
from skillprobe.models import chat_ids, load

ENTRY = {"name": "tiny", "source": "org/tiny", "revision": None, "num_layers": 3}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def snapshot(model_folders, tmp_path, monkeypatch):
    folder = shutil.copytree(model_folders["llama"], tmp_path / "snapshots" / COMMIT)
    asked = []

    def download(source, **options):
        asked.append((source, options["revision"]))
        assert not any("bin" in pattern for pattern in options["allow_patterns"])
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return folder, asked


def test_the_commit_is_what_is_loaded(snapshot, tmp_path):
    found = hub.fetch(ENTRY)
    assert found == {"source": "org/tiny", "revision": COMMIT} and snapshot[1] == [("org/tiny", "main")]
    hub.fetch(ENTRY | {"revision": "v1"})
    assert snapshot[1][1] == ("org/tiny", "v1")
    store.write_json(tmp_path / "tiny.json", found)
    assert hub.fetched([tmp_path / "tiny.json"]) == {"revision": COMMIT, "offline": True}
    assert hub.fetched([]) == {}


def test_files_that_cannot_be_used_are_refused_at_once(snapshot):
    folder = snapshot[0]
    with pytest.raises(UserError, match="model 'tiny': num_layers is 7, but .* says 3"):
        hub.fetch(ENTRY | {"num_layers": 7})
    template = folder / "chat_template.jinja"
    kept = template.read_text()
    template.unlink()
    with pytest.raises(UserError, match="model 'tiny': .*no chat template.*prompt_format"):
        hub.fetch(ENTRY)
    hub.fetch(ENTRY | {"prompt_format": "{prompt}"})
    template.write_text(kept)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"has no \*.safetensors"):
        hub.fetch(ENTRY)


class Answer:
    """What an HTTP client gives."""

    headers: dict = {}
    status_code = 403
    request = None
    text = ""

    def json(self):
        return {}


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (errors.GatedRepoError, "is gated; accept its terms at https://huggingface.co/org/tiny and log in"),
        (errors.RepositoryNotFoundError, "the hub has no model 'org/tiny', or it is private"),
        (errors.RevisionNotFoundError, "'org/tiny' has no revision 'main'"),
        (
            errors.HfHubHTTPError,
            "can't be downloaded .HfHubHTTPError.; run this rule where there is a network",
        ),
        (errors.LocalEntryNotFoundError, "isn't on this machine and can't be downloaded"),
        (OSError, "can't be downloaded .OSError."),
    ],
)
def test_what_cannot_be_had_is_one_sentence(monkeypatch, kind, sentence):
    def download(*_, **__):
        if issubclass(kind, errors.HfHubHTTPError) and kind is not errors.LocalEntryNotFoundError:
            raise kind("no", response=Answer())
        raise kind("no")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(UserError, match=f"model 'tiny': .*{sentence}") as caught:
        hub.fetch(ENTRY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_base_models_have_a_plain_prompt_format(model_folders, tmp_path, architecture):
    folder = shutil.copytree(model_folders[architecture], tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    entry = {"name": "base", "source": str(folder), "dtype": "float32"}
    with pytest.raises(UserError, match="no chat template.*prompt_format"):
        load(entry)
    loaded = load(entry | {"prompt_format": 'text {prompt} "it\'s"\n'})
    words = loaded.tokenizer('text write a short "it\'s"', add_special_tokens=False)["input_ids"]
    assert chat_ids(loaded.tokenizer, "write a short") == words
    # In the place of a template that there is.
    chat = load(entry | {"source": str(model_folders[architecture]), "prompt_format": "{prompt}"})
    plain = chat.tokenizer("write", add_special_tokens=False)["input_ids"]
    assert chat_ids(chat.tokenizer, "write") == plain
