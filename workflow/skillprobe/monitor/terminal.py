"""A monitored answer in the terminal: a line for each token, in colours where these can be shown."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from typing import TextIO

import numpy as np

from skillprobe.monitor.answers import Answer
from skillprobe.monitor.constraints import Watched

# Of 256 colours, from unlikely (orange) to likely (blue), told apart by colour-blind readers as well.
_COLOURS = (166, 173, 245, 67, 26)
WIDEST = 20
_START, _END = "(prompt)", "(end)"


def in_colour(stream: TextIO) -> bool:
    """Whether to colour what is written there: a terminal that can, and nobody has asked for none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Table:
    """Writes a line for each token to a stream: its number, its text, and each constraint's probability."""

    def __init__(self, watched: Sequence[Watched], stream: TextIO):
        self.stream, self.colour = stream, in_colour(stream)
        self.names = [each.constraint.task for each in watched]
        self.written = 0

    def head(self) -> None:
        names = "  ".join(f"{name:>6}" for name in self.names)
        self._line(f"{'':>4}  {'':<{WIDEST}}  {names}")

    def token(self, text: str, probabilities: np.ndarray, end: bool = False) -> None:
        """text: of the next token; the first is the prompt's end."""
        shown = _START if not self.written else _END if end else plain(text)
        number = "" if not self.written or end else str(self.written)
        cells = [
            self._painted(f"{p:>{max(6, len(name))}.2f}", float(p))
            for p, name in zip(probabilities, self.names, strict=True)
        ]
        self.written += 1
        self._line(f"{number:>4}  {fitted(shown, WIDEST)}  {'  '.join(cells)}")

    def summary(self, answer: Answer) -> None:
        self._line("")
        self._line(plain(answer.response, keep="\n"))
        self._line("")
        if answer.truncated:
            self._line("The response is cut short, so these are the probabilities before its end.")
        for each, p, verdict in zip(answer.watched, answer.probabilities[-1], answer.verdicts, strict=True):
            said = (
                ""
                if verdict is None
                else (f"; the verifier says {'satisfied' if verdict['satisfied'] else 'violated'}")
            )
            self._line(
                f"{plain(each.constraint.words)}: {self._painted(f'{p:.2f}', float(p))} at the end{said} "
                f"({held_out_words(each)})"
            )

    def _painted(self, text: str, p: float) -> str:
        if not self.colour:
            return text
        return f"\x1b[1;38;5;{_COLOURS[min(int(p * len(_COLOURS)), len(_COLOURS) - 1)]}m{text}\x1b[0m"

    def _line(self, text: str) -> None:
        print(text.rstrip() if not self.colour else text, file=self.stream, flush=True)


def held_out_words(watched: Watched, stage: str = "eos") -> str:
    """How well a monitor does at a stage, on groups that it never saw."""
    card = next(each for each in watched.stored.card["stages"] if each["name"] == stage)
    return (
        f"layer {watched.stored.card['layer']}, held out: AUROC {card['auroc']:.2f}, "
        f"Brier {card['brier']:.3f}, base rate's {card['brier_of_base_rate']:.3f}"
    )


def plain(text: str, keep: str = "") -> str:
    """Text that a terminal shows and does nothing else with: control characters and marks that turn the
    writing direction appear as escapes."""
    return "".join(
        character
        if character in keep or (character.isprintable() and unicodedata.category(character) != "Cf")
        else character.encode("unicode_escape").decode()
        for character in text
    )


def fitted(text: str, width: int) -> str:
    """Cut or padded to so many columns; wide characters take two."""
    text, columns = text.replace(" ", "·") if text.isspace() else text, 0
    for place, character in enumerate(text):
        wide = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if columns + wide > width - (place < len(text) - 1):
            return text[:place] + "…" + " " * (width - columns - 1)
        columns += wide
    return text + " " * (width - columns)
