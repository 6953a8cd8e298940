"""The answer has so many words."""

from skillprobe.tasks import text as texts
from skillprobe.tasks.base import CountTask, make_phrasings


class WordCount(CountTask):
    name = "word_count"
    noun = "word"
    option, options = "words", texts.WORD_RULES
    targets = "word_targets"
    phrasings = make_phrasings(
        name,
        human=(
            "{request} Use {amount}.",
            "{request} Your answer must have {amount}.",
            "{request} Write {amount} in total.",
            "{request} The length should be {amount}.",
        ),
        human_negated=(
            "{request} Do not use {not_amount}.",
            "{request} Your answer must not have {not_amount}.",
        ),
        plm=(
            "Here is a text about {subject} with {amount}:",
            "The following text about {subject} has {amount}:",
        ),
        entailment=(
            "{request} The following statement must be true of it: the text has {amount}.",
            "{request} A reader must be able to say that the text has {amount}.",
        ),
    )

    def count(self, text: str, rule: str | None) -> int:
        return texts.count_words(text, rule)


TASK = WordCount()
