"""Which claims a study can't decide, whatever its models respond: said before it runs.

The minima are those of the rules and analyses themselves (docs/definitions.md, "Which tasks count").
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from skillprobe import tasks
from skillprobe.analyses.blocks import forms_blocks, n_partitions, paper_groups
from skillprobe.analyses.layers import CATEGORY_RANKS
from skillprobe.analyses.monitors import BODY, ONSET, in_middle
from skillprobe.analyses.sufficiency import Design, forecast
from skillprobe.analyses.transfer import FEWEST
from skillprobe.findings.rules import RULES
from skillprobe.labels.crossings import can_cross
from skillprobe.storage.tables import ACROSS
from skillprobe.study import sources
from skillprobe.study.slices import layers_of, on_given_activations, over_time
from skillprobe.tasks.world import adapted, load_world


def undecidable(config: Mapping, root: str | Path) -> dict[str, str]:
    """{claim: why it can't be decided in its headline scope, and what it takes}, in the order of CLAIMS.

    config: a completed one. Every task is taken to count, with half of its responses satisfied. Of several
    models also what holds for one of them only, with its name.
    """
    said = {claim: list(_reasons(claim, config, root)) for claim in RULES}
    return {claim: "; ".join(dict.fromkeys(reasons)) for claim, reasons in said.items() if reasons}


def describe(config: Mapping, root: str | Path) -> list[str]:
    """Lines on `undecidable`, one for each reason; none where there is nothing to say."""
    found = undecidable(config, root)
    if not found:
        return []
    head = (
        f"can't be decided by this study, whatever the models respond ({len(found)} of {len(RULES)} claims):"
    )
    claims: dict[str, list[str]] = {}
    for claim, reason in found.items():
        claims.setdefault(reason, []).append(claim)
    return [head, *(f"  {', '.join(names)}: {reason}" for reason, names in claims.items())]


def _more(config: Mapping) -> str:
    """What gives a study more content requests."""
    if on_given_activations(config):
        return "import activations of more prompts"
    return "add prompts to prompts.file" if config["prompts"]["file"] is not None else "raise prompts.bases"


def _reasons(claim: str, config: Mapping, root: str | Path) -> Iterator[str]:
    at, studied = config["claims"], config["tasks"]
    if claim == "transfer_clustered":
        yield from _clusters(studied, at["min_partitions"])
    elif len(studied) < at["min_tasks"][claim]:
        yield f"it takes {at['min_tasks'][claim]} tasks that count, and the study has {len(studied)}"
    if claim == "layers_stratified":
        yield from _depths(config)
    given = on_given_activations(config)
    if claim in ("monitoring", "monitor_adds") and given and not over_time(config):
        yield config["prompts"]["found"]["untimed"]
    elif claim in ("monitoring", "monitor_adds") and not over_time(config):
        yield "it takes probes at prompt_100 and eos; add both to activations.positions"
    if claim == "monitor_adds" and not any(map(in_middle, config["activations"]["positions"])):
        yield (
            f"it takes a position in the middle of the answer; add {ONSET} or {BODY}50 to "
            "activations.positions"
        )
    if claim == "specificity" and given:
        yield "activations are given, and it takes crossings, which are read by the model"
    elif claim == "specificity":
        yield from _crossings(config, root)
    yield from _sizes(claim, config, root)


def _clusters(studied: list[str], least: int) -> Iterator[str]:
    groups = paper_groups(studied, tasks.clusters_of(studied))
    sizes = sorted(Counter(groups).values())
    if len(studied) < FEWEST:
        yield f"it takes {FEWEST} tasks that count, and the study has {len(studied)}"
    if not forms_blocks(groups):
        yield "its tasks form no blocks to compare; two tasks of one block, and one of another, are needed"
    elif (ways := n_partitions(sizes)) < least:
        yield (
            f"the names of its {len(studied)} tasks can be permuted in {ways} ways, and {least} are needed; "
            f"it takes at least {_fewest(sizes, least)} tasks that count"
        )


def _fewest(sizes: list[int], least: int) -> int:
    """How many tasks have names that can be permuted in `least` ways: these blocks, and the best beside."""
    reached = {tuple(sizes)}
    while all(n_partitions(each) < least for each in reached):
        joined = {
            tuple(sorted([*each[:place], each[place] + 1, *each[place + 1 :]]))
            for each in reached
            for place in range(len(each))
        }
        reached = joined | {tuple(sorted([*each, 1])) for each in reached}
    return sum(next(iter(reached)))


def _depths(config: Mapping) -> Iterator[str]:
    categories = set(tasks.categories_of(config["tasks"]).values())
    if len({CATEGORY_RANKS[category] for category in categories}) < 2:
        yield (
            f"its tasks are all {' or '.join(sorted(categories))}, one place in the order of depths; add a "
            "task of another category"
        )
    models = [entry["name"] for entry in config["models"]]
    flat = [model for model in models if len(layers_of(config, model)) < 2]
    if flat:
        of = "" if len(flat) == len(models) else f" of {', '.join(flat)}"
        yield f"one layer{of} is analysed, so all tasks emerge at the same depth; add to layers"


def _crossings(config: Mapping, root: str | Path) -> Iterator[str]:
    at, each, prompts = config["claims"], config["labels"]["crossings"], config["prompts"]
    least, own = at["min_tasks"]["specificity"], prompts.get("found")
    if not each:
        yield "labels.crossings is 0, and it takes crossings"
        return
    if own:
        enough = [task for task, n in own["crossed"].items() if n * each >= at["crossings"]]
        if len(enough) < min(least, len(config["tasks"])):
            yield (
                f"it takes {least} tasks with {at['crossings']} crossings, and the prompts allow so many in "
                f"{len(enough)}; raise labels.crossings, or {_more(config)} that ask one request under two "
                "params"
            )
    elif each * prompts["bases"] < at["crossings"]:
        yield (
            f"it takes {at['crossings']} crossings of a task, and the study has at most "
            f"{each * prompts['bases']}; raise labels.crossings, or {_more(config)}"
        )
    if (groups := sources.groups(config, root)) < at["crossing_groups"]:
        yield (
            f"it takes crossings of {at['crossing_groups']} subjects, and the study has {groups}; "
            + _more(config)
        )
    if own:  # Their params are the file's, not the world's.
        return
    world = adapted(load_world(Path(root) / sources.world_file(config, root)), prompts)
    crossed = [task for task in config["tasks"] if can_cross(tasks.get(task), world)]
    if len(crossed) < least <= len(config["tasks"]):
        yield (
            f"it takes {least} tasks whose params vary, so that two constraints can be crossed, and the "
            f"study has {len(crossed)}"
        )


def _sizes(claim: str, config: Mapping, root: str | Path) -> Iterator[str]:
    design, samples = Design.of(config, sources.contents(config, root)), config["generation"]["samples"]
    most = {"compliance": 0.5, "truncated": 0.0, "mixed": 1.0, "n_per_item": samples}
    expected, across = forecast(most, design), RULES[claim].scopes[0] == ACROSS
    position = config["probes"]["position"]
    if not across and position.startswith("prompt"):
        yield f"probes.position is {position}, where all responses to a prompt have the same state"
    if short := expected.across if across else expected.within:
        yield f"even of a task that is satisfied half of the time there is too little data ({short})"
    least = config["ablation"]["min_rows"]
    if claim.startswith("ablation") and expected.rows < least:
        yield (
            f"a task is erased with {least} responses of each class in a training part, and there are at "
            f"most {expected.rows:.0f}; {_more(config)}, or raise generation.samples"
        )
