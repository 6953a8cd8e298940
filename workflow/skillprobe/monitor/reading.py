"""A monitor on a model: hooks that read each token's state as the model writes it.

A state is the one that extraction stores: at layer l what leaves block l (at 0, what enters the first), of
the token that was last read. So after n tokens of a response have been read, the probability is of the stage
that n tokens belong to. A model that stops at EOS never reads it; `Monitor.read` does, of a finished text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from skillprobe.activations.extraction import tokenizer_hash
from skillprobe.errors import UserError
from skillprobe.models.fast_import import fast_import
from skillprobe.models.loaded import find_blocks
from skillprobe.monitor.constraints import Watched, open_monitors
from skillprobe.probes.monitors import AT_EOS

with fast_import():
    import torch
    from torch.nn.functional import linear
    from transformers import StoppingCriteria


class Monitor:
    """Reads the probability that each constraint will be satisfied.

    watched: constraints and their monitors, all of one model. C is their number.
    """

    def __init__(self, watched: Sequence[Watched]):
        self.watched = list(watched)
        card = self.watched[0].stored.card
        self.model, self.hidden_size, self.num_layers = card["model"], card["hidden_size"], card["num_layers"]
        self._tokenizer_sha256 = card["tokenizer_sha256"]
        places: dict[int, list[int]] = {}
        for number, each in enumerate(self.watched):
            places.setdefault(each.stored.card["layer"], []).append(number)
        self.layers = {
            layer: _Layer([self.watched[number] for number in numbers], numbers)
            for layer, numbers in places.items()
        }

    @classmethod
    def from_study(cls, study: str | Path, model: str, constraints: Sequence = ()) -> Monitor:
        """study: results/<study>; model: its name there; constraints: 'task', 'task:{params as JSON}' or
        {"task": ..., "params": {...}}, none for every task that has a monitor. Raises UserError as
        `open_monitors`."""
        return cls(open_monitors(study, model, constraints))

    @property
    def names(self) -> list[str]:
        """[C] tasks, in the order of probabilities."""
        return [each.constraint.task for each in self.watched]

    def check(self, model, tokenizer=None) -> None:
        """Raises UserError for a transformers model, or a tokenizer, that the monitor wasn't made for."""
        config = model.config.get_text_config(decoder=True)
        for found, own, what in (
            (config.hidden_size, self.hidden_size, "a hidden size of {}"),
            (getattr(config, "num_hidden_layers", self.num_layers), self.num_layers, "{} blocks"),
        ):
            if found != own:
                raise UserError(
                    f"the monitors of '{self.model}' are for {what.format(own)}, but this model has "
                    f"{what.format(found)}; use the study's own model, or make a study of this one"
                )
        if tokenizer is not None and self._tokenizer_sha256 not in _hashes(tokenizer):
            raise UserError(
                f"the monitors of '{self.model}' were trained with another tokenizer; use the tokenizer of "
                "the study's model"
            )

    @contextmanager
    def watch(
        self,
        model,
        tokenizer=None,
        on_token: Callable[[Reading], None] | None = None,
        eos_ids: Sequence[int] | None = None,
    ) -> Iterator[Reading]:
        """Within the block, what a transformers model generates is read; `Reading` says what was found.

        A batch's prompts are padded on the left, as for generate; its rows stay the same to the end (no beam
        search, no assistant model). on_token is called when a step has been read. tokenizer: checked, if
        given. eos_ids: the tokens that end a response; None: the model's and the tokenizer's. Raises
        UserError as `check`.
        """
        self.check(model, tokenizer)
        reading = Reading(self, eos_ids or eos_ids_of(model, tokenizer), on_token)
        handles = [model.register_forward_pre_hook(reading.begin, with_kwargs=True)]
        try:
            handles += [
                self._hook(model, layer, lambda hidden, of=of: reading.take(of, hidden[:, -1]))
                for layer, of in self.layers.items()
            ]
            yield reading
        finally:
            for handle in handles:
                handle.remove()

    def read(
        self,
        model,
        sequences: Sequence[Sequence[int]],
        prompt_lengths: Sequence[int],
        tokenizer=None,
        rows: int = 1,
    ) -> list[np.ndarray]:
        """What the monitor says of finished texts: [tokens + 1, C] float32 of each.

        sequences: token ids of prompt and response, with the EOS where there is one; prompt_lengths: how many
        of them are the prompt; rows: texts in one pass. The first line is the prompt's end, then there is one
        for each token of the response. Raises UserError as `check`.
        """
        self.check(model, tokenizer)
        eos_ids = eos_ids_of(model, tokenizer)
        states: dict[int, torch.Tensor] = {}
        handles = [
            self._hook(model, layer, lambda hidden, layer=layer: states.update({layer: hidden}))
            for layer in self.layers
        ]
        found: list[np.ndarray] = [np.empty(0)] * len(sequences)
        # Texts of one length share a pass: little padding.
        order = sorted(range(len(sequences)), key=lambda number: len(sequences[number]))
        try:
            for start in range(0, len(order), rows):
                batch = order[start : start + rows]
                texts, lengths = ([of[number] for number in batch] for of in (sequences, prompt_lengths))
                with torch.no_grad():
                    # Logits over a large vocabulary would be most of the memory.
                    model.get_decoder()(**_padded(texts, device_of(model)), use_cache=False)
                for number, table in zip(
                    batch, self._tables(states, texts, lengths, frozenset(eos_ids)), strict=True
                ):
                    found[number] = table
        finally:
            for handle in handles:
                handle.remove()
        return found

    def _tables(
        self, states: dict, texts: Sequence[Sequence[int]], lengths: Sequence[int], eos_ids: frozenset[int]
    ) -> list[np.ndarray]:
        """As `read` gives them, of one pass's states, {layer: [rows, tokens, d]}."""
        written = np.array([len(ids) - length for ids, length in zip(texts, lengths, strict=True)])
        found = np.empty((len(texts), written.max(initial=0) + 1, len(self.watched)), np.float32)
        for step in range(found.shape[1]):
            going = np.flatnonzero(written >= step).tolist()
            places = [lengths[row] + step - 1 for row in going]
            ends = [
                step > 0 and texts[row][place] in eos_ids for row, place in zip(going, places, strict=True)
            ]
            at_eos = torch.tensor(ends, device=_device_of(states)) if any(ends) else None
            for layer, of in self.layers.items():
                seen = of.probabilities(states[layer][going, places], step, at_eos)
                found[going, step, np.array(of.numbers)[:, None]] = seen.T.cpu().numpy()
        return [table[: each + 1] for table, each in zip(found, written, strict=True)]

    def _hook(self, model, layer: int, take: Callable[[torch.Tensor], object]):
        blocks = find_blocks(self.model, model.get_decoder(), self.num_layers)
        if layer == 0:
            return blocks[0].register_forward_pre_hook(
                lambda _, args, kwargs: take(args[0] if args else kwargs["hidden_states"]) and None,
                with_kwargs=True,
            )
        return blocks[layer - 1].register_forward_hook(
            lambda _, __, output: take(output[0] if isinstance(output, tuple) else output) and None
        )


class Reading:
    """What was read so far of the text that is being generated; a new prompt begins anew.

    written: how many tokens of the response have been read (0: only the prompt); latest: [rows, C]
    probabilities after the last of them, on the model's device.
    """

    def __init__(self, monitor: Monitor, eos_ids: Sequence[int], on_token: Callable | None = None):
        self.monitor, self.on_token = monitor, on_token
        self.written, self.latest = 0, None
        self._eos, self._eos_ids = frozenset(eos_ids), torch.tensor(eos_ids)
        self._steps: list[torch.Tensor] = []
        self._tokens: list[torch.Tensor] = []
        self._seen: torch.Tensor | None = None
        self._at_eos: torch.Tensor | None = None
        self._left = 0

    def begin(self, _, args, kwargs) -> None:
        """Before a step of the model: is it a prompt, or the next token?"""
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is None:
            raise UserError(
                "the monitor counts tokens, so the model must be given input_ids, not inputs_embeds"
            )
        # Without a cache, all that was written is read again, and one token more.
        goes_on = self._seen is not None and (
            ids.shape[1] == 1
            or (ids.shape[1] == self._seen.shape[1] + 1 and torch.equal(ids[:, :-1], self._seen))
        )
        if ids.shape[1] > 1 or self._seen is None:
            self._seen = ids
        if goes_on:
            if len(ids) != len(self.latest):
                raise UserError(
                    "the monitor can't follow rows that join or leave a batch; generate without that"
                )
            self.written += 1
            last = ids[:, -1]
            self._at_eos = self._ends(last)
            self._tokens.append(last)
        else:
            self.written, self._steps, self._tokens, self._at_eos = 0, [], [], None
        self.latest, self._left = None, len(self.monitor.layers)

    def _ends(self, last: torch.Tensor) -> torch.Tensor | None:
        """Which rows [rows] end with this token; None if none does, as far as that costs nothing to know."""
        if last.device.type == "cpu":
            ends = [token in self._eos for token in last.tolist()]
            return torch.tensor(ends) if any(ends) else None
        # A GPU isn't waited for.
        if self._eos_ids.device != last.device:
            self._eos_ids = self._eos_ids.to(last.device)
        return torch.isin(last, self._eos_ids)

    def take(self, layer: _Layer, states: torch.Tensor) -> None:
        """states: [rows, d] of the last token at one of the layers."""
        found = layer.probabilities(states.detach(), self.written, self._at_eos)
        if len(layer.numbers) == len(self.monitor.watched):
            self.latest = found
        else:
            if self.latest is None:
                self.latest = found.new_empty((len(found), len(self.monitor.watched)))
            self.latest[:, layer.index(self.latest.device)] = found.to(self.latest.device)
        self._left -= 1
        if not self._left:
            self._steps.append(self.latest)
            if self.on_token:
                self.on_token(self)

    @property
    def last(self) -> torch.Tensor:
        """[rows] ids of the token that has been read last, if any of the response has."""
        return self._tokens[-1]

    @property
    def tokens(self) -> np.ndarray:
        """[rows, written] token ids of the response that have been read."""
        if not self._tokens:
            return np.zeros((len(self._steps[0]) if self._steps else 0, 0), int)
        return torch.stack(self._tokens, dim=1).cpu().numpy()

    @property
    def probabilities(self) -> np.ndarray:
        """[rows, written + 1, C] float32, the first of the prompt's end; NaN after a row's EOS."""
        if not self._steps:
            return np.zeros((0, 0, len(self.monitor.watched)), np.float32)
        found = torch.stack(self._steps, dim=1).cpu().numpy().copy()
        ended = np.isin(self.tokens, list(self._eos)).cumsum(axis=1)
        # What follows an EOS is padding; the EOS itself has been read.
        found[:, 2:][ended[:, :-1] > 0] = np.nan
        return found


class StopBelow(StoppingCriteria):
    """Stops a row whose response is unlikely to satisfy one of its constraints.

    reading: of `Monitor.watch`; threshold: probabilities below it are low; constraints: tasks to look at
    (none: all that are watched); patience: so many low tokens in a row; least: tokens that are written in any
    case. The probability is of the text without the token that was chosen just now, which is read next.
    """

    def __init__(
        self,
        reading: Reading,
        threshold: float,
        constraints: Sequence[str] = (),
        patience: int = 1,
        least: int = 1,
    ):
        names = reading.monitor.names
        if not 0 <= threshold <= 1 or patience < 1 or least < 0:
            raise UserError(
                "StopBelow needs a threshold of 0 to 1, patience of at least 1, least of at least 0"
            )
        if unknown := sorted(set(constraints) - set(names)):
            raise UserError(f"no monitor of '{unknown[0]}' is watching; there are {', '.join(names)}")
        self.reading, self.threshold, self.patience, self.least = reading, threshold, patience, least
        self._which = [number for number, name in enumerate(names) if not constraints or name in constraints]
        self._low: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores, **_) -> torch.Tensor:
        low = (self.reading.latest[:, self._which] < self.threshold).any(dim=1)
        before = self._low if self.reading.written else None
        self._low = low.long() if before is None else (before + 1) * low
        stop = (self._low >= self.patience) & (self.reading.written >= self.least)
        return stop.to(input_ids.device)


class _Layer:
    """The monitors that read one layer; calibrations are part of the weights: sigmoid(x · w + b).

    numbers: of these, among all that are watched.
    """

    def __init__(self, watched: Sequence[Watched], numbers: Sequence[int]):
        self.numbers = list(numbers)
        stored = [each.stored for each in watched]
        self._starts = sorted(
            {0, *(int(first) for each in stored for first in each.first if first != AT_EOS)}
        )
        self._host = [self._stacked(stored, [each.stage(start) for each in stored]) for start in self._starts]
        self._host_end = self._stacked(stored, [each.stage(0, True) for each in stored])
        self._on: dict[torch.device, tuple] = {}

    @staticmethod
    def _stacked(stored, stages) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights [c, d] and intercepts [c] of these stages."""
        pairs = list(zip(stored, stages, strict=True))
        slopes, offsets = np.array([each.calibration[k].astype(float) for each, k in pairs]).T
        weights = np.array([each.weights[k] for each, k in pairs], float) * slopes[:, None]
        intercepts = np.array([each.intercepts[k] for each, k in pairs], float) * slopes + offsets
        return torch.from_numpy(weights).float(), torch.from_numpy(intercepts).float()

    def _tables(self, device: torch.device) -> tuple:
        """Weights and intercepts of each span of tokens, those at EOS, and the numbers of the monitors."""
        if device not in self._on:
            spans = [(weights.to(device), intercepts.to(device)) for weights, intercepts in self._host]
            end = tuple(part.to(device) for part in self._host_end)
            self._on[device] = spans, end, torch.tensor(self.numbers, device=device)
        return self._on[device]

    def index(self, device: torch.device) -> torch.Tensor:
        return self._tables(device)[2]

    def probabilities(self, states: torch.Tensor, written: int, at_eos: torch.Tensor | None) -> torch.Tensor:
        """[rows, c] of states [rows, d] after so many tokens; at_eos: [rows] bool, None for none."""
        spans, end, _ = self._tables(states.device)
        states = states.float()
        odds = linear(states, *spans[bisect_right(self._starts, written) - 1])
        if at_eos is not None:
            odds = torch.where(at_eos.to(odds.device)[:, None], linear(states, *end), odds)
        return odds.sigmoid_()


def _hashes(tokenizer) -> Iterator[str]:
    """Of the tokenizer as it is, and without the padding and truncation that a call may have left in it."""
    yield tokenizer_hash(tokenizer)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        padding, truncation = backend.padding, backend.truncation
        backend.no_padding()
        backend.no_truncation()
        try:
            yield tokenizer_hash(tokenizer)
        finally:
            if padding:
                backend.enable_padding(**padding)
            if truncation:
                backend.enable_truncation(**truncation)


def _padded(texts: Sequence[Sequence[int]], device: torch.device) -> dict[str, torch.Tensor]:
    """Token ids, padded on the right, which no token before sees; and which of them are a text's."""
    width = max(map(len, texts))
    ids = torch.tensor([[*text, *[text[-1]] * (width - len(text))] for text in texts], device=device)
    if len(texts) == 1:
        return {"input_ids": ids}
    own = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], device=device)
    return {"input_ids": ids, "attention_mask": own}


def _device_of(states: dict[int, torch.Tensor]) -> torch.device:
    return next(iter(states.values())).device


def device_of(model) -> torch.device:
    return model.get_input_embeddings().weight.device


def eos_ids_of(model, tokenizer) -> list[int]:
    """All end tokens: of the model's generation config, and of the tokenizer."""
    given = model.generation_config.eos_token_id
    found = [given] if isinstance(given, int) else list(given or [])
    if tokenizer is not None and tokenizer.eos_token_id is not None:
        found.append(tokenizer.eos_token_id)
    return list(dict.fromkeys(found))
