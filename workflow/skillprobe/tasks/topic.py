"""The answer is on the asked topic."""

from skillprobe.tasks.base import LabelTask, make_phrasings


class Topic(LabelTask):
    name = "topic"
    category = "semantic"
    word_lists = "topics"
    phrasings = make_phrasings(
        name,
        human=(
            "{request} The topic must be {label}.",
            "{request} Make it about {label}.",
            "{request} Keep to the topic of {label}.",
            "{request} Focus on {label}.",
        ),
        human_negated=(
            "{request} Do not write about any topic but {label}.",
            "{request} Do not leave the topic of {label}.",
        ),
        plm=(
            "Here is a text about {subject} on the topic of {label}:",
            "The following text about {subject} keeps to the topic of {label}:",
        ),
        entailment=(
            "{request} The following statement must be true of it: the topic of the text is {label}.",
            "{request} A reader must be able to say that the topic is {label}.",
        ),
    )


TASK = Topic()
