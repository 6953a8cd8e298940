"""The answer is in the asked register."""

from skillprobe.tasks.base import LabelTask, make_phrasings


class Register(LabelTask):
    name = "register"
    category = "stylistic"
    word_lists = "register"
    phrasings = make_phrasings(
        name,
        human=(
            "{request} Use {label} language.",
            "{request} The style must be {label}.",
            "{request} Make it sound {label}.",
            "{request} Keep the wording {label}.",
        ),
        human_negated=(
            "{request} Do not use anything but {label} language.",
            "{request} The style must not be anything but {label}.",
        ),
        plm=(
            "Here is a text about {subject} in {label} language:",
            "The following text about {subject} has {a_label} style:",
        ),
        entailment=(
            "{request} The following statement must be true of it: the style of the text is {label}.",
            "{request} A reader must be able to say that the style is {label}.",
        ),
    )


TASK = Register()
