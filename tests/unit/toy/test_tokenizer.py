"""The toy tokenizers are exact and know every word."""

import pytest
from made.items import WORLD
from made.toy import DEMO, FAMILIES, SHIPPED
from skillprobe import tasks
from skillprobe.models import chat, loading
from skillprobe.prompts.items import make_items
from skillprobe.toy import tokenizer, training


@pytest.mark.parametrize("family", tokenizer.FAMILIES)
def test_tokenizers_are_exact_and_know_every_word(family, rows):
    made = tokenizer.build(family, WORLD)
    # encode() refuses unknown words.
    for (ids, targets), row in zip(training.encode(rows, made, True), rows, strict=True):
        assert len(ids) == len(targets)
        response = made(row["response"], add_special_tokens=False)["input_ids"]
        assert made.decode(response) == row["response"]
        assert [token for token in targets if token != training.IGNORED][: len(response)] == response


@pytest.mark.parametrize("name", FAMILIES)
def test_shipped_tokenizers_know_every_prompt_of_the_demo(name):
    loaded = loading.load({"name": name, "source": str(SHIPPED / name)})
    for task in map(tasks.get, tasks.NAMES):
        for item in make_items(task, WORLD, DEMO["prompts"], seed=0):
            for prompt in (item["prompt"], item["unconstrained_prompt"]):
                assert loaded.tokenizer.unk_token_id not in chat.chat_ids(loaded.tokenizer, prompt)
