"""Tiny random sentence encoders, and labelled texts that they can tell apart."""

import json
from pathlib import Path

import torch

from made.models import make_tokenizer

# Each label's texts share its words.
WORDS = {"positive": ["good", "garden"], "negative": ["bad", "river"], "toxicity": ["bad", "short"]}


def make_encoder(folder, pooling=None, **options):
    """A BERT of width 16 in the format of sentence-transformers. pooling: of 1_Pooling/config.json."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer = make_tokenizer(bos=False)
    config = BertConfig(
        **{
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 40,
            "pad_token_id": tokenizer.pad_token_id,
            "initializer_range": 1.0,
            **options,
        }
    )
    folder = Path(folder)
    BertModel(config).save_pretrained(folder)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    said = {"pooling_mode_mean_tokens": True} if pooling is None else pooling
    (folder / "1_Pooling/config.json").write_text(json.dumps(said))
    return folder


def labelled_lines(number=60, labels=("positive", "negative"), groups=True):
    """Lines of a labelled file, with texts that no two share."""
    yield f"text,label{',group' if groups else ''}"
    for n in range(number):
        label = labels[n % len(labels)]
        words = WORDS.get(label, ["text", "about"])
        text = " ".join([*words, *(f"{digit}" for digit in f"{n:03d}"), words[n % 2]])
        yield f'"{text}",{label}' + (f",g{n // 2}" if groups else "")
