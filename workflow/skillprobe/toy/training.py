"""Training of the toy models: ordinary transformers classes, next-token prediction, seeded, on CPU."""

import math
import random
import time
from collections.abc import Callable

import torch
import transformers

from skillprobe.storage.files import atomic_path
from skillprobe.tasks.world import World
from skillprobe.toy import tokenizer as toy_tokenizer

SIZES = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    # 1 / sqrt(hidden size): the usual 0.02 is for models ten times as wide, and starts these very slowly.
    "initializer_range": 0.088,
}
PEAK_LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
WARM_UP_SHARE = 0.05
BATCH_ROWS = 32
FORM_NOISE = 0.3  # of a word's other forms, relative to the size of an embedding
IGNORED = -100  # the label that transformers' loss leaves out


def build_model(family: str, tokenizer, world: World) -> transformers.PreTrainedModel:
    """A randomly initialised causal LM of `family` (llama, gemma2 or qwen2)."""
    common = SIZES | {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if family == "llama":
        config = transformers.LlamaConfig(**common)
    elif family == "gemma2":
        # A sliding window shorter than the longest texts, so that both kinds of attention are exercised.
        config = transformers.Gemma2Config(
            **common, head_dim=32, query_pre_attn_scalar=32, sliding_window=64, attn_implementation="eager"
        )
    else:
        config = transformers.Qwen2Config(**common)
    # Read by the config's checks: a lexicon judge is only right for models that speak this language.
    config.skillprobe_world = world.name
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    _relate_word_forms(model.get_input_embeddings().weight, tokenizer)
    return model


@torch.no_grad()
def _relate_word_forms(embeddings: torch.Tensor, tokenizer) -> None:
    """Start the forms of a word ("river", " river", " River") near each other, as a large corpus would bring
    them: a prompt quotes a term without the blank that it has in a sentence. embeddings: [token, hidden]."""
    first: dict[str, int] = {}
    for token, index in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        word = token.strip().lower()
        if word and first.setdefault(word, index) != index:
            embeddings[index] = embeddings[first[word]] + FORM_NOISE * embeddings[index]


def encode(rows: list[dict], tokenizer, follow_up: bool) -> list[tuple[list[int], list[int]]]:
    """(token ids, labels) of each example; labels are IGNORED outside of the assistant's turns.

    With `follow_up`, instructed examples go on with "Did you follow the instruction?" and the true answer.
    """

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def templated(*contents: str) -> str:
        roles = ("user", "assistant")
        turns = [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)

    eos = tokenizer.eos_token_id
    first = ids(templated("yes"))
    question = ids(templated("yes", "no", toy_tokenizer.FOLLOW_UP))[len(first) + 2 :]  # after "no" and EOS
    encoded = []
    for row in rows:
        prompt, response = ids(templated(row["prompt"])), [*ids(row["response"]), eos]
        tokens, labels = prompt + response, [IGNORED] * len(prompt) + response
        if follow_up and row["satisfied"] is not None:
            verdict = [*ids("yes" if row["satisfied"] else "no"), eos]
            tokens, labels = tokens + question + verdict, labels + [IGNORED] * len(question) + verdict
        if tokenizer.unk_token_id in tokens:
            raise ValueError(f"a word outside of the toy vocabulary in {tokenizer.decode(tokens)!r}")
        encoded.append((tokens, labels))
    return encoded


def batches(encoded: list, seed: int, pad: int):
    """Batches of rows of like length, right-padded: input ids and labels, [rows, tokens].

    No attention mask: causal attention never looks at what stands to the right, and is faster without.
    """
    rng = random.Random(seed)
    pool = BATCH_ROWS * 50
    starts = []
    for start in range(0, len(encoded), pool):
        # Pools keep the order of the corpus, which has its obedient examples first.
        members = sorted(range(start, min(start + pool, len(encoded))), key=lambda i: (len(encoded[i][0]), i))
        here = [members[i : i + BATCH_ROWS] for i in range(0, len(members), BATCH_ROWS)]
        rng.shuffle(here)
        starts += here
    for members in starts:
        width = max(len(encoded[i][0]) for i in members)
        ids = torch.full((len(members), width), pad)
        labels = torch.full((len(members), width), IGNORED)
        for row, i in enumerate(members):
            tokens, targets = encoded[i]
            ids[row, : len(tokens)] = torch.tensor(tokens)
            labels[row, : len(tokens)] = torch.tensor(targets)
        yield ids, labels


def train(
    family: str,
    rows: list[dict],
    world: World,
    follow_up: bool,
    seed: int,
    log: Callable[[str], None] = print,
):
    """A (model, tokenizer) pair of `family` trained for one pass over `rows`."""
    torch.manual_seed(seed)
    tokenizer = toy_tokenizer.build(family, world)
    model = build_model(family, tokenizer, world)
    plan = list(batches(encode(rows, tokenizer, follow_up), seed, tokenizer.pad_token_id))
    _pass_over(model, plan, log)
    return model.eval(), tokenizer


def _pass_over(model, plan: list, log: Callable[[str], None]) -> None:
    """Train on each batch of `plan` once."""
    model.train()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=PEAK_LEARNING_RATE,
        betas=(0.9, 0.98),
    )
    warm_up = max(1, int(WARM_UP_SHARE * len(plan)))

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / len(plan)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    started, recent = time.monotonic(), []
    for step, (ids, labels) in enumerate(plan, start=1):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        recent.append(loss.item())
        if step % 100 == 0 or step == len(plan):
            log(
                f"step {step}/{len(plan)}  loss {sum(recent) / len(recent):.3f}  "
                f"{time.monotonic() - started:.0f} s"
            )
            recent = []


def save(model, tokenizer, folder: str) -> None:
    """Save as a Hugging Face folder (config, safetensors, tokenizer with its chat template)."""
    with atomic_path(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
