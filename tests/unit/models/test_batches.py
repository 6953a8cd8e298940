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
    plain, sizes, most = generation._write, [], [3]

    def small_gpu(loaded, job, alike):
        sizes.append(job.together)
        if job.together > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(loaded, job, alike)

    monkeypatch.setattr(generation, "_write", small_gpu)
    with pytest.warns(UserWarning, match="out of memory") as warned:
        assert generate(loaded, PROMPTS, SEEDS, SETTINGS) == whole
    assert "out of memory with 16 rows; continuing with 8" in str(warned[0].message)
    assert sizes == [16, 8, 4, 2]
    # Conditions that are compared are in batches of one size, so that rounding is the same.
    assert generate(loaded, PROMPTS, SEEDS, SETTINGS) == whole and sizes[4:] == [2]
    most[0] = 0
    with (
        pytest.raises(UserError, match="even one row doesn't fit into the GPU's memory"),
        pytest.warns(UserWarning),
    ):
        generate(loaded, PROMPTS, SEEDS, SETTINGS)


def test_what_is_written_when_memory_runs_out_is_kept(loaded_models, monkeypatch):
    loaded = replace(loaded_models["llama"], held={})
    whole = generate(loaded, PROMPTS, SEEDS, SETTINGS)
    plain, left = generation._write, []

    def full_after_a_while(loaded, job, alike):
        left.append(len(job.prompts))
        steps = iter(range(2 * SETTINGS["max_new_tokens"]))

        def on_step():
            if len(left) == 1 and next(steps, None) is None:
                raise torch.OutOfMemoryError("CUDA out of memory")

        return plain(loaded, replace(job, on_step=on_step), alike)

    monkeypatch.setattr(generation, "_write", full_after_a_while)
    with pytest.warns(UserWarning, match="out of memory with 4 rows; continuing with 2"):
        assert generate(loaded, PROMPTS, SEEDS, SETTINGS | {"batch_size": 4}) == whole
    assert len(left) == 2 and 0 < left[1] < left[0] == len(PROMPTS)
