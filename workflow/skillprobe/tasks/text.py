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
# What typography writes in place of three plain characters, one for one.
_PLAIN_FORMS = {
    "'": "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"
    "\N{FULLWIDTH APOSTROPHE}",
    "-": "\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{SMALL HYPHEN-MINUS}\N{FULLWIDTH HYPHEN-MINUS}",
    " ": "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{MEDIUM MATHEMATICAL SPACE}\N{IDEOGRAPHIC SPACE}"
    + "".join(map(chr, range(0x2000, 0x200B))),
}
_TO_PLAIN = {ord(typed): plain for plain, each in _PLAIN_FORMS.items() for typed in each}
# Apostrophes and hyphens, decimal points, and commas of thousands ("1,000", and not "1,2" or "2019,2020").
_JOINT = r"(?:['-](?=\w)|(?<=\d)\.(?=\d)|(?<=\d)(?<!\d{4}),(?=\d{3}(?!\d)))"
_JOINT_HERE = re.compile(_JOINT)
_INNER_JOINT = re.compile(rf"(?<=\w){_JOINT}")
# Invisible characters inside a word: soft hyphen, and the (non-)joiners that Persian and Indic scripts need.
_INVISIBLE = "\N{SOFT HYPHEN}\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def plain(text: str) -> str:
    """`text` with plain apostrophes, hyphens and blanks where it has typographic ones, at the same places."""
    return text if text.isascii() else text.translate(_TO_PLAIN)


# Counting


def count_words(text: str, rule: str | None = None) -> int:
    """Number of words of `text`.

    rule: None, maximal runs of \\w joined by inner apostrophes, hyphens, decimal points or commas of
    thousands ("don't", "well-known", "3.5" and "1,000" are one), where underscores at a word's edge are
    emphasis and underscores alone no word; "regex", plain \\w+ runs as IFEval counts them; "whitespace",
    what stands between blanks.
    """
    if rule == "whitespace":
        return len(text.split())
    if rule == "regex":
        return len(_PLAIN_WORD.findall(text))
    text = _unmarked(_bare(plain(text)))
    # Words = runs - joints between two runs: unlike one pattern with a repeated group, this needs no memory.
    return len(_PLAIN_WORD.findall(text)) - len(_INNER_JOINT.findall(text))


def words(text: str) -> list[str]:
    """The words that `count_words` counts, case-folded; in scripts without blanks, whatever runs together."""
    bare = _bare(plain(text))
    unmarked = _unmarked(bare)
    found: list[list[int]] = []
    end = -1
    runs = zip(re.finditer(f"{_inner(_marks(bare))}+", bare), _PLAIN_WORD.finditer(unmarked), strict=True)
    for marked, run in runs:
        # Joined here, where no marks are in the way: in one pattern a repeated group costs memory, and a
        # possessive one around another never ends in Python 3.11.2 (gh-106052).
        if run.start() == end + 1 and _JOINT_HERE.match(unmarked, end):
            found[-1][1] = marked.end()
        else:
            found.append([*marked.span()])
        end = run.end()
    return [fold(bare[start:end]) for start, end in found]


def _bare(text: str) -> str:
    """`text` without underscores at the edges of words, and marks that are on no letter."""
    if marks := _marks(text):
        text = re.sub(rf"(?<![^\W_])(?<![{marks}])[{marks}]+", "", text)
    return _emphasis(marks).sub("", text)


def _unmarked(text: str) -> str:
    marks = _marks(text)
    return re.sub(f"[{marks}]+", "", text) if marks else text


def _emphasis(marks: str) -> re.Pattern:
    """Pattern of the underscores at an edge of a word, and of those alone."""
    inner = _inner(marks)
    # Only from a run's beginning: from each of its places, long runs would cost the square of their length.
    return re.compile(rf"(?<!{inner})_+|(?<!_)_+(?!{inner})")


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
    """A text made ready for finding terms in it, as `fold` has it: "STRASSE" is "straße", a decomposed "é" is
    a composed one, and a typographic apostrophe, hyphen or blank is a plain one."""

    def __init__(self, text: str):
        self.text = text
        self.folded = fold(text)
        marks = _marks(self.folded)
        self._inner = _inner(marks)
        # With blanks for what isn't part of a word, and so at the same places.
        self._masked = _emphasis(marks).sub(lambda run: " " * len(run[0]), self.folded)

    def occurrences(self, term: str, match: str = "word") -> Iterator[tuple[int, int]]:
        """Spans in the folded text where the literal `term` occurs, from left to right, not overlapping.

        match: "word", not inside a longer word of \\w, at whose edges underscores don't count; an end of the
        term that is no letter or digit ("C++", ".NET") is a boundary wherever it stands. "substring",
        anywhere.
        """
        term = fold(term)
        literal, inner = re.compile(re.escape(term)), re.compile(self._inner)
        starts = match == "word" and re.match(r"[^\W_]", term)
        ends = match == "word" and term[-1] != "_" and inner.match(term, len(term) - 1)
        position = 0
        while found := literal.search(self.folded, position):
            start, end = found.span()
            inside = starts and start and inner.match(self._masked, start - 1)
            if inside or ends and inner.match(self._masked, end):
                position = start + 1
            else:
                yield start, end
                position = end

    def count(self, term: str, match: str = "word") -> int:
        return sum(1 for _ in self.occurrences(term, match))

    def count_each(self, terms: Sequence[str]) -> dict[str, int]:
        """`count` of every term, in one pass for all those that are single words of \\w."""
        runs = Counter(re.findall(f"{self._inner}+", self._masked))
        single = re.compile(r"[^\W_](?:\w*[^\W_])?")
        return {
            term: runs[fold(term)] if single.fullmatch(fold(term)) else self.count(term) for term in terms
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
            length = len(fold(self.text[begin:end]))
            if index >= folded + length:
                begin, folded = end, folded + length
            elif size > 1:
                size = 1  # the right block is found: go on by single letters with their marks
            else:
                return begin, end


def fold(text: str) -> str:
    """`text` in plain characters, such that equal ones are the same but for case: by canonical caseless
    matching of the Unicode standard (section 3.13, D145)."""
    if text.isascii():
        return text.lower()
    return plain(unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold()))


def _may_compose(character: str) -> bool:
    """Whether `character` can fuse with the one before it: marks, and the later jamo of a Hangul syllable."""
    return unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff"


# JSON


_FENCE = re.compile(r"`{3,}|~{3,}")
_FIRST_LINE = re.compile(r"[^\r\n]*(?=[\r\n])")
# What stands after an opening fence, where its line is no info string but has JSON in it.
_INLINE = re.compile(r"[ \t]*(?:json\b|(?=[\[{\"\d-]))", re.IGNORECASE)


def unfenced(text: str) -> list[tuple[int, int]]:
    """Spans of `text` without surrounding blanks and at most one surrounding Markdown code fence: one, or two
    where JSON may begin beside the opening fence. The first is CommonMark's: that line is an info string."""
    start, end = _stripped(text, 0, len(text))
    fence = _FENCE.match(text, start, end)
    if not fence or end - start < 2 * len(fence[0]) or not text.endswith(fence[0], start, end):
        return [(start, end)]
    # A closing fence may be the longer one.
    end = fence.end() + len(text[fence.end() : end].rstrip(fence[0][0]))
    return list(dict.fromkeys(_stripped(text, each, end) for each in _after(fence, text, end)))


def begun(text: str) -> list[str]:
    """What `unfenced` may find in a text that goes on, as far as it has begun; [] where that can't be told:
    within the first line of a fence, and from what may be its end on."""
    start, end = _stripped(text, 0, len(text))
    if text[start : start + 1] not in ("`", "~"):
        return [text[start:end]]
    fence = _FENCE.match(text, start)
    if not fence or not _FIRST_LINE.match(text, fence.end()) or fence[0][0] in text[fence.end() :]:
        return []
    return [text[slice(*_stripped(text, each, end))] for each in _after(fence, text, len(text))]


def _after(fence: re.Match, text: str, end: int) -> list[int]:
    """Where what an opening fence encloses may begin, before `end`."""
    starts = []
    info = _FIRST_LINE.match(text, fence.end(), end)
    # A backtick in it makes this a code span.
    if info and not (fence[0][0] == "`" and "`" in info[0]):
        starts.append(info.end())
    if inline := _INLINE.match(text, fence.end(), end):
        starts.append(inline.end())
    return starts or [fence.end()]


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
