"""Sampling responses: batched, left-padded, with a random stream for each row."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skillprobe.errors import UserError
from skillprobe.models import rehearsal
from skillprobe.models.batches import in_batches
from skillprobe.models.chat import chat_ids, split_thought
from skillprobe.models.fast_import import fast_import
from skillprobe.models.loaded import LoadedModel, is_hooked
from skillprobe.prompts.bases import seed_from
from skillprobe.storage.progress import progress

with fast_import():
    import torch
    from torch.nn import functional
    from transformers import (
        GenerationConfig,
        LogitsProcessor,
        LogitsProcessorList,
        StoppingCriteria,
        StoppingCriteriaList,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )


@dataclass(frozen=True)
class Generated:
    """One response. token_ids: what was generated, with the EOS if there is one; text: without it and other
    special tokens, and without what was thought before; truncated: no EOS within max_new_tokens, or a thought
    without an end; thinking: how many tokens come before the text."""

    token_ids: list[int]
    text: str
    truncated: bool
    thinking: int = 0


class InverseCDFSampler(LogitsProcessor):
    """Chooses a row's token by its own uniform number: the first whose cumulative probability exceeds it.

    Placed last and followed by argmax, it leaves only the chosen token. uniforms: [rows, max_new_tokens] in
    [0, 1). The choice depends on the row's scores and number alone, so batches may be cut in any way.
    """

    def __init__(self, uniforms: torch.Tensor, prompt_width: int):
        self.uniforms = uniforms
        self.prompt_width = prompt_width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        # Integer sums are exact in any order: floating-point cumsum is not reproducible on GPUs.
        weights = (scores.double().softmax(dim=-1) * 2**48).round().long()
        cumulative = weights.cumsum(dim=-1)
        uniform = self.uniforms[:, input_ids.shape[1] - self.prompt_width, None].to(scores.device)
        threshold = (uniform * cumulative[:, -1:]).long()
        chosen = torch.searchsorted(cumulative, threshold, right=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen, 0.0)


def check_room(
    loaded: LoadedModel, encoded: Sequence[Sequence[int]], settings: Mapping, key: str = "max_new_tokens"
) -> None:
    """Raises UserError, which says to lower `key`, where a prompt and the longest response to it would
    outgrow the model's positions."""
    longest, most = max(map(len, encoded), default=0), settings["max_new_tokens"]
    if loaded.positions and longest + most > loaded.positions:
        raise UserError(
            f"model '{loaded.name}' has a context window of {loaded.positions} tokens, but a prompt takes "
            f"{longest} and its response up to {most}; lower {key} to at most {loaded.positions - longest}"
        )


def generate(
    loaded: LoadedModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: Mapping,
    on_rows: Callable[[list[int]], None] = lambda rows: None,
) -> list[Generated]:
    """One response to each prompt, in order.

    seeds: one integer a prompt; the same prompt and seed give the same response in any batch, up to the
    rounding of matrix products. settings: "max_new_tokens", "batch_size", "temperature" (0: greedy), "top_k"
    (0 or null: off), "top_p" (1 or null: off). on_rows is told of which prompts the rows of the steps to come
    are: at the start of a batch, and whenever rows that have their EOS have left it. When a GPU runs out of
    memory the batch is halved, with a warning. Raises UserError for a model whose scores are NaN or infinite,
    and before anything is written, where the longest answer would outgrow the model's positions.
    """
    encode = functools.cache(functools.partial(chat_ids, loaded.tokenizer))
    encoded = [encode(prompt) for prompt in prompts]
    check_room(loaded, encoded, settings, "generation.max_new_tokens, or max_new_tokens in its entry,")
    results: dict[int, Generated] = {}

    def run(rows):
        return _generate_batch(
            loaded,
            [encoded[row] for row in rows],
            [seeds[row] for row in rows],
            settings,
            lambda places: on_rows([rows[place] for place in places]),
            # A batch may take minutes.
            lambda: advance(0),
        )

    if prompts and "rows" not in loaded.held and not is_hooked(loaded):
        loaded.held["rows"] = _most_rows(loaded, encoded[0])
    with progress("answers", len(prompts)) as advance:
        for order, most in _alike(loaded, list(map(len, encoded)), settings):
            for rows, token_ids in in_batches(loaded, run, order, [1] * len(prompts), "rows", most):
                finished = (finish(loaded.tokenizer, loaded.eos_ids, ids) for ids in token_ids)
                results.update(zip(rows, finished, strict=True))
                advance(len(rows))
    return [results[row] for row in range(len(prompts))]


def _most_rows(loaded: LoadedModel, prompt: list[int]) -> int:
    """As `rehearsal.most_rows`, in the batches of `generate`."""
    scores = OnlyNumbers(loaded.name)

    def write(texts, processors):
        def checked(rows):
            return LogitsProcessorList([scores, *processors(rows)])

        _write(loaded, texts, max(rehearsal.TOKENS), checked)

    return rehearsal.most_rows(loaded, prompt, write)


def _alike(loaded: LoadedModel, lengths: list[int], settings: Mapping) -> list[tuple[list[int], int]]:
    """Rows whose texts may share a batch, shortest first, and the most rows of one: all, but where a model
    changes with the length of the batch's longest text (`LoadedModel.switch`). lengths: of the prompts."""
    # Prompts of one length share a batch: little padding, and little for rounding to depend on.
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    if loaded.switch is None:
        return [(order, settings["batch_size"])]
    below = [row for row in order if lengths[row] + settings["max_new_tokens"] <= loaded.switch]
    above = [row for row in order if lengths[row] > loaded.switch]
    between = [row for row in order if row not in {*below, *above}]
    return [(below, settings["batch_size"]), (between, 1), (above, settings["batch_size"])]


def generate_task(loaded: LoadedModel, items: Sequence[Mapping], settings: Mapping, seed: int) -> list[dict]:
    """Rows of responses/<model>/<task>/<shard>.jsonl, of `requests`. settings: theirs and `generate`'s."""
    rows, seeds = requests(items, settings, seed)
    return completed(rows, generate(loaded, [row["prompt"] for row in rows], seeds, settings))


def requests(items: Sequence[Mapping], settings: Mapping, seed: int) -> tuple[list[dict], list[int]]:
    """Rows of responses that are yet to be made, and the seed of each: "samples" (of settings) to each item's
    constrained prompt and "twin_samples" to its unconstrained one, if it has one."""
    rows = []
    for item in items:
        for variant, prompt, samples in (
            ("constrained", item["prompt"], settings["samples"]),
            ("unconstrained", item["unconstrained_prompt"], settings["twin_samples"]),
        ):
            for sample in range(samples if prompt is not None else 0):
                rows.append(
                    {
                        "id": f"{item['item']}/{variant}/{sample}",
                        "item": item["item"],
                        "base": item["base"],
                        "group": item["group"],
                        "variant": variant,
                        "sample": sample,
                        "prompt": prompt,
                    }
                )
    return rows, [seed_from("response", seed, row["item"], row["variant"], row["sample"]) for row in rows]


def completed(rows: Sequence[Mapping], responses: Sequence[Generated]) -> list[dict]:
    """The rows with their responses, and "thinking" where one has some."""
    return [
        row
        | {"response": made.text, "token_ids": made.token_ids, "truncated": made.truncated}
        | ({"thinking": made.thinking} if made.thinking else {})
        for row, made in zip(rows, responses, strict=True)
    ]


class OnlyNumbers(LogitsProcessor):
    """Refuses scores that are NaN or infinite, of which argmax and sampling would make some token. name: the
    model's."""

    def __init__(self, name: str):
        self.name = name

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        # The largest: single tokens may be ruled out by minus infinity.
        if not torch.isfinite(scores.amax(dim=-1)).all():
            raise UserError(
                f"model '{self.name}' returns NaN or infinite scores for the next token; try float32 "
                "or eager attention, and check its weights"
            )
        return scores


class ManyFinished(StoppingCriteria):
    """Stops all rows once more than a quarter of them have their EOS: without those it goes on quicker."""

    def __init__(
        self, eos_ids: tuple[int, ...], rows: int, device: torch.device, on_step: Callable[[], None]
    ):
        self.on_step = on_step
        self.eos_ids = torch.tensor(eos_ids, device=device)
        self.finished = torch.zeros(rows, dtype=torch.bool, device=device)

    def __call__(self, input_ids: torch.Tensor, scores, **_) -> torch.Tensor:
        self.on_step()
        self.finished |= torch.isin(input_ids[:, -1], self.eos_ids)
        return self.finished | (4 * self.finished.sum() > len(self.finished))


def _generate_batch(
    loaded: LoadedModel,
    encoded: list[list[int]],
    seeds: list[int],
    settings: Mapping,
    on_rows: Callable[[list[int]], None],
    on_step: Callable[[], None] = lambda: None,
) -> list[list[int]]:
    """Token ids sampled after each of the encoded prompts, as `_write` writes them."""
    width, most = max(map(len, encoded)), settings["max_new_tokens"]
    uniforms = uniforms_of(seeds, most)

    def processors(rows):
        return processors_of(loaded.name, uniforms[rows], settings, width)

    return _write(loaded, encoded, most, processors, on_rows, on_step)


@torch.inference_mode()
def _write(
    loaded: LoadedModel,
    encoded: list[list[int]],
    most: int,
    processors: Callable[[list[int]], LogitsProcessorList],
    on_rows: Callable[[list[int]], None] = lambda rows: None,
    on_step: Callable[[], None] = lambda: None,
) -> list[list[int]]:
    """Token ids after each of the encoded prompts, up to and with the first EOS, and `most` of them at most.

    processors: of the scores of these rows, of which the largest is taken. Rows that have their EOS leave the
    batch from time to time; on_rows is told which go on, and on_step called after each token.
    """
    width = max(map(len, encoded))
    input_ids = torch.full((len(encoded), width), loaded.pad_id)
    mask = torch.zeros_like(input_ids)
    for row, ids in enumerate(encoded):
        input_ids[row, width - len(ids) :] = torch.tensor(ids)
        mask[row, width - len(ids) :] = 1
    input_ids, mask = input_ids.to(loaded.device), mask.to(loaded.device)
    results: dict[int, list[int]] = {}
    rows, cache = torch.arange(len(encoded)), None
    while len(rows):
        on_rows(rows.tolist())
        criterion = ManyFinished(loaded.eos_ids, len(rows), loaded.device, on_step)
        output = loaded.model.generate(
            input_ids=input_ids,
            attention_mask=mask,
            past_key_values=cache,
            generation_config=GenerationConfig(
                max_new_tokens=width + most - input_ids.shape[1],
                do_sample=False,
                num_beams=1,
                eos_token_id=list(loaded.eos_ids),
                pad_token_id=loaded.pad_id,
                return_dict_in_generate=True,
            ),
            logits_processor=processors(rows.tolist()),
            stopping_criteria=StoppingCriteriaList([criterion]),
        )
        input_ids, cache = output.sequences, output.past_key_values
        full = input_ids.shape[1] == width + most
        done = torch.ones_like(criterion.finished) if full else criterion.finished
        for row, ids in zip(rows[done.cpu()].tolist(), input_ids[done, width:].tolist(), strict=True):
            results[row] = _cut(ids, loaded.eos_ids)
        going = (~done).nonzero()[:, 0]
        rows, input_ids = rows[going.cpu()], input_ids[going]
        mask = functional.pad(mask[going], (0, input_ids.shape[1] - mask.shape[1]), value=1)
        if len(rows) and cache is not None:
            # Beam search's, which any kind of cache has. (Without one, as of state-space models, all that was
            # written so far is read again.)
            cache.reorder_cache(going)
    return [results[row] for row in range(len(encoded))]


def uniforms_of(seeds: list[int], number: int) -> torch.Tensor:
    """[row, number], of each row's own stream."""
    streams = [np.random.Generator(np.random.PCG64(seed)).random(number) for seed in seeds]
    return torch.from_numpy(np.stack(streams))


def processors_of(name: str, uniforms: torch.Tensor, settings: Mapping, width: int) -> LogitsProcessorList:
    """What samples after prompts of so many tokens. Temperature, then top-k, then top-p, then the draw:
    Hugging Face's order."""
    processors = LogitsProcessorList([OnlyNumbers(name)])
    if settings["temperature"] == 0:
        return processors
    processors.append(TemperatureLogitsWarper(float(settings["temperature"])))
    if settings.get("top_k"):
        processors.append(TopKLogitsWarper(settings["top_k"]))
    if (settings.get("top_p") or 1.0) < 1.0:
        processors.append(TopPLogitsWarper(settings["top_p"]))
    processors.append(InverseCDFSampler(uniforms, width))
    return processors


def _cut(ids: list[int], eos_ids: tuple[int, ...]) -> list[int]:
    """By position, since what follows a row's EOS is padding, and that may be an EOS as well."""
    for place, token in enumerate(ids):
        if token in eos_ids:
            return ids[: place + 1]
    return ids


def finish(tokenizer, eos_ids: tuple[int, ...], ids: list[int]) -> Generated:
    """The response of these generated tokens, of which only the last may be an EOS."""
    ended = bool(ids) and ids[-1] in eos_ids
    thinking, text = split_thought(tokenizer, ids[:-1] if ended else ids)
    if text is None:
        return Generated(ids, "", truncated=True, thinking=len(ids))
    return Generated(ids, text, truncated=not ended, thinking=thinking)
