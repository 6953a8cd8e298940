"""Judges that read labels off word lists: exact for the toy world's controlled language, and for no other."""

from collections.abc import Mapping, Sequence

from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.tasks.text import Folded
from skillprobe.tasks.world import World


def lexicon_judge(task_name: str, world: World) -> "LexiconJudge | MentionJudge":
    """The judge that reads labels off word lists, the world's or the task's: exact where these made the text,
    as in the toy.

    Raises UserError for a world of free text, where a list of words would only be a guess, and for a task
    that needs no judge or has no words.
    """
    task = tasks.get(task_name)
    if not task.judged:
        raise UserError(f"task '{task_name}' needs no judge; remove it")
    if not world.controlled:
        raise UserError(
            f"the lexicon judge is exact only for a controlled language, and world '{world.name}' is free "
            f"text: use a controlled world such as 'toy', or another judge for task '{task_name}'"
        )
    words = task.words_in(world)
    if not words:
        raise UserError(
            f"the task '{task_name}' has no word lists for a lexicon judge; give it `words` in its file, or "
            "choose another judge"
        )
    return LexiconJudge(words) if len(words) > 1 else MentionJudge(*next(iter(words.items())))


class LexiconJudge:
    """The label whose words occur strictly most often; None for a tie or no word at all.

    words: label -> words or phrases, found whole and with case ignored. Scores are the counts.
    """

    threshold = 0.0

    def __init__(self, words: Mapping[str, Sequence[str]]):
        self.words = words
        self.labels = tuple(sorted(words))

    def classify(self, text: str) -> dict:
        counts = Folded(text).count_each([word for words in self.words.values() for word in words])
        scores = {label: float(sum(counts[word] for word in self.words[label])) for label in self.labels}
        best = max(scores.values())
        winners = [label for label, score in scores.items() if score == best]
        return {"label": winners[0] if best > 0 and len(winners) == 1 else None, "scores": scores}


class MentionJudge:
    """Of a single label: score 1 where any of its words occurs, whole and with case ignored, else 0.

    only_grows: whether the score never falls as a text goes on, but for its last word.
    """

    threshold, only_grows = 0.5, True

    def __init__(self, label: str, words: Sequence[str]):
        self.label, self.words = label, words
        self.labels = (label,)

    def classify(self, text: str) -> dict:
        found = any(Folded(text).count_each(self.words).values())
        return {"label": self.label if found else None, "scores": {self.label: float(found)}}
