"""Sampling responses: batched, left-padded, with a random stream for each row."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from skillprobe.errors import UserError
from skillprobe.models import rehearsal, writing
from skillprobe.models.batches import halved
from skillprobe.models.chat import chat_ids, split_thought
from skillprobe.models.drawing import Draw
from skillprobe.models.fast_import import fast_import
from skillprobe.models.loaded import LoadedModel, is_hooked
from skillprobe.prompts.bases import seed_from
from skillprobe.storage.progress import progress

with fast_import():
    import torch


@dataclass(frozen=True)
class Generated:
    """One response. token_ids: what was generated, with the EOS if there is one; text: without it and other
    special tokens, and without what was thought before; truncated: no EOS within max_new_tokens, or a thought
    without an end; thinking: how many tokens come before the text."""

    token_ids: list[int]
    text: str
    truncated: bool
    thinking: int = 0


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
    on_rows: Callable[[list[int]], None] | None = None,
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
    if not prompts:
        return []
    if "rows" not in loaded.held and not is_hooked(loaded):
        loaded.held.update(_rehearsed(loaded, encoded[0]))
    draw = Draw(loaded.name, seeds, settings, settings["max_new_tokens"])
    with progress("answers", len(prompts)) as advance:

        def write(order: list[int], most: int, alike: bool) -> None:
            def done(place: int, ids: list[int]) -> None:
                results[order[place]] = finish(loaded.tokenizer, loaded.eos_ids, ids)
                advance(1)

            def choose(places, counts, scores):
                return draw([order[place] for place in places], counts, scores)

            def told(places):
                on_rows([order[place] for place in places])

            _write(
                loaded,
                writing.Job(
                    [encoded[row] for row in order],
                    settings["max_new_tokens"],
                    choose,
                    most,
                    done,
                    told if on_rows else None,
                    # A batch may take minutes.
                    lambda: advance(0),
                ),
                alike,
            )

        for order, most, alike in _alike(loaded, encoded, settings):
            most = min(most, loaded.held.get("rows", most))
            while left := [row for row in order if row not in results]:
                try:
                    write(left, min(most, len(left)), alike)
                    continue
                except torch.OutOfMemoryError:
                    pass
                # Outside the handler, where the failed call's tensors are gone.
                about, remedy = f"model '{loaded.name}'", "use a larger GPU or device_map"
                most = loaded.held["rows"] = halved(about, remedy, min(most, len(left)))
    return [results[row] for row in range(len(prompts))]


def _write(loaded: LoadedModel, job: writing.Job, alike: bool) -> None:
    """alike: whether all texts are computed in the same way, however long they get."""
    in_place = loaded.held.get("in_place", writing.sliding_layers(loaded) is not None)
    (writing.in_place if in_place and alike else writing.by_transformers)(loaded, job)


def _rehearsed(loaded: LoadedModel, prompt: list[int]) -> dict[str, int]:
    """What `LoadedModel.held` says of batches: "rows", the most of one, and whether texts are written
    "in_place"."""
    quick = writing.in_place if writing.sliding_layers(loaded) else None
    in_place, rows = rehearsal.rehearse(loaded, prompt, quick, writing.by_transformers)
    return {"in_place": int(in_place), "rows": rows}


def _alike(
    loaded: LoadedModel, encoded: Sequence[Sequence[int]], settings: Mapping
) -> list[tuple[list[int], int, bool]]:
    """Rows whose texts may share a batch, shortest first, the most rows of one, and whether each text is
    computed in one way throughout: all, but where a model changes with the length of the batch's longest text
    (`LoadedModel.switch`)."""
    # Prompts of one length share a batch: little padding, and little for rounding to depend on. And rows of
    # one prompt, which is then read once.
    order = sorted(range(len(encoded)), key=lambda row: (len(encoded[row]), encoded[row]))
    most, switch = settings["batch_size"], loaded.switch
    if switch is None:
        return [(order, most, True)]
    below = [row for row in order if len(encoded[row]) + settings["max_new_tokens"] <= switch]
    above = [row for row in order if len(encoded[row]) > switch]
    between = [row for row in order if row not in {*below, *above}]
    return [(below, most, True), (between, 1, False), (above, most, True)]


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


def finish(tokenizer, eos_ids: tuple[int, ...], ids: list[int]) -> Generated:
    """The response of these generated tokens, of which only the last may be an EOS."""
    ended = bool(ids) and ids[-1] in eos_ids
    thinking, text = split_thought(tokenizer, ids[:-1] if ended else ids)
    if text is None:
        return Generated(ids, "", truncated=True, thinking=len(ids))
    return Generated(ids, text, truncated=not ended, thinking=thinking)
