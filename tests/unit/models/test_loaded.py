"""Where hooks see a model's blocks, and what is known of it."""

import pytest
import torch
from made.activations import ROWS, sequence_of
from made.models import plain_states
from skillprobe.errors import UserError
from skillprobe.models.loaded import find_blocks, hooked, parameter_count
from skillprobe.models.loading import versions


def test_blocks_are_the_list_with_the_weights():
    from torch import nn

    backbone = nn.Module()
    backbone.gates = nn.ModuleList([nn.Identity() for _ in range(3)])
    backbone.layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    assert find_blocks("m", backbone, 3) is backbone.layers
    with pytest.raises(UserError, match="model 'm' .Module. has no list of 4 blocks"):
        find_blocks("m", backbone, 4)


def test_parameters_and_versions(loaded_models):
    llama, gemma = loaded_models["llama"].model, loaded_models["gemma2"].model
    # Gemma's embeddings are its head: counted once.
    assert parameter_count(gemma) == sum(p.numel() for p in gemma.model.parameters())
    assert parameter_count(llama) > sum(p.numel() for p in llama.model.parameters())
    assert {"python", "torch", "transformers", "numpy", "h5py", "skillprobe"} <= versions().keys()


@pytest.mark.gpu
def test_hooks_are_removed_and_change_nothing(loaded):
    ids = sequence_of(loaded, ROWS[0])
    before = plain_states(loaded, ids)
    hooks = [(len(block._forward_hooks), len(block._forward_pre_hooks)) for block in loaded.blocks]
    with hooked(loaded, lambda hidden: None):
        assert torch.equal(plain_states(loaded, ids), before)
    with pytest.raises(ZeroDivisionError), hooked(loaded, lambda hidden: 1 / 0):
        loaded.model(torch.tensor([ids], device=loaded.device))
    assert hooks == [(len(block._forward_hooks), len(block._forward_pre_hooks)) for block in loaded.blocks]
    assert torch.equal(plain_states(loaded, ids), before)
