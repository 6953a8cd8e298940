"""How often the analyses and the rules say what is true: planted worlds, judged like a model (ESTIMANDS)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from skillprobe import tasks
from skillprobe.analyses.ablation import Margins, ablate_layer, ablation_tables
from skillprobe.analyses.generality import generality_table
from skillprobe.analyses.layers import layers_table
from skillprobe.analyses.specificity import specificity_table
from skillprobe.analyses.time import time_tables
from skillprobe.analyses.transfer import transfer_tables
from skillprobe.erasure.cross import Settings as Ablation
from skillprobe.findings import rules
from skillprobe.findings.planted import WORLDS, Planted, label_rows, plant, verify, write_shards
from skillprobe.probes.course import fit_course, read_course
from skillprobe.probes.general_probes import fit_general
from skillprobe.probes.prefix import fit_prefixes
from skillprobe.probes.rows import read_tasks
from skillprobe.probes.specialists import fit_specialist
from skillprobe.probes.transfer import cross_scores
from skillprobe.probes.twins import read_twins
from skillprobe.prompts.bases import group_ids
from skillprobe.statistics.intervals import enough_signal
from skillprobe.storage.files import by_task

# Of the verdicts of a claim in a world, at most; at least; and of the seeds of the world of noise, at most.
WRONG, RIGHT, NULL = 0.05, 0.80, 0.10
# A rate is refuted by a count that has less than this chance where the rate just holds.
DOUBT = 0.01
ANY = "any claim supported"
BEYOND = "signal_beyond_confounds"
VERDICT_COLUMNS = ("world", "auroc", "bases", "seed", "claim", "truth", "verdict", "outcome", "estimate")
VERDICT_COLUMNS += ("lower99", "upper99", "n_signal", "specialist")
TABLE_COLUMNS = (
    "world",
    "auroc",
    "bases",
    "specialist",
    "claim",
    "truth",
    "n_seeds",
    *rules.VERDICTS,
    "right",
    "wrong",
    "met",
)
POWER_COLUMNS = ("claim", "world", "truth", "auroc", "specialist", "bases", "n_seeds", "right", "needed")


def judge_world(world: str, settings: Mapping, *, auroc: float, bases: int, seed: int) -> list[dict]:
    """Verdicts on one planted world, rows with VERDICT_COLUMNS, by the code that judges a model.

    auroc: see `plant`; bases: how many content requests; settings: the config's "seed", "study", "tasks",
    "generation.samples", "probes", "ablation", "statistics" and "claims", the prompts' "items_per_base", and
    calibration's "hidden_size" and "num_layers". "signal_beyond_confounds" is no claim of the study but its
    control: whether two thirds of the tasks keep a signal without what the confounds predict (insufficient if
    so many had none). outcome: right, wrong, or open (inconclusive or insufficient where there was something
    to find); specialist: the mean AUROC that specialists reached.
    """
    settings = {**settings, "groups": bases}
    planted = _plant(world, settings, auroc, seed)
    with TemporaryDirectory() as folder:
        paths = {task: Path(folder) / f"{task}.h5" for task in planted}
        position = settings["probes"]["position"]
        write_shards(paths, planted, position=position, study=settings["study"], world=world)
        tables = _analyse(world, planted, list(map(str, paths.values())), settings)
    names, claims = settings["tasks"], settings["claims"]
    found = rules.judge(tables, [world], names, claims)[world]
    found[BEYOND] = _beyond_confounds(tables["generality"], world, names, claims["signal"])
    reached = rules.mean_auroc(tables["generality"], world)
    rows = []
    for claim, finding in found.items():
        if claim not in WORLDS[world].truth:
            continue
        lower, upper = finding["interval"] or (float("nan"), float("nan"))
        truth = WORLDS[world].truth[claim]
        values = (world, auroc, bases, seed, claim, truth)
        values += (finding["verdict"], outcome(finding["verdict"], truth))
        values += (float("nan") if finding["estimate"] is None else finding["estimate"], lower, upper)
        values += (len(finding["tasks_with_signal"]), reached)
        rows.append(dict(zip(VERDICT_COLUMNS, values, strict=True)))
    return rows


def _plant(world: str, settings: Mapping, auroc: float, seed: int) -> dict[str, Planted]:
    return plant(
        world,
        tasks.categories_of(settings["tasks"]),
        group_ids(settings["groups"]),
        seed=seed,
        auroc=auroc,
        rows_per_group=settings["items_per_base"] * settings["generation.samples"],
        hidden_size=settings["hidden_size"],
        num_layers=settings["num_layers"],
    )


def _analyse(
    world: str, planted: Mapping[str, Planted], shards: Sequence[str], settings: Mapping
) -> dict[str, list[dict]]:
    """The tables that findings are judged by."""
    names, num_layers, claims = settings["tasks"], settings["num_layers"], settings["claims"]
    # No claim looks at the shuffled labels.
    settings = {**settings, "probes": settings["probes"] | {"shuffles": 0}}
    specialists = {task: {} for task in names}
    generals, crossed, ablated = {}, {}, {}
    for layer in range(num_layers + 1):
        rows = read_tasks(shards, names, layer, settings["probes"]["position"])
        for task, part in rows.items():
            specialists[task][layer] = fit_specialist(part, settings)
        generals[layer] = fit_general(rows, settings, variants=("centred",))
        of_layer = (
            {task: part.x for task, part in rows.items()},
            {task: part.ids for task, part in rows.items()},
            {task: specialists[task][layer] for task in names},
        )
        crossed[layer] = cross_scores(*of_layer)
        if layer == num_layers:
            # All signals are there, and the primary matrix is what decides.
            keys = ("rank", "max_rank", "shuffles", "min_rows")
            ablated[layer] = ablate_layer(
                layer,
                *of_layer[:2],
                {task: {layer: specialists[task][layer]} for task in names},
                Ablation(
                    **{key: settings["ablation"][key] for key in keys},
                    seed=settings["seed"],
                    feature_scaling=settings["probes"]["feature_scaling"],
                    primary_only=True,
                ),
                signal=claims["signal"],
                n_draws=settings["statistics"]["bootstrap_draws"],
                n_refits=settings["statistics"]["refit_draws"],
                seed=settings["seed"],
                study_groups=group_ids(settings["groups"]),
            )[0]
    categories = tasks.categories_of(names)
    options = {
        "n_draws": settings["statistics"]["bootstrap_draws"],
        "seed": settings["seed"],
        "study_groups": group_ids(settings["groups"]),
    }
    found = {
        "generality": generality_table(
            world, specialists, generals, categories, signal=claims["signal"], **options
        ),
        "transfer_summary": transfer_tables(
            world, specialists, crossed, categories, signal=claims["signal"], **options
        )[1],
        "ablation_summary": ablation_tables(
            world,
            specialists,
            ablated,
            signal=claims["signal"],
            margins=Margins.from_claims(claims),
            **options,
        )[2],
        "layers": layers_table(
            world,
            specialists,
            categories,
            num_layers,
            signal=claims["signal"],
            share=claims["emergence_share"],
            **options,
        ),
    }
    if WORLDS[world].twins:
        found["specificity"] = specificity_table(
            world, read_twins(shards, specialists, settings), categories, **options
        )
    if WORLDS[world].course:
        courses, prefixes = {}, {}
        for task, paths in by_task(shards, names).items():
            courses[task] = fit_course(read_course(paths, num_layers), settings)
            labels = label_rows(task, planted[task])
            prefixes[task] = fit_prefixes(read_course(paths, None), labels, verify, settings)
        found["time_summary"] = time_tables(
            world, {num_layers: courses}, prefixes, categories, signal=claims["signal"], **options
        )[1]
    return found


def _beyond_confounds(generality: Sequence[Mapping], world: str, names: Sequence[str], signal: float) -> dict:
    kept = rules.tasks_with_signal(generality, world, signal, "residualised")
    had = rules.tasks_with_signal(generality, world, signal)
    verdict = "supported" if enough_signal(len(kept), len(names)) else "contradicted"
    return {
        "verdict": verdict if enough_signal(len(had), len(names)) else "insufficient",
        "estimate": len(kept) / len(names),
        "interval": None,
        "tasks_with_signal": kept,
    }


def outcome(verdict: str, truth: str) -> str:
    """right, wrong or open; truth: as in `planted.World`."""
    if truth in ("none", "unsupported"):
        wrong = verdict == "supported" or (truth == "none" and verdict == "contradicted")
        return "wrong" if wrong else "right"
    if verdict == truth:
        return "right"
    return "wrong" if verdict in ("supported", "contradicted") else "open"


def calibration_table(verdicts: Sequence[Mapping]) -> list[dict]:
    """Rows with TABLE_COLUMNS: by world, effect, size and claim, how often each verdict was given, and the
    shares that were right and wrong.

    met: "yes" if wrong ≤ WRONG and right ≥ RIGHT (in noise's row ANY, which counts the seeds with a
    supported claim: wrong ≤ NULL); "no" if the counts refute that (a chance below DOUBT); else "unsure".
    """
    table = []
    for (*kind, claim), rows in _grouped(verdicts, "world", "auroc", "bases", "claim"):
        outcomes = Counter(row["outcome"] for row in rows)
        counts = Counter(row["verdict"] for row in rows)
        wrong, right = outcomes["wrong"], outcomes["right"]
        met = _met(wrong, right, len(rows))
        about = (*kind, _reached(rows), claim, rows[0]["truth"])
        table.append(_row(about, len(rows), counts, right, wrong, met))
    claims = [row for row in verdicts if row["world"] == "noise" and row["claim"] in rules.CLAIMS]
    for kind, rows in _grouped(claims, "world", "auroc", "bases"):
        seeds = {row["seed"] for row in rows}
        wrong = len({row["seed"] for row in rows if row["verdict"] == "supported"})
        met = "yes" if wrong <= NULL * len(seeds) else "unsure"
        met = "no" if _at_least(wrong, len(seeds), NULL) < DOUBT else met
        about = (*kind, _reached(rows), ANY, "none")
        table.append(_row(about, len(seeds), Counter({"supported": wrong}), len(seeds) - wrong, wrong, met))
    order = list(WORLDS)
    return sorted(table, key=lambda row: (order.index(row["world"]), row["auroc"], row["bases"]))


def power_table(table: Sequence[Mapping]) -> list[dict]:
    """Rows with POWER_COLUMNS, of a calibration table: by claim, world and effect, where there is something
    to find, the share of right verdicts at each size.

    needed: the smallest size from which on that is at least RIGHT; NaN where the largest isn't enough.
    """
    rows = []
    known = [row for row in table if row["truth"] in ("supported", "contradicted")]
    for (claim, world, auroc), sizes in _grouped(known, "claim", "world", "auroc"):
        needed = float("nan")
        for row in sorted(sizes, key=lambda row: -row["bases"]):
            if row["right"] < RIGHT:
                break
            needed = row["bases"]
        for row in sizes:
            values = (claim, world, row["truth"], auroc, row["specialist"], row["bases"], row["n_seeds"])
            rows.append(dict(zip(POWER_COLUMNS, (*values, row["right"], needed), strict=True)))
    order = [*rules.CLAIMS, BEYOND]
    return sorted(rows, key=lambda row: order.index(row["claim"]))


def _grouped(rows: Sequence[Mapping], *keys: str) -> list[tuple[tuple, list[Mapping]]]:
    """Rows that are alike in these, in the order of their first."""
    groups: dict[tuple, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(groups.items())


def _reached(rows: Sequence[Mapping]) -> float:
    return fmean(row["specialist"] for row in rows)


def _row(about: tuple, n: int, counts: Counter, right: int, wrong: int, met: str) -> dict:
    """about: the cells before n_seeds."""
    verdicts = [counts[verdict] for verdict in rules.VERDICTS]
    return dict(zip(TABLE_COLUMNS, (*about, n, *verdicts, right / n, wrong / n, met), strict=True))


def _met(wrong: int, right: int, n: int) -> str:
    if _at_least(wrong, n, WRONG) < DOUBT or _at_least(n - right, n, 1 - RIGHT) < DOUBT:
        return "no"
    return "yes" if wrong <= WRONG * n and right >= RIGHT * n else "unsure"


def _at_least(k: int, n: int, p: float) -> float:
    """Chance of k or more of n, each with chance p."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def describe(table: Sequence[Mapping], settings: Mapping) -> str:
    """Both tables as Markdown, the first at one size: the study's, or the nearest to it.

    table: of `calibration_table`; settings: the config's "tasks", "prompts", "generation" and "calibration".
    """
    made, prompts = settings["calibration"], settings["prompts"]
    size = min({row["bases"] for row in table}, key=lambda size: (abs(size - prompts["bases"]), size))
    per_base = prompts["items_per_base"] * settings["generation"]["samples"]
    claims = [row for row in table if row["claim"] in rules.CLAIMS]
    given = sum(row["n_seeds"] for row in claims)
    lines = [
        "# Calibration",
        "",
        "How often are the verdicts right? A planted world is a set of synthetic activations whose truth is "
        f"known. These have {len(settings['tasks'])} tasks, {per_base} responses to each content request, "
        f"{made['hidden_size']} dimensions and {made['num_layers']} blocks. The code and the rules are those "
        f"that decide the claims for a model (rules version {rules.VERSION}). Of all {given:,} verdicts on "
        f"claims, at every size, {sum(round(row['wrong'] * row['n_seeds']) for row in claims)} are wrong.",
        "",
        "The kinds of worlds, and the signal that each has:",
        "",
        *(f"- **{_words(name)}**: {world.about}" for name, world in WORLDS.items()),
        "",
        f"## Verdicts with {size} content requests ({size * per_base} responses per task)",
        "",
        "- *AUROC*: the best that a linear probe of one task can reach.",
        "- *reached*: the mean AUROC that the specialists reached, at their selected layers.",
        "- *truth*: the right verdict. *unsupported*: every verdict except supported is right; *none*: every "
        "verdict except supported and contradicted is right.",
        f"- *met*: *yes* if at most {WRONG:.0%} of the verdicts are wrong and at least {RIGHT:.0%} are right "
        "(for any claim supported in the world of noise: if it happens in at most "
        f"{NULL:.0%} of the seeds); *no* if the counts refute this at {1 - DOUBT:.0%}; otherwise *unsure*.",
        "",
        "| world | AUROC | reached | claim | truth | seeds | supported | contradicted | inconclusive "
        "| insufficient | right | wrong | met |",
        "|---|--:|--:|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in table:
        if row["bases"] == size:
            cells = [_words(row["world"]), f"{row['auroc']:g}", f"{row['specialist']:.2f}"]
            cells += [_words(row["claim"]), row["truth"]]
            cells += [row[key] for key in ("n_seeds", *rules.VERDICTS)]
            cells += [f"{row['right']:.0%}", f"{row['wrong']:.0%}", row["met"]]
            lines.append(_line(cells))
    return "\n".join(lines + _describe_power(power_table(table))) + "\n"


def _describe_power(rows: Sequence[Mapping]) -> list[str]:
    sizes = sorted({row["bases"] for row in rows})
    lines = [
        "",
        "## How many content requests does a verdict take?",
        "",
        "The share of right verdicts, by number of content requests. *needed*: the smallest of these numbers "
        f"from which on the share is at least {RIGHT:.0%}. *reached*: the mean AUROC of the specialists with "
        "the most requests; compare it with that of your own study, which is in its overview.",
        "",
        _line(["claim", "world", "truth", "AUROC", "reached", *sizes, "needed"]),
        "|---|---|---|" + "--:|" * (len(sizes) + 3),
    ]
    for (claim, world, auroc), found in _grouped(rows, "claim", "world", "auroc"):
        right = {row["bases"]: f"{row['right']:.0%}" for row in found}
        needed, last = found[0]["needed"], max(found, key=lambda row: row["bases"])
        cells = [_words(claim), _words(world), last["truth"], f"{auroc:g}", f"{last['specialist']:.2f}"]
        cells += [right.get(size, "") for size in sizes]
        cells.append(f"more than {last['bases']}" if math.isnan(needed) else needed)
        lines.append(_line(cells))
    return lines


def _line(cells: Sequence) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _words(name: str) -> str:
    return name.replace("_", " ")
