"""Batches that a GPU's memory holds."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from skillprobe.errors import UserError
from skillprobe.models.fast_import import fast_import

with fast_import():
    import torch

Result = TypeVar("Result")


def in_batches(
    loaded,
    run: Callable[[list[int]], Result],
    rows: Iterable[int],
    sizes: Sequence[int],
    unit: str,
    most: int,
) -> Iterator[tuple[list[int], Result]]:
    """As `halving`, for a `LoadedModel`, which remembers what was too much for later calls.

    Texts (measured in "tokens") on either side of its `switch` share no batch."""
    # Without the import for its type: judges reach this module, and an edit of `models` judges nothing anew.
    about, remedy = f"model '{loaded.name}'", "use a larger GPU or device_map"
    rows = list(rows)
    sides = [rows]
    if unit == "tokens" and loaded.switch is not None:
        longer = {row for row in rows if sizes[row] > loaded.switch}
        sides = [[row for row in rows if row not in longer], [row for row in rows if row in longer]]
    return chain.from_iterable(
        halving(loaded.held, run, side, sizes, unit, most, about, remedy) for side in sides
    )


def halving(
    held: dict[str, int],
    run: Callable[[list[int]], Result],
    rows: Iterable[int],
    sizes: Sequence[int],
    unit: str,
    most: int,
    about: str,
    remedy: str,
) -> Iterator[tuple[list[int], Result]]:
    """The rows of each batch, and what `run` makes of them, smallest sizes first.

    sizes: of every row, in `unit`. A batch is of as many rows as take `most` when padded, but of one at
    least. When a GPU runs out of memory the batch is halved, with a warning, and so are later ones that are
    measured in this unit, by what is written into `held`. Raises UserError where one row is too much.
    about: what runs, remedy: what to do then, as messages have them.
    """
    queue = sorted(rows, key=sizes.__getitem__)
    most = min(most, held.get(unit, most))
    while queue:
        batch = _first(queue, sizes, most)
        try:
            result = run(batch)
        except torch.OutOfMemoryError:
            result = None
        if result is None:  # Outside the handler, where the failed call's tensors are gone.
            most = held[unit] = halved(about, remedy, len(batch)) * sizes[batch[-1]]
            continue
        yield batch, result
        queue = queue[len(batch) :]


def _first(queue: list[int], sizes: Sequence[int], most: int) -> list[int]:
    count = 1
    while count < len(queue) and (count + 1) * sizes[queue[count]] <= most:
        count += 1
    return queue[:count]


def halved(about: str, remedy: str, count: int) -> int:
    """How many rows to go on with, said in a warning, where so many were too much. about, remedy: as of
    `halving`. Raises UserError where one row is."""
    if count == 1:
        raise UserError(f"{about}: even one row doesn't fit into the GPU's memory; {remedy}")
    torch.cuda.empty_cache()
    warnings.warn(f"{about}: out of memory with {count} rows; continuing with {count // 2}", stacklevel=2)
    return count // 2
