"""What the verifiers need to know of text: words, characters, occurrences of terms, strict JSON.

Everything is linear in the length of the text, never recursive, and treats what it is given as literal text.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

WORD_RULES = ("regex", "whitespace")
CHARACTER_UNITS = ("codepoint", "grapheme")

_PLAIN_WORD = re.compile(r"\w+")
_APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}\N{FULLWIDTH APOSTROPHE}"
_HYPHENS = "\\-\N{HYPHEN}\N{NON-BREAKING HYPHEN}"
_JOINT = rf"(?:[{_APOSTROPHES}{_HYPHENS}](?=\w)|(?<=\d)\.(?=\d))"
_JOINT_HERE = re.compile(_JOINT)
_INNER_JOINT = re.compile(rf"(?<=\w){_JOINT}")
# Invisible characters inside a word: soft hyphen, and the (non-)joiners that Persian and Indic scripts need.
_INVISIBLE = "\N{SOFT HYPHEN}\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


# Counting


def count_words(text: str, rule: str | None = None) -> int:
    """Number of words of `text`.

    rule: None, maximal runs of \\w joined by inner apostrophes, hyphens or decimal points ("don't",
    "well-known" and "3.5" are one); "regex", plain \\w+ runs as IFEval counts them; "whitespace", what
    stands between blanks.
    """
    if rule == "whitespace":
        return len(text.split())
    if rule == "regex":
        return len(_PLAIN_WORD.findall(text))
    if marks := _marks(text):
        text = re.sub(f"[{marks}]+", "", text)
    # Words = runs - joints between two runs: unlike one pattern with a repeated group, this needs no memory.
    return len(_PLAIN_WORD.findall(text)) - len(_INNER_JOINT.findall(text))


def words(text: str) -> list[str]:
    """The words that `count_words` counts, case-folded; in scripts without blanks, whatever runs together."""
    folded = Folded(text).folded
    found: list[list[int]] = []
    for run in re.finditer(rf"\w{_inner(_marks(folded))}*", folded):
        # Joined here: in one pattern a repeated group costs memory, and a possessive one around another
        # never ends in Python 3.11.2 (gh-106052).
        if found and run.start() == found[-1][1] + 1 and _JOINT_HERE.match(folded, found[-1][1]):
            found[-1][1] = run.end()
        else:
            found.append([*run.span()])
    return [folded[start:end] for start, end in found]


def count_characters(text: str, unit: str = "codepoint") -> int:
    """Raw length of `text`, nothing stripped, in code points or in graphemes (what a reader sees as one)."""
    if unit == "codepoint":
        return len(text)
    if text.isascii():
        return len(text) - text.count("\r\n")  # the only grapheme of two ASCII characters
    import regex  # only graphemes need it

    return regex.subn(r"\X", "", text)[1]


def _inner(marks: str) -> str:
    """Pattern of what a word may go on with."""
    return rf"[\w{marks}]"


def _marks(text: str) -> str:
    """The combining marks (and invisible joiners) in `text`, escaped for a character class.

    Python's \\w leaves them out, which would cut a decomposed "café", or any Hindi word, in pieces.
    """
    if text.isascii():
        return ""
    found = (c for c in set(text) if c in _INVISIBLE or unicodedata.category(c)[0] == "M")
    return "".join(re.escape(c) for c in sorted(found))


# Terms


class Folded:
    """A text made ready for finding terms in it, case ignored and canonically equivalent spellings the same.

    Canonical caseless matching of the Unicode standard (section 3.13, D145), so that "STRASSE" is "straße"
    and a decomposed "é" is a composed one.
    """

    def __init__(self, text: str):
        self.text = text
        self.folded = _fold(text)
        self._inner = _inner(_marks(self.folded))

    def occurrences(self, term: str, match: str = "word") -> Iterator[tuple[int, int]]:
        """Spans in the folded text where the literal `term` occurs, from left to right, not overlapping.

        match: "word", not inside a longer run of \\w; an end of the term that is not itself \\w ("C++",
        ".NET") is a boundary wherever it stands. "substring", anywhere.
        """
        term = _fold(term)
        pattern = re.escape(term)
        if match == "word":
            before = rf"(?<!{self._inner})" if re.match(r"\w", term) else ""
            after = rf"(?!{self._inner})" if re.search(rf"{self._inner}\Z", term) else ""
            pattern = before + pattern + after
        return (found.span() for found in re.finditer(pattern, self.folded))

    def count(self, term: str, match: str = "word") -> int:
        return sum(1 for _ in self.occurrences(term, match))

    def count_each(self, terms: Sequence[str]) -> dict[str, int]:
        """`count` of every term, in one pass for all those that are single runs of \\w."""
        runs = Counter(re.findall(f"{self._inner}+", self.folded))
        single = re.compile(r"\w+")
        return {
            term: runs[_fold(term)] if single.fullmatch(_fold(term)) else self.count(term) for term in terms
        }

    def first(self, term: str, match: str = "word") -> tuple[int, int] | None:
        """Span of the first occurrence, in code points of the original text."""
        span = next(self.occurrences(term, match), None)
        if span is None or self.text.isascii():
            return span
        return self._origin(span[0])[0], self._origin(span[1] - 1)[1]

    def _origin(self, index: int) -> tuple[int, int]:
        """Span in the original text of what became the folded character `index`."""
        begin, folded, size = 0, 0, 4096
        while True:
            end = min(begin + size, len(self.text))
            while end < len(self.text) and _may_compose(self.text[end]):
                end += 1  # the length after folding adds up only where nothing fuses across the cut
            length = len(_fold(self.text[begin:end]))
            if index >= folded + length:
                begin, folded = end, folded + length
            elif size > 1:
                size = 1  # the right block is found: go on by single letters with their marks
            else:
                return begin, end


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _may_compose(character: str) -> bool:
    """Whether `character` can fuse with the one before it: marks, and the later jamo of a Hangul syllable."""
    return unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff"


# JSON


_FENCE = re.compile(r"`{3,}|~{3,}")
# After an opening fence: "json", or another word that has the line to itself.
_INFO = re.compile(r"[ \t]*(?:json\b|[a-z][\w+#.-]*(?=[ \t]*[\r\n]))", re.IGNORECASE)


def unfenced(text: str) -> tuple[int, int]:
    """Span of `text` without surrounding blanks and at most one surrounding Markdown code fence."""
    start, end = _stripped(text, 0, len(text))
    fence = _FENCE.match(text, start, end)
    if not fence or end - start < 2 * len(fence[0]) or not text.endswith(fence[0], start, end):
        return start, end
    start = fence.end()
    end = start + len(text[start:end].rstrip(fence[0][0]))  # a closing fence may be the longer one
    if info := _INFO.match(text, start, end):
        start = info.end()
    return _stripped(text, start, end)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    inner = text[start:end]
    start = end - len(inner.lstrip())
    return start, max(start, end - (len(inner) - len(inner.rstrip())))


class JSONError(ValueError):
    """Not JSON: `message` says why, `offset` where (in code points)."""

    def __init__(self, message: str, offset: int):
        super().__init__(f"{message} at character {offset}")
        self.message, self.offset = message, offset


def check_json(text: str) -> tuple[str, set[str]]:
    """Type of the strict RFC 8259 JSON value that `text` is, and the keys if it is an object.

    Raises JSONError. No NaN or Infinity, no bare control characters, no byte-order mark; numbers of any
    length and nesting of any depth are fine.
    """
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JSONError(error.msg, error.pos) from error
    except _Constant as error:
        raise JSONError(f"{error} is not JSON", _first_constant(text)) from error
    except RecursionError:
        return _check_nested_json(text)
    return _TYPES[type(value)], set(value) if isinstance(value, dict) else set()


# What a value may be cut within: a literal, a number, an escape.
_CUT = re.compile(r"t|tr|tru|f|fa|fal|fals|n|nu|nul|-|\.|[eE][+-]?|")


def may_become_json(text: str, error: JSONError) -> bool:
    """Whether a text that isn't JSON, by an error of `check_json`, may only be cut short. True in doubt."""
    if error.message.startswith("Unterminated string"):
        return True
    if "escape" in error.message and len(text) - error.offset < len("\\uD800\\uDC00"):
        return True
    return _CUT.fullmatch(text, min(error.offset, len(text))) is not None


class _Constant(Exception):
    """NaN, Infinity or -Infinity, which Python's parser takes and JSON doesn't have."""


def _refuse_constant(name: str):
    raise _Constant(name)


def _first_constant(text: str) -> int:
    """Offset of the first NaN or Infinity outside strings, where all before it is known to be JSON."""
    tokens = re.finditer(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(NaN|-?Infinity)', text)
    return next(token.start() for token in tokens if token[1])


# Any cheap integer stands for a number: values don't matter here, and Python refuses to convert long ones.
_DECODER = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=_refuse_constant)
_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null", int: "number"}
_BLANKS = re.compile(r"[ \t\n\r]*")
_BRACKETS = {mark: re.compile(rf"\{mark}(?:[ \t\n\r]*\{mark})*+") for mark in "[]}"}
_SCALARS = {
    "boolean": re.compile("true|false"),
    "null": re.compile("null"),
    "number": re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"),
}


def _check_nested_json(text: str) -> tuple[str, set[str]]:
    """`check_json` token by token: slower than Python's parser, but nesting costs it no recursion."""
    position, awaited = 0, "value"
    # What is still open, as runs of the same closing bracket: 10^7 nested arrays are one entry.
    open_runs: list[list] = []
    depth, kind, keys = 0, "", set()
    while True:
        position = _BLANKS.match(text, position).end()
        mark = text[position : position + 1]
        if awaited == "end of value" and not open_runs:
            if mark:
                raise JSONError("Extra data", position)
            return kind, keys
        if awaited in ("end of value", "first value", "first key") and mark == open_runs[-1][0]:
            run, end = open_runs[-1], _BRACKETS[mark].match(text, position).end()
            closed = text.count(mark, position, end)
            if closed > run[1]:
                excess = islice(re.finditer(rf"\{mark}", text[position:end]), run[1], None)
                raise JSONError(f"Unexpected '{mark}'", position + next(excess).start())
            run[1] -= closed
            if run[1] == 0:
                open_runs.pop()
            depth -= closed
            position, awaited = end, "end of value"
        elif awaited == "end of value":
            if mark != ",":
                raise JSONError(f"Expecting ',' or '{open_runs[-1][0]}'", position)
            position, awaited = position + 1, "key" if open_runs[-1][0] == "}" else "value"
        elif awaited == "colon":
            if mark != ":":
                raise JSONError("Expecting ':'", position)
            position, awaited = position + 1, "value"
        elif awaited in ("key", "first key"):
            key, position = _scan_string(text, position)
            awaited = "colon"
            if depth == 1:
                keys.add(key)
        elif mark == "[" or mark == "{":
            kind = kind or ("array" if mark == "[" else "object")
            closing = "]" if mark == "[" else "}"
            end = _BRACKETS[mark].match(text, position).end() if mark == "[" else position + 1
            opened = text.count(mark, position, end)
            depth += opened
            if open_runs and open_runs[-1][0] == closing:
                open_runs[-1][1] += opened
            else:
                open_runs.append([closing, opened])
            position, awaited = end, "first value" if mark == "[" else "first key"
        else:
            scalar, position = _scan_scalar(text, position)
            kind, awaited = kind or scalar, "end of value"


def _scan_scalar(text: str, position: int) -> tuple[str, int]:
    if text.startswith('"', position):
        return "string", _scan_string(text, position)[1]
    for kind, pattern in _SCALARS.items():
        if found := pattern.match(text, position):
            return kind, found.end()
    raise JSONError("Expecting value", position)


def _scan_string(text: str, position: int) -> tuple[str, int]:
    if not text.startswith('"', position):
        raise JSONError("Expecting a key in double quotes", position)
    try:
        return json.decoder.scanstring(text, position + 1, True)
    except json.JSONDecodeError as error:
        raise JSONError(error.msg, error.pos) from error
