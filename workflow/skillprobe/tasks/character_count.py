"""The answer has so many characters, blanks and punctuation included."""

from skillprobe.tasks import text as texts
from skillprobe.tasks.base import CountTask, make_phrasings


class CharacterCount(CountTask):
    name = "character_count"
    noun = "character"
    option, options = "unit", texts.CHARACTER_UNITS
    targets = "character_targets"
    phrasings = make_phrasings(
        name,
        human=(
            "{request} Use {amount}.",
            "{request} Your answer must have {amount}.",
            "{request} Write {amount} in total.",
            "{request} The length should be {amount}, spaces included.",
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

    def count(self, text: str, unit: str | None) -> int:
        return texts.count_characters(text, unit or "codepoint")

    def count_at_least(self, text: str, unit: str | None) -> int:
        return self.count(text, unit)


TASK = CharacterCount()
