"""Models and judges are fetched once, and what can't be had is said in one sentence."""

import json
import shutil

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import errors
from huggingface_hub.utils import filter_repo_objects
from made.gguf import make_model, write_model
from made.hub import COMMIT, JUDGE
from made.items import WORLD
from safetensors.numpy import save_file
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels.encoders import check_judge
from skillprobe.models import hub
from skillprobe.storage import files
from skillprobe.storage.fingerprint import file_sha256
from skillprobe.study.job import fetched

ENTRY = {"name": "tiny", "source": "org/tiny", "revision": None, "num_layers": 3}


# As Mistral's repositories have them, and Meta's, and others.
REPOSITORY = ["config.json", "tokenizer.json", "tokenizer.model", "additional_chat_templates/rag.jinja"]
REPOSITORY += ["model.safetensors", "consolidated.safetensors", "consolidated.safetensors.index.json"]
REPOSITORY += ["original/model.safetensors", "original/params.json", "onnx/weights.safetensors", "a.bin"]


def weights_among(options):
    """Which weights of the repository the hub would send."""
    patterns = {name: options[name] for name in ("allow_patterns", "ignore_patterns")}
    sent = list(filter_repo_objects(REPOSITORY, **patterns))
    assert not any(name.startswith(("original", "consolidated", "onnx")) for name in sent)
    return [name for name in sent if "safetensors" in name]


@pytest.fixture
def snapshot(model_folders, tmp_path, monkeypatch):
    folder = shutil.copytree(model_folders["llama"], tmp_path / "snapshots" / COMMIT)
    asked = []

    def download(source, **options):
        assert not any("bin" in pattern for pattern in options["allow_patterns"])
        asked.append((source, options["revision"], *weights_among(options)))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return folder, asked


def test_the_commit_is_what_is_loaded(snapshot, tmp_path):
    found = hub.fetch_model(ENTRY)
    # Of the fixture's folder.
    own = {"temperature": 0.3, "top_p": 0.5}
    assert found == {"source": "org/tiny", "revision": COMMIT, "sampling": own}
    # First what describes it, then the weights of just that.
    assert snapshot[1] == [("org/tiny", "main"), ("org/tiny", COMMIT, "model.safetensors")]
    hub.fetch_model(ENTRY | {"revision": "v1"})
    assert snapshot[1][2:] == [("org/tiny", "v1"), ("org/tiny", COMMIT, "model.safetensors")]
    files.write_json(tmp_path / "tiny.json", found)
    assert fetched([tmp_path / "tiny.json"]) == {"revision": COMMIT, "offline": True}
    assert fetched([]) == {}


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A GGUF file in a folder of a snapshot, as if downloaded."""
    path = tmp_path / "snapshots" / COMMIT / "sub/m.gguf"
    path.parent.mkdir(parents=True)
    write_model(path, "llama", make_model("llama"))
    asked = []

    def download(repository, name, revision):
        asked.append((repository, name, revision))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return path, asked


FILE = {"name": "tiny", "source": "org/tiny/sub/m.gguf", "revision": None, "num_layers": 2, "sha256": None}


def test_a_gguf_file_is_fetched_alone_with_its_commit_and_hash(file):
    path, asked = file
    sha256 = file_sha256(path)
    for entry in (FILE, FILE | {"sha256": sha256, "revision": "v1"}):
        found = {"source": FILE["source"], "revision": COMMIT, "sha256": sha256, "sampling": {}}
        assert hub.fetch_model(entry) == found
    assert asked == [("org/tiny", "sub/m.gguf", "main"), ("org/tiny", "sub/m.gguf", "v1")]
    with pytest.raises(UserError, match=f"model 'tiny': .*has the sha256 {sha256}, and not 00"):
        hub.fetch_model(FILE | {"sha256": "0" * 64})
    with pytest.raises(UserError, match="model 'tiny': num_layers is 9, but .* says 2"):
        hub.fetch_model(FILE | {"num_layers": 9})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="model 'tiny': .*m.gguf is cut short"):
        hub.fetch_model(FILE)


def test_sources_that_name_a_file_of_the_hub():
    assert hub.hub_file("org/tiny/m.gguf") == hub.HubFile("org/tiny", "m.gguf")
    assert hub.hub_file("org/tiny/sub/M.GGUF") == hub.HubFile("org/tiny", "sub/M.GGUF")
    for other in (
        "org/m.gguf",
        "m.gguf",
        "org/tiny",
        "/org/tiny/m.gguf",
        "./a/m.gguf",
        "~/a/m.gguf",
        "a//m.gguf",
    ):
        assert hub.hub_file(other) is None


def fetch_judge(task, judge):
    labels = tasks.get(task).labels_in(WORLD)
    return hub.fetch_judge(task, judge, lambda folder: check_judge(task, judge, folder, labels))


@pytest.fixture
def classifier(tmp_path, monkeypatch):
    """The files that decide whether a judge can be used, as if downloaded."""
    folder = tmp_path / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "rude", "1": "kind"}}))
    save_file({"weight": np.zeros(2, np.float32)}, folder / "model.safetensors")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    return folder


def test_a_judge_is_fetched_and_its_labels_are_checked(classifier):
    assert fetch_judge("toxicity", JUDGE) == {"source": "org/tiny", "revision": COMMIT}
    with pytest.raises(UserError, match="judges.toxicity.labels: no label of 'org/tiny' .* is mapped to"):
        fetch_judge("toxicity", JUDGE | {"labels": {}})
    with pytest.raises(UserError, match="judges.topic: zero-shot judging needs"):
        fetch_judge("topic", JUDGE | {"method": "zero-shot"})
    (classifier / "config.json").unlink()
    with pytest.raises(UserError, match="judges.toxicity: .*no config.json"):
        fetch_judge("toxicity", JUDGE)
    (classifier / "model.safetensors").unlink()
    with pytest.raises(
        UserError, match=r"judges.toxicity: 'org/tiny' has no \*.safetensors file at .* 'main'"
    ):
        fetch_judge("toxicity", JUDGE)


def test_files_that_cannot_be_used_are_refused_at_once(snapshot):
    folder = snapshot[0]
    with pytest.raises(UserError, match="model 'tiny': num_layers is 7, but .* says 3"):
        hub.fetch_model(ENTRY | {"num_layers": 7})
    template = folder / "chat_template.jinja"
    kept = template.read_text()
    template.unlink()
    with pytest.raises(UserError, match="model 'tiny': .*no chat template.*prompt_format"):
        hub.fetch_model(ENTRY)
    hub.fetch_model(ENTRY | {"prompt_format": "{prompt}"})
    template.write_text(kept)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"has no \*.safetensors"):
        hub.fetch_model(ENTRY)


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
        (errors.RepositoryNotFoundError, "the Hub has no model 'org/tiny', or it is private"),
        (errors.RevisionNotFoundError, "'org/tiny' has no revision 'main'"),
        (
            errors.HfHubHTTPError,
            "can't be downloaded .HfHubHTTPError.; run this rule on a machine with network access",
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

    for name in ("snapshot_download", "hf_hub_download"):
        monkeypatch.setattr(huggingface_hub, name, download)
    for entry in (ENTRY, FILE):
        with pytest.raises(UserError, match=f"model 'tiny': .*{sentence}") as caught:
            hub.fetch_model(entry)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=f"judges.toxicity: .*{sentence}"):
        fetch_judge("toxicity", JUDGE)


def test_a_file_that_the_hub_has_not_is_one_sentence(monkeypatch):
    def download(*_, **__):
        raise errors.RemoteEntryNotFoundError("no", response=Answer())

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(
        UserError, match="model 'tiny': 'org/tiny' has no file 'sub/m.gguf' at revision 'main'"
    ):
        hub.fetch_model(FILE)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"num_hidden_layers": 7}, "num_layers is 3, but .* says 7"),
        ({"model_type": "clip"}, "it is of type 'clip', which is no language model that this version"),
        ({"architectures": ["BertForMaskedLM"]}, "holds a BertForMaskedLM, which is not a decoder-only"),
    ],
)
def test_what_is_no_language_model_is_refused_before_its_weights_are_downloaded(snapshot, change, sentence):
    path = snapshot[0] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=f"^model 'tiny': .*{sentence}"):
        hub.fetch_model(ENTRY)
    assert snapshot[1] == [("org/tiny", "main")]


def test_an_adapter_is_refused_before_anything_large_is_downloaded(snapshot):
    folder, asked = snapshot
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    with pytest.raises(
        UserError, match="^model 'tiny': .* holds an adapter .*; merge it into org/base first"
    ):
        hub.fetch_model(ENTRY)
    assert asked == [("org/tiny", "main")]


def test_weights_are_those_of_the_index(snapshot):
    folder, asked = snapshot
    (folder / "model.safetensors").rename(folder / "model-1-of-1.safetensors")
    index = {"weight_map": {"a": "model-1-of-1.safetensors", "b": "model-1-of-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    REPOSITORY.append("model-1-of-1.safetensors")
    try:
        hub.fetch_model(ENTRY)
    finally:
        REPOSITORY.pop()
    assert asked[1] == ("org/tiny", COMMIT, "model-1-of-1.safetensors")
