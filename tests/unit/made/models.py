"""Tiny random models of three real architectures, stored and loaded as ordinary Hugging Face folders."""

import json
import shutil

TEXT = "write a short text about the teacher garden river in exactly 5 words . and good bad it is was blue"
WORDS = TEXT.split()
SPECIAL = ["<unk>", "<pad>", "<bos>", "<eos>", "<user>", "<assistant>"]
TEMPLATE = "{{ bos_token }}{% for m in messages %}<user> {{ m['content'] }} {% endfor %}<assistant>"
ARCHITECTURES = ("llama", "gemma2", "qwen2")
NUM_LAYERS = 3
HIDDEN = 32


def make_tokenizer(bos: bool = True, pad_is_eos: bool = False):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(SPECIAL + WORDS)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece("##", cleanup=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        pad_token="<eos>" if pad_is_eos else "<pad>",
        bos_token="<bos>" if bos else None,
        eos_token="<eos>",
        extra_special_tokens=["<user>", "<assistant>"],
        chat_template=TEMPLATE if bos else TEMPLATE.replace("{{ bos_token }}", ""),
    )


def make_config(architecture: str):
    from transformers import Gemma2Config, LlamaConfig, Qwen2Config

    kind = {"llama": LlamaConfig, "gemma2": Gemma2Config, "qwen2": Qwen2Config}[architecture]
    own = {"gemma2": {"sliding_window": 8, "query_pre_attn_scalar": 8}}.get(architecture, {})
    return kind(
        vocab_size=len(SPECIAL + WORDS),
        hidden_size=HIDDEN,
        intermediate_size=48,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=1,
        # Wide enough for the tokens' probabilities to differ and for every block to matter.
        initializer_range=0.25,
        **own,
    )


def plain_states(loaded, ids):
    """All hidden states [layer, token, hidden] of the plain Hugging Face forward; the last is normed."""
    import torch

    with torch.no_grad():
        output = loaded.model(
            torch.tensor([ids], device=loaded.device), output_hidden_states=True, use_cache=False
        )
    return torch.cat(output.hidden_states)


def padded_states(loaded, sequences):
    """States [layer, sequence, hidden]: of each sequence's last token alone, right-padded and left-padded,
    and of its first token alone and right-padded."""
    import numpy as np
    import torch
    from skillprobe.activations.extraction import read_states
    from skillprobe.models.loaded import hooked

    ends = np.array([[0, len(ids) - 1] for ids in sequences])
    alone = [read_states(loaded, [ids], ends[[row]]) for row, ids in enumerate(sequences)]
    first, last = torch.cat(alone, dim=2).unbind(1)
    right_first, right_last = read_states(loaded, sequences, ends).unbind(1)
    width = max(map(len, sequences))
    ids, mask = torch.full((len(sequences), width), 1), torch.zeros(len(sequences), width, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.tensor(sequence)
        mask[row, width - len(sequence) :] = 1
    ids, mask = ids.to(loaded.device), mask.to(loaded.device)
    with torch.no_grad(), hooked(loaded, lambda hidden: hidden[:, -1]) as left:
        loaded.backbone(input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0))
    return (last, right_last, torch.stack(left)), (first, right_first)


def check_padding(loaded, sequences, tolerance):
    """Padding on either side or none gives the same states at both ends of the sequences."""
    import torch

    for alone, *padded in padded_states(loaded, sequences):
        for states in padded:
            torch.testing.assert_close(states, alone, atol=tolerance, rtol=1e-4)


def entry_of(model_folders, architecture, **more):
    return {"name": architecture, "source": str(model_folders[architecture]), "dtype": "float32", **more}


def edited(folder, tmp_path, file, **changes):
    """A copy of a model folder with some keys of one of its JSON files changed, or deleted where None."""
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    content = json.loads((copy / file).read_text()) | changes
    (copy / file).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return copy
