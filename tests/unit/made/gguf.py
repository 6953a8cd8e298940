"""Tiny models as GGUF files, written as llama.cpp's converter writes those of each family."""

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import quants

FAMILIES = ("llama", "llama3", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "phi3-long")
TEMPLATE = "{{ bos_token }}{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}<|assistant|>"
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GEMMA = _LAYER | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
VOCABULARY = 288


def architecture_of(family):
    return {"llama3": "llama", "mistral": "llama", "phi3-long": "phi3"}.get(family, family)


def make_model(family, tied=False, layers=None):
    """A tiny random model of transformers, whose settings are no defaults."""
    import torch
    import transformers

    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": layers or (6 if family == "gemma3" else 2),
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "rms_norm_eps": 3e-5,
        "initializer_range": 0.25,
        "tie_word_embeddings": tied or family.startswith("gemma"),
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 3,
    }
    rope = {"rope_type": "default", "rope_theta": 5000.0}
    head = {"head_dim": 16}
    kind, more = {
        "llama": ("Llama", {"rope_parameters": rope}),
        "llama3": (
            "Llama",
            head
            | {
                "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0}
                | {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
            },
        ),
        "mistral": ("Mistral", head | {"rope_parameters": rope, "sliding_window": None}),
        "qwen2": ("Qwen2", {"rope_parameters": rope}),
        "qwen3": ("Qwen3", head | {"rope_parameters": rope}),
        "gemma2": (
            "Gemma2",
            head
            | {"rope_parameters": rope, "sliding_window": 8, "query_pre_attn_scalar": 16}
            | {"attn_logit_softcapping": 20.0, "final_logit_softcapping": 10.0},
        ),
        "gemma3": (
            "Gemma3Text",
            head
            | {"sliding_window": 8, "query_pre_attn_scalar": 16}
            | {
                "rope_parameters": {
                    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                    "full_attention": {"rope_type": "linear", "rope_theta": 70000.0, "factor": 8.0},
                }
            },
        ),
        "phi3": (
            "Phi3",
            {"rope_parameters": rope | {"partial_rotary_factor": 0.5}, "sliding_window": 8},
        ),
        "phi3-long": (
            "Phi3",
            {
                "original_max_position_embeddings": 16,
                "rope_parameters": {
                    "rope_type": "longrope",
                    "rope_theta": 10000.0,
                    "short_factor": [1.0, 1.25, 1.5, 2.0],
                    "long_factor": [1.0, 2.5, 6.0, 9.5],
                    "original_max_position_embeddings": 16,
                },
            },
        ),
    }[family]
    torch.manual_seed(sum(map(ord, family)))
    config = getattr(transformers, f"{kind}Config")(**sizes | more)
    model = getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            # Norms and biases begin as all ones or zeros, by which no mistake would show.
            if weights.ndim == 1:
                weights += 0.3 * torch.randn_like(weights)
            if name.endswith("bias"):
                weights *= 2
    return model.eval()


def kind_of(name, shape, kind):
    """llama.cpp keeps vectors in float32."""
    return Kind.F32 if len(shape) == 1 else kind


def permuted(weights, heads):
    """Rows of queries and keys, as files of Llama have them: halves of each head interleaved."""
    rows = weights.reshape(heads, 2, weights.shape[0] // heads // 2, -1)
    return rows.swapaxes(1, 2).reshape(weights.shape)


def restored(weights, heads):
    """The inverse of `permuted`."""
    rows = weights.reshape(heads, weights.shape[0] // heads // 2, 2, -1)
    return rows.swapaxes(1, 2).reshape(weights.shape)


def gguf_name(name, family):
    """Of a parameter of transformers."""
    stem, suffix = name.rsplit(".", 1)
    if stem in _WHOLE:
        return f"{_WHOLE[stem]}.{suffix}"
    _, _, block, part = stem.split(".", 3)
    return f"blk.{block}.{(_GEMMA if family.startswith('gemma') else _LAYER)[part]}.{suffix}"


def write_model(path, family, model, kind=Kind.Q8_0, change=None, tokenizer=None, leave_out=(), more=None):
    """Write a model's file and return its weights as the file has them: {parameter: float32}.

    kind: of matrices; change: {key: value} of metadata, None removes one; tokenizer: as of `byte_level`;
    leave_out: tensors; more: {name: vector} of others.
    """
    arch, config = architecture_of(family), model.config
    metadata = describe(family, config) | (tokenizer or byte_level()) | (change or {})
    writer = gguf.GGUFWriter(path, arch)
    for key, value in metadata.items():
        add(writer, key, value)
    stored, heads = {}, {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weights, called = tensor.numpy().astype(np.float32), gguf_name(name, family)
        turned = heads.get(called.split(".")[-2]) if arch == "llama" else None
        if turned:
            weights = permuted(weights, turned)
        offset = float(family.startswith("gemma") and weights.ndim == 1)
        one = kind_of(name, weights.shape, kind)
        raw = quants.quantize(weights + np.float32(offset), one)
        back = quants.dequantize(raw, one).astype(np.float32).reshape(weights.shape) - np.float32(offset)
        stored[name] = restored(back, turned) if turned else back
        if called not in leave_out:
            writer.add_tensor(called, raw, raw_dtype=one)
    for name, weights in (tables(family, config) | (more or {})).items():
        writer.add_tensor(name, np.asarray(weights, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if config.tie_word_embeddings:
        stored["lm_head.weight"] = stored["model.embed_tokens.weight"]
    return stored


def describe(family, config):
    """What the file says of the model's shape, under its architecture's keys."""
    arch = architecture_of(family)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    own = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.freq_base": float(rope.get("full_attention", rope)["rope_theta"]),
    }
    if arch == "llama":
        own |= {"rope.dimension_count": head, "vocab_size": config.vocab_size}
    if arch in ("qwen3", "gemma2", "gemma3"):
        own |= {"attention.key_length": head, "attention.value_length": head}
    if arch.startswith("gemma") or family == "phi3":
        own["attention.sliding_window"] = config.sliding_window
    if arch == "gemma2":
        own |= {f"{key}_logit_softcapping": getattr(config, f"{key}_logit_softcapping") for key in ("attn",)}
        own |= {"final_logit_softcapping": config.final_logit_softcapping}
    if arch == "gemma3":
        own |= {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0}
    if arch == "phi3":
        own["rope.dimension_count"] = int(head * rope["partial_rotary_factor"])
    if family == "phi3-long":
        scale = config.max_position_embeddings / 16
        own["rope.scaling.original_context_length"] = 16
        own["rope.scaling.attn_factor"] = float(np.sqrt(1 + np.log(scale) / np.log(16)))
    return {f"{arch}.{key}": value for key, value in own.items()}


def tables(family, config):
    """Of the rotary embedding, as tensors of the file."""
    rope = config.rope_parameters
    if family == "phi3-long":
        return {f"rope_factors_{length}.weight": rope[f"{length}_factor"] for length in ("long", "short")}
    if family != "llama3":
        return {}
    # By the loop of llama.cpp's converter.
    dim, factors = config.head_dim, []
    for freq in 1.0 / (rope["rope_theta"] ** (np.arange(0, dim, 2) / dim)):
        wavelength = 2 * np.pi / freq
        if wavelength < 8192 / 4:
            factors.append(1.0)
        elif wavelength > 8192:
            factors.append(rope["factor"])
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return {"rope_freqs.weight": factors}


def byte_level(split="gpt-2", special=("<unk>", "<s>", "<|end|>", "<pad>", "<|user|>", "<|assistant|>")):
    """A byte-level tokenizer's metadata: bytes, some merges, special tokens first; <|end|> is the EOS."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    merges = ["h e", "l l", "he ll", "hell o", "Ġ hello", "Ġ 1", "1 2"]
    tokens = [*special, *bytes_to_unicode().values(), *(merge.replace(" ", "") for merge in merges)]
    return _padded(tokens, special) | {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": split,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_bos_token": False,
    }


def sentencepiece(special=("<unk>", "<s>", "<|end|>", "<pad>", "<|user|>", "<|assistant|>")):
    """A SentencePiece vocabulary's metadata: bytes and scored pieces, no merges."""
    pieces = [*"▁helo", "he", "ll", "hell", "hello", "▁hello"]
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    scores = [0.0] * (len(tokens) - len(pieces)) + [-float(rank) for rank in range(len(pieces), 0, -1)]
    found = _padded(tokens, special)
    unused = VOCABULARY - len(tokens)
    types = [6 if token.startswith("<0x") else 1 for token in tokens]
    types[: len(special)] = [2] + [3] * (len(special) - 1)
    return found | {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.scores": scores + [-1000.0] * unused,
        "tokenizer.ggml.token_type": types + [5] * unused,
        "tokenizer.ggml.add_bos_token": True,
    }


def _padded(tokens, special):
    unused = VOCABULARY - len(tokens)
    types = [3] * len(special) + [1] * (len(tokens) - len(special)) + [5] * unused
    return {
        "tokenizer.ggml.tokens": [*tokens, *(f"[PAD{number}]" for number in range(unused))],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 3,
        "tokenizer.chat_template": TEMPLATE,
    }


def add(writer, key, value):
    """One entry of metadata, by its type as llama.cpp writes it."""
    if value is None:
        return
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
