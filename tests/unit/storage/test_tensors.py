"""Safetensors that others read, and that are refused where they are not whole."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skillprobe.errors import UserError
from skillprobe.storage import tensors


def test_what_is_written_is_read_by_others_and_in_the_same_bytes(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    bits = torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16)

    def write(name):
        found = {
            "a.weights": ("F32", (4, 3), [values[:1], values[1:]]),
            "b": ("BF16", (1, 2), [bits.view(torch.uint16).numpy()]),
            "c": ("F64", (1,), [np.array([0.1])]),
        }
        tensors.write(tmp_path / name, found, {"what": "a card", "n": 1})
        return (tmp_path / name).read_bytes()

    assert write("x.safetensors") == write("y.safetensors")
    found = load_file(tmp_path / "x.safetensors")
    assert torch.equal(found["a.weights"], torch.from_numpy(values)) and torch.equal(found["b"], bits)
    assert found["c"].item() == 0.1
    with safe_open(tmp_path / "x.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["card"]) == {"what": "a card", "n": 1}


def test_what_others_write_is_mapped_not_copied(tmp_path):
    given = {
        "a": torch.arange(6.0).reshape(2, 3),
        "b": torch.tensor([1.0, 2.5], dtype=torch.bfloat16),
        "h": torch.ones(3, dtype=torch.float16),
    }
    save_file(given, tmp_path / "x.safetensors", metadata={"k": "v"})
    found, metadata = tensors.read(tmp_path / "x.safetensors")
    assert metadata == {"k": "v"}
    assert np.array_equal(found["a"].values, given["a"].numpy()) and found["h"].values.dtype == np.float16
    assert np.array_equal(found["b"].values, given["b"].view(torch.uint16).numpy())
    base = found["a"].values
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_parts_of_another_shape_are_no_file(tmp_path):
    with pytest.raises(ValueError, match="not of the shapes"):
        tensors.write(tmp_path / "x.safetensors", {"a": ("F32", (2, 2), [np.zeros((1, 2))])}, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[:5],
        lambda data: b"",
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data[:8] + b"x" * (len(data) - 8),
        lambda data: data.replace(b'"shape":[2,3]', b'"shape":[9,3]'),
        lambda data: (10**5).to_bytes(8, "little") + b"[" * 10**5,
    ],
)
def test_files_that_are_not_whole_are_refused(tmp_path, spoil):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.arange(6.0).reshape(2, 3)}, path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match="x.safetensors is not a whole safetensors file"):
        tensors.read(path)
    with pytest.raises(UserError, match="there is no file"):
        tensors.read(tmp_path / "y.safetensors")
