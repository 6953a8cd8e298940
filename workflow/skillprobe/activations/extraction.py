"""Reading a model's activations at named positions, in one pass over prompt and response."""

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path

import numpy as np

from skillprobe.activations import shards
from skillprobe.activations.positions import check_position_name, resolve
from skillprobe.errors import UserError
from skillprobe.models.batches import in_batches
from skillprobe.models.chat import answer_of, chat_ids, without_thought
from skillprobe.models.fast_import import fast_import
from skillprobe.models.loaded import LoadedModel, hooked
from skillprobe.models.loading import versions
from skillprobe.storage.progress import progress

with fast_import():
    import torch

_STORED = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_VARIANTS = ("constrained", "counterfactual", "without_constraint", "unconstrained")
# Answers under another prompt than their own.
_MOVED = ("counterfactual", "without_constraint")
# Logits of a batch, at most: 1 GiB in float32.
_LOGITS = 2**28


@torch.no_grad()
def read_states(loaded: LoadedModel, sequences: Sequence[Sequence[int]], indices: np.ndarray) -> torch.Tensor:
    """Activations of token-id sequences, in one right-padded batch: [layer, position, row, hidden].

    indices: [row, position], which tokens to keep of each. In the model's dtype, on its device: a GPU may
    still be at work on them.
    """
    with hooked(loaded, _keep(loaded, indices)) as kept:
        # The backbone only: logits over a large vocabulary would be most of the memory.
        loaded.backbone(**_padded(loaded, sequences))
    return torch.stack(kept)


@torch.no_grad()
def read_scored(
    loaded: LoadedModel, sequences: Sequence[Sequence[int]], indices: np.ndarray, starts: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `read_states`, and the log-probability of what follows token `start` of each, given what is before
    it: [row] float32, in nats, the sum over tokens (0 where there are none)."""
    inputs, first = _padded(loaded, sequences), 0
    if "logits_to_keep" in inspect.signature(loaded.model.forward).parameters:
        # A large vocabulary's are a fifth of the work, and no prompt's are asked for.
        first = min(starts) - 1
        inputs["logits_to_keep"] = inputs["input_ids"].shape[1] - first
    with hooked(loaded, _keep(loaded, indices)) as kept:
        # With the head as the model applies it: some scale or cap its logits.
        logits = loaded.model(**inputs).logits
    found = []
    for row, (ids, start) in enumerate(zip(sequences, starts, strict=True)):
        # In float32 a row at a time, as the logits of a large vocabulary are most of the memory.
        told = logits[row, start - 1 - first : len(ids) - 1 - first].float().log_softmax(dim=-1)
        said = torch.tensor(ids[start:], dtype=torch.int64, device=told.device)
        found.append(told.gather(1, said[:, None]).sum().to(loaded.device))
    return torch.stack(kept), torch.stack(found)


def _padded(loaded: LoadedModel, sequences: Sequence[Sequence[int]]) -> dict:
    """What a right-padded batch is to a model."""
    width = max(map(len, sequences))
    input_ids = torch.full((len(sequences), width), loaded.pad_id)
    mask = torch.zeros_like(input_ids)
    for row, ids in enumerate(sequences):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        mask[row, : len(ids)] = 1
    inputs = {"input_ids": input_ids.to(loaded.device), "attention_mask": mask.to(loaded.device)}
    return inputs | {"use_cache": False}


def _keep(loaded: LoadedModel, indices: np.ndarray) -> Callable[[torch.Tensor], torch.Tensor]:
    rows = torch.arange(len(indices), device=loaded.device)
    columns = torch.as_tensor(indices).T.to(loaded.device)

    def keep(hidden: torch.Tensor) -> torch.Tensor:
        return hidden[rows.to(hidden.device), columns.to(hidden.device)].to(loaded.device)

    return keep


def extract(
    loaded: LoadedModel,
    rows: Sequence[Mapping],
    path: str | Path,
    settings: Mapping,
    *,
    study: str,
    task: str,
    log_probabilities: bool = False,
    random_weights: bool = False,
) -> list[list[int]]:
    """Write the shard of `rows` (of labels/<model>/<task>/<shard>.jsonl) to `path`; returns its checksums
    [layer][position], for `shards.manifest`.

    settings: "positions" (names), "dtype" (of the file: float32, float16 or bfloat16; auto: what the model
    computes in, so that nothing is lost), "tokens_per_batch" (padded; halved with a warning when a GPU runs
    out of memory). Responses to unconstrained prompts are read at eos only. Samples are ordered as _VARIANTS,
    and as in `rows` within each. random_weights: whether the model's were drawn, which the file says.
    log_probabilities: also store that of each response given its prompt (in
    nats, the sum over its tokens with the EOS). While a block of the file (1.5 MB at most for each layer and
    position) is being written, the forward passes go on until the next is whole, so two blocks are in memory,
    and not more. Raises UserError naming layer and sample for values that are not finite, or don't fit the
    dtype."""
    names = list(settings["positions"])
    for name in names:
        check_position_name(name)
    dtype = loaded.dtype if settings["dtype"] == "auto" else settings["dtype"]
    if dtype not in _STORED:
        raise UserError(f"activations can't be stored as '{dtype}'; use {', '.join(_STORED)}")
    rows = sorted(rows, key=lambda row: _VARIANTS.index(row["variant"]))
    prompts = {prompt: chat_ids(loaded.tokenizer, prompt) for prompt in {row["prompt"]: None for row in rows}}
    answers = [_answer(loaded.tokenizer, row) for row in rows]
    sequences = [prompts[row["prompt"]] + ids for row, (ids, _) in zip(rows, answers, strict=True)]
    indices = np.zeros((len(rows), len(names)), dtype=np.int64)
    valid = np.zeros((len(rows), len(names)), dtype=bool)
    characters = np.zeros((len(rows), len(names)), dtype=np.int32)
    eos_only = np.array([name == "eos" for name in names])
    for number, (row, (ids, thinking)) in enumerate(zip(rows, answers, strict=True)):
        lengths = len(prompts[row["prompt"]]), len(ids)
        placed = resolve(names, *lengths, has_eos=not row["truncated"], thinking=thinking)
        indices[number], valid[number] = placed
        if row["variant"] == "unconstrained":
            valid[number] &= eos_only
        seen = np.where(valid[number], np.maximum(indices[number] + 1 - lengths[0], 0), 0)
        text = row["response"]
        characters[number] = [prefix_length(loaded.tokenizer, text, ids, n) for n in seen.tolist()]
    samples = {
        "label": [row["satisfied"] for row in rows],
        "response_length": [len(ids) - thinking for ids, thinking in answers],
    }
    for name in shards.SAMPLE_FIELDS.keys() - samples.keys():
        samples[name] = [row[name] for row in rows]
    with (
        shards.create(
            path,
            samples=samples,
            positions=names,
            valid=valid.T,
            characters=characters.T,
            num_layers=loaded.num_layers,
            hidden_size=loaded.hidden_size,
            dtype=dtype,
            attributes=_attributes(loaded, study, task) | {"random_weights": int(random_weights)},
            log_probabilities=log_probabilities,
        ) as writer,
        progress("answers read", len(rows)) as advance,
        # The file is this one thread's while it runs.
        in_thread() as submit,
    ):
        # A block is one chunk of every layer and position: memory is bounded, no chunk is written twice.
        told = np.zeros(len(rows), np.float32)
        starts = None
        if log_probabilities:
            starts = [len(ids) for ids in sequences]
            starts = [
                start - len(ids) + thinking for start, (ids, thinking) in zip(starts, answers, strict=True)
            ]
        for start in range(0, len(rows), writer.rows_per_block):
            block = range(start, min(start + writer.rows_per_block, len(rows)))
            parts = []
            for batch, found, scored in _read_block(
                loaded, sequences, indices, valid, block, dtype, settings["tokens_per_batch"], starts
            ):
                ids = [rows[row]["id"] for row in batch]
                values = _checked(*found, loaded.name, ids)
                parts.append(([row - start for row in batch], values))
                told[batch] = _finite(scored, loaded.name, ids)
                advance(len(batch))
            submit(_write, writer, start, parts)
        if log_probabilities:
            submit(writer.write_log_probabilities, told)
    return writer.checksums


def prefix_length(tokenizer, response: str, ids: Sequence[int], n: int) -> int:
    """How many characters of a response the first n of its tokens make, a character begun not among them."""
    if n >= len(ids):
        return len(response)
    return len(os.path.commonprefix([answer_of(tokenizer, ids[:n]) or "", response])) if n else 0


def _answer(tokenizer, row: Mapping) -> tuple[list[int], int]:
    """The tokens after a row's prompt, and how many of them are a thought."""
    thinking = row.get("thinking", 0)
    if thinking and row["variant"] in _MOVED:
        return without_thought(tokenizer, row["token_ids"], thinking)
    return row["token_ids"], thinking


@contextmanager
def in_thread() -> Iterator[Callable[..., None]]:
    """Within the block, calls of what it yields run their first argument on the others in one other thread,
    and return as soon as it has begun, when the call before has ended. All have when the block ends.

    An error in the thread is raised by the next call, or when the block ends. After an error in either, what
    is running is waited for.
    """
    running: Future | None = None
    with ThreadPoolExecutor(max_workers=1) as pool:

        def submit(work: Callable, *arguments) -> None:
            nonlocal running
            if running:
                running.result()
            running = pool.submit(work, *arguments)

        yield submit
        if running:
            running.result()


def _read_block(
    loaded: LoadedModel,
    sequences: list[list[int]],
    indices: np.ndarray,
    valid: np.ndarray,
    block: range,
    dtype: str,
    most: int,
    starts: list[int] | None,
) -> Iterator[tuple[list[int], list[torch.Tensor], torch.Tensor]]:
    """The rows in `block`, in batches of at most so many tokens, with what `_stored` makes of their states,
    on the CPU, and the log-probabilities of what follows `starts` (None: zeros)."""

    def run(batch):
        chosen = [sequences[row] for row in batch]
        if starts is None:
            states, scored = read_states(loaded, chosen, indices[batch]), torch.zeros(len(batch))
        else:
            states, scored = read_scored(loaded, chosen, indices[batch], [starts[row] for row in batch])
        return _to_host([*_stored(states, valid[batch], dtype), scored])

    sizes = [len(sequence) for sequence in sequences]
    if starts is not None:
        most = min(most, _LOGITS // loaded.model.get_output_embeddings().weight.shape[0])
    batches = in_batches(loaded, run, block, sizes, "tokens", most)
    # A GPU has the next batch to work on while this waits for one to be copied.
    for (batch, ((*found, scored), copied)), _ in pairwise(chain(batches, [None])):
        if copied is not None:
            copied.synchronize()
        yield batch, found, scored


def _stored(states: torch.Tensor, valid: np.ndarray, dtype: str) -> list[torch.Tensor]:
    """States [layer, position, row, hidden] as stored, zeros where they are not valid [row, position]; and
    where they are not finite, and where they don't fit the dtype: [layer, row]. On the states' device, which
    may be a GPU and soon done."""
    states.masked_fill_(torch.from_numpy(~valid.T).to(states.device)[:, :, None], 0)
    stored = states.to(_STORED[dtype])
    wrong = _not_finite(states)
    return [stored, wrong, wrong if stored is states else _not_finite(stored)]


def _not_finite(states: torch.Tensor) -> torch.Tensor:
    return ~torch.isfinite(states).all(dim=-1).all(dim=1)


def _to_host(tensors: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.cuda.Event | None]:
    """The tensors on the CPU, and what to wait for before they are read: a GPU copies them later."""
    device = tensors[0].device
    if device.type != "cuda":
        return [each.cpu() for each in tensors], None
    host = [torch.empty(each.shape, dtype=each.dtype, pin_memory=True) for each in tensors]
    for here, there in zip(host, tensors, strict=True):
        here.copy_(there, non_blocking=True)
    # Who waits sleeps: the job may have one core.
    copied = torch.cuda.Event(blocking=True)
    copied.record(torch.cuda.current_stream(device))
    return host, copied


def _checked(
    stored: torch.Tensor, wrong: torch.Tensor, too_large: torch.Tensor, name: str, ids: Sequence[str]
) -> np.ndarray:
    """What `_stored` made, as the shard takes it, in the same memory. Raises UserError where it is not
    finite, or was so before it was stored."""
    advice = "try float32 or eager attention, and check the model's weights"
    _refuse(name, wrong, ids, f"are NaN or infinite; {advice}")
    advice = "set activations.dtype to auto"
    _refuse(name, too_large, ids, f"are too large for {str(stored.dtype).removeprefix('torch.')}; {advice}")
    return (stored.view(torch.uint16) if stored.dtype == torch.bfloat16 else stored).numpy()


def _write(writer: shards.ShardWriter, start: int, parts: list[tuple[list[int], np.ndarray]]) -> None:
    """parts: of the block of rows from `start` on, which, and their states [layer, position, row, hidden]."""
    for layer in range(len(writer.layers)):
        writer.write(layer, start, [(places, values[layer]) for places, values in parts])


def _finite(scored: torch.Tensor, name: str, ids: Sequence[str]) -> np.ndarray:
    """Log-probabilities [row], none of which may be NaN or infinite."""
    bad = (~torch.isfinite(scored)).nonzero()
    if len(bad):
        raise UserError(
            f"model '{name}': the log-probability of sample '{ids[bad[0].item()]}' is NaN or infinite; "
            "try float32 or eager attention, and check the model's weights"
        )
    return scored.numpy()


def _refuse(name: str, bad: torch.Tensor, ids: Sequence[str], problem: str) -> None:
    """bad: [layer, row]."""
    if bad.any():
        layer, row = bad.nonzero()[0].tolist()
        raise UserError(f"model '{name}': activations of layer {layer}, sample '{ids[row]}', {problem}")


def tokenizer_hash(tokenizer) -> str:
    """SHA-256 of what decides how it cuts a text into tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = json.dumps(tokenizer.get_vocab(), sort_keys=True) if backend is None else backend.to_str()
    return hashlib.sha256(vocabulary.encode()).hexdigest()


def _attributes(loaded: LoadedModel, study: str, task: str) -> dict[str, str | int]:
    return {
        "study": study,
        "task": task,
        "model": loaded.name,
        "model_source": loaded.source,
        "model_revision": loaded.revision or "",
        "model_dtype": loaded.dtype,
        "attn_implementation": loaded.attn_implementation,
        "chat_template_sha256": hashlib.sha256(str(loaded.tokenizer.chat_template).encode()).hexdigest(),
        "tokenizer_sha256": tokenizer_hash(loaded.tokenizer),
        "library_versions": json.dumps(versions()),
    }
