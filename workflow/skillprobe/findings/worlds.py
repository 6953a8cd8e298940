"""The kinds of planted worlds, and which verdict is right in each (docs/definitions.md, "Calibration")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skillprobe.storage.tables import ACROSS, WITHIN

# How much of a direction tasks of one group share, as a cosine, in a world of clusters.
GROUP_COSINE = 0.7
# How much the second task of a pair shares with the first, and how many times as strong the first one is: it
# can lose what they share and hardly notice.
PAIR_COSINE, PAIR_STRENGTH = 0.8, 2.5
# How many times as strong the leader of three tasks is, of which all have one direction: what it loses leaves
# the others nothing, and what they lose it hardly notices.
LEADER_STRENGTH = 3.0
# The strengths of tasks that are of unequal strength, from the weakest to the strongest; and of the weakest
# where it is luck whether some count.
WEAKEST, STRONGEST, FAINT = 0.6, 1.7, 0.2
# The log-odds, in standard deviations, that a subject adds in the world of subjects.
SUBJECT_ODDS = 1.5
# The share of violations in the one task that has few.
FEW_VIOLATIONS = 0.07
# The cosine of directions of which a specialist is better than one general probe by the margin only: on
# average over worlds of the default config's size.
NEARLY_COSINE = 0.57

# In a world where nothing is there to find, whatever is supported or contradicted is wrong.
NONE, UNSUPPORTED, UNCONTRADICTED = "none", "unsupported", "uncontradicted"
SUPPORTED, CONTRADICTED = "supported", "contradicted"
UNPLANNED, NOT_BEYOND = "supported, planning untested", "supported, not beyond likelihood"
# No claim but its control: do the tasks that count keep a signal without what the confounds predict?
BEYOND = "signal_beyond_confounds"

# {scope: {claim: verdict}}
Truth = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class World:
    """What is planted, and so what is true.

    directions, along which satisfied and violated rows differ: "one" for all tasks, "own" ones at right
    angles, "groups" (own ones, partly shared within the paper's groups), "pairs" (the second of two tasks
    shares most of its own with the first, which is far stronger), "led" (every third task has its own, and is
    stronger than the two others that have it, too), "nearly" (own ones, but mostly shared: the specialist is
    better by the margin only), or "none". depths, where they begin to: "same", "ranked" by category as the
    paper has it, or "reversed", each to the last layer; or "apart" (the signal of every second task is there
    in the first half only, that of the others in the second).

    truth, by scope and claim: the verdict that is right; "none" where neither supported nor contradicted is,
    as there is nothing to find; "unsupported" where only supported is wrong, "uncontradicted" where only
    contradicted is. Claims that are missing are not judged, and what only they need is not computed.

    by_length: satisfied answers are longer. strengths: "equal", "unequal" or "faint" (unequal, and some
    hardly there). odds: what decides whether an answer will satisfy, beside chance: "" (how easy requests and
    items are), "subject" (strongly), "params" (the constraint's number, which the state knows, and nothing
    else), "prompt" (strongly), "half" (the params, something that the state at the prompt's end knows, and as
    much that it doesn't) or "all" (without the latter). few: one task has few violations. silent:
    every third task has no signal.

    course, over time: "" (EOS is all there is), "planned" (whether an answer will satisfy depends on its
    prompt, whose state says so), "monitored" (the state tells only as the answer is written), or "text" (the
    state tells from the word on that decides it, which may stand anywhere).

    reads, on crossings and on answers without the constraint: "" (there are none), "match" (the state tells
    whether answer and constraint match; nothing without the constraint), "likelihood" (likewise, and so does
    the answer's log-probability), or "text" (the state tells one property of the answer, whatever is asked
    for).
    """

    about: str
    directions: str
    truth: Truth
    depths: str = "same"
    by_length: bool = False
    strengths: str = "equal"
    odds: str = ""
    few: bool = False
    silent: bool = False
    course: str = ""
    reads: str = ""


STRUCTURE = (
    "generality",
    "transfer_weak",
    "transfer_clustered",
    "ablation_sparse",
    "ablation_asymmetric",
    "layers_stratified",
    BEYOND,
)


def _truth(
    *,
    generality: str = SUPPORTED,
    weak: str = SUPPORTED,
    clustered: str = UNSUPPORTED,
    sparse: str = SUPPORTED,
    asymmetric: str = UNSUPPORTED,
    layers: str = NONE,
    beyond: str = SUPPORTED,
    monitoring: str = "",
    adds: str = "",
    specificity: str = "",
    within: Mapping[str, str] | None = None,
) -> Truth:
    """Of tasks with directions of their own that begin at the same layer, if nothing else is said; within:
    what is true there in place of that."""
    structure = (generality, weak, clustered, sparse, asymmetric, layers, beyond)
    both = {claim: truth for claim, truth in zip(STRUCTURE, structure, strict=True) if truth}
    both |= {"specificity": specificity} if specificity else {}
    across = {"monitoring": monitoring} if monitoring else {}
    across |= {"monitor_adds": adds} if adds else {}
    return {WITHIN: both | dict(within or {}), ACROSS: both | across}


def _of_one(claim: str, truth: str, **more: str) -> Truth:
    """Of worlds that are made for one claim about tasks with directions of their own: the others are judged
    where they cost less; more: others that have the same scope."""
    both = {"generality": SUPPORTED, BEYOND: SUPPORTED}
    if claim == "monitoring":
        return {WITHIN: both, ACROSS: both | {claim: truth} | more}
    return {scope: both | {claim: truth} for scope in (WITHIN, ACROSS)}


_ONE = {"generality": CONTRADICTED, "weak": CONTRADICTED, "sparse": CONTRADICTED}
_NOTHING = dict.fromkeys(("generality", "weak", "clustered", "sparse", "asymmetric", "beyond"), NONE)

WORLDS = {
    "universal": World("one direction shared by all tasks, from the same layer on", "one", _truth(**_ONE)),
    "unequal": World(
        f"one direction shared by all tasks, whose signals are {WEAKEST:g} to {STRONGEST:g} times as strong",
        "one",
        _truth(**_ONE),
        strengths="unequal",
    ),
    "depths": World(
        "one direction shared by all tasks, but in the first half of the layers for every second task and in "
        "the second half for the others",
        "one",
        # In which order they begin says nothing of the categories.
        _truth(**_ONE, layers=""),
        depths="apart",
    ),
    "compositional": World(
        "a direction for each task, orthogonal to all others; the depth depends on the category, in the "
        "paper's order",
        "own",
        _truth(layers=SUPPORTED),
        depths="ranked",
    ),
    "few_violations": World(
        f"as compositional, but one task has {FEW_VIOLATIONS:.0%} violations",
        "own",
        _truth(layers=SUPPORTED),
        depths="ranked",
        few=True,
    ),
    "silent_tasks": World(
        "as compositional, but every third task has no signal",
        "own",
        _truth(layers=SUPPORTED),
        depths="ranked",
        silent=True,
    ),
    "clustered": World(
        f"directions with a cosine of {GROUP_COSINE:g} within the paper's groups and 0 between them; the "
        "depth depends on the category, in the reverse of the paper's order",
        "groups",
        _truth(clustered=SUPPORTED, layers=CONTRADICTED),
        depths="reversed",
    ),
    "pairs": World(
        f"pairs of tasks whose directions have a cosine of {PAIR_COSINE:g}; the signal of the first task is "
        f"{PAIR_STRENGTH:g} times as strong",
        "pairs",
        _truth(),
    ),
    "asymmetric": World(
        f"three tasks each share one direction, along which the first is {LEADER_STRENGTH:g} times as strong",
        "led",
        # A third of the pairs share a direction: how many of them are dependent is not planted. And no more
        # asymmetry can be planted along directions, of which the best probes are linear: it is about as large
        # as the rule asks for, so that it can't be said to be less.
        _truth(sparse="", asymmetric=UNCONTRADICTED),
    ),
    "margin": World(
        "directions that are nearly one: a specialist is better by the margin only; signals of unequal "
        "strength, so that some tasks count by luck",
        "nearly",
        _truth(
            generality=UNSUPPORTED, weak=UNSUPPORTED, sparse=UNSUPPORTED, asymmetric=UNSUPPORTED, layers=NONE
        ),
        strengths="faint",
    ),
    "subjects": World(
        f"no signal; whether a response satisfies depends on its subject ({SUBJECT_ODDS:g} in log-odds), "
        "which activations tell",
        "none",
        _truth(**_NOTHING),
        odds="subject",
    ),
    "params": World(
        "the constraint's number foretells the label, and the state holds the number from the prompt's end "
        "on, along a direction for each task; of responses to one prompt it tells nothing",
        "own",
        _truth(monitoring=CONTRADICTED, adds=CONTRADICTED, within=dict.fromkeys(STRUCTURE, NONE)),
        odds="params",
        course="monitored",
    ),
    "planned": World(
        "a direction for each task, with and without the constraint; the state at the prompt's end already "
        "predicts the outcome",
        "own",
        # The verifier sees nothing before the last word, the state all along.
        _of_one("monitoring", CONTRADICTED, monitor_adds=SUPPORTED),
        odds="prompt",
        course="planned",
        reads="text",
    ),
    "monitored": World(
        "a direction for each task, only with the constraint; the signal is absent at the prompt's end and "
        "grows while the response is written",
        "own",
        _of_one("monitoring", SUPPORTED),
        odds="prompt",
        course="monitored",
        reads="match",
    ),
    "half_planned": World(
        "a direction for each task; the prompt's surface tells a part of what the prompt decides, and the "
        "state at its end tells half of the rest",
        "own",
        _of_one("monitoring", UNPLANNED),
        odds="half",
        course="monitored",
    ),
    "wholly_planned": World(
        "a direction for each task; the prompt's surface tells a part of what the prompt decides, and the "
        "state at its end tells all of the rest",
        "own",
        _of_one("monitoring", CONTRADICTED),
        odds="all",
        course="monitored",
    ),
    "text_decides": World(
        "a direction for each task; the state carries only what the text so far has decided",
        "own",
        _of_one("monitoring", SUPPORTED, monitor_adds=CONTRADICTED),
        odds="prompt",
        course="text",
    ),
    "match_read": World(
        "a direction for each task, along which the state tells whether response and constraint match, below "
        "what prompt and response alone add to it",
        "own",
        _of_one("specificity", SUPPORTED),
        reads="match",
    ),
    "likelihood_read": World(
        "as match read, but the response's log-probability tells the match as well",
        "own",
        _of_one("specificity", NOT_BEYOND),
        reads="likelihood",
    ),
    "text_read": World(
        "a direction for each task, along which the state tells one property of the response, whatever the "
        "constraint",
        "own",
        _of_one("specificity", CONTRADICTED),
        reads="text",
    ),
    "length_confounded": World(
        "no signal but the length of the response; in every task, satisfied responses are longer",
        "none",
        # What holds of the length's direction holds: one for all tasks. That it is no more than length is for
        # the residualised control to say.
        _truth(**_ONE, beyond=CONTRADICTED),
        by_length=True,
    ),
    "noise": World(
        "no signal; labels and activations have only the content request in common",
        "none",
        _truth(**_NOTHING, monitoring=NONE, specificity=NONE),
        odds="prompt",
        course="monitored",
        reads="text",
    ),
}
