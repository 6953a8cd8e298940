"""Shards, probes and erasers of a study as safetensors with a card: for other tools, which need neither HDF5
nor this package (docs/interop.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skillprobe import RULES_VERSION, __version__, erasure
from skillprobe.activations import shards
from skillprobe.erasure import Eraser
from skillprobe.errors import UserError, suggestion
from skillprobe.probes import results
from skillprobe.probes.results import ProbeResult
from skillprobe.statistics.metrics import auroc, auroc_within
from skillprobe.storage import files, tensors

FORMAT_VERSION = 1
# Names in a file of erasers beside those of tasks and folds.
_NO_TASKS = {"tasks", "random", "all"}
_KINDS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_FORMULAS = {
    "probes": "decision value = x @ weights + intercept, above 0: satisfied; x: [hidden] as the model has "
    "it, in the scope within minus the mean of the rows of its item. fold_weights and fold_intercepts: "
    "[fold seed, fold], of the probe that has not seen the fold's groups",
    "erasers": "x' = x - alpha * ((x - mean) @ b.T) @ a.T; a: [hidden, rank], b: [rank, hidden], mean: "
    "[hidden]",
    "shards": "layers.<k>.<position>: [row, hidden]; layer 0 is the embeddings, layer k the output of block "
    "k, before the final norm; row n is line n of rows.jsonl; zeros where its 'characters' lack the position",
}


@dataclass(frozen=True)
class Study:
    """A study's folder, results/STUDY."""

    folder: Path

    def models(self, stage: str) -> list[str]:
        """Those that have files of a stage. Raises UserError without any."""
        found = sorted(path.name for path in (self.folder / stage).glob("*") if path.is_dir())
        if not found:
            raise UserError(
                f"{self.folder} has no {stage}/; give a study's folder, such as results/demo, that has been "
                "run"
            )
        return found

    @property
    def position(self) -> str | None:
        """Where probes read, once the study has written its config."""
        path = self.folder / "report/config.json"
        return files.read_json(path)["probes"]["position"] if path.is_file() else None


def export_shards(
    study: Study,
    out: str | Path,
    model: str,
    studied: Sequence[str] = (),
    layers: Sequence[int] = (),
    positions: Sequence[str] = (),
) -> list[Path]:
    """Write activations.safetensors and rows.jsonl into the folder `out`, which is made: of a model on these
    tasks, layers and positions (none: all). rows.jsonl is what `skillprobe import activations` reads. Raises
    UserError for what the study hasn't."""
    out, by_task = Path(out), _shards_of(study, model, studied)
    if out.exists():
        raise UserError(f"{out} is there already; delete it, or write to another folder")
    first = next(iter(by_task.values()))[0]
    with shards.Shard(first) as shard:
        layers = _chosen("layer", layers, shard.layers)
        positions = _chosen("position", positions, shard.positions)
        about, dtype = dict(shard.attrs), str(shard.attrs["dtype"])
    rows = [row for task, paths in by_task.items() for row in _rows(study, model, task, paths, positions)]
    shape = (len(rows), int(about["hidden_size"]))
    paths = [path for own in by_task.values() for path in own]
    card = _card("shards", study, model) | {
        "model_source": str(about.get("model_source", "")),
        "model_revision": str(about.get("model_revision", "")),
        "num_layers": int(about["num_layers"]),
        "tasks": list(by_task),
        "layers": layers,
        "positions": positions,
    }
    with files.atomic_path(out) as temporary:
        temporary.mkdir()
        files.write_text(
            temporary / "rows.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        )
        tensors.write(
            temporary / "activations.safetensors",
            {
                f"layers.{layer}.{position}": (_KINDS[dtype], shape, _parts(paths, layer, position, dtype))
                for layer in layers
                for position in positions
            },
            card,
        )
    return [out / "activations.safetensors", out / "rows.jsonl"]


def _shards_of(study: Study, model: str, studied: Sequence[str]) -> dict[str, list[Path]]:
    folder = study.folder / "activations" / _one("model", model, study.models("activations"))
    there = sorted(path.name for path in folder.glob("*") if path.is_dir())
    found = {}
    for task in _chosen("task", studied, there):
        paths = [path for path in (folder / task).glob("*.h5") if path.stem.isdecimal()]
        if not paths:
            raise UserError(f"{folder / task} has no shard; run the study")
        found[task] = sorted(paths, key=lambda path: int(path.stem))
    return found


def _rows(
    study: Study, model: str, task: str, paths: Sequence[Path], positions: Sequence[str]
) -> Iterator[dict]:
    for path in paths:
        labels = study.folder / "labels" / model / task / f"{path.stem}.jsonl"
        by_id = {row["id"]: row for row in files.read_jsonl(labels)} if labels.is_file() else {}
        with shards.Shard(path) as shard:
            places = [shard.positions.index(name) for name in positions]
            samples = {name: values.tolist() for name, values in shard.samples.items()}
            for column, name in enumerate(samples["id"]):
                label = by_id.get(name, {})
                empty = label.get("prompt") and not label["response"]
                unknown = not empty and not shard.characters[:, column].any()
                seen = {
                    shard.positions[place]: _characters(shard, place, column, unknown)
                    for place in places
                    if shard.valid[place, column]
                }
                own = {key: values[column] for key, values in samples.items()}
                yield _row(task, own, label, seen)


def _characters(shard: shards.Shard, place: int, column: int, unknown: bool) -> int | None:
    """unknown: whether given activations came without them, of a response with some."""
    if unknown and not shard.positions[place].startswith("prompt"):
        return None
    return int(shard.characters[place, column])


def _row(task: str, sample: Mapping, label: Mapping, seen: Mapping) -> dict:
    """A line of rows.jsonl: what is known of a sample; texts where the study has them."""
    named = {key: sample[key] for key in ("id", "group", "base", "variant")}
    wording = {key: sample[key] for key in ("phrasing", "instruction_type", "polarity") if sample[key]}
    # Unknown where it is 0, but for responses that were cut short.
    length = int(sample["response_length"])
    texts = ("params", "prompt", "response", "token_ids", "thinking")
    if not label.get("prompt"):
        # Given labels without texts, which have {} for params that aren't known.
        texts = ("params",) if label.get("params") else ()
    return {
        "task": task,
        **named,
        "label": int(sample["label"]),
        "truncated": bool(sample["truncated"]),
        **({"response_length": length} if length else {}),
        **wording,
        **{key: label[key] for key in texts if key in label},
        "characters": dict(seen),
    }


def _parts(paths: Sequence[Path], layer: int, position: str, dtype: str) -> Iterator[np.ndarray]:
    for path in paths:
        with shards.Shard(path) as shard:
            values = shard.read(layer, position)
        if dtype == "bfloat16":
            # It is the upper half of a float32.
            values = (values.view(np.uint32) >> 16).astype(np.uint16)
        yield values


def export_probes(
    study: Study, out: str | Path, model: str, studied: Sequence[str] = (), layers: Sequence[int] = ()
) -> list[Path]:
    """Write the specialists of a model on these tasks and layers (none: all) into a file: tensors
    "<task>.<layer>.<scope>.weights", …. Those of a task with too little data have no tensors; the card says
    why."""
    folder = study.folder / "probes/specialist" / _one("model", model, study.models("probes/specialist"))
    there = sorted(path.name for path in folder.glob("*") if path.is_dir())
    found: dict[str, tuple] = {}
    cards = {}
    for task in _chosen("task", studied, there):
        fitted = sorted(int(path.stem) for path in (folder / task).glob("*.h5"))
        for layer in _chosen("layer", layers, fitted):
            for scope, result in results.load(folder / task / f"{layer}.h5").items():
                name = f"{task}.{layer}.{scope}"
                cards[name] = {"task": task, "layer": layer, "scope": scope, **_probe_card(result)}
                if result.status:
                    continue
                for key, values in (
                    ("weights", result.weights),
                    ("intercept", np.array([result.intercept])),
                    ("fold_weights", result.fold_weights),
                    ("fold_intercepts", result.fold_intercepts),
                ):
                    found[f"{name}.{key}"] = _tensor(values)
    tensors.write(out, found, _card("probes", study, model) | {"position": study.position, "probes": cards})
    return [Path(out)]


def _probe_card(result: ProbeResult) -> dict:
    about = {"rows": len(result.labels), "satisfied": int(result.labels.sum()), "status": result.status}
    if result.status:
        return about
    found = [
        auroc_within(line, result.labels, result.items, fold)
        if len(result.items)
        else auroc(line, result.labels, fold)
        for line, fold in zip(result.scores, result.folds, strict=True)
    ]
    return about | {
        "auroc": float(np.mean([each.value for each in found])),
        "chosen_c": [float(value) for value in np.ravel(result.chosen_c)],
        "fold_seeds": result.fold_seeds.tolist(),
        "intercept": result.intercept,
    }


def export_erasers(
    study: Study, out: str | Path, model: str, studied: Sequence[str] = (), layers: Sequence[int] = ()
) -> list[Path]:
    """Write the erasers of a model at these layers and of these source tasks (none: all) into a file: tensors
    "<layer>.<the names in the study's file>.a", ".b" and ".mean"; alpha is in the card."""
    folder = study.folder / "erasers" / _one("model", model, study.models("erasers"))
    fitted = sorted(int(path.stem) for path in folder.glob("*.h5") if path.stem.isdecimal())
    found, cards, sources = {}, {}, set()
    for layer in _chosen("layer", layers, fitted):
        for names, eraser in _leaves(erasure.load(folder / f"{layer}.h5")):
            sources |= {name for name in names if not name.isdecimal()} - _NO_TASKS
            if studied and not set(studied) & set(names):
                continue
            name = ".".join([str(layer), *names])
            cards[name] = {"layer": layer, "names": list(names), "rank": eraser.rank, "alpha": eraser.alpha}
            for key in ("a", "b", "mean"):
                found[f"{name}.{key}"] = _tensor(getattr(eraser, key))
    if lacking := [name for name in studied if name not in sources]:
        raise UserError(
            f"no eraser is of {', '.join(lacking)}; they are of {', '.join(sorted(sources)) or 'no task'}"
        )
    tensors.write(out, found, _card("erasers", study, model) | {"position": study.position, "erasers": cards})
    return [Path(out)]


def _leaves(value: Eraser | Mapping, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Eraser]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, (*names, name))
    else:
        yield names, value


def _tensor(values: np.ndarray) -> tuple[str, tuple[int, ...], list[np.ndarray]]:
    kind = "F64" if values.dtype == np.float64 else "F32"
    return kind, values.shape, [values]


def _card(what: str, study: Study, model: str) -> dict:
    return {
        "format_version": FORMAT_VERSION,
        "what": what,
        "formula": _FORMULAS[what],
        "study": study.folder.name,
        "model": model,
        "skillprobe": __version__,
        "rules_version": RULES_VERSION,
    }


def _one(kind: str, name: str, there: Sequence) -> str:
    return _chosen(kind, [name], there)[0]


def _chosen(kind: str, wanted: Sequence, there: Sequence) -> list:
    """Those that are wanted, none for all. Raises UserError for one that isn't there."""
    for each in wanted:
        if each not in there:
            names = list(map(str, there))
            raise UserError(
                f"there is no {kind} {each!r}{suggestion(str(each), names)}; there is "
                f"{', '.join(names) or 'none'}"
            )
    return list(dict.fromkeys(wanted)) or list(there)
