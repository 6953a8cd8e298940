"""A study says beforehand which claims it can't decide, by the rules' own minima."""

import json
import math

import pytest
from made.configs import make_folder, study
from skillprobe.findings import decidable, rules
from skillprobe.study.config import complete

NINE = ["word_count", "character_count", "json_format", "term_inclusion", "term_exclusion"]
NINE += ["topic", "sentiment", "register", "toxicity"]


def found(root, tasks=NINE, **changes):
    judges = {name: "lexicon" for name in ("topic", "sentiment", "register", "toxicity") if name in tasks}
    return decidable.undecidable(complete(study(tasks=list(tasks), judges=judges, **changes), root), root)


def test_a_study_of_nine_tasks_can_decide_all_claims(root):
    assert found(root) == {}
    assert (
        decidable.describe(complete(study(tasks=NINE, judges=dict.fromkeys(NINE[5:], "lexicon")), root), root)
        == []
    )


@pytest.mark.parametrize("least", [2, 3, 4, 5, 6])
@pytest.mark.parametrize(
    "claim", ["generality", "transfer_weak", "ablation_sparse", "monitoring", "specificity"]
)
def test_the_numbers_of_tasks_are_those_of_the_rules(root, claim, least):
    """As `judge` would say of as many tasks that count."""
    tasks = [NINE[place] for place in (0, 3, 5, 4, 6, 7)][:least]
    thresholds = complete(study(), root)["claims"]
    for n in (least - 1, least):
        said = found(root, tasks[:n], claims__min_tasks={claim: least})
        row = {"estimate": 0.1, "n_tasks": n}
        at = thresholds | {"min_tasks": thresholds["min_tasks"] | {claim: least}}
        assert (claim in said) == bool(rules._too_few(claim, row, at)) == (n < least)
        if n < least:
            assert said[claim] == f"it takes {least} tasks that count, and the study has {n}"


def test_clusters_take_blocks_and_ways_to_permute_names(root):
    claim = "transfer_clustered"
    assert found(root, NINE[:2])[claim].startswith(
        "it takes 4 tasks that count, and the study has 2; its tasks form"
    )
    # {word, character count}, {inclusion}, {exclusion}, {topic}: five things of which two are one.
    assert found(root, [*NINE[:2], *NINE[3:6]])[claim] == (
        "the names of its 5 tasks can be permuted in 10 ways, and 200 are needed; it takes at least 7 tasks "
        "that count"
    )
    # Three of the first block, two of the second, and one of the third: 6!/(3!·2!·1!) = 60.
    six = [*NINE[:3], "topic", "sentiment", "term_inclusion"]
    assert "in 60 ways, and 200 are needed; it takes at least 7 tasks" in found(root, six)[claim]
    assert claim not in found(root, six, claims__min_partitions=60)
    assert claim in found(root, six, claims__min_partitions=61)
    assert math.factorial(7) / 12 > 200 and claim not in found(root, [*six, "register"])
    alone = ["word_count", "topic", "term_inclusion", "register", "toxicity"]
    assert "two tasks of one block, and one of another, are needed" in found(root, alone)[claim]


def test_depths_take_two_places_in_the_order_and_two_layers(root):
    claim, at = "layers_stratified", {"min_tasks": {"layers_stratified": 3}}
    assert found(root, NINE[:3], claims=at)[claim].startswith("its tasks are all structural, one place")
    assert found(root, NINE[5:], claims=at)[claim].startswith(
        "its tasks are all semantic or stylistic, one place"
    )
    assert claim not in found(root, ["topic", "sentiment", "term_inclusion"], claims=at)
    assert found(root, layers=[3])[claim] == (
        "one layer is analysed, so all tasks emerge at the same depth; add to layers"
    )
    make_folder(root / "models/b")
    two = [{"name": name, "source": f"models/{name}"} for name in "ab"]
    two[1]["layers"] = [2]
    assert found(root, models=two)[claim].startswith("one layer of b is analysed")


def test_specificity_takes_crossings(root):
    claim = "specificity"
    assert found(root, labels__crossings=0) == {claim: "labels.crossings is 0, and it takes crossings"}
    for bases, crossings, said in ((39, 1, "at most 39"), (40, 1, ""), (19, 2, "at most 38"), (20, 2, "")):
        few = found(
            root, prompts__bases=bases, labels__crossings=crossings, behaviour__bases=0, probes__folds=3
        )
        assert ("crossings of a task, and the study has at most" in few.get(claim, "")) == bool(said), bases
        assert said in few.get(claim, "") and ("of 20 subjects" in few.get(claim, "")) == (bases < 20)
    # Toxicity has one constraint only.
    at = {"min_tasks": {"specificity": 3}}
    assert found(root, ["word_count", "topic", "toxicity"], claims=at)[claim] == (
        "it takes 3 tasks whose params vary, so that two constraints can be crossed, and the study has 2"
    )
    assert claim not in found(root, ["word_count", "topic", "sentiment"], claims=at)


def test_crossings_of_prompts_of_ones_own_are_those_of_the_file(root):
    """Two params for each of some requests."""

    def said(requests, **changes):
        rows = [
            {"task": task, "params": params, "prompt": f"{task} {n} {params}", "unconstrained_prompt": f"{n}"}
            for n in range(90)
            for task, params in [
                *(("word_count", {"relation": "at_most", "n": k}) for k in (3, 9)[: 1 + (n < requests)]),
                ("json_format", {}),
            ]
        ]
        (root / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        at = {"min_tasks": {"specificity": 1}}
        return found(root, ["word_count", "json_format"], prompts__file="own.jsonl", claims=at, **changes)

    assert "specificity" not in said(40, labels__crossings=1)
    assert said(39, labels__crossings=1)["specificity"] == (
        "it takes 1 tasks with 40 crossings, and the prompts allow so many in 0; raise labels.crossings, or "
        "add prompts to prompts.file that ask one request under two params"
    )
    assert "specificity" not in said(39, labels__crossings=2)


def test_positions_and_sizes(root):
    both = "it takes probes at prompt_100 and eos; add both to activations.positions"
    assert found(root, activations__positions=["onset", "eos"]) == dict.fromkeys(
        ("monitoring", "monitor_adds"), both
    )
    assert found(root, activations__positions=["prompt_100", "token_8", "eos"]) == {
        "monitor_adds": "it takes a position in the middle of the answer; add onset or body_50 to "
        "activations.positions"
    }
    within = {claim for claim, rule in rules.RULES.items() if rule.scopes[0] == "within"}
    said = found(root, probes__position="prompt_100")
    assert said.keys() == within and all(
        reason == "probes.position is prompt_100, where all responses to a prompt have the same state"
        for reason in said.values()
    )
    # One response to a prompt has one outcome.
    said = found(root, generation__samples=1, behaviour__samples=1)
    assert said.keys() == within
    assert "0 of 60 items with both outcomes" in said["generality"]
    assert (
        "80 responses of each class in a training part, and there are at most 65" in said["ablation_sparse"]
    )
    assert "monitoring" in found(root, prompts__bases=12, behaviour__bases=0)


def test_one_line_a_reason(root):
    config = complete(study(), root)
    head, *lines = decidable.describe(config, root)
    reasons = decidable.undecidable(config, root)
    assert (
        head == f"can't be decided by this study, whatever the models respond ({len(reasons)} of 9 claims):"
    )
    named = [(line.split(":")[0].strip().split(", "), line.split(": ", 1)[1]) for line in lines]
    assert {claim: reason for claims, reason in named for claim in claims} == reasons
    assert len({reason for _, reason in named}) == len(lines) < len(reasons)
    assert not any("\n" in line for line in lines)


def test_what_gives_more_is_named_as_the_study_has_it(root):
    few = {"claims__crossings": 4000, "claims__crossing_groups": 200}
    said = found(root, **few)["specificity"]
    assert "raise labels.crossings, or raise prompts.bases" in said and said.count("prompts.file") == 0
    rows = [
        {"task": task, "params": params, "prompt": f"{subject}, {task}", "subject": subject}
        for subject in map(str, range(60))
        for task, params in (("word_count", {"relation": "at_most", "n": 3}), ("json_format", {}))
    ]
    (root / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = {"prompts__file": "own.jsonl", "behaviour__bases": 1, "judges": {}}
    said = decidable.undecidable(
        complete(study(tasks=["word_count", "json_format"], **own, **few), root), root
    )
    assert (
        "or add prompts to prompts.file" in said["specificity"] and "prompts.bases" not in said["specificity"]
    )
