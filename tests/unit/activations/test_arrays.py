"""Arrays that other tools have saved: found by name, and refused where they don't fit each other."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skillprobe.activations.arrays import finite_rows, read_arrays
from skillprobe.errors import UserError


def save(folder, **arrays):
    folder.mkdir(exist_ok=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return folder


def test_names_say_layer_and_position(tmp_path):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    folder = save(tmp_path / "a", layer_12=x, **{"layers.3": x + 1})
    found = read_arrays([folder], position="last")
    assert [(each.layer, each.position) for each in found] == [(3, "last"), (12, "last")]
    assert np.array_equal(found[0].rows(np.array([1, 0])), x[::-1] + 1)
    save_file(
        {
            f"layers.{layer}.{name}": torch.from_numpy(x.copy())
            for layer in (0, 4)
            for name in ("eos", "prompt_100")
        },
        tmp_path / "x.safetensors",
    )
    found = read_arrays([tmp_path / "x.safetensors"])
    assert [(each.layer, each.position) for each in found] == [
        (layer, name) for layer in (0, 4) for name in ("prompt_100", "eos")
    ]
    save_file({"4": torch.from_numpy(x)}, tmp_path / "y.safetensors")
    assert read_arrays([tmp_path / "y.safetensors"])[0].layer == 4


def test_one_array_of_several_layers(tmp_path):
    x = np.arange(24, dtype=np.float16).reshape(2, 4, 3)
    folder = save(tmp_path / "a", hidden=x)
    found = read_arrays([folder], layers=[8, 16])
    assert [each.layer for each in found] == [8, 16] and np.array_equal(found[1].rows(np.arange(4)), x[1])
    # Of one layer it may be left out.
    (one,) = read_arrays([save(tmp_path / "b", hidden=x[1])], layers=[5])
    assert one.layer == 5 and np.array_equal(one.rows(np.arange(4)), x[1])
    with pytest.raises(UserError, match=r"shape \[4, 3\]; --layers names 4"):
        read_arrays([tmp_path / "b"], layers=[1, 2, 3, 4])
    with pytest.raises(UserError, match=r"shape \[2, 4, 3\]; --layers names 3, so it should be \[3, row"):
        read_arrays([folder], layers=[1, 2, 3])
    with pytest.raises(UserError, match="the name doesn't say the layer"):
        read_arrays([folder])
    with pytest.raises(UserError, match="0.npy: the name says layer 0, but --layers names 8, 16; rename it"):
        read_arrays([save(tmp_path / "c", **{"0": x})], layers=[8, 16])


def test_numbers_stay_as_they_are(tmp_path):
    bits = torch.tensor([[1.0, float("nan")], [2.0, 3.0]], dtype=torch.bfloat16)
    save_file({"1": bits}, tmp_path / "x.safetensors")
    (found,) = read_arrays([tmp_path / "x.safetensors"])
    values = found.rows(np.arange(2))
    assert found.dtype == "bfloat16" and np.array_equal(values, bits.view(torch.uint16).numpy())
    assert finite_rows(values, "bfloat16").tolist() == [False, True]
    (double,) = read_arrays([save(tmp_path / "d", **{"1": np.array([[1e300], [1.0]])})])
    values = double.rows(np.arange(2))
    assert double.dtype == "float32" and values.dtype == np.float32
    assert finite_rows(values, "float32").tolist() == [False, True]


def test_arrays_may_lie_in_any_order(tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    stored = {"1": np.asfortranarray(x), "2": x.astype(">f4"), "3": x}
    for array in read_arrays([save(tmp_path / "a", **stored)]):
        values = array.rows(np.array([2, 0]))
        assert np.array_equal(values, x[[2, 0]]) and values.dtype == np.dtype("=f4")


X = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"1": X, "2": X[:3]}, r"2.npy has 3 rows, but .*1.npy has 4"),
        ({"1": X, "2": X[:, :2]}, r"2.npy has 2 numbers a row, but .*1.npy has 3"),
        ({"1": X, "2": X.astype(np.float16)}, "2.npy is of float16, but .*1.npy is of float32"),
        ({"1": X.astype(int)}, "1.npy is of int64; give float32"),
        ({"1": X[:, :0]}, "1.npy has rows of no numbers"),
        ({"1": X[0]}, r"1.npy has the shape \[3\]; it should be \[row, hidden\]"),
        ({"1": X, "layer_1": X}, "both of layer 1 and position 'eos'"),
        ({"1.eos": X, "1.last": X, "2.eos": X}, "layer 2 has no array of the position 'last'"),
        ({"1.end": X}, "there is no position 'end'"),
        ({"weights": X}, "the name doesn't say the layer"),
        ({"1": np.array([[{}], [1]], dtype=object)}, "holds Python objects, which could run code"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(tmp_path, arrays, sentence):
    with pytest.raises(UserError, match=sentence):
        read_arrays([save(tmp_path / "a", **arrays)])


def test_files_that_are_no_arrays_are_refused(tmp_path):
    for name, content, sentence in (
        ("1.npy", b"x", "is not a whole .npy file"),
        ("2.pt", b"x", "neither a .npy nor a .safetensors file"),
        ("3.safetensors", b"x", "is not a whole safetensors file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=re.escape(name) + f".*{sentence}"):
            read_arrays([tmp_path / name])
    with pytest.raises(UserError, match="there is no file"):
        read_arrays([tmp_path / "9.npy"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no .npy or .safetensors file"):
        read_arrays([tmp_path / "empty"])
    np.save(tmp_path / "cut.npy", np.zeros((4, 300)))
    path = tmp_path / "1.npy"
    path.write_bytes((tmp_path / "cut.npy").read_bytes()[:-8])
    with pytest.raises(UserError, match="is not a whole .npy file"):
        read_arrays([path])
