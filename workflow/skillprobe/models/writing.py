"""Writing after prompts, token by token: with keys and values kept in place, or by transformers' generate."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from skillprobe.models.fast_import import fast_import
from skillprobe.models.loaded import LoadedModel

with fast_import():
    import torch
    from torch.nn import functional
    from transformers import (
        DynamicCache,
        GenerationConfig,
        LogitsProcessor,
        LogitsProcessorList,
        StoppingCriteria,
        StoppingCriteriaList,
    )
    from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

# Tokens of the prompts that are read at once, padded.
_READ = 4096
# Slots beyond the longest text: what is kept moves to the front when they are taken.
_SLACK = 64

# Which of the prompts the rows are, how many tokens each has so far, their scores [row, vocabulary] float32
# -> the next token of each, [row].
Choose = Callable[[Sequence[int], Sequence[int], torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Job:
    """What is to be written after encoded prompts, and who is told of it.

    most: tokens at most, if no EOS comes before; choose: see `Choose`; together: rows at once; done: takes
    the number of a prompt and its tokens, as soon as they are whole; on_rows: is told of which prompts the
    rows of the steps to come are (None: nobody asks, and prompts that are the same are read once); on_step:
    is called after each pass.
    """

    prompts: Sequence[Sequence[int]]
    most: int
    choose: Choose
    together: int
    done: Callable[[int, list[int]], None]
    on_rows: Callable[[list[int]], None] | None = None
    on_step: Callable[[], None] = lambda: None


class _Whole(DynamicLayer):
    """Keys and values of all tokens, of layers with a window too: the mask leaves out what is before it."""

    def __init__(self, is_sliding: bool):
        super().__init__()
        self.is_sliding = is_sliding


class _InPlace(_Whole):
    """Keys and values [row, head, slot, size] of a `_Rows`, with room for those to come."""

    def __init__(self, rows: "_Rows", read: _Whole, number: int):
        super().__init__(read.is_sliding)
        self.rows = rows
        self.is_initialized = True
        # Zeros, as what is masked must be finite.
        self.keys, self.values = (
            part.new_zeros(number, part.shape[1], rows.slots, part.shape[3])
            for part in (read.keys, read.values)
        )

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_, **__):
        rows, first, end = len(key_states), self.rows.first, self.rows.end
        self.keys[:rows, :, end : end + 1] = key_states
        self.values[:rows, :, end : end + 1] = value_states
        return self.keys[:rows, :, first : end + 1], self.values[:rows, :, first : end + 1]

    def get_seq_length(self) -> int:
        return self.rows.end - self.rows.first


def sliding_layers(loaded: LoadedModel) -> list[bool] | None:
    """Of a model whose layers keep keys and values and nothing else, whether each has a window; else None."""
    parameters = inspect.signature(loaded.model.forward).parameters
    if not {"past_key_values", "attention_mask", "use_cache"} <= parameters.keys():
        return None
    if loaded.model._is_stateful:
        return None
    config = loaded.model.config
    layers = DynamicCache(config=config).layers
    if not layers or not {type(layer) for layer in layers} <= {DynamicLayer, DynamicSlidingWindowLayer}:
        return None
    # Chunks are counted from the first slot, padding or not.
    if "chunked_attention" in (getattr(config.get_text_config(decoder=True), "layer_types", None) or ()):
        return None
    return [layer.is_sliding for layer in layers]


@torch.inference_mode()
def in_place(loaded: LoadedModel, job: Job) -> None:
    """Write where `sliding_layers` isn't None. A row that has its EOS leaves at once, and once an eighth of
    the places is free other prompts take them: in their order, best those of one length together."""
    if not job.prompts:
        return
    rows = _Rows(loaded, job)
    while rows.waiting or rows.rows:
        if rows.waiting and 8 * len(rows.rows) <= 7 * job.together:
            rows.join()
        else:
            rows.step()


@dataclass
class _Rows:
    """Rows that are being written. Row r has its tokens in the slots from starts[r] to before `end`, those
    before are padding; `first` is the first slot that any row takes."""

    loaded: LoadedModel
    job: Job
    waiting: list[int] = field(init=False)
    rows: list[int] = field(init=False, default_factory=list)
    starts: list[int] = field(init=False, default_factory=list)
    written: list[list[int]] = field(init=False, default_factory=list)
    told: list[int] = field(init=False, default_factory=list)
    cache: Cache | None = field(init=False, default=None)
    # Of prompts that some waiting rows have too: their keys and values, and scores.
    read: dict[tuple[int, ...], tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]] = field(
        init=False, default_factory=dict
    )

    def __post_init__(self):
        prompts = self.job.prompts
        # From the end, as what is taken first.
        self.waiting = list(range(len(prompts)))[::-1]
        self.width = max(map(len, prompts))
        longest = self.width + self.job.most
        self.slots = longest + (_SLACK if len(prompts) > self.job.together else 0)
        self.first = self.end = self.width
        self.sliding = sliding_layers(self.loaded)
        parameters = inspect.signature(self.loaded.model.forward).parameters
        self.takes_positions = "position_ids" in parameters
        self.last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def join(self) -> None:
        """Read the prompts of as many waiting rows as there is room for, and write their first tokens."""
        number = min(self.job.together - len(self.rows), len(self.waiting))
        new = [self.waiting.pop() for _ in range(number)]
        for part in self._parts(new):
            found = self._read(part)
            scores = torch.stack([scores for _, scores in found])
            begun = len(self.rows)
            for row, (layers, _) in zip(part, found, strict=True):
                self._place(row, layers)
            self._choose(range(begun, len(self.rows)), scores)
        self._leave()

    def _parts(self, new: list[int]) -> list[list[int]]:
        """The rows in parts of `_READ` tokens."""
        parts: list[list[int]] = [[]]
        for row in new:
            if parts[-1] and (len(parts[-1]) + 1) * len(self.job.prompts[row]) > _READ:
                parts.append([])
            parts[-1].append(row)
        return parts

    def _read(self, part: list[int]) -> list[tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]]:
        """What the rows' prompts leave: keys and values [head, token, size] by layer, and scores
        [vocabulary]."""
        prompts = [tuple(self.job.prompts[row]) for row in part]
        shared = self.job.on_rows is None
        todo = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.read] if shared else prompts
        if todo:
            self._tell(part)
            made = self._forward_prompts(todo)
        if not shared:
            return made
        known = self.read | (dict(zip(todo, made, strict=True)) if todo else {})
        following = tuple(self.job.prompts[self.waiting[-1]]) if self.waiting else None
        following = {following, prompts[-1]}
        self.read = {prompt: found for prompt, found in known.items() if prompt in following}
        return [known[prompt] for prompt in prompts]

    def _forward_prompts(self, prompts):
        ids, mask = _padded(self.loaded, prompts)
        layers = [_Whole(is_sliding) for is_sliding in self.sliding]
        # Of padding any will do.
        positions = (mask.cumsum(dim=1) - 1).clamp_(min=0)
        scores = self._forward(ids, mask, positions, Cache(layers=layers))
        return [
            (
                [
                    (layer.keys[row, :, -len(prompt) :], layer.values[row, :, -len(prompt) :])
                    for layer in layers
                ],
                scores[row],
            )
            for row, prompt in enumerate(prompts)
        ]

    def _forward(self, ids, mask, positions, cache) -> torch.Tensor:
        """Scores [row, vocabulary] float32 after the last of the tokens."""
        device = self.loaded.device
        more = {"position_ids": positions.to(device)} if self.takes_positions else {}
        output = self.loaded.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            past_key_values=cache,
            use_cache=True,
            **more,
            **self.last_only,
        )
        self.job.on_step()
        return output.logits[:, -1].float()

    def _tell(self, rows: list[int]) -> None:
        if self.job.on_rows is not None and rows != self.told:
            self.told = list(rows)
            self.job.on_rows(self.told)

    def _place(self, row: int, layers: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        if self.cache is None:
            number = min(self.job.together, len(self.job.prompts))
            self.cache = Cache(layers=[])
            for is_sliding, (keys, values) in zip(self.sliding, layers, strict=True):
                read = _Whole(is_sliding)
                read.keys, read.values = keys[None], values[None]
                self.cache.layers.append(_InPlace(self, read, number))
        place, start = len(self.rows), self.end - len(self.job.prompts[row])
        for layer, (keys, values) in zip(self.cache.layers, layers, strict=True):
            layer.keys[place, :, start : self.end] = keys
            layer.values[place, :, start : self.end] = values
        self.rows.append(row)
        self.starts.append(start)
        self.written.append([])
        self.first = min(self.starts)

    def step(self) -> None:
        """Read the last token of each row, and write the next."""
        if self.end == self.slots:
            self._move()
        self._tell(self.rows)
        starts = torch.tensor(self.starts)[:, None]
        mask = (torch.arange(self.first, self.end + 1) >= starts).long()
        ids = torch.tensor([tokens[-1:] for tokens in self.written])
        scores = self._forward(ids, mask, self.end - starts, self.cache)
        self.end += 1
        self._choose(range(len(self.rows)), scores)
        self._leave()

    def _move(self) -> None:
        """All that is kept, to the front."""
        by = min(self.first, self.end - self.width)
        for layer in self.cache.layers:
            for part in (layer.keys, layer.values):
                part[:, :, : self.end - by] = part[:, :, by : self.end].clone()
        self.first, self.end = self.first - by, self.end - by
        self.starts = [start - by for start in self.starts]

    def _choose(self, places: Sequence[int], scores: torch.Tensor) -> None:
        rows, counts = [self.rows[place] for place in places], [len(self.written[place]) for place in places]
        chosen = self.job.choose(rows, counts, scores).tolist()
        for place, token in zip(places, chosen, strict=True):
            self.written[place].append(token)

    def _leave(self) -> None:
        """Rows that are whole leave, and the last take their places."""
        over = [
            place
            for place, tokens in enumerate(self.written)
            if tokens[-1] in self.loaded.eos_ids or len(tokens) == self.job.most
        ]
        if not over:
            return
        for place in over:
            self.job.done(self.rows[place], self.written[place])
        left = len(self.rows) - len(over)
        holes = [place for place in over if place < left]
        moved = [place for place in range(left, len(self.rows)) if place not in set(over)]
        if holes:
            for layer in self.cache.layers:
                for part in (layer.keys, layer.values):
                    part[holes, :, self.first : self.end] = part[moved, :, self.first : self.end]
        for kept in (self.rows, self.starts, self.written):
            for hole, place in zip(holes, moved, strict=True):
                kept[hole] = kept[place]
            del kept[left:]
        self.first = min(self.starts, default=self.end)


def _padded(loaded: LoadedModel, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask [row, width] of prompts, padded on the left."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), loaded.pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


class Chosen(LogitsProcessor):
    """For transformers' generate: leaves only the token that `choose` takes for these rows, of prompts of so
    many tokens."""

    def __init__(self, choose: Choose, rows: Sequence[int], width: int):
        self.choose = choose
        self.rows = rows
        self.width = width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        places = [input_ids.shape[1] - self.width] * len(scores)
        chosen = self.choose(self.rows, places, scores)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None].to(scores.device), 0.0)


class _ManyFinished(StoppingCriteria):
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


@torch.inference_mode()
def by_transformers(loaded: LoadedModel, job: Job) -> None:
    """Write with any model, in batches of prompts in their order. Rows that have their EOS leave from time to
    time."""
    for begin in range(0, len(job.prompts), job.together):
        _write_batch(loaded, job, list(range(len(job.prompts)))[begin : begin + job.together])


def _write_batch(loaded: LoadedModel, job: Job, batch: list[int]) -> None:
    input_ids, mask = (
        part.to(loaded.device) for part in _padded(loaded, [job.prompts[row] for row in batch])
    )
    width = input_ids.shape[1]
    rows, cache = torch.tensor(batch), None
    while len(rows):
        if job.on_rows is not None:
            job.on_rows(rows.tolist())
        criterion = _ManyFinished(loaded.eos_ids, len(rows), loaded.device, job.on_step)
        output = loaded.model.generate(
            input_ids=input_ids,
            attention_mask=mask,
            past_key_values=cache,
            generation_config=GenerationConfig(
                max_new_tokens=width + job.most - input_ids.shape[1],
                do_sample=False,
                num_beams=1,
                eos_token_id=list(loaded.eos_ids),
                pad_token_id=loaded.pad_id,
                return_dict_in_generate=True,
            ),
            logits_processor=LogitsProcessorList([Chosen(job.choose, rows.tolist(), width)]),
            stopping_criteria=StoppingCriteriaList([criterion]),
        )
        input_ids, cache = output.sequences, output.past_key_values
        full = input_ids.shape[1] == width + job.most
        done = torch.ones_like(criterion.finished) if full else criterion.finished
        for row, ids in zip(rows[done.cpu()].tolist(), input_ids[done, width:].tolist(), strict=True):
            job.done(row, cut(ids, loaded.eos_ids))
        going = (~done).nonzero()[:, 0]
        rows, input_ids = rows[going.cpu()], input_ids[going]
        mask = functional.pad(mask[going], (0, input_ids.shape[1] - mask.shape[1]), value=1)
        if len(rows) and cache is not None:
            # Beam search's, which any kind of cache has. (Without one, as of state-space models, all that was
            # written so far is read again.)
            cache.reorder_cache(going)


def cut(ids: list[int], eos_ids: tuple[int, ...]) -> list[int]:
    """By position, since what follows a row's EOS is padding, and that may be an EOS as well."""
    for place, token in enumerate(ids):
        if token in eos_ids:
            return ids[: place + 1]
    return ids
