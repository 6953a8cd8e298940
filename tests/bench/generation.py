"""How much quicker sampling is when rows that have their EOS leave the batch, beside transformers' generate.

With a GPU, a random Llama of Llama-3.1-8B's shape and vocabulary in bfloat16, and 512 answers of 1 to 256
tokens; without, one of 8 layers and d = 512 in float32, on one thread, and 64 answers of 1 to 128. Every 64th
token (every 32nd) is taken for an EOS. `generate` samples the same tokens in the same batches, on a GPU but
for rounding; transformers' continuous batching, which can't be given a random stream for each row, others.
Ratios are of tokens per second and come from one run on one machine, the best of three of each (two on a
GPU), taken in turns.
"""

import common  # noqa: F401  # isort: skip (before numpy: it sets the threads)

import time
from dataclasses import replace
from functools import partial

import torch
from llama import LARGE, LARGE_VOCABULARY, random_llama
from skillprobe.models import generation, writing
from skillprobe.models.drawing import Draw
from transformers import ContinuousBatchingConfig, GenerationConfig, LogitsProcessorList

ON_GPU = torch.cuda.is_available()
ROWS, LONGEST, ENDS, TIMES = (512, 256, 64, 2) if ON_GPU else (64, 128, 32, 3)
SUBJECTS = ("river", "garden", "teacher", "city")
PROMPTS = [f"Write a short text about the {SUBJECTS[row % len(SUBJECTS)]} ." for row in range(ROWS)]
SEEDS = range(ROWS)
SETTINGS = {"max_new_tokens": LONGEST, "batch_size": ROWS, "temperature": 1.0}
# Room for all at once; a GPU's is found by itself.
PAGES = {} if ON_GPU else {"num_blocks": 256, "max_batch_tokens": 1024}


def ours(loaded, batch_size=ROWS):
    settings = SETTINGS | {"batch_size": batch_size}
    return [answer.token_ids for answer in generation.generate(loaded, PROMPTS, SEEDS, settings)]


@torch.inference_mode()
def peer(loaded):
    ids = torch.tensor([generation.chat_ids(loaded.tokenizer, prompt) for prompt in PROMPTS])
    ids = ids.to(loaded.device)
    output = loaded.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        generation_config=GenerationConfig(
            max_new_tokens=LONGEST,
            do_sample=False,
            eos_token_id=list(loaded.eos_ids),
            pad_token_id=loaded.pad_id,
        ),
        logits_processor=LogitsProcessorList(
            [writing.Chosen(Draw(loaded.name, SEEDS, SETTINGS, LONGEST), range(ROWS), ids.shape[1])]
        ),
    )
    return [writing.cut(row, loaded.eos_ids) for row in output[:, ids.shape[1] :].tolist()]


def continuous(loaded):
    answers = loaded.model.generate_batch(
        [generation.chat_ids(loaded.tokenizer, prompt) for prompt in PROMPTS],
        generation_config=GenerationConfig(
            max_new_tokens=LONGEST,
            do_sample=True,
            eos_token_id=list(loaded.eos_ids),
            pad_token_id=loaded.pad_id,
        ),
        continuous_batching_config=ContinuousBatchingConfig(**PAGES),
        progress_bar=False,
    )
    return [answer.generated_tokens for answer in answers.values()]


loaded = random_llama(
    **({"shape": LARGE, "device": "cuda", "dtype": torch.bfloat16, "vocabulary": LARGE_VOCABULARY})
    if ON_GPU
    else {}
)
loaded = replace(loaded, eos_ids=tuple(range(3, loaded.model.config.vocab_size, ENDS)))
WAYS = {
    "transformers' generate": peer,
    "rows leave": ours,
    f"rows leave, {ROWS // 4} a batch": partial(ours, batch_size=ROWS // 4),
    "continuous batching": continuous,
}
if not ON_GPU:
    assert ours(loaded) == peer(loaded)
rates, tokens = {name: [] for name in WAYS}, {}
for _ in range(TIMES):
    for name, way in WAYS.items():
        start = time.perf_counter()
        made = way(loaded)
        tokens[name] = sum(map(len, made))
        rates[name].append(tokens[name] / (time.perf_counter() - start))
for name in WAYS:
    best = max(rates[name])
    ratio = best / max(rates["transformers' generate"])
    print(f"{name:<28}{tokens[name]:>7} tokens{best:>7.0f} tokens/s{ratio:>6.2f}x")
