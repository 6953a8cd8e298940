"""What a judge's scores say of a text, or that they are too close to say it, and which answers so count."""

import hashlib
from collections.abc import Mapping, Sequence


def verdict(scores: Mapping[str, float], threshold: float, margin: float = 0.0) -> dict:
    """What a judge's `classify` returns, of the scores of the task's labels: the "label" of the highest
    score, None if that is below the threshold, and the "scores"; "undecided" is true where a change of the
    scores by less than the margin gives another label, and missing elsewhere.

    That change is the distance to the threshold and, where several labels have scores, also the one between
    the two best.
    """
    first, *others = sorted(scores.values(), reverse=True)
    label = max(scores, key=scores.__getitem__) if first >= threshold else None
    distance = abs(first - threshold)
    if others and label is not None:
        distance = min(distance, first - others[0])
    found = {"label": label, "scores": dict(scores)}
    return found | {"undecided": True} if distance < margin else found


def is_undecided(judge, text: str) -> bool:
    """Whether the judge of a task (None: a rule) leaves a text undecided; an empty one is never judged."""
    return bool(judge is not None and text and judge.classify(text).get("undecided"))


def decided(rows: Sequence[Mapping]) -> list:
    """Of label rows, those that the judge decided: the others are part of no probe, rate or table."""
    return [row for row in rows if not row.get("undecided")]


def by_turns(rows: Sequence[Mapping], number: int, seed: int) -> list[Mapping]:
    """At most `number` constrained, whole answers that are decided, satisfied and violated by turns while
    there are both, drawn at random with the seed."""
    rows = [row for row in decided(rows) if row["variant"] == "constrained" and not row["truncated"]]
    # Of given activations there may be no texts.
    rows = [row for row in rows if row["prompt"]]
    # By a hash, so that a further answer moves no other.
    rows.sort(key=lambda row: hashlib.sha256(f"{seed}/{row['id']}".encode()).digest())
    place = {True: 0, False: 0}
    turns = []
    for row in rows:
        turns.append((place[row["satisfied"]], not row["satisfied"]))
        place[row["satisfied"]] += 1
    return [rows[k] for k in sorted(range(len(rows)), key=turns.__getitem__)[:number]]
