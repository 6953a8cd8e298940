"""Which constraints are watched, and the stored monitors that read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skillprobe import tasks
from skillprobe.errors import UserError, suggestion
from skillprobe.probes import monitors
from skillprobe.probes.monitors import StoredMonitor

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Constraint:
    """A task and its params, None where only the task was named: then nothing can verify the response."""

    task: str
    params: Mapping | None = None

    @property
    def words(self) -> str:
        if self.params is None:
            return self.task
        return f"{self.task} {json.dumps(self.params, ensure_ascii=False)}" if self.params else self.task


@dataclass(frozen=True)
class Watched:
    """A constraint and its monitor. unseen: what to say of params that the study never asked; "" of none."""

    constraint: Constraint
    stored: StoredMonitor

    @property
    def unseen(self) -> str:
        for key, value in (self.constraint.params or {}).items():
            known = self.stored.card["params"].get(key, {"n": 0, "values": []})
            if known["values"] is not None and value not in known["values"]:
                asked = (
                    ", ".join(json.dumps(each, ensure_ascii=False) for each in known["values"]) or "nothing"
                )
                return (
                    f"the study never asked {self.constraint.task} with {key} {json.dumps(value)} (it asked "
                    f"{asked}), so the probability is not calibrated for it"
                )
        return ""


def parse(given: str | Mapping | Constraint) -> Constraint:
    """A constraint from 'task', 'task:{params as JSON}', or {"task": ..., "params": {...}}. Raises UserError
    for a task or params that there are not."""
    if isinstance(given, Constraint):
        found = given
    elif isinstance(given, Mapping):
        if not isinstance(given.get("task"), str) or given.keys() - {"task", "params"}:
            raise UserError('a constraint is a text or {"task": ..., "params": {...}}')
        found = Constraint(given["task"], given.get("params"))
    else:
        name, colon, text = str(given).partition(":")
        try:
            found = Constraint(name.strip(), json.loads(text) if colon else None)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"the params of constraint '{name.strip()}' are not valid JSON ({error}); write it as "
                """'word_count:{"relation": "exactly", "n": 7}'"""
            ) from error
    task = tasks.get(found.task)
    if found.params is not None:
        task.check_params(found.params)
    return found


def open_monitors(study: str | Path, model: str, constraints: Sequence = ()) -> list[Watched]:
    """The monitors of a study's model for these constraints (none: for every task that has one).

    study: a study's folder, results/<study>; constraints: as `parse` takes them. Raises UserError where there
    is no such study, model or monitor, where a task's data were insufficient, and for two constraints of one
    task.
    """
    folder = Path(study)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give a study's, such as results/demo")
    models = _names(folder / "monitors")
    if not models:
        raise UserError(
            f"the study in {folder} has no monitors; make them with `snakemake --cores 1 monitors` (add the "
            "--configfile of your run)"
        )
    if model not in models:
        raise UserError(
            f"the study in {folder} has no monitors of model '{model}'{suggestion(model, models)}; it has "
            f"those of {', '.join(models)}"
        )
    there = _names(folder / "monitors" / model, SUFFIX)
    asked = [parse(given) for given in constraints]
    for constraint in asked:
        if constraint.task not in there:
            raise UserError(
                f"the study in {folder} has no monitor of task '{constraint.task}' for model '{model}'; it "
                f"has those of {', '.join(there) or 'no task'}"
            )
    names = [constraint.task for constraint in asked]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(
            f"two constraints of task '{twice}' have one monitor, which reads the prompt and can't tell them "
            "apart; give one of them"
        )
    found = [
        Watched(constraint, monitors.load(folder / "monitors" / model / f"{constraint.task}{SUFFIX}"))
        for constraint in asked or map(Constraint, there)
    ]
    useful = [watched for watched in found if not watched.stored.status]
    if not useful or (asked and len(useful) < len(found)):
        watched = next(watched for watched in found if watched.stored.status)
        raise UserError(
            f"task '{watched.constraint.task}' has no monitor for model '{model}' in this study: "
            f"{watched.stored.status.removeprefix('insufficient: ')}"
        )
    return useful


def _names(folder: Path, suffix: str = "") -> list[str]:
    """Of what is in a folder, sorted; hidden files are no results."""
    if not folder.is_dir():
        return []
    paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if suffix:
        return sorted(path.name.removesuffix(suffix) for path in paths if path.name.endswith(suffix))
    return sorted(path.name for path in paths if path.is_dir())
