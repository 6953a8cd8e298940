"""Planted worlds, judged by the code and rules that judge a model (docs/definitions.md, "Calibration")."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from skillprobe import tasks
from skillprobe.analyses.ablation import Margins, ablate_layer, ablation_tables
from skillprobe.analyses.generality import generality_table
from skillprobe.analyses.layers import layers_table
from skillprobe.analyses.monitors import monitor_tables
from skillprobe.analyses.specificity import specificity_table
from skillprobe.analyses.time import time_tables
from skillprobe.analyses.transfer import transfer_tables
from skillprobe.erasure.cross import Settings as Ablation
from skillprobe.erasure.cross import common_scale
from skillprobe.findings import rules
from skillprobe.findings.planted import Planted, plant
from skillprobe.findings.planted_shards import label_rows, verify, write_crossings, write_shards
from skillprobe.findings.worlds import BEYOND, NONE, UNCONTRADICTED, UNSUPPORTED, WORLDS
from skillprobe.probes.course import fit_course, read_course
from skillprobe.probes.crossings import read_crossings
from skillprobe.probes.general_probes import fit_general_scopes
from skillprobe.probes.monitors import fit_monitor
from skillprobe.probes.planning import fit_planning
from skillprobe.probes.prefix import fit_prefixes
from skillprobe.probes.refits import PRIMARY, Refits, refit_probes
from skillprobe.probes.results import ProbeResult
from skillprobe.probes.rows import ProbeRows, read_tasks
from skillprobe.probes.specialists import fit_scopes
from skillprobe.probes.transfer import cross_scores
from skillprobe.probes.trivial_monitors import fit_trivial_monitors
from skillprobe.probes.unconstrained import read_both_prompts
from skillprobe.prompts.bases import group_ids
from skillprobe.storage.files import by_task
from skillprobe.storage.tables import ACROSS, MEAN, SCOPES, SELECTED, WITHIN

# Of planning's power control. A study has more, which takes most of the time of a world over time.
DIRECTIONS = 5
VERDICT_COLUMNS = ("world", "auroc", "bases", "seed", "claim", "scope", "headline", "truth", "verdict")
VERDICT_COLUMNS += ("outcome", "estimate", "lower99", "upper99", "n_tasks", "specialist")


def judge_world(world: str, settings: Mapping, *, auroc: float, bases: int, seed: int) -> list[dict]:
    """Verdicts on one planted world, rows with VERDICT_COLUMNS, by the code that judges a model.

    auroc: see `plant`; bases: how many content requests; settings: the config's "seed", "study", "tasks",
    "generation.samples", "probes", "ablation", "statistics" and "claims", the prompts' "items_per_base", and
    calibration's "hidden_size", "num_layers" and "refits". A row is of one claim and scope;
    "signal_beyond_confounds" is no claim of the study but its control (`_beyond_confounds`). specialist: the
    mean AUROC that specialists reached in that scope.
    """
    settings = {**settings, "groups": bases}
    planted = plant_study(world, settings, auroc=auroc, seed=seed)
    with TemporaryDirectory() as folder:
        fits = fit_probes(world, planted, Path(folder), settings)
        wanted = set(WORLDS[world].truth[ACROSS])
        tables = tabulate(world, fits, settings, wanted, settings["refits"])
    names, claims = settings["tasks"], settings["claims"]
    joined = tasks.clusters_of(names)
    judged = rules.table(rules.judge(tables, [world], names, claims, joined=joined))
    judged += [_beyond_confounds(tables["generality"], world, scope, claims) for scope in SCOPES]
    reached = {scope: _reached(tables["generality"], scope) for scope in SCOPES}
    rows = []
    for row in judged:
        truth = WORLDS[world].truth[row["scope"]].get(row["claim"])
        if truth:
            about = {"world": world, "auroc": auroc, "bases": bases, "seed": seed, "truth": truth}
            about |= {"outcome": outcome(row["verdict"], truth), "specialist": reached[row["scope"]]}
            rows.append({name: (row | about)[name] for name in VERDICT_COLUMNS})
    return rows


def plant_study(world: str, settings: Mapping, *, auroc: float, seed: int) -> dict[str, Planted]:
    """`plant` as large as a study; settings: as for `judge_world`, and "groups"."""
    return plant(
        world,
        tasks.categories_of(settings["tasks"]),
        group_ids(settings["groups"]),
        seed=seed,
        auroc=auroc,
        items=settings["items_per_base"],
        samples=settings["generation.samples"],
        hidden_size=settings["hidden_size"],
        num_layers=settings["num_layers"],
        joined=tasks.clusters_of(settings["tasks"]),
    )


@dataclass(frozen=True)
class Fits:
    """What is fitted on a world's shards (paths, in the order of the tasks): rows {layer: {task: rows}}, of
    layers that may have a signal; specialists {scope: {task: {layer: result}}}; generals {layer: {scope:
    {variant: {task: result}}}}, the primary general probe only; folder: where the shards lie."""

    planted: Mapping[str, Planted]
    folder: Path
    shards: list[str]
    rows: Mapping[int, Mapping[str, ProbeRows]]
    specialists: Mapping[str, Mapping[str, Mapping[int, ProbeResult]]]
    generals: Mapping[int, Mapping[str, Mapping[str, Mapping[str, ProbeResult]]]]


def fit_probes(world: str, planted: Mapping[str, Planted], folder: Path, settings: Mapping) -> Fits:
    """settings: as for `judge_world`, and "groups"; folder: for the shards, which are left there."""
    names, position = list(planted), settings["probes"]["position"]
    shards = [str(folder / f"{task}.h5") for task in names]
    about = {"position": position, "study": settings["study"], "world": world}
    write_shards(dict(zip(names, shards, strict=True)), planted, **about)
    # No claim looks at the shuffled labels, nor at the embeddings, where there is no signal.
    settings = _without_shuffles(settings)
    layers = range(1, settings["num_layers"] + 1)
    rows = {layer: read_tasks(shards, names, layer, position) for layer in layers}
    specialists = {scope: {task: {} for task in names} for scope in SCOPES}
    for layer in layers:
        for task in names:
            for scope, result in fit_scopes(rows[layer][task], settings).items():
                specialists[scope][task][layer] = result
    generals = {
        layer: fit_general_scopes(of_layer, settings, variants=(PRIMARY,)) for layer, of_layer in rows.items()
    }
    return Fits(planted, folder, shards, rows, specialists, generals)


def tabulate(
    world: str, fits: Fits, settings: Mapping, claims: Set[str], refits: bool
) -> dict[str, list[dict]]:
    """The tables that these claims are judged by, and that of generality; refits: whether intervals are of
    probes that are fitted anew on draws of groups, where those of a study are."""
    settings = _without_shuffles(settings)
    found: dict[str, list[dict]] = {}
    parts = [_structure(world, fits, settings, claims, refits)]
    if "specificity" in claims:
        parts.append(_specificity(world, fits, settings))
    if "monitoring" in claims:
        parts.append(_time(world, fits, settings))
    if "monitor_adds" in claims:
        parts.append(_monitors(world, fits, settings))
    for name, table in chain.from_iterable(parts):
        found.setdefault(name, []).extend(table)
    return found


def _without_shuffles(settings: Mapping) -> dict:
    return {**settings, "probes": settings["probes"] | {"shuffles": 0}}


def _options(settings: Mapping) -> dict:
    return {
        "n_draws": settings["statistics"]["bootstrap_draws"],
        "seed": settings["seed"],
        "study_groups": group_ids(settings["groups"]),
    }


def _structure(world: str, fits: Fits, settings: Mapping, wanted: Set[str], refits: bool):
    """Generality, and transfer, ablation and layers where they are asked for, in both scopes: pairs of a
    table's name and rows."""
    names, claims, options = settings["tasks"], settings["claims"], _options(settings)
    categories, num_layers = tasks.categories_of(names), settings["num_layers"]
    anew: Mapping[str, Refits] = {}
    if refits:
        anew = refit_probes(
            fits.rows.__getitem__,
            fits.specialists,
            fits.generals,
            n_draws=settings["statistics"]["refit_draws"],
            seed=settings["seed"],
            study_groups=options["study_groups"],
            feature_scaling=settings["probes"]["feature_scaling"],
        )
    for scope, specialists in fits.specialists.items():
        shared = {"signal": claims["signal"], "scope": scope, **options}
        tested = {
            layer: {task: part.within() if scope == WITHIN else part for task, part in of_layer.items()}
            for layer, of_layer in fits.rows.items()
        }
        generals = {layer: by_scope[scope] for layer, by_scope in fits.generals.items()}
        table = generality_table(world, specialists, generals, categories, refits=anew.get(scope), **shared)
        yield "generality", table
        if wanted & {"transfer_weak", "transfer_clustered"}:
            crossed = {
                layer: cross_scores(
                    {task: part.x for task, part in parts.items()},
                    {task: part.ids for task, part in parts.items()},
                    {task: specialists[task][layer] for task in names},
                )
                for layer, parts in tested.items()
            }
            tables = transfer_tables(
                world,
                specialists,
                crossed,
                categories,
                refits=anew.get(scope),
                joined=tasks.clusters_of(names),
                **shared,
            )
            yield "transfer_summary", tables[1]
        if wanted & {"ablation_sparse", "ablation_asymmetric"}:
            table = _ablation(world, tested[num_layers], fits, scope, settings, refits)
            yield "ablation_summary", table
        if "layers_stratified" in wanted:
            share = claims["emergence_share"]
            yield "layers", layers_table(world, specialists, categories, num_layers, share=share, **shared)


def _ablation(
    world: str, rows: Mapping[str, ProbeRows], fits: Fits, scope: str, settings: Mapping, refits: bool
) -> list[dict]:
    """At the last layer: all signals are there, and the primary matrix is what decides. rows: of that layer
    and scope."""
    last, claims, options = settings["num_layers"], settings["claims"], _options(settings)
    own = Ablation(
        **{key: settings["ablation"][key] for key in ("rank", "max_rank", "shuffles", "min_rows")},
        seed=settings["seed"],
        feature_scaling=settings["probes"]["feature_scaling"],
        primary_only=True,
    )
    specialists = {task: by_layer[last] for task, by_layer in fits.specialists[scope].items()}
    # One scale for both scopes, as for the probes.
    across = {task: by_layer[last] for task, by_layer in fits.specialists[ACROSS].items()}
    scale = common_scale({task: part.x for task, part in fits.rows[last].items()}, across, own)
    ablated, _ = ablate_layer(
        {task: part.x for task, part in rows.items()},
        {task: part.ids for task, part in rows.items()},
        specialists,
        own,
        signal=claims["signal"],
        n_refits=settings["statistics"]["refit_draws"] if refits else 0,
        scale=scale,
        **options,
    )
    shared = {"signal": claims["signal"], "margins": Margins.from_claims(claims), "scope": scope}
    by_layer = {task: {last: each} for task, each in specialists.items()}
    return ablation_tables(world, by_layer, {last: ablated}, **shared, **options)[2]


def _specificity(world: str, fits: Fits, settings: Mapping):
    names, claims = settings["tasks"], settings["claims"]
    files = {task: fits.folder / f"{task}.crossings.jsonl" for task in names}
    paths = {task: fits.folder / f"{task}.crossings.h5" for task in names}
    about = {"position": settings["probes"]["position"], "study": settings["study"], "world": world}
    write_crossings(files, paths, fits.planted, **about)
    crossings = read_crossings(
        [str(files[task]) for task in names],
        [str(paths[task]) for task in names],
        fits.specialists,
        settings,
    )
    table = specificity_table(
        world,
        read_both_prompts(fits.shards, fits.specialists[ACROSS], settings),
        tasks.categories_of(names),
        crossings=crossings,
        specialists=fits.specialists,
        signal=claims["signal"],
        least=(claims["crossings"], claims["crossing_groups"]),
        **_options(settings),
    )
    yield "specificity", table


def _time(world: str, fits: Fits, settings: Mapping):
    """At the last layer."""
    last, claims = settings["num_layers"], settings["claims"]
    courses, prefixes, planning = {}, {}, {}
    for task, paths in by_task(fits.shards, settings["tasks"]).items():
        labels = label_rows(task, fits.planted[task])
        courses[task] = fit_course(read_course(paths, last), settings)
        prefixes[task] = fit_prefixes(read_course(paths, None), labels, verify, settings)
        planning[task] = fit_planning(
            paths, [last], labels, settings, task, DIRECTIONS, least=claims["prompt_variance"]
        )
    _, summary = time_tables(
        world,
        {last: courses},
        prefixes,
        tasks.categories_of(settings["tasks"]),
        planning=planning,
        signal=claims["signal"],
        prompt_variance=claims["prompt_variance"],
        **_options(settings),
    )
    yield "time_summary", summary


def _monitors(world: str, fits: Fits, settings: Mapping):
    """At the last layer."""
    last, categories = settings["num_layers"], tasks.categories_of(settings["tasks"])
    own = {key: settings[key] for key in ("seed", "groups", "probes")}
    held_out, trivial = {}, {}
    for task, paths in by_task(fits.shards, settings["tasks"]).items():
        labels = label_rows(task, fits.planted[task])
        held_out[task] = fit_monitor(paths, [last], labels, own, task)[1]
        trivial[task] = fit_trivial_monitors(read_course(paths, None), labels, verify, own)
    options = _options(settings)
    summary = monitor_tables(world, held_out, trivial, categories, settings=own, **options)[2]
    yield "monitors_summary", summary


def _reached(generality: Sequence[Mapping], scope: str) -> float:
    """Of all tasks, those that don't count too; NaN where none is sufficient."""
    wanted = {"scope": scope, "layer": SELECTED, "probe": "specialist", "metric": "auroc"}
    found = [
        row["estimate"]
        for row in generality
        if row["task"] != MEAN and all(row[key] == value for key, value in wanted.items())
    ]
    known = [value for value in found if math.isfinite(value)]
    return fmean(known) if known else math.nan


def _beyond_confounds(generality: Sequence[Mapping], world: str, scope: str, claims: Mapping) -> dict:
    """A row as of `rules.table`: supported if two thirds of the tasks that have a signal keep one without
    what the confounds predict; insufficient if fewer have one than generality needs."""
    had, kept = (
        rules.tasks_with_signal(generality, world, claims["signal"], probe, scope)
        for probe in ("specialist", "residualised")
    )
    left = len(set(kept) & set(had))
    if len(had) < claims["min_tasks"]["generality"]:
        verdict = rules.INSUFFICIENT
    else:
        verdict = rules.SUPPORTED if 3 * left >= 2 * len(had) else rules.CONTRADICTED
    return {
        "claim": BEYOND,
        "scope": scope,
        "headline": "no",
        "verdict": verdict,
        "estimate": left / len(had) if had else math.nan,
        "lower99": math.nan,
        "upper99": math.nan,
        "n_tasks": len(had),
    }


def outcome(verdict: str, truth: str) -> str:
    """right, wrong, or open (where there is something to find that a verdict leaves open); truth: as in
    `worlds.World`."""
    if truth in (NONE, UNSUPPORTED):
        wrong = rules.is_supported(verdict) or (truth == NONE and verdict == rules.CONTRADICTED)
        return "wrong" if wrong else "right"
    if truth == UNCONTRADICTED:
        return "wrong" if verdict == rules.CONTRADICTED else "right"
    if verdict == truth:
        return "right"
    refuted = (rules.SUPPORTED, rules.CONTRADICTED)
    if truth == rules.CONTRADICTED:
        # That planning is untested is no statement about planning; that the match is read is one.
        refuted += (rules.NOT_BEYOND,)
    return "wrong" if verdict in refuted else "open"
