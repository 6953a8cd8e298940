"""Tables of models with known findings and draws."""

import itertools

import numpy as np
from skillprobe.findings import rules
from skillprobe.statistics.intervals import Estimate
from skillprobe.storage.tables import DRAWS, SCOPES, WITHIN

TASKS = ["topic", "sentiment", "register"]
THRESHOLDS = {"looks": 1, "signal": 0.55, "margin": 0.02, "weak_ratio": 0.5, "cluster_p": 0.01}
THRESHOLDS |= {"other_p": 0.05, "min_partitions": 200, "asymmetry": 0.25, "match": 0.55}
THRESHOLDS |= {"erased": 0.05, "sparse_dependent": 0.25, "sparse_independent": 0.5, "not_sparse": 0.5}
THRESHOLDS |= {"gain": 0.05, "planning": 0.5, "recovered": 0.5}
THRESHOLDS |= {"crossings": 40, "crossing_groups": 20}
THRESHOLDS["min_tasks"] = {"generality": 3, "transfer_weak": 4, "ablation_sparse": 4}
THRESHOLDS["min_tasks"] |= {"ablation_asymmetric": 4, "layers_stratified": 5, "monitoring": 3}
THRESHOLDS["min_tasks"] |= {"specificity": 3, "monitor_adds": 3}
THRESHOLDS["monitor_gain"] = 0.02
N_DRAWS = 4000


def estimate(value, noise, n_seeds=3):
    """noise: [n_draws], of probes that were fitted on each draw."""
    return Estimate(np.full(n_seeds, value), value + noise, factor=1.0)


def row_of(model, found, tasks=TASKS, scope=WITHIN, **cells):
    about = {"model": model, "scope": scope, "layer": "selected", **cells, **found.cells(), "status": ""}
    return about | {"n_tasks": len(tasks), "tasks": " ".join(tasks), DRAWS: found}


def study(difference, noise, counting=TASKS):
    """Tables of each model: {model: its mean difference}, {model: noise}; counting: tasks that count."""
    generality, time = [], []
    for model, value in difference.items():
        found = estimate(value, noise[model])
        for scope in SCOPES:
            cells = {"task": "mean", "metric": "auroc", "n": 300, "n_groups": 81}
            about = {"tasks": counting, "scope": scope} | cells
            auroc = estimate(0.8, noise[model])
            generality += [row_of(model, auroc, probe="specialist", **about)]
            generality += [row_of(model, found, probe="specialist_minus_general_centred", **about)]
            # A hundred tested responses of every task, about ever more subjects.
            for number, task in enumerate(TASKS):
                own = cells | {"task": task, "n": 100, "n_groups": 60 + number}
                generality.append(row_of(model, auroc, [task], scope, probe="specialist", **own))
        time.append(row_of(model, found, counting, "across", task="mean", quantity="gain"))
    return {"generality": generality, "time_summary": time}


def noises(*names, joint=False, spread=0.01):
    rng = np.random.default_rng(0)
    shared = rng.normal(0, spread, N_DRAWS)
    return {name: shared if joint else rng.normal(0, spread, N_DRAWS) for name in names}


def planted_matrix(rng, groups, strength):
    same = groups[:, None] == groups
    noise = rng.normal(0, 1, same.shape)
    return strength * same + (noise + noise.T) / 2


# Numbers that could be of each claim.
VALUES = {
    "generality": (0.081, 0.052, 0.110),
    "transfer_weak": (0.31, 0.20, 0.42),
    "transfer_clustered": (0.12, 0.03, 0.21),
    "ablation_sparse": (0.23, 0.15, 0.31),
    "ablation_asymmetric": (0.0021, 0.0008, 0.0034),
    "layers_stratified": (0.45, 0.10, 0.80),
    "monitoring": (0.15, 0.11, 0.19),
    "specificity": (0.63, 0.58, 0.68),
    "monitor_adds": (0.04, 0.03, 0.05),
}


# Tested responses, and subjects that they are about.
SIZE = {"responses": 300, "subjects": 81}


def finding(claim, verdict="supported", scope=None, tasks=TASKS, **more):
    """As `rules.judge` makes one, without a secondary."""
    value, *interval = VALUES[claim]
    blank = verdict == "insufficient"
    made = {"verdict": verdict, "claim": rules.CLAIMS[claim], "scope": scope or rules.RULES[claim].scopes[0]}
    made |= {"estimate": None if blank else value, "interval": None if blank else interval, "level": 0.99}
    rule = rules.RULES[claim].sentence.format(**THRESHOLDS)
    made |= {"rule": f"{rule} {rules.needs(claim, THRESHOLDS)}", "rules_version": rules.VERSION}
    counting = list(tasks)[:2] if blank else list(tasks)
    made |= {"reason": rules.few_tasks(len(counting), 4) if blank else "", "tasks": counting}
    return (
        made | {"n": {"tasks": len(counting), "fewest_tasks": len(counting)} | SIZE, "secondary": None} | more
    )


def made_findings(names, tasks=TASKS):
    """{model: {claim: finding}} with every verdict in turn, in both scopes."""
    turn = itertools.cycle(rules.VERDICTS)
    found = {}
    for name in names:
        found[name] = {}
        for claim, rule in rules.RULES.items():
            found[name][claim] = finding(claim, next(turn), tasks=tasks)
            if len(rule.scopes) > 1:
                other = finding(claim, next(turn), rule.scopes[1], tasks)
                del other["secondary"]
                found[name][claim]["secondary"] = other
    if rules.POOLED in found:
        models = [name for name in names if name != rules.POOLED]
        for claim in rules.RULES:
            counted = {}
            for model in models:
                counted.setdefault(found[model][claim]["verdict"], []).append(model)
            found[rules.POOLED][claim] |= {"models": models, "counted": counted}
    return found
