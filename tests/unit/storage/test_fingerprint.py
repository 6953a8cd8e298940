"""What a model folder's hash follows."""

import hashlib
import json
import os
import shutil

import pytest
from made.models import edited
from skillprobe.errors import UserError
from skillprobe.storage.fingerprint import file_sha256, folder_hash, gguf_hash, weight_files


def test_folder_hash_follows_content_and_nothing_else(model_folders, tmp_path):
    folder = model_folders["llama"]
    before = folder_hash(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("about")
    assert folder_hash(copy) == before
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert folder_hash(copy) != before
    assert folder_hash(edited(folder, tmp_path, "config.json", rms_norm_eps=0.1)) != before
    with pytest.raises(UserError, match="not a model folder"):
        folder_hash(tmp_path)


def test_folder_hash_of_a_big_file_sees_its_header_ends_and_size(tmp_path, monkeypatch):
    monkeypatch.setattr("skillprobe.storage.fingerprint._WHOLE", 1000)
    monkeypatch.setattr("skillprobe.storage.fingerprint._END", 100)
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    content = bytearray((300).to_bytes(8, "little") + bytes(5000))

    def hash_of(data):
        weights.write_bytes(data)
        return folder_hash(tmp_path)

    plain = hash_of(content)
    assert hash_of(content + b"\0") != plain
    for place, seen in ((250, True), (-1, True), (2000, False)):
        changed = content.copy()
        changed[place] ^= 1
        assert (hash_of(changed) != plain) == seen


def test_the_hash_of_a_gguf_file_sees_its_header_and_parts_of_its_weights(tmp_path, monkeypatch):
    path = tmp_path / "m.gguf"

    def hash_of(data):
        path.write_bytes(data)
        return gguf_hash(path)

    content = bytearray(range(250)) * 20
    small = hash_of(content)
    assert file_sha256(path) == hashlib.sha256(content).hexdigest()
    for place in (0, 2500, -1):
        changed = content.copy()
        changed[place] ^= 1
        assert hash_of(changed) != small
    monkeypatch.setattr("skillprobe.storage.fingerprint._WHOLE", 1000)
    monkeypatch.setattr("skillprobe.storage.fingerprint._END", 50)
    plain = hash_of(content)
    assert hash_of(content + b"\0") != plain
    for place, seen in ((0, True), (799, True), (2049, True), (-1, True), (900, False), (2051, False)):
        changed = content.copy()
        changed[place] ^= 1
        assert (hash_of(changed) != plain) == seen, place
    # A time is no content.
    hash_of(content)
    os.utime(path, (1, 1))
    assert gguf_hash(path) == plain


def test_weights_that_are_not_loaded_are_not_hashed(model_folders, tmp_path):
    folder = shutil.copytree(model_folders["llama"], tmp_path / "model")
    before = folder_hash(folder)
    weights = folder / "model.safetensors"
    shutil.copy(weights, folder / "consolidated.safetensors")
    shutil.copytree(folder, folder / "original")
    assert folder_hash(folder) == before and weight_files(folder) == [weights]
    # Parts are those of the index, one that is missing among them.
    weights.rename(folder / "model-1-of-2.safetensors")
    index = {"weight_map": {"b": "model-2-of-2.safetensors", "a": "model-1-of-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    names = [file.name for file in weight_files(folder)]
    assert names == ["model-1-of-2.safetensors", "model-2-of-2.safetensors"]
    parted = folder_hash(folder)
    (folder / "model-1-of-2.safetensors").write_bytes(b"")
    assert folder_hash(folder) != parted != before
    # Under other names, all but what is none of the model's.
    (folder / "model.safetensors.index.json").unlink()
    (folder / "adapter_model.safetensors").write_bytes(b"")
    assert [file.name for file in weight_files(folder)] == ["model-1-of-2.safetensors"]
