"""A judge of register for English free text: a rule of surface features, which are in the evidence.

It reads no meaning, so it is as good as people are at keeping to what these features are signs of.
docs/judges.md says what it was tried on.
"""

import math
import re
from collections.abc import Sequence

from skillprobe.errors import UserError
from skillprobe.labels.verdicts import verdict
from skillprobe.tasks.text import plain

LABELS = ("formal", "informal")

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
# Of words in lower case.
_CONTRACTION = re.compile(r"(?:n't|'(?:re|ve|ll|m|d))$|^(?:it|that|there|here|what|who|let|he|she)'s$")
_PICTURE = re.compile(r"[\U0001f300-\U0001faff☀-➿]|[:;=]['-]?[)(DPp/|]|<3")
_DRAWN_OUT = re.compile(r"([^\W\d_])\1\1")
_SLANG = """
ain't alright anyway anyways awesome aw btw bro buddy bunch cool cos coz crappy crazy cuz dad damn dude
dunno folks gonna gotta guy guys ha haha hang hey hi huh hmm idk imo kid kidding kids kinda lame lol lots
mate meh mom nah nope oh ok okay omg oops ouch outta phew pretty really sorta stuff super tbh thanks thing
things tons totally ugh um vibe vibes wanna weird whatever whoa wow y'all ya yay yeah yep yo yup yum yummy
"""
_PERSONAL = "i me my mine myself you your yours yourself we us our ours"
_FORMAL = """
accordingly additionally albeit aforementioned concerning consequently constitute constitutes demonstrate
demonstrates furthermore hence hereby herein hitherto however indeed indicate indicates moreover namely
nevertheless nonetheless notably notwithstanding numerous obtain obtained particularly permit permits prior
pursuant regarding respectively shall subsequent subsequently substantial sufficient therefore therein
thereby thus upon utilize utilise whereas whereby whether whilst whom
"""
# What one of each feature adds to the logit of "formal". Shares of words are small: one word in fifty weighs
# half a unit. By judgement, and round.
WEIGHTS = {
    "contractions": -25.0,
    "slang": -25.0,
    "personal_pronouns": -8.0,
    "formal_words": 25.0,
    "exclamations": -1.5,
    "repeated_marks": -2.5,
    "pictures": -3.0,
    "drawn_out": -15.0,
    "shouted": -6.0,
    "small_starts": -2.5,
    "word_length": 1.5,
    "sentence_length": 1.2,
}
# Between a chat and a newspaper.
_WORD_LENGTH, _SENTENCE_LENGTH = 4.6, 11.0
# No feature weighs more than this, so that one mark in a short text isn't all that counts.
_MOST = 4.0


def formality_judge(task_name: str, labels: Sequence[str], margin: float = 0.0) -> "FormalityJudge":
    """The judge of the task register; margin: of `verdicts.verdict`. Raises UserError for another task, and
    for other labels than LABELS."""
    if task_name != "register":
        raise UserError(
            f"the judge 'formality' is for the task register alone, and not for {task_name}; choose another"
        )
    if set(labels) != set(LABELS):
        raise UserError(
            f"the judge 'formality' tells {' from '.join(LABELS)}, but the world's registers are "
            f"{', '.join(sorted(labels))}; choose another judge"
        )
    return FormalityJudge(margin)


class FormalityJudge:
    """ "formal" where the weighted features of a text add up to more than 0; None for a text without words.

    Scores are the logistic function of that sum and one minus it; "features" are those of `features`.
    """

    labels, threshold = LABELS, 0.0

    def __init__(self, margin: float = 0.0):
        self.margin = margin

    def classify(self, text: str) -> dict:
        found = features(text)
        if not found:
            return {"label": None, "scores": dict.fromkeys(LABELS, 0.0), "features": {}}
        logit = sum(max(-_MOST, min(_MOST, WEIGHTS[name] * value)) for name, value in found.items())
        formal = 1 / (1 + math.exp(-logit))
        # Informal first, which so has the tie.
        said = verdict({LABELS[1]: 1 - formal, LABELS[0]: formal}, self.threshold, self.margin)
        return said | {"features": {name: round(value, 4) for name, value in found.items()}}


def features(text: str) -> dict[str, float]:
    """Values of WEIGHTS' features; {} for a text without words.

    Shares of words: contractions, slang, personal_pronouns (first and second person), formal_words, drawn_out
    ("soooo"), shouted (in capitals, though the text isn't). Shares of sentences: exclamations, repeated_marks
    ("!!", "..."), pictures (emoji and emoticons), small_starts (in lower case). word_length: mean letters of
    a word, and sentence_length: logarithm of mean words of a sentence, both minus a middling text's.
    """
    text = plain(text)
    words = _WORD.findall(text)
    if not words:
        return {}
    small = [word.lower() for word in words]
    slang, personal, formal = (frozenset(each.split()) for each in (_SLANG, _PERSONAL, _FORMAL))
    sentences = [part for part in re.split(r"(?<=[.!?…])\s+|\n+", text) if _WORD.search(part)]
    shouting = sum(word.isupper() for word in words) > len(words) / 2

    def share(flags) -> float:
        return sum(flags) / len(words)

    def share_of_sentences(pattern: str | re.Pattern) -> float:
        return sum(re.search(pattern, each) is not None for each in sentences) / len(sentences)

    letters = sum(map(len, words)) / len(words)
    length = len(words) / len(sentences)
    return {
        "contractions": share(_CONTRACTION.search(word) is not None for word in small),
        "slang": share(word in slang for word in small),
        "personal_pronouns": share(word.partition("'")[0] in personal for word in small),
        "formal_words": share(word in formal for word in small),
        "exclamations": share_of_sentences("!"),
        "repeated_marks": share_of_sentences(r"[!?]{2}|\.{2}|…"),
        "pictures": share_of_sentences(_PICTURE),
        "drawn_out": share(_DRAWN_OUT.search(word) is not None for word in small),
        "shouted": 1.0 if shouting else share(len(word) > 3 and word.isupper() for word in words),
        "small_starts": share_of_sentences(r"\A[\W_]*[a-z]"),
        "word_length": letters - _WORD_LENGTH,
        "sentence_length": math.log(length / _SENTENCE_LENGTH),
    }
