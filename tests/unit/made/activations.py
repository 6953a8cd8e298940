"""Labelled rows, and shards of a tiny model's states on them."""

from skillprobe.activations.extraction import extract
from skillprobe.activations.positions import DEFAULT
from skillprobe.models.chat import chat_ids

from made.models import SPECIAL, WORDS

SETTINGS = {"positions": list(DEFAULT), "dtype": "float32", "tokens_per_batch": 200}


def label_row(number, variant="constrained", length=9, truncated=False, prompt_words=5):
    content = [6 + (number + i) % 20 for i in range(length)]
    return {
        "id": f"topic/b{number:03d}/0/{variant}/0",
        "item": f"topic/b{number:03d}/0",
        "base": f"b{number:03d}",
        "group": f"g{number:03d}",
        "variant": variant,
        "satisfied": number % 2 == 0,
        "truncated": truncated,
        "prompt": " ".join(WORDS[:prompt_words]),
        "response": " ".join((SPECIAL + WORDS)[token] for token in content),
        "token_ids": content + [3] * (not truncated),
        "instruction_type": "human",
        "polarity": "positive",
        "phrasing": "topic.human.1",
    }


ROWS = [
    label_row(0),
    label_row(1, "unconstrained", 7),
    label_row(2, "counterfactual", 12, prompt_words=9),
    label_row(3, length=4, truncated=True),
    label_row(4, length=0),
    label_row(5, length=20, prompt_words=2),
]


def make_shard(loaded, path, rows=ROWS, scored=False, **changes):
    about = {"study": "test", "task": "topic", "log_probabilities": scored}
    extract(loaded, rows, path, SETTINGS | changes, **about)
    return path


def sequence_of(loaded, row):
    return chat_ids(loaded.tokenizer, row["prompt"]) + row["token_ids"]
