"""Batches that are halved until a GPU's memory holds them."""

from dataclasses import replace

import pytest
import torch
from made.generation import PROMPTS, SEEDS, SETTINGS
from skillprobe.errors import UserError
from skillprobe.models import generation
from skillprobe.models.generation import generate

pytestmark = pytest.mark.gpu


def test_out_of_memory_halves_the_batch_and_changes_nothing(loaded_models, monkeypatch):
    loaded = replace(loaded_models["llama"], held={})
    whole = generate(loaded, PROMPTS, SEEDS, SETTINGS)
    plain = generation._generate_batch
    sizes = []

    def small_gpu(loaded, encoded, *others):
        sizes.append(len(encoded))
        if len(encoded) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(loaded, encoded, *others)

    monkeypatch.setattr(generation, "_generate_batch", small_gpu)
    with pytest.warns(UserWarning, match="out of memory") as warned:
        assert generate(loaded, PROMPTS, SEEDS, SETTINGS) == whole
    assert "out of memory with 16 rows; continuing with 8" in str(warned[0].message)
    assert sizes == [16, 8, 4] + [2] * 8
    # Conditions that are compared are in batches of one size, so that rounding is the same.
    assert generate(loaded, PROMPTS, SEEDS, SETTINGS) == whole and sizes[11:] == [2] * 8

    def full_gpu(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(generation, "_generate_batch", full_gpu)
    with (
        pytest.raises(UserError, match="even one row doesn't fit into the GPU's memory"),
        pytest.warns(UserWarning),
    ):
        generate(loaded, PROMPTS, SEEDS, SETTINGS)
