"""A tiny model that thinks before it answers: what it writes is planned, token by token."""

from transformers import AutoModelForCausalLM

from made.models import TEMPLATE, make_config, make_tokenizer

TAGS = ["<think>", "</think>"]


def thinking_tokenizer(special=False, opened=False):
    """With the tags as tokens of their own, plain ones (as Qwen 3 has them) or special ones; opened: whether
    prompts end with the first of them."""
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(TAGS, special_tokens=special)
    if special:
        known = tokenizer.special_tokens_map.get("extra_special_tokens", [])
        tokenizer.add_special_tokens({"extra_special_tokens": [*known, *TAGS]})
    if opened:
        tokenizer.chat_template = TEMPLATE + " <think>"
    return tokenizer


def make_thinking_folder(folder, **changes):
    """A random Llama with such a tokenizer."""
    tokenizer = thinking_tokenizer(**changes)
    config = make_config("llama")
    config.vocab_size = len(tokenizer)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
