"""How far a long loop has come: a bar on a terminal, now and then a line in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Between two lines of a log, or until the first.
SECONDS = 20.0
_silent = False


@contextmanager
def silent() -> Iterator[None]:
    """Within the block, `progress` shows nothing: something else is written to the terminal."""
    global _silent
    before, _silent = _silent, True
    try:
        yield
    finally:
        _silent = before


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Within the block, call what it yields with how many more of `total` are done; shown on standard error.

    what: in the plural, such as "answers". A loop that is shorter than SECONDS leaves one line in a log.
    Where one step is long, calls with 0 within it keep the log alive.
    """
    if _silent:
        yield lambda more: None
        return
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=what) as bar:
            yield bar.update
        return
    begun = last = time.monotonic()
    done = 0

    def advance(more: int) -> None:
        nonlocal done, last
        done += more
        now = time.monotonic()
        if done < total and now - last >= SECONDS:
            last = now
            left = f", about {(now - begun) / done * (total - done):.0f} s to go" if done else ""
            print(
                f"{what}: {done:,} of {total:,}, {now - begun:.0f} s so far{left}",
                file=sys.stderr,
                flush=True,
            )

    yield advance
    print(f"{what}: {done:,} in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
