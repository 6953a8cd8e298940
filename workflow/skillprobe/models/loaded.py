"""A loaded model: its blocks, found by structure, and hooks on what passes between them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from skillprobe.errors import UserError
from skillprobe.models.fast_import import fast_import

with fast_import():
    import torch
    from transformers.modeling_utils import PreTrainedModel


# So far may a token's states move with the tokens after it, relative to their size: a mixture of experts
# chooses for all tokens at once. Of a model that looks ahead they move by about as much as they are.
_MOVED = 0.05


def positions_of(config) -> int | None:
    """How many tokens a model of this config can read, prompt and response together; None where it doesn't
    tell."""
    return getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for use: in eval mode, without gradients.

    blocks: the decoder blocks in order; backbone: the decoder without the language-model head; device: where
    its inputs go; eos_ids: every token that ends a response; pad_id: a token to pad with (it may be an EOS);
    held: the most "rows" and "tokens" of a batch, where more were too much for the GPU's memory or wrong, and
    whether answers are right that are written "in_place" (`writing.in_place`).
    """

    name: str
    source: str
    revision: str | None
    model: PreTrainedModel = field(repr=False)
    tokenizer: object = field(repr=False)
    backbone: torch.nn.Module = field(repr=False)
    blocks: torch.nn.ModuleList = field(repr=False)
    device: torch.device
    eos_ids: tuple[int, ...]
    pad_id: int
    attn_implementation: str
    held: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_layers(self) -> int:
        return len(self.blocks)

    @property
    def hidden_size(self) -> int:
        return self.model.config.get_text_config(decoder=True).hidden_size

    @property
    def positions(self) -> int | None:
        """How many tokens a text may have; None where the model's config doesn't tell."""
        return positions_of(self.model.config)

    @property
    def switch(self) -> int | None:
        """The length beyond which the model computes a whole batch otherwise, by its longest text: of models
        with longrope (Phi-3), else None."""
        text = self.model.config.get_text_config(decoder=True)
        rope = getattr(text, "rope_parameters", None) or {}
        # Some have several, by kind of layer.
        kinds = [rope, *(each for each in rope.values() if isinstance(each, dict))]
        lengths = [
            each.get("original_max_position_embeddings")
            or getattr(text, "original_max_position_embeddings", None)
            for each in kinds
            if each.get("rope_type") == "longrope"
        ]
        return min(filter(None, lengths), default=None)

    @property
    def dtype(self) -> str:
        return str(self.model.dtype).removeprefix("torch.")


@contextmanager
def hooked(loaded: LoadedModel, keep: Callable[[torch.Tensor], object]) -> Iterator[list]:
    """Within the block, each forward appends `keep(hidden)` for every layer to the list it yields.

    hidden: [row, token, hidden]. Layer 0 is what enters the first block (so it has Gemma's scaling of the
    embeddings), layer k what leaves block k, the last before the final norm. Hooks go when the block ends.
    """
    kept: list = []

    def before(_, args, kwargs):
        kept.append(keep(args[0] if args else kwargs["hidden_states"]))

    def after(_, __, output):
        kept.append(keep(output[0] if isinstance(output, tuple) else output))

    handles = [loaded.blocks[0].register_forward_pre_hook(before, with_kwargs=True)]
    handles += [block.register_forward_hook(after) for block in loaded.blocks]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def is_hooked(loaded: LoadedModel) -> bool:
    """Whether something reads or edits what passes between the blocks."""
    return any(block._forward_hooks or block._forward_pre_hooks for block in loaded.blocks)


def parameter_count(model: torch.nn.Module) -> int:
    """Number of parameters, tied ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def find_blocks(name: str, backbone: torch.nn.Module, num_layers: int) -> torch.nn.ModuleList:
    """The decoder blocks, found by structure: the outermost ModuleList as long as the model is deep, and of
    several the one with the most weights."""
    lists = [
        (path.count("."), -parameter_count(module), module)
        for path, module in backbone.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == num_layers
    ]
    if not lists:
        raise UserError(
            f"model '{name}' ({type(backbone).__name__}) has no list of {num_layers} blocks; "
            "only plain decoder models can be probed"
        )
    return min(lists, key=lambda found: found[:2])[-1]


def check_blocks(loaded: LoadedModel) -> None:
    """Raises UserError where what passes from block to block isn't one state a token, [row, token, hidden],
    and where a token's depends on tokens after it: the end of a prompt must not know the answer."""
    ids = torch.tensor([[0, 1, 2], [0, 1, 3]], device=loaded.device)
    with torch.no_grad(), hooked(loaded, lambda hidden: hidden.float().cpu()) as states:
        loaded.backbone(input_ids=ids, use_cache=False)
    about = f"model '{loaded.name}' ({type(loaded.backbone).__name__})"
    shapes = {tuple(each.shape) for each in states}
    if len(states) != loaded.num_layers + 1 or shapes != {(*ids.shape, loaded.hidden_size)}:
        raise UserError(
            f"{about}: its blocks do not pass on one vector per token (but {len(states)} times "
            f"{', '.join(map(str, sorted(shapes)))} for a batch of 2 x 3); such models can't be probed"
        )
    for before, after in (each[:, :2] for each in states):
        if (before - after).norm() > _MOVED * before.norm():
            raise UserError(
                f"{about}: the states of a token depend on later tokens, so its attention is not "
                "causal; choose a decoder-only language model"
            )
