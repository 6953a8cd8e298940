"""Drawing the next token of each row from its scores, by the row's own random stream."""

from collections.abc import Mapping, Sequence

import numpy as np

from skillprobe.errors import UserError
from skillprobe.models.fast_import import fast_import

with fast_import():
    import torch

# Cumulative weights are sums of integers, which are exact in any order: floating-point ones are not
# reproducible on GPUs. The largest weight of a row is one.
_ONE = 2.0**40
# Weights are summed in blocks of so many tokens, and looked at one by one in a single block.
_BLOCK = 256
# Rows of so many tokens together stay in a processor's cache.
_CACHED = 2**17
# Tokens that are looked at first for those of top_p.
_LIKELIEST = 64
# A lower temperature is as good as this one, and scores divided by it would be infinite.
_COLDEST = 1e-30


class Draw:
    """Chooses the next tokens: after temperature, then top-k, then top-p (Hugging Face's order), the first
    whose cumulative probability exceeds a uniform number of the row's own.

    The choice depends on the row's scores and number alone, so batches may be cut in any way. name: the
    model's; seeds: one integer a row; settings: as of `generation.generate`; most: how many tokens a row gets
    at most, which changes none.
    """

    def __init__(self, name: str, seeds: Sequence[int], settings: Mapping, most: int):
        self.name = name
        self.temperature = float(settings["temperature"])
        if self.temperature:
            self.temperature = max(self.temperature, _COLDEST)
        self.top_k = settings.get("top_k") or 0
        self.top_p = settings.get("top_p") or 1.0
        self.uniforms = None if self.temperature == 0 else uniforms_of(seeds, most)

    def __call__(self, rows: Sequence[int], places: Sequence[int], scores: torch.Tensor) -> torch.Tensor:
        """Token ids [row]. rows: which of the seeds'; places: how many tokens each has so far; scores:
        [row, vocabulary] float32. Raises UserError as `check_numbers`."""
        check_numbers(self.name, scores)
        if self.uniforms is None:
            return scores.argmax(dim=-1)
        uniforms = self.uniforms[rows, places].to(scores.device)
        step = max(1, _CACHED // scores.shape[1]) if scores.device.type == "cpu" else len(scores)
        parts = zip(scores.split(step), uniforms.split(step), strict=True)
        return torch.cat([_inverse_cdf(self._weights(each), uniform) for each, uniform in parts])

    def _weights(self, scores: torch.Tensor) -> torch.Tensor:
        """[row, vocabulary], in proportion to the probabilities, of which the largest is 1."""
        scores = scores / self.temperature
        if self.top_k:
            least = scores.topk(min(self.top_k, scores.shape[1])).values[:, -1:]
            scores.masked_fill_(scores < least, -torch.inf)
        weights = scores.sub_(scores.amax(dim=-1, keepdim=True)).exp_()
        if self.top_p < 1.0:
            weights.masked_fill_(weights < _least_of_top_p(weights, self.top_p), 0)
        return weights


def check_numbers(name: str, scores: torch.Tensor) -> None:
    """Raises UserError where a model's scores [row, vocabulary] are NaN or infinite: any choice would make
    some token of them."""
    # The largest: single tokens may be ruled out by minus infinity.
    if not torch.isfinite(scores.amax(dim=-1)).all():
        raise UserError(
            f"model '{name}' returns NaN or infinite scores for the next token; try float32 or eager "
            "attention, and check its weights"
        )


def uniforms_of(seeds: Sequence[int], number: int) -> torch.Tensor:
    """[row, number], of each row's own stream."""
    streams = [np.random.Generator(np.random.PCG64(seed)).random(number) for seed in seeds]
    return torch.from_numpy(np.stack(streams))


def _inverse_cdf(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The first token of each row whose share of the weights, with those before it, exceeds its number.

    weights: [row, vocabulary] float32 in [0, 1]; uniforms: [row] float64 in [0, 1).
    """
    weights = _blocks(weights)
    integers = _block_sums(weights)
    up_to = integers.cumsum(dim=-1)
    threshold = (uniforms[:, None] * up_to[:, -1:]).long()
    block = _first_above(up_to, threshold)
    within = weights[torch.arange(len(weights), device=weights.device), block[:, 0]]
    threshold = threshold - (up_to - integers).gather(1, block)
    token = _first_above(_integers(within).cumsum(dim=-1), threshold)
    return (block * _BLOCK + token)[:, 0]


def _blocks(weights: torch.Tensor) -> torch.Tensor:
    """[row, block, _BLOCK] of [row, vocabulary], with zeros behind."""
    blocks = -(-weights.shape[1] // _BLOCK)
    if missing := blocks * _BLOCK - weights.shape[1]:
        weights = torch.nn.functional.pad(weights, (0, missing))
    return weights.view(len(weights), blocks, _BLOCK)


def _block_sums(blocks: torch.Tensor) -> torch.Tensor:
    """[row, block] integers of `_blocks`. Blocks are short, so that a row's sums are the same in any company:
    of a whole row alone, torch gives each thread a part."""
    return _integers(blocks.sum(dim=-1))


def _integers(weights: torch.Tensor) -> torch.Tensor:
    return (weights.double() * _ONE).ceil().long()


def _first_above(cumulative: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """The place of the first that exceeds the threshold, [row, 1]. What rounding puts beyond the last is that
    one's: [row, place] int64, of which the last is no 0."""
    return torch.searchsorted(cumulative, threshold.minimum(cumulative[:, -1:] - 1), right=True)


def _least_of_top_p(weights: torch.Tensor, top_p: float) -> torch.Tensor:
    """The smallest weight [row, 1] of the fewest tokens that have so much of each row's weight."""
    total = _block_sums(_blocks(weights)).sum(dim=-1, keepdim=True)
    # The likeliest is always among them.
    wanted = (total.double() * top_p).long().clamp_(min=1)
    count = min(_LIKELIEST, weights.shape[1])
    while True:
        likeliest = weights.topk(count).values
        integers = _integers(likeliest)
        needed = integers.cumsum(dim=-1) - integers < wanted
        if count == weights.shape[1] or not needed[:, -1].any():
            return likeliest.masked_fill(~needed, 2.0).amin(dim=-1, keepdim=True)
        count = min(16 * count, weights.shape[1])
