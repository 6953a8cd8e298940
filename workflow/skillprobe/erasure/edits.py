"""Edits of a model's hidden states while it runs: subspaces erased, reflected or steered along."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from skillprobe.errors import UserError
from skillprobe.models.fast_import import fast_import
from skillprobe.models.loaded import LoadedModel

with fast_import():
    import torch


# From hidden states [row, token, d] to those that take their place, in the same shape, dtype and device. One
# with an attribute `hidden_size` is refused for models of another.
Edit = Callable[[torch.Tensor], torch.Tensor]


def identity(hidden: torch.Tensor) -> torch.Tensor:
    """The edit that changes nothing: an effect under it would be the hooks' own."""
    return hidden


class Erase:
    """The edit x′ = x − α A B (x − μ), in float32, cast to the hidden states' dtype at the end.

    eraser: a [d, k], b [k, d], mean [d] and alpha, as of `erasure.Eraser`.
    """

    def __init__(self, eraser):
        a, self.b, mean = (np.asarray(value, float) for value in (eraser.a, eraser.b, eraser.mean))
        self.a, self.offset, self.step = eraser.alpha * a, -(self.b @ mean), np.zeros(len(mean))


class Steer:
    """The edit x′ = x + strength · direction, in float32, cast to the hidden states' dtype at the end.

    direction: [d], a unit vector times the standard deviation of the activations' projections on it, so that
    `strength` (λ) counts standard deviations.
    """

    def __init__(self, direction: np.ndarray, strength: float):
        self.step = strength * np.asarray(direction, float)
        self.a, self.b, self.offset = (
            np.zeros((len(self.step), 0)),
            np.zeros((0, len(self.step))),
            np.zeros(0),
        )


class RowWise:
    """The edit that each row of a batch has for itself, so that batches needn't be of one edit.

    edits: of Erase and Steer, or None for none, of one hidden size. `choose` says which of them the rows of
    the batches to come have.
    """

    def __init__(self, edits: Sequence[Erase | Steer | None]):
        self.hidden_size = next(len(edit.step) for edit in edits if edit)
        rank = max(len(edit.offset) for edit in edits if edit)
        shapes = (self.hidden_size, rank), (rank, self.hidden_size), (rank,), (self.hidden_size,)
        stacked = [np.zeros((len(edits), *shape)) for shape in shapes]
        for number, edit in enumerate(edits):
            if edit:
                for values, own in zip(stacked, (edit.a, edit.b, edit.offset, edit.step), strict=True):
                    values[number][tuple(map(slice, own.shape))] = own
        # [edit, …] in float32, copied once to each device that asks: a model's blocks may be on several.
        self._all = {
            torch.device("cpu"): [torch.as_tensor(values, dtype=torch.float32) for values in stacked]
        }
        self._of_row: torch.Tensor | None = None
        self._chosen: dict[torch.device, list[torch.Tensor]] = {}

    def choose(self, of_row: np.ndarray) -> None:
        """of_row: [row], numbers of edits."""
        self._of_row, self._chosen = torch.as_tensor(of_row), {}

    def _on(self, device: torch.device) -> list[torch.Tensor]:
        """a, b, offset and step of the chosen rows."""
        if device not in self._all:
            self._all[device] = [values.to(device) for values in self._all[torch.device("cpu")]]
        if device not in self._chosen:
            of_row = self._of_row.to(device)
            self._chosen[device] = [values[of_row] for values in self._all[device]]
        return self._chosen[device]

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        a, b, offset, step = self._on(hidden.device)
        full = hidden.float()
        read = torch.baddbmm(offset[:, None], full, b.transpose(1, 2))  # B (x − μ), [row, token, k]
        return (torch.baddbmm(full, read, a.transpose(1, 2), alpha=-1) + step[:, None]).to(hidden.dtype)


@contextmanager
def edited(loaded: LoadedModel, edits: Mapping[int, Edit]) -> Iterator[None]:
    """Within the block, the hidden states [row, token, hidden] at each layer of `edits` are what its edit
    makes of them: prompts, cached decoding and teacher-forced passes alike.

    Layers are those of `loaded.hooked`, which sees edited states if it is entered within the block.
    Raises UserError for a layer that the model has not, and for an edit made for another hidden size.
    """
    _check(loaded, edits)

    def before(edit):
        def hook(_, args, kwargs):
            if args:
                return (edit(args[0]), *args[1:]), kwargs
            return args, kwargs | {"hidden_states": edit(kwargs["hidden_states"])}

        return hook

    def after(edit):
        def hook(_, __, output):
            return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

        return hook

    handles = []
    try:
        for layer, edit in edits.items():
            if layer == 0:
                handles.append(loaded.blocks[0].register_forward_pre_hook(before(edit), with_kwargs=True))
            else:
                handles.append(loaded.blocks[layer - 1].register_forward_hook(after(edit)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check(loaded: LoadedModel, edits: Mapping[int, Edit]) -> None:
    for layer, edit in edits.items():
        if layer not in range(loaded.num_layers + 1):
            raise UserError(f"model '{loaded.name}' has no layer {layer}; it has 0 to {loaded.num_layers}")
        size = getattr(edit, "hidden_size", loaded.hidden_size)
        if size != loaded.hidden_size:
            raise UserError(
                f"the edit of layer {layer} is for a hidden size of {size}, but model '{loaded.name}' "
                f"has a hidden size of {loaded.hidden_size}; use an edit that was fitted on this model"
            )
