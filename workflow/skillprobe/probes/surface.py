"""Surface baselines: what a probe would find if all it read were length, template or words.

They stand beside a specialist to rule out that it "knows" the constraint only through how long the answer
is, which template asked for it, or which words occur (docs/definitions.md, "Controls"). Each one is
fitted by the specialist's own protocol, so that the two differ in nothing but what they see.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.rows import truncated_share
from skillprobe.probes.specialists import specialist, unscored
from skillprobe.tasks.text import count_words, words

# Of activations that came without their prompts and responses, or some of them, which would tell these rows.
WITHOUT_TEXTS = "not all prompts and responses were given as texts"
NAMES = ("length", "template", "prompt_words", "response_words")


def surface_probes(
    rows: Sequence[Mapping], settings: Settings, *, study_groups: Sequence[str]
) -> dict[str, ProbeResult]:
    """Probes on surface features of one model and task, by name of the feature set (NAMES).

    rows: the label rows of all shards, in order (labels/<model>/<task>/<shard>.jsonl); study_groups: all
    groups of the study. Ids, labels and folds of the n constrained, untruncated rows are those of the
    specialist at `eos`, row by row; at a position that short responses lack, the specialist has fewer. There
    are no shuffled labels: these are a control themselves. Insufficient tasks say so in `status`, and so do
    those some of whose rows came without texts. Raises UserError for a group that is not among the study's.
    """
    constrained = [row for row in rows if row["variant"] == "constrained"]
    used = [row for row in constrained if not row["truncated"]]
    truncated = truncated_share(np.array([row["truncated"] for row in constrained], bool))
    labels = np.array([row["satisfied"] for row in used], np.int8)
    settings = replace(settings, shuffles=0)
    about = {
        "ids": [row["id"] for row in used],
        "study_groups": study_groups,
        "truncated_fraction": truncated,
    }
    groups = [row["group"] for row in used]
    if used and not all(row["prompt"] for row in used):
        nothing = unscored(labels, groups, settings, **about)
        return dict.fromkeys(NAMES, replace(nothing, status=nothing.status or WITHOUT_TEXTS))
    return {
        name: specialist(
            x,
            labels,
            groups,
            settings,
            **about,
        )
        for name, x in features(used).items()
    }


def features(rows: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Surface features of exactly these label rows, by name (NAMES): [n, d] float32 each, d at least 1.

    "length": log1p of the response's tokens (EOS among them), words and characters; "template": one-hot
    phrasing; "prompt_words", "response_words": log1p counts of each word that two rows or more have. Columns
    are sorted by name. Labels are never looked at, so the vocabulary may come from test rows as well.
    """
    lengths = [
        (len(row["token_ids"]) - row.get("thinking", 0), count_words(row["response"]), len(row["response"]))
        for row in rows
    ]
    sets = (
        np.log1p(np.array(lengths, np.float32).reshape(-1, 3)),
        one_hot([row["phrasing"] for row in rows]),
        bag_of_words([row["prompt"] for row in rows]),
        bag_of_words([row["response"] for row in rows]),
    )
    return {name: some_column(x) for name, x in zip(NAMES, sets, strict=True)}


def some_column(x: np.ndarray) -> np.ndarray:
    """[n, d] float32, or where d is 0 a constant column: of a probe that knows nothing, whose scores tie, and
    are flagged where that matters."""
    return np.asarray(x, np.float32) if x.shape[1] else np.zeros((len(x), 1), np.float32)


def one_hot(names: Sequence[str]) -> np.ndarray:
    """[n, q] of q distinct names, sorted."""
    names = np.array(names, str)
    return (names[:, None] == np.unique(names)).astype(np.float32)


def bag_of_words(texts: Sequence[str]) -> np.ndarray:
    """log1p counts [n, d] of the words that at least two of the texts have, d = 0 if there are none."""
    # The samples of an item share its prompt.
    counts = {text: Counter(words(text)) for text in set(texts)}
    n_texts = Counter(word for text in texts for word in counts[text])
    # A word of one row can't help to score any other.
    column = {word: d for d, word in enumerate(sorted(word for word, n in n_texts.items() if n > 1))}
    x = np.zeros((len(texts), len(column)), np.float32)
    for row, text in zip(x, texts, strict=True):
        for word, count in counts[text].items():
            if word in column:
                row[column[word]] = count
    return np.log1p(x)
