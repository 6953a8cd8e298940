"""Word-level tokenizers of the toy world, with the chat templates of three model families.

A token is a word or a punctuation mark together with the blank before it, so decoding is exact.
"""

import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from skillprobe import tasks
from skillprobe.tasks.world import World
from skillprobe.toy import corpus, grammar

TOKEN = r" ?\w+(?:['’-]\w+)*| ?[^\w\s]|\s"
LARGEST_NUMBER = 200
FOLLOW_UP = "Did you follow the instruction?"

# Each family's own markers and habits: Qwen has no BOS, Gemma's roles are "user" and "model".
FAMILIES = {
    "llama": {
        "bos": "<|begin_of_text|>",
        "eos": "<|eot_id|>",
        "pad": "<|pad|>",
        "user": "<|start_header_id|>user<|end_header_id|>\n",
        "assistant": "<|start_header_id|>assistant<|end_header_id|>\n",
    },
    "gemma2": {
        "bos": "<bos>",
        "eos": "<end_of_turn>",
        "pad": "<pad>",
        "user": "<start_of_turn>user\n",
        "assistant": "<start_of_turn>model\n",
    },
    "qwen2": {
        "bos": None,
        "eos": "<|im_end|>",
        "pad": "<|endoftext|>",
        "user": "<|im_start|>user\n",
        "assistant": "<|im_start|>assistant\n",
    },
}


def chat_template(family: str) -> str:
    """The family's Jinja chat template for user and assistant turns."""
    marks = FAMILIES[family]

    def written(mark: str) -> str:
        # Jinja drops a line break that follows a tag, so it is written as an expression.
        return "{{ '" + mark.replace("\n", "\\n") + "' }}"

    return (
        ("{{ bos_token }}" if marks["bos"] else "")
        + "{% for message in messages %}"
        + "{% if message['role'] == 'user' %}"
        + written(marks["user"])
        + "{% elif message['role'] == 'assistant' %}"
        + written(marks["assistant"])
        + "{% else %}{{ raise_exception('only user and assistant turns are supported') }}{% endif %}"
        + "{{ message['content'] }}"
        + marks["eos"]
        + "{% endfor %}{% if add_generation_prompt %}"
        + written(marks["assistant"])
        + "{% endif %}"
    )


def words(world: World) -> list[str]:
    """Every token of the toy world, sorted: all phrasings, all numbers, all the grammar's words."""
    splitter = pre_tokenizers.Split(Regex(TOKEN), behavior="isolated")
    rng = random.Random(0)
    texts = [
        f"{grammar.PREAMBLE} {{}} {grammar.CLOSING}",
        FOLLOW_UP,
        "yes",
        "no",
        *(str(n) for n in range(LARGEST_NUMBER + 1)),
    ]
    lists = [
        *world.subjects,
        *world.terms,
        *world.json_keys,
        *world.insults,
        *grammar.ADVERBS,
        *grammar.NEUTRAL_ADJECTIVES,
        *grammar.PLACES,
        *grammar.TIMES,
        *(word for group in (world.topics, world.sentiment, world.register) for word in group),
        *(
            word
            for group in (world.topics, world.sentiment, world.register)
            for ws in group.values()
            for word in ws
        ),
        *(str(n) for n in range(LARGEST_NUMBER + 1)),
    ]
    # In a sentence, after a quotation mark, and at the start of a sentence.
    texts += [
        form for item in lists for form in (f" {item}", item, f" {item.capitalize()}", item.capitalize())
    ]
    for name in tasks.NAMES:
        task = tasks.get(name)
        for phrasing in task.phrasings:
            for _ in range(60):
                subject = rng.choice(world.subjects)
                request = rng.choice(world.requests).format(subject=subject)
                texts.append(tasks.render(task, phrasing, request, subject, task.sample_params(rng, world)))
    texts += [request.format(subject=world.subjects[0]) for request in world.requests]
    texts += [row["response"] for row in corpus.examples(world, 4000, seed=0)]
    return sorted({piece for text in texts for piece, _ in splitter.pre_tokenize_str(text)})


def build(family: str, world: World) -> PreTrainedTokenizerFast:
    """The tokenizer of a toy model of `family` (llama, gemma2 or qwen2)."""
    marks = FAMILIES[family]
    pieces = pre_tokenizers.Split(Regex(r"<[^<>]+>"), behavior="isolated")
    special = [
        piece
        for key in ("pad", "bos", "eos", "user", "assistant")
        if marks[key]
        for piece, _ in pieces.pre_tokenize_str(marks[key])
        if piece.startswith("<")
    ]
    special = list(dict.fromkeys(["<unk>", *special]))
    roles = ["user", "assistant", "model", "\n"]
    vocabulary = {token: index for index, token in enumerate([*special, *sorted({*words(world), *roles})])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(TOKEN), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(special)
    if marks["bos"]:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{marks['bos']} $A", special_tokens=[(marks["bos"], vocabulary[marks["bos"]])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token=marks["bos"],
        eos_token=marks["eos"],
        pad_token=marks["pad"],
        chat_template=chat_template(family),
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
