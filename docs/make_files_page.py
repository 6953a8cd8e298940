"""The page of stored files: `python docs/make_files_page.py > docs/files.md`.

It is made from the catalogue, workflow/skillprobe/catalogue/, which tests compare with what a study writes.
"""

import textwrap
from collections.abc import Iterator, Sequence

from skillprobe.catalogue.fields import HDF5, TABLE, File
from skillprobe.catalogue.files import AXES, FILES, PLACES, TOYS
from skillprobe.catalogue.tables import SHARED

WIDTH = 110
# Reproduces a number of tables/generality.csv; tests/workflow/test_files.py runs it.
EXAMPLE = """
from glob import glob
import numpy as np
from skillprobe import auroc, load_probe, read_rows

study, model, task, layer = "results/demo", "toy-llama", "json_format", 4
probe = load_probe(f"{study}/probes/specialist/{model}/{task}/{layer}.h5")["across"]
rows = read_rows(sorted(glob(f"{study}/activations/{model}/{task}/*.h5")), layer, "eos")
x = rows.x[[rows.ids.tolist().index(name) for name in probe.ids]]
scores = probe.score(x, probe.folds)  # each row by the probe of its own test fold
print(np.mean([auroc(line, probe.labels, fold).value for line, fold in zip(scores, probe.folds)]))
"""
HEAD = f"""# What do the stored files hold?

Which file has which number, in which unit, and how do I use it outside of the report? For one file, ask

```sh
skillprobe inspect results/demo/probes/specialist/toy-llama/json_format/4.h5
```

which describes any file below `results/` and refuses a damaged one. This page describes all of them. Paths
are below `results/<study>/`. `python docs/make_files_page.py > docs/files.md` writes the page from
`workflow/skillprobe/catalogue/`, and tests compare it with what a study writes.

## A probe, and the AUROC in the table

These nine lines load a probe, apply it to the stored activations, and print the `estimate` of
`tables/generality.csv` (scope `across`, this layer, probe `specialist`, metric `auroc`):

```python{EXAMPLE}```

If you do the same in another way:

- **Rows.** The `ids` of a probe are some of a shard's `samples/id`: constrained responses that were not cut
  short and have the position. A study with more than `generation.block` content requests has several shards.
  Match rows by id.
- **Held-out rows.** `weights` and `intercept` were fitted on all these rows, so the AUROC of
  `x @ probe.weights + probe.intercept` is too high: 0.71 instead of 0.54 for topic at layer 4 of toy-llama in
  the default study. In the table, each row is scored by the probe of its own test fold. With
  `test = probe.folds[s] == k`, the scores of fold k by fold seed s are
  `x[test] @ probe.fold_weights[s, k] + probe.fold_intercepts[s, k]`. Use `weights` for new responses only.
- **Calibration.** Rows of fold −1 are for calibration. No probe is trained or tested on them, and their
  scores are nan.
- **Pairs.** The AUROC compares rows of one test fold, and is the mean over fold seeds. An AUROC of all scores
  at once would also compare scores of different probes.
- **bfloat16.** HDF5 has no such type. Such activations are stored as uint16, and the attribute `dtype` is
  bfloat16. The readers convert them. With other software, take each value as the upper half of a float32:
  `(values.astype("uint32") << 16).view("float32")`.
- **Within prompts.** `load_probe(…)["within"]` was trained on responses to prompts with both outcomes, minus
  the mean of their prompt. Use `rows.within()` instead of `rows`, and
  `auroc_within(line, probe.labels, probe.items, fold)`.
- **Selected.** Rows of layer `selected` take each test fold from the layer with its largest `inner_auroc`.

`skillprobe` offers these readers: `load_probe`, `load_erasers`, `load_ablation`, `load_transfer`,
`load_refits` and `load_planning` for HDF5, `Shard` for activations, `read_rows` for the activations of a task
as rows for probes, `read_table` for CSV, and `read_lines` for JSON lines. They refuse a damaged file in one
sentence (`UserError`). It also has `LogisticProbe`, `INLP` and `LEACE` for scikit-learn, the classes `Eraser`
and `ProbeResult`, and `auroc` and `auroc_within`. `import skillprobe` is quick: each of these is imported
when it is used.

## How to read the lists

`nan` stands for a number that could not be computed; `status` or `reason` says why. An empty cell does not
apply to its row. Texts in HDF5 are UTF-8 of fixed length. HDF5 keeps no order of groups, so the attribute
`names` lists those below in their order. Small HDF5 files begin with 512 bytes that HDF5 skips, for their
SHA-256.

In paths:
"""
SECTIONS = (
    (
        "Prompts, responses and labels",
        ("models", "converted", "judges", "heads", "prompts", "responses", "labels", "pilot"),
    ),
    ("Activations", ("activations", "random_activations", "crossings", "crossing_activations")),
    ("Probes and erasers", ("probes", "ablation", "erasers", "time", "monitors")),
    ("Responses under edits, and guarded ones", ("behaviour", "guard")),
    ("Tables", ("tables", "findings.json")),
    ("Calibration", ("calibration", "calibration.md")),
    ("Figures and report", ("figures", "report", "report.html")),
    ("Records", ("logs", "benchmarks", ".<name>.sha256")),
)


def page() -> str:
    lines = [HEAD.rstrip("\n"), ""]
    lines += [f"- `<{name}>`: {text}" for name, text in sorted(PLACES.items())]
    lines += ["", "Axes of datasets:", ""]
    lines += [f"- `{name}`: {text}" for name, text in AXES.items()]
    known: list[File] = []
    for title, folders in SECTIONS:
        lines += ["", f"## {title}"]
        if title == "Tables":
            lines += ["", *_shared()]
        for each in FILES:
            if each.paths[0].split("/")[0] in folders:
                lines += _described(each, known)
    lines += ["", "## Toy models", "", "Below `results/toy/`."]
    for each in TOYS:
        lines += _described(each, known)
    return "\n".join(lines) + "\n"


def _shared() -> Iterator[str]:
    yield from _wrapped(
        "There is a table of all models (`tables/<name>.csv`), and for most one of each model too. These "
        "columns mean the same in all of them:"
    )
    yield ""
    yield from _listed(SHARED.values())


def _described(file: File, known: list[File]) -> Iterator[str]:
    heads = [f"`{path}`" for path in file.paths]
    few = len(heads) <= 3
    yield from ("", f"### {', '.join(heads) if few else _together(file.paths)}", "")
    text = f"{file.what} ({file.format}{f'; {file.when}' if file.when else ''})"
    if file.each:
        unit = "row" if file.format == TABLE else "group" if file.groups else "line"
        text += f" One {unit} for each {file.each}."
    if file.groups not in ((), ("",)):
        text += f" Groups: {', '.join(f'`{group}`' for group in file.groups)}."
    # Those of an earlier file that it begins with.
    alike = [each for each in known if each.fields and file.fields[: len(each.fields)] == each.fields]
    like = max(alike, key=lambda each: len(each.fields), default=None)
    fields = file.fields[len(like.fields) if like else 0 :]
    if file.format == TABLE:
        text += f" Columns: {', '.join(f'`{each.name}`' for each in file.fields)}."
        fields = tuple(each for each in fields if SHARED.get(each.name) != each)
    if like:
        text += f" {'All' if not fields else 'Most'} of these are as in `{like.paths[0]}`."
    yield from _wrapped(text)
    if fields:
        yield ""
        yield from _listed(fields, attributes=file.format == HDF5)
    known.append(file)


def _together(paths: Sequence[str]) -> str:
    """Many paths as one, with the names that differ in braces."""
    folders, names, endings = [], [], []
    for path in paths:
        place, _, ending = path.rpartition(".")
        folder, _, name = place.partition("/")
        folders, names, endings = [*folders, folder], [*names, name], [*endings, ending]
    inner = {name.partition("/")[2] for name in names}
    first = ", ".join(dict.fromkeys(name.partition("/")[0] for name in names))
    rest = f"/{inner.pop()}" if len(inner) == 1 and inner != {""} else ""
    kinds = list(dict.fromkeys(endings))
    ending = kinds[0] if len(kinds) == 1 else f"{{{','.join(kinds)}}}"
    return f"`{folders[0]}/{{{first}}}{rest}.{ending}`"


def _listed(fields, attributes: bool = False) -> Iterator[str]:
    for each in fields:
        kind = each.values.words()
        if each.shape:
            dtype = each.dtype or "number"
            kind = f"[{', '.join(each.shape)}] {dtype}"
            kind += f", {words}" if (words := each.values.words().partition(", ")[2]) else ""
        elif attributes:
            kind = f"attribute, {kind}"
        yield from _wrapped(
            f"- `{each.name}` ({kind}{', not in all' if each.optional else ''}): {each.text}".rstrip(": "),
            "  ",
        )
        explained = [case for case in each.cases if case.text or case.values.kind != "text"]
        if len(explained) < len(each.cases):
            yield from _wrapped(
                "  - " + ", ".join(f"`{case.name}`" for case in each.cases if case not in explained), "    "
            )
        for case in explained:
            words = f" ({case.values.words()})" if case.values.kind != "text" else ""
            yield from _wrapped(f"  - `{case.name}`{words}: {case.text}", "    ")


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    print(page(), end="")
