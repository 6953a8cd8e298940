"""The answer has the asked sentiment."""

from skillprobe.tasks.base import LabelTask, make_phrasings


class Sentiment(LabelTask):
    name = "sentiment"
    category = "semantic"
    word_lists = "sentiment"
    phrasings = make_phrasings(
        name,
        human=(
            "{request} The tone must be {label}.",
            "{request} Make it sound {label}.",
            "{request} Express {label} feelings.",
            "{request} Keep the mood {label}.",
        ),
        human_negated=(
            "{request} The tone must not be anything but {label}.",
            "{request} Do not sound anything but {label}.",
        ),
        plm=(
            "Here is a text about {subject} with {a_label} tone:",
            "The following text about {subject} sounds {label}:",
        ),
        entailment=(
            "{request} The following statement must be true of it: the tone of the text is {label}.",
            "{request} A reader must be able to say that the tone is {label}.",
        ),
    )


TASK = Sentiment()
