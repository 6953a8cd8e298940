"""Policies that act on what a monitor or a verifier says of a response: stop, sample again, choose, steer.

`guarded` runs them on a transformers model. `skillprobe.analyses.pools` says of the same policies, from
responses that are there, what they would have made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skillprobe import tasks
from skillprobe.erasure.edits import edited
from skillprobe.errors import UserError
from skillprobe.models.batches import in_batches
from skillprobe.models.chat import chat_ids
from skillprobe.models.drawing import Draw
from skillprobe.models.fast_import import fast_import
from skillprobe.models.generation import check_room, finish
from skillprobe.models.loaded import LoadedModel, find_blocks
from skillprobe.models.sampling import DEFAULTS
from skillprobe.models.writing import Chosen
from skillprobe.monitor.constraints import Constraint, parse
from skillprobe.monitor.reading import Monitor, Reading, device_of, eos_ids_of
from skillprobe.probes.course import EOS, PROMPT_END, gathered, read_course
from skillprobe.probes.monitors import StoredMonitor, draw_spans
from skillprobe.prompts.bases import seed_from

with fast_import():
    import torch
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

# Of `guarded`, where the caller doesn't say.
SETTINGS = DEFAULTS | {"max_new_tokens": 64, "batch_size": 32}


@dataclass(frozen=True)
class StopEarly:
    """Stop a response when the probability falls below the threshold, and sample again.

    tries: starts at most; verified: whether one that is not stopped must satisfy the verifier, too. If all
    are stopped, the one that was stopped at the highest probability is written to its end.
    """

    threshold: float
    tries: int = 4
    verified: bool = False


@dataclass(frozen=True)
class BestOf:
    """Write n responses, and take the one with the highest probability at its end."""

    n: int = 4

    @property
    def tries(self) -> int:
        return self.n


@dataclass(frozen=True)
class VerifyAgain:
    """Write a response, verify it, and sample again until one satisfies. Needs no monitor."""

    tries: int = 4


@dataclass(frozen=True)
class StopOnPrefix:
    """As `VerifyAgain`, and stop a response as soon as the verifier knows that it can't satisfy any more
    (`Task.is_lost`). Needs no monitor."""

    tries: int = 4


@dataclass(frozen=True)
class Steer:
    """Where the probability is below the threshold, add the direction of the probe in use, times `strength`
    standard deviations of the states' projections on it, to the state of the token that was just read.

    spreads: [stages] these standard deviations (`spreads_of`).
    """

    threshold: float
    strength: float
    spreads: Sequence[float] = field(repr=False)
    tries: int = field(default=1, init=False)


Policy = StopEarly | BestOf | VerifyAgain | StopOnPrefix | Steer


@dataclass(frozen=True)
class Guarded:
    """The answer to one prompt. spent: tokens of all starts, each up to where it was stopped; starts: how
    many; probabilities: [T + 1, C] at the prompt's end and after each token of the answer; satisfied: what
    the verifiers say of it, None where none can tell."""

    prompt: str
    response: str
    token_ids: list[int]
    truncated: bool
    spent: int
    starts: int
    probabilities: np.ndarray = field(repr=False)
    satisfied: bool | None


@dataclass(frozen=True)
class Start:
    """One start: token_ids: what was written, up to where it ended; probabilities: [T + 1, C]; stopped:
    whether by the policy."""

    token_ids: list[int]
    probabilities: np.ndarray
    stopped: bool

    @property
    def at_end(self) -> float:
        """The probability of the least likely constraint, after the last token."""
        return float(self.probabilities[-1].min())


def guarded(
    model,
    tokenizer,
    monitor: Monitor,
    prompts: Sequence[str],
    policy: Policy,
    *,
    constraints: Sequence[Sequence] | None = None,
    judges: Mapping[str, object] | None = None,
    settings: Mapping | None = None,
    seed: int = 0,
    seeds: Sequence[Sequence[int]] | None = None,
) -> list[Guarded]:
    """The answers that a policy makes of prompts, in order.

    model, tokenizer: transformers'; prompts: users' turns, put through the chat template. With several
    constraints, the least probability counts, and the verifiers must all be satisfied.

    constraints: for each prompt a list of what its verifiers ask, as `Monitor.from_study` takes them; None:
    the monitor's own. judges: {task: judge} of tasks that need one. settings: "temperature", "top_p",
    "top_k", "max_new_tokens", "batch_size" in the place of SETTINGS. seed: of all samples; or seeds:
    [prompts] lists of one seed for each start. Raises UserError as `Monitor.check`, for a policy that can't
    work (no start, a threshold outside of 0 to 1, a verifier that is missing, a temperature of 0), and for
    prompts that leave no room in the context window.
    """
    loaded, settings = as_loaded(model, tokenizer, monitor), SETTINGS | dict(settings or {})
    _check_policy(policy, monitor, settings)
    verifiers = _verifiers(monitor, prompts, constraints, judges or {})
    if isinstance(policy, VerifyAgain | StopOnPrefix) or getattr(policy, "verified", False):
        for verifier in verifiers:
            verifier.check(policy)
    encoded = [chat_ids(tokenizer, prompt) for prompt in prompts]
    check_room(loaded, encoded, settings)
    if seeds is None:
        seeds = [
            [seed_from("guard", seed, number, prompt, start) for start in range(policy.tries)]
            for number, prompt in enumerate(prompts)
        ]
    starts: list[list[Start]] = [[] for _ in prompts]
    chosen: list[int | None] = [None] * len(prompts)
    waiting = list(range(len(prompts)))
    for turn in range(policy.tries):
        made = written(
            loaded,
            monitor,
            [encoded[row] for row in waiting],
            [seeds[row][turn] for row in waiting],
            settings,
            lambda place, step, p, ids, waiting=waiting: _stops(
                policy, verifiers[waiting[place]], loaded, step, p, ids
            ),
            policy if isinstance(policy, Steer) else None,
        )
        for row, start in zip(waiting, made, strict=True):
            starts[row].append(start)
            if _accepts(policy, verifiers[row], start, loaded):
                chosen[row] = turn
        waiting = [row for row in waiting if chosen[row] is None]
    unfinished = []
    for row in waiting:
        values = [_value(policy, start) for start in starts[row]]
        chosen[row] = int(np.argmax(values))
        if starts[row][chosen[row]].stopped:
            unfinished.append(row)
    spent = [sum(len(start.token_ids) for start in of) for of in starts]
    for row, whole in zip(
        unfinished,
        _continued(
            loaded,
            monitor,
            [encoded[row] for row in unfinished],
            [starts[row][chosen[row]] for row in unfinished],
            [seeds[row][chosen[row]] for row in unfinished],
            settings,
        ),
        strict=True,
    ):
        spent[row] += len(whole.token_ids) - len(starts[row][chosen[row]].token_ids)
        starts[row][chosen[row]] = whole
    return [
        _answer(loaded, prompts[row], starts[row][chosen[row]], spent[row], len(starts[row]), verifiers[row])
        for row in range(len(prompts))
    ]


def as_loaded(model, tokenizer, monitor: Monitor) -> LoadedModel:
    """A user's model as the package's own functions take it. Raises UserError as `Monitor.check`."""
    monitor.check(model, tokenizer)
    eos_ids = tuple(eos_ids_of(model, tokenizer))
    pad = tokenizer.pad_token_id
    backbone = model.get_decoder()
    return LoadedModel(
        name=monitor.model,
        source=str(getattr(model, "name_or_path", "")),
        revision=None,
        model=model,
        tokenizer=tokenizer,
        backbone=backbone,
        blocks=find_blocks(monitor.model, backbone, monitor.num_layers),
        device=device_of(model),
        eos_ids=eos_ids,
        pad_id=eos_ids[0] if pad is None or pad >= len(model.get_input_embeddings().weight) else pad,
        attn_implementation="",
    )


def _check_policy(policy: Policy, monitor: Monitor, settings: Mapping) -> None:
    name = type(policy).__name__
    if policy.tries < 1:
        raise UserError(f"{name} needs at least one start, not {policy.tries}")
    threshold = getattr(policy, "threshold", 0.0)
    if not 0 <= threshold <= 1:
        raise UserError(f"{name} needs a threshold of 0 to 1, not {threshold:g}")
    if policy.tries > 1 and not settings["temperature"]:
        raise UserError(
            f"at temperature 0 all starts are the same, so {name} can't work; set a temperature above 0"
        )
    if isinstance(policy, Steer):
        stored = monitor.watched[0].stored
        if len(monitor.watched) > 1:
            raise UserError("Steer follows one constraint; give it a monitor of one")
        if len(policy.spreads) != len(stored.first):
            raise UserError(
                f"Steer needs {len(stored.first)} spreads, one a stage of the monitor, not "
                f"{len(policy.spreads)}; make them with spreads_of"
            )


class Verifier:
    """What the constraints of one prompt ask of a text."""

    def __init__(self, constraints: Sequence[Constraint], judges: Mapping[str, object]):
        self.constraints, self.judges = list(constraints), judges

    def _missing(self) -> Constraint | None:
        return next(
            (
                each
                for each in self.constraints
                if each.params is None or (tasks.get(each.task).judged and self.judges.get(each.task) is None)
            ),
            None,
        )

    def check(self, policy: Policy) -> None:
        if missing := self._missing():
            what = "its params" if missing.params is None else "a judge"
            raise UserError(
                f"{type(policy).__name__} asks the verifier, but constraint '{missing.task}' has none "
                f"without {what}; give {what}"
            )

    def satisfied(self, text: str) -> bool | None:
        if self._missing():
            return None
        return all(
            tasks.get(each.task).verify(text, dict(each.params), self.judges.get(each.task)).satisfied
            for each in self.constraints
        )

    def lost(self, text: str) -> bool:
        return any(
            tasks.get(each.task).is_lost(text, dict(each.params), self.judges.get(each.task))
            for each in self.constraints
        )


def _verifiers(
    monitor: Monitor, prompts: Sequence[str], constraints: Sequence | None, judges: Mapping
) -> list[Verifier]:
    if constraints is None:
        return [Verifier([each.constraint for each in monitor.watched], judges)] * len(prompts)
    if len(constraints) != len(prompts):
        raise UserError(f"there are {len(prompts)} prompts, but constraints of {len(constraints)}")
    return [Verifier([parse(each) for each in given], judges) for given in constraints]


def lost_after(loaded: LoadedModel, verifier: Verifier, token_ids: Sequence[int]) -> int:
    """After how many of a response's tokens the verifier knows that it can't satisfy; 0 for never."""
    return next((k for k in range(1, len(token_ids) + 1) if _lost(loaded, verifier, token_ids[:k])), 0)


def _lost(loaded: LoadedModel, verifier: Verifier, token_ids: Sequence[int]) -> bool:
    # Of a character that has only begun, the bytes so far are shown as U+FFFD.
    return verifier.lost(finish(loaded.tokenizer, loaded.eos_ids, list(token_ids)).text.rstrip("\ufffd"))


def _stops(
    policy: Policy, verifier: Verifier, loaded: LoadedModel, step: int, p: np.ndarray, ids: Sequence[int]
) -> bool:
    """Whether a response is stopped after these tokens, the last of which has been read; p: [C]."""
    if isinstance(policy, StopEarly):
        return bool(p.min() < policy.threshold)
    return isinstance(policy, StopOnPrefix) and _lost(loaded, verifier, ids)


def _accepts(policy: Policy, verifier: Verifier, start: Start, loaded: LoadedModel) -> bool:
    if start.stopped or isinstance(policy, BestOf):
        return False
    if isinstance(policy, Steer) or (isinstance(policy, StopEarly) and not policy.verified):
        return True
    return bool(verifier.satisfied(finish(loaded.tokenizer, loaded.eos_ids, start.token_ids).text))


def _value(policy: Policy, start: Start) -> float:
    """Of a start that wasn't accepted; the highest becomes the answer, the first of equals."""
    if isinstance(policy, StopOnPrefix):
        return float(not start.stopped)
    if isinstance(policy, VerifyAgain):
        return 0.0
    if isinstance(policy, StopEarly) and not start.stopped:
        return -1.0  # It is known to be wrong.
    return start.at_end


def _answer(
    loaded: LoadedModel, prompt: str, start: Start, spent: int, starts: int, verifier: Verifier
) -> Guarded:
    made = finish(loaded.tokenizer, loaded.eos_ids, start.token_ids)
    return Guarded(
        prompt=prompt,
        response=made.text,
        token_ids=made.token_ids,
        truncated=made.truncated,
        spent=spent,
        starts=starts,
        probabilities=start.probabilities,
        satisfied=verifier.satisfied(made.text),
    )


# Steering


def spreads_of(study: str | Path, monitor: Monitor) -> list[float]:
    """[stages] of a monitor of one constraint: the standard deviation of the projections of the study's
    states on the direction of the stage's probe. study: results/<study>, whose activations must be there.
    Raises UserError where they aren't."""
    card = monitor.watched[0].stored.card
    folder = Path(study) / "activations" / card["model"] / card["task"]
    shards = sorted(folder.glob("*.h5"), key=lambda path: (len(path.name), path.name))
    if not shards:
        raise UserError(
            f"there are no activations in {folder}, which steering takes its unit from; run the study again, "
            "or give Steer the spreads"
        )
    return spreads_of_shards(shards, monitor.watched[0].stored)


def spreads_of_shards(shards: Sequence[str | Path], stored: StoredMonitor) -> list[float]:
    """As `spreads_of`, of the shards that the monitor was fitted on."""
    rows = read_course(shards, stored.card["layer"])
    named = {name: {name: rows.valid[name]} for name in (PROMPT_END, EOS) if name in rows.valid}
    named |= draw_spans(rows)
    found = []
    for name, weights in zip(stored.stages, stored.weights, strict=True):
        _, x = gathered(named[name], rows.x)
        found.append(float((x.astype(np.float64) @ _unit(weights)).std()))
    return found


def _unit(weights: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(weights)
    return weights / length if length else np.zeros_like(weights)


@contextmanager
def _steered(loaded: LoadedModel, monitor: Monitor, reading: Reading, steer: Steer | None) -> Iterator[None]:
    if steer is None:
        yield
        return
    stored = monitor.watched[0].stored
    steps = [
        torch.from_numpy(steer.strength * spread * _unit(weights)).float()
        for spread, weights in zip(steer.spreads, stored.weights, strict=True)
    ]

    def edit(hidden: torch.Tensor) -> torch.Tensor:
        low = reading.latest[:, 0] < steer.threshold
        if not bool(low.any()):
            return hidden
        step = steps[stored.stage(reading.written)].to(hidden.device)
        moved = hidden[:, -1].float() + low.to(hidden.device)[:, None] * step
        return torch.cat([hidden[:, :-1], moved[:, None].to(hidden.dtype)], dim=1)

    with edited(loaded, {stored.card["layer"]: edit}):
        yield


# Writing


class _Ends(StoppingCriteria):
    """Ends each row when its EOS has been read, when it has enough tokens, or when `stops` says so."""

    def __init__(self, reading: Reading, eos_ids: Sequence[int], most: int, stops: Callable, rows: int):
        self.reading, self.eos_ids, self.most, self.stops = reading, frozenset(eos_ids), most, stops
        # Of each row how many tokens it has, 0 while it goes on.
        self.length = [0] * rows
        self.stopped = [False] * rows

    def __call__(self, input_ids: torch.Tensor, scores, **_) -> torch.Tensor:
        step = self.reading.written
        if step:
            written = input_ids[:, -1 - step : -1].tolist()
            latest = self.reading.latest.cpu().numpy()
            for row, length in enumerate(self.length):
                if length:
                    continue
                self.stopped[row] = self.stops(row, step, latest[row], written[row])
                if self.stopped[row] or written[row][-1] in self.eos_ids or step == self.most:
                    self.length[row] = step
        return torch.tensor([length > 0 for length in self.length], device=input_ids.device)


def written(
    loaded: LoadedModel,
    monitor: Monitor,
    encoded: Sequence[Sequence[int]],
    seeds: Sequence[int],
    settings: Mapping,
    stops: Callable[[int, int, np.ndarray, list[int]], bool] = lambda *_: False,
    steer: Steer | None = None,
) -> list[Start]:
    """A start for each encoded prompt, with the samples that `models.generation.generate` makes of the seeds.

    stops: (number of the prompt, tokens read, probabilities [C], token ids) -> whether the response ends
    there; asked after each token has been read, the EOS too. A row that has ended stays in its batch, and
    costs nothing that is counted.
    """
    found: list[Start | None] = [None] * len(encoded)

    def run(rows: list[int]) -> list[Start]:
        return _batch(
            loaded,
            monitor,
            [encoded[row] for row in rows],
            [seeds[row] for row in rows],
            settings,
            lambda place, *about: stops(rows[place], *about),
            steer,
        )

    order = sorted(range(len(encoded)), key=lambda row: len(encoded[row]))
    for rows, made in in_batches(loaded, run, order, [1] * len(encoded), "rows", settings["batch_size"]):
        for row, start in zip(rows, made, strict=True):
            found[row] = start
    return found


def _batch(
    loaded: LoadedModel, monitor: Monitor, encoded, seeds, settings: Mapping, stops: Callable, steer
) -> list[Start]:
    width, most = max(map(len, encoded)), settings["max_new_tokens"]
    # One more than is kept: what is written last is still to be read.
    draw = Draw(loaded.name, seeds, settings, most + 1)
    processors = LogitsProcessorList([Chosen(draw, range(len(encoded)), width)])
    with (
        monitor.watch(loaded.model, eos_ids=loaded.eos_ids) as reading,
        # After the hook that reads: the probability is of the state as it was.
        _steered(loaded, monitor, reading, steer),
    ):
        ends = _Ends(reading, loaded.eos_ids, most, stops, len(encoded))
        _generate(loaded, encoded, most + 1, processors, [ends])
    tokens, probabilities = reading.tokens, reading.probabilities
    return [
        Start(tokens[row, :length].tolist(), probabilities[row, : length + 1], stopped)
        for row, (length, stopped) in enumerate(zip(ends.length, ends.stopped, strict=True))
    ]


def _generate(loaded: LoadedModel, encoded, most: int, processors, criteria) -> torch.Tensor:
    """[rows, width + written] ids; what a row has after its end is of no use."""
    width = max(map(len, encoded))
    ids = [[loaded.pad_id] * (width - len(each)) + list(each) for each in encoded]
    mask = [[0] * (width - len(each)) + [1] * len(each) for each in encoded]
    # No token is an EOS to generate(): it would leave it unread.
    none = len(loaded.model.get_input_embeddings().weight)
    with torch.inference_mode():
        return loaded.model.generate(
            input_ids=torch.tensor(ids, device=loaded.device),
            attention_mask=torch.tensor(mask, device=loaded.device),
            generation_config=GenerationConfig(
                max_new_tokens=most,
                do_sample=False,
                num_beams=1,
                eos_token_id=[none],
                pad_token_id=loaded.pad_id,
            ),
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList(criteria),
        )


def _continued(
    loaded: LoadedModel, monitor: Monitor, encoded, starts: Sequence[Start], seeds, settings: Mapping
) -> list[Start]:
    """Stopped starts, written to their ends as if they hadn't been stopped."""
    if not starts:
        return []
    most = settings["max_new_tokens"]
    whole: list[list[int]] = []
    for ids, start, seed in zip(encoded, starts, seeds, strict=True):
        done = len(start.token_ids)
        if start.token_ids[-1] in loaded.eos_ids or done == most:
            whole.append(start.token_ids)
            continue
        prompt = [*ids, *start.token_ids]
        draw = Draw(loaded.name, [seed], settings, most)
        processors = LogitsProcessorList([Chosen(draw, [0], len(ids))])
        made = _generate(loaded, [prompt], most - done, processors, [_AtEos(loaded.eos_ids)])
        whole.append(made[0, len(ids) :].tolist())
    tables = monitor.read(
        loaded.model,
        [[*ids, *each] for ids, each in zip(encoded, whole, strict=True)],
        list(map(len, encoded)),
        rows=settings["batch_size"],
    )
    return [Start(ids, table, False) for ids, table in zip(whole, tables, strict=True)]


class _AtEos(StoppingCriteria):
    def __init__(self, eos_ids: Sequence[int]):
        self.eos_ids = frozenset(eos_ids)

    def __call__(self, input_ids: torch.Tensor, scores, **_) -> torch.Tensor:
        ends = [token in self.eos_ids for token in input_ids[:, -1].tolist()]
        return torch.tensor(ends, device=input_ids.device)
