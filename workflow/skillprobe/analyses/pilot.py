"""What a few labelled responses say of a study before it is run: what to change in its config, and whether
each task will have enough data.

It reads labels, texts and lengths, never activations: nothing that a probe could find decides a setting.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from skillprobe import tasks
from skillprobe.analyses import compliance
from skillprobe.analyses.sufficiency import Design, enough_for_all, forecast, needed
from skillprobe.errors import UserError
from skillprobe.labels.verdicts import by_turns, decided
from skillprobe.storage import files, tables
from skillprobe.storage.tables import is_number
from skillprobe.study.sampling import place
from skillprobe.study.slices import on_given_activations
from skillprobe.study.sources import pilot_of
from skillprobe.tasks.base import CountTask, TermTask
from skillprobe.tasks.text import words
from skillprobe.tasks.world import World

# Compliance outside of this leaves too few responses of one class.
LOW, HIGH = 0.15, 0.9
# With a larger share of truncated responses, the others say little.
UNRELIABLE = 0.2
# Items are rarely mixed below the first share. Above the second, of what coins would give, nearly all are
# mixed: then the prompt hardly matters.
RARE, COIN = 0.1, 0.95
# A text that ends by itself fits into the proposed length with this probability.
FITS = 0.99
TARGETS, TERMS = 12, 20
# Terms occur in this share of the texts.
OFTEN = (0.05, 0.9)
# The world whose requests ask for what a constraint may forbid.
PROVOKING = "provoking"
# How many verdicts of a judge are shown, and how much of each text.
SHOWN, CHARACTERS = 10, 400
KEYS = {
    "bases": "prompts.bases",
    "items_per_base": "prompts.items_per_base",
    "samples": "generation.samples",
}
# Words that are on no subject.
_COMMON = """
about above after again also although always among another around because been before being below
between both could does doing down during each even ever every from further have having here hers
herself himself into itself just like made make many might more most much must myself never often
once only other ours over rather same shall should since some such than that their theirs them
themselves then there these they this those through thus under until upon very were what when where
whether which while whom whose will with within without would your yours
"""


@dataclass(frozen=True)
class Change:
    """A new value of a key of the config, such as "generation.temperature", and why."""

    key: str
    value: object
    why: str


def summarise(rows: Sequence[dict], n_draws: int, seed: int) -> dict:
    """As `compliance.summarise`, with the numbers of satisfied and violated responses, and the median and
    largest length of those, in tokens."""
    whole = [row for row in decided(rows) if row["variant"] == "constrained" and not row["truncated"]]
    satisfied = sum(row["satisfied"] for row in whole)
    lengths = [len(row["token_ids"]) for row in whole]
    return compliance.summarise(rows, n_draws, seed) | {
        "satisfied": satisfied,
        "violated": len(whole) - satisfied,
        "median_tokens": float(np.median(lengths)) if whole else "",
        "most_tokens": max(lengths, default=""),
    }


def expected(row: Mapping, design: Design) -> dict:
    """What the study as configured would have of a row's task, for the table: the numbers of a `Forecast`,
    and for each of KEYS the value that alone would be enough ("": enough already, or never)."""
    found, enough = forecast(row, design), needed(row, design)
    return {
        "across": "insufficient" if found.across else "sufficient",
        "within": "insufficient" if found.within else "sufficient",
        "rows": found.rows,
        "groups": found.groups,
        "mixed_items": found.mixed_items,
        "mixed_groups": found.mixed_groups,
        "mixed_per_fold": found.per_fold,
        **{f"needed_{key}": enough.get(key, "") for key in KEYS},
    }


# What to change


def advise(
    table: Sequence[Mapping],
    cells: Mapping[tuple[str, str], Sequence[dict]],
    config: Mapping,
    world: World,
    generations: Mapping[str, Mapping],
) -> tuple[list[Change], list[str]]:
    """Changes of the config, and sentences on what no key changes.

    table: a `summarise` row with "model" and "task" for each of `cells`, {(model, task): label rows};
    world: with the lists that the config gives; generations: {model: how it was sampled}. Tasks share the
    keys, and so do models unless their entries say otherwise: what those should change is a sentence.
    """
    changes, settled, notes = [], set(), []
    made = config["prompts"].get("file") is None
    for key, rows in _by_place(table, config, "max_new_tokens").items():
        found, said = _longer(rows, cells, generations, key, config["probes"]["flag_truncated"])
        _file(found, changes, notes)
        notes += said
    for name in dict.fromkeys(row["task"] for row in table):
        task = tasks.get(name)
        if not made:  # The params are the file's.
            continue
        if isinstance(task, CountTask):
            found = _targets(task, table, cells, getattr(world, task.targets))
        elif isinstance(task, TermTask):
            found = _terms(name, table, cells, world.terms)
        else:
            continue
        if found:
            settled.add(name)
            # Inclusion and exclusion share their terms.
            changes += [found] if found.key not in {change.key for change in changes} else []
    heated: dict[str, Change] = {}
    open_rows = [row for row in table if row["task"] not in settled]
    for key, rows in _by_place(open_rows, config, "temperature").items():
        if found := _temperature(rows, generations, key):
            _file(found, changes, notes)
            heated |= dict.fromkeys((row["model"] for row in rows), found[0])
    for row in table:
        if row["task"] in settled or not _is_reliable(row):
            continue
        about, change = f"{row['model']}, {row['task']}", heated.get(row["model"])
        raised = change is not None and change.value > generations[row["model"]]["temperature"]
        if row["compliance"] < LOW or (row["compliance"] > HIGH and not raised):
            change = "no key is known to change it; leave the task out, or choose other models"
            if row["task"] == "toxicity" and row["compliance"] > HIGH and world.name != PROVOKING and made:
                change = (
                    f"one class is missing because hardly any answer is toxic; prompts.world: {PROVOKING} "
                    "asks for anger and insults (docs/judges.md), or leave the task out"
                )
            notes.append(f"{about}: {row['compliance']:.0%} compliance, and {change}")
        elif _is_rare(row) and change is None:
            key = place(config, row["model"], "temperature")
            notes.append(
                f"{about}: few items are mixed; {key} would change that, but most other tasks don't need "
                "another one"
            )
    return changes, notes


def _by_place(table: Iterable[Mapping], config: Mapping, key: str) -> dict[str, list[Mapping]]:
    """{where the config says it: rows of the models of which it says so}, of temperature or the like."""
    found: dict[str, list[Mapping]] = {}
    for row in table:
        found.setdefault(place(config, row["model"], key), []).append(row)
    return found


def _file(found: Iterable[Change], changes: list[Change], notes: list[str]) -> None:
    """A change of the study's own keys can be pasted into the config, that of a model's entry can't."""
    for change in found:
        if change.key.startswith("models["):
            notes.append(f"{change.why}; set {change.key} to {change.value}")
        else:
            changes.append(change)


def _is_reliable(row: Mapping) -> bool:
    return is_number(row["compliance"]) and row["truncated"] <= UNRELIABLE


def _is_lopsided(row: Mapping) -> bool:
    return _is_reliable(row) and not LOW <= row["compliance"] <= HIGH


def _is_rare(row: Mapping) -> bool:
    return is_number(row["mixed"]) and row["mixed"] < RARE


def _is_coin(row: Mapping) -> bool:
    return is_number(row["mixed"]) and row["mixed"] >= COIN * (1 - 2 ** (1 - row["n_per_item"]))


def _named(rows: Iterable[Mapping]) -> str:
    """The models and tasks of rows, tasks by model."""
    by_model: dict[str, list[str]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row["task"])
    return "; ".join(f"{model}: {', '.join(names)}" for model, names in by_model.items())


def _longer(table, cells, generations, key: str, flagged: float) -> tuple[list[Change], list[str]]:
    """The length that is needed, and what no length mends: responses that repeat themselves to the end."""
    cut = [row for row in table if is_number(row["truncated"]) and row["truncated"] > flagged]
    wanted, mended = [], []
    n_truncated = n_repeating = 0
    for row in cut:
        own = [each for each in cells[row["model"], row["task"]] if each["variant"] == "constrained"]
        lengths = [len(each["token_ids"]) for each in own if not each["truncated"]]
        repeating = sum(each["truncated"] and repeats_itself(each["token_ids"]) for each in own)
        n_truncated, n_repeating = n_truncated + len(own) - len(lengths), n_repeating + repeating
        if len(own) - len(lengths) - repeating > flagged * len(own):
            now = generations[row["model"]]["max_new_tokens"]
            wanted.append(fitting_length(lengths, len(own) - repeating, now))
            mended.append(row)
    said = []
    if n_repeating > n_truncated / 2:
        said.append(
            f"{n_repeating} of the {n_truncated} truncated responses repeat themselves ({_named(cut)}), "
            "which no length mends; try another temperature, or a larger model"
        )
    if not mended:
        return [], said
    worst = max(row["truncated"] for row in mended)
    why = f"up to {worst:.0%} of the responses are truncated ({_named(mended)})"
    if worst == 1:
        why += "; where all are, this is a guess, so run the pilot again"
    return [Change(key, max(wanted), why)], said


def repeats_itself(token_ids: Sequence[int]) -> bool:
    """Whether most sequences of eight tokens in the second half of a response have occurred before."""
    starts = range(len(token_ids) - 7)
    found = [tuple(token_ids[start : start + 8]) for start in starts]
    first = {}
    for start, each in enumerate(found):
        first.setdefault(each, start)
    later = starts[len(found) // 2 :]
    return sum(first[found[start]] < start for start in later) > len(later) / 2


def fitting_length(lengths: Sequence[int], n: int, now: int) -> int:
    """A length into which about 99 % of the responses fit, a multiple of 16 from 1.25 to 8 times `now`.

    lengths: of the responses that ended by themselves, of `n`; the others are longer than `now`. Log-lengths
    are taken to be normal, and the line through the normal scores of the known ones is extended (regression
    on order statistics). Four times `now` where fewer than five are known.
    """
    values = np.log(np.sort(np.maximum(lengths, 1)))
    longest = 4.0 * now
    if len(values) >= 5:
        scores = [NormalDist().inv_cdf((rank + 0.5) / n) for rank in range(len(values))]
        slope, level = np.polyfit(scores, values, 1)
        longest = math.exp(min(level + slope * NormalDist().inv_cdf(FITS), math.log(8.0 * now)))
    return 16 * math.ceil(min(max(longest, 1.25 * now), 8.0 * now) / 16)


def _targets(task: CountTask, table, cells, targets: Sequence[int]) -> Change | None:
    own = [row for row in table if row["task"] == task.name and _is_reliable(row)]
    counts = [
        each["evidence"]["count"]
        for row in own
        for each in cells[row["model"], task.name]
        if each["variant"] == "constrained" and not each["truncated"]
    ]
    wrong = [row for row in own if _is_lopsided(row)]
    if counts and not wrong:
        # Compliance may look well where the relation alone decides: "at most" never holds, "at least" always.
        low, high = np.quantile(counts, (0.05, 0.95))
        if 2 * sum(low <= target <= high for target in targets) < len(targets):
            wrong = [row for row in own if _is_rare(row)]
    proposed = spread_targets(counts)
    if not wrong or not proposed or proposed == sorted(targets):
        return None
    rates = ", ".join(f"{row['model']} {row['compliance']:.0%}" for row in wrong)
    low, high = np.quantile(counts, (0.1, 0.9))
    why = (
        f"compliance with {task.name} is {rates}; most of the responses have {low:.0f} to {high:.0f} "
        f"{task.noun}s, and {min(targets)} to {max(targets)} are asked for"
    )
    return Change(f"prompts.{task.targets}", proposed, why)


def spread_targets(counts: Sequence[int]) -> list[int]:
    """At most twelve targets, from the 10 % to the 90 % quantile of what is written, in round numbers."""
    if not len(counts):
        return []
    found = np.quantile(counts, np.linspace(0.1, 0.9, TARGETS))
    step = max(step for step in (1, 5, 10, 20, 50) if step == 1 or step * TARGETS <= found[-1] - found[0])
    return sorted({max(1, int(step * round(value / step))) for value in found})


def _terms(name: str, table, cells, terms: Sequence[str]) -> Change | None:
    wrong = [row for row in table if row["task"] == name and _is_lopsided(row)]
    if not wrong:
        return None
    unconstrained, others = [], []
    for (_, task), rows in cells.items():
        for row in rows:
            if not row["truncated"] and row["variant"] == "unconstrained":
                unconstrained.append(row["response"])
            elif not row["truncated"] and not isinstance(tasks.get(task), TermTask):
                others.append(row["response"])
    proposed = usual_terms(unconstrained, others)
    if not proposed or sorted(proposed) == sorted(terms):
        return None
    rates = ", ".join(f"{row['model']} {row['compliance']:.0%}" for row in wrong)
    why = f"compliance with {name} is {rates}; texts on these subjects use these words often, but not always"
    return Change("prompts.terms", proposed, why)


def usual_terms(unconstrained: Sequence[str], others: Sequence[str]) -> list[str]:
    """At most twenty words that some texts use and others don't, those nearest to a half of the texts first;
    [] where there are fewer than four.

    unconstrained: responses without a constraint, in which a word must occur too: what a constraint brings
    along, such as the keys of JSON, is no word on the subject; others: responses under other constraints.
    """
    plain, in_all = _shares(unconstrained), _shares([*unconstrained, *others])
    found = [
        word
        for word, share in in_all.items()
        if OFTEN[0] <= share <= OFTEN[1] and plain.get(word, 0) >= OFTEN[0]
    ]
    found.sort(key=lambda word: (abs(in_all[word] - 0.5), word))
    return found[:TERMS] if len(found) >= 4 else []


def _shares(texts: Sequence[str]) -> dict[str, float]:
    """{word of four letters or more: share of the texts that use it}."""
    common, counts = set(_COMMON.split()), dict[str, int]()
    for text in texts:
        for word in set(words(text)) - common:
            if len(word) > 3 and word.isalpha():
                counts[word] = counts.get(word, 0) + 1
    return {word: count / len(texts) for word, count in counts.items()}


def _temperature(table, generations: Mapping[str, Mapping], key: str) -> list[Change]:
    """Shared by the rows, so changed only where at least half of the models and tasks ask for it."""
    known = [row for row in table if _is_reliable(row) and is_number(row["mixed"])]
    # A model that hardly ever complies does so no more often if it is less sure.
    rare = [row for row in known if _is_rare(row) and row["compliance"] >= LOW]
    coins = [row for row in known if _is_coin(row)]
    if rare and len(rare) >= len(known) / 2:
        # Of models with temperatures of their own, the hottest: one that is right for it is for the others.
        now = max(generations[row["model"]]["temperature"] for row in rare)
        value = min(2.0, round(1.3 * now + 0.005, 2))
        why = f"few items are mixed ({_named(rare)})"
        return [Change(key, value, why)] if value > now else []
    if coins and len(coins) >= len(known) / 2:
        now = min(generations[row["model"]]["temperature"] for row in coins)
        value = max(0.05, round(0.75 * now, 2))
        why = f"nearly all items are mixed, so the prompt hardly matters ({_named(coins)})"
        return [Change(key, value, why)] if value < now else []
    return []


def as_yaml(changes: Sequence[Change]) -> str:
    """The changes as lines of a config, each under its reason."""
    lines: list[str] = []
    for section in dict.fromkeys(change.key.partition(".")[0] for change in changes):
        lines.append(f"{section}:")
        for change in changes:
            own, _, name = change.key.partition(".")
            if own == section:
                lines += [f"  # {change.why}", f"  {name}: {json.dumps(change.value, ensure_ascii=False)}"]
    return "\n".join(lines)


# What to say


def warnings(table: Iterable[Mapping], design: Design) -> list[str]:
    """A sentence for each model and task with which something is wrong. table: rows as of
    `compliance.summarise`, with "model" and "task"."""
    lines = []
    for row in table:
        ahead = forecast(row, design)
        found = [problem for problem in problems(row, design.flag_truncated) if problem != ahead.across]
        if ahead.across and ahead.across == ahead.within:
            found.append(f"insufficient: {ahead.across}")
        else:
            found += [
                f"insufficient {scope}: {reason}"
                for scope, reason in (("across", ahead.across), ("within", ahead.within))
                if reason
            ]
        if enough := needed(row, design):
            found.append(f"enough with {_either(enough)}")
        elif ahead.within and not ahead.across:
            found.append("more bases, items or samples alone would not be enough")
        if found:
            lines.append(f"{row['model']}, {row['task']}: {'; '.join(found)}")
    return lines


def _either(enough: Mapping[str, int]) -> str:
    return " or ".join(f"{KEYS[key]}: {value}" for key, value in enough.items())


def problems(row: Mapping, flagged: float) -> list[str]:
    """What is wrong with the responses of one model to one task, in words; flagged: the share of truncated
    ones above which they are named."""
    found = []
    if is_number(row["truncated"]) and flagged < row["truncated"] < 1:
        found.append(f"{row['truncated']:.0%} of the responses are truncated")
    if is_number(row.get("undecided")) and flagged < row["undecided"]:
        found.append(f"{row['undecided']:.0%} of the others are too close to call for the judge's margin")
    if is_number(row["compliance"]) and not LOW <= row["compliance"] <= HIGH:
        found.append(f"{row['compliance']:.0%} compliance, where {LOW:.0%} to {HIGH:.0%} is useful")
    if _is_rare(row):
        found.append(f"{row['mixed']:.0%} of the items are mixed")
    elif _is_coin(row):
        found.append(f"{row['mixed']:.0%} of the items are mixed, so the prompt hardly matters")
    return found


def as_text(
    table: Sequence[Mapping], changes: Sequence[Change], notes: Sequence[str], config: Mapping, design: Design
) -> str:
    """The pilot for a terminal. table: `summarise` and `expected` rows with "model" and "task"."""
    asked_for = config["pilot"]
    lines = [
        f"pilot of the study {config['study']}: up to {asked_for['prompts']} prompts per model and task, "
        f"{asked_for['samples']} responses each",
        "",
    ]
    width = max(len("task"), *(len(row["task"]) for row in table))
    head = ("compliance", "truncated", "mixed", "satisfied", "violated", "across", "within")
    for model in dict.fromkeys(row["model"] for row in table):
        lines += [model, "  ".join([f"{'task':<{width}}", *(f"{name:>12}" for name in head)])]
        for row in table:
            if row["model"] == model:
                shares = [_percent(row[name]) for name in ("compliance", "truncated", "mixed")]
                others = [str(row[name]) for name in head[3:]]
                lines.append(
                    "  ".join([f"{row['task']:<{width}}", *(f"{cell:>12}" for cell in shares + others)])
                )
        lines.append("")
    lines += [
        "mixed: share of the prompts that have satisfied and violated responses",
        f"across, within: whether {design.bases} bases x {design.items_per_base:g} items x {design.samples} "
        "samples, as configured, will be enough in each scope",
        "",
    ]
    if changes:
        lines += [
            "What to change (lines for the config; then run the pilot again):",
            "",
            as_yaml(changes),
            "",
        ]
    enough = enough_for_all(table, design)
    if not changes:
        change = "only its size (last line)" if enough else "nothing"
        lines += [f"What to change in the config: {change}.", ""]
    found = warnings(table, design)
    lines += [f"- {line}" for line in [*notes, *found]]
    if enough:
        lines += ["", f"Enough for every task, in both scopes: {_either(enough)}."]
    return "\n".join(lines).rstrip()


def _percent(value: object) -> str:
    return f"{value:.1%}" if is_number(value) else "-"


def verdicts(cells: Mapping[tuple[str, str], Sequence[Mapping]], judges: Mapping, seed: int) -> list[str]:
    """Lines with SHOWN verdicts of each judge to read, satisfied and violated by turns, over all models.

    cells: {(model, task): label rows}; judges: the config's. A lexicon is exact, so nothing of it is shown.
    """
    lines = []
    for task, judge in judges.items():
        rows = [{**row, "model": model} for (model, of), own in cells.items() if of == task for row in own]
        chosen = by_turns([] if judge == "lexicon" else rows, SHOWN, seed)
        if chosen:
            lines += ["", f"Verdicts of the judge of {task} to read: would you have said the same?"]
        for number, row in enumerate(chosen, start=1):
            wanted = row["params"].get("label")
            asked = f", {wanted} was asked for" if wanted else ""
            text = " ".join(row["response"].split())
            text = text if len(text) <= CHARACTERS else text[:CHARACTERS] + "…"
            lines += [
                f"{number:>2}. {_said(row['evidence'])}{asked}: "
                f"{'satisfied' if row['satisfied'] else 'violated'}",
                f"    {text or '(empty)'}",
            ]
    return lines


def _said(evidence: Mapping) -> str:
    """What a judge said, in a few words."""
    scores = evidence.get("scores")
    # A user's task may keep what it likes.
    if "label" not in evidence or not isinstance(scores, Mapping) or not all(map(is_number, scores.values())):
        return json.dumps(evidence, ensure_ascii=False)
    scores = ", ".join(f"{label} {score:.2f}" for label, score in scores.items())
    return f"{evidence['label'] or 'no label'} ({scores or 'not judged'})"


# The pilot that a plan finds


def describe(config: Mapping, contents: Mapping, root: str | Path = ".") -> str:
    """What the study's pilot says of the config as it is now, for the plan; or that there is none."""
    if on_given_activations(config):
        return (
            "pilot        not for given activations: `snakemake --until summarise_compliance` counts their "
            "labels"
        )
    folder = Path("results") / config["study"] / "pilot"
    if not (Path(root) / folder / "pilot.txt").is_file():
        return "pilot        none yet: `snakemake pilot` shows what to change before the study is run"
    lines = [f"pilot        {folder / 'pilot.txt'}"]
    try:
        before = files.read_json(Path(root) / folder / "pilot.json")
        table = tables.read_csv(Path(root) / folder / "pilot.csv")
    except (UserError, FileNotFoundError) as error:
        return "\n".join([*lines, f"  {error}; run it again (snakemake pilot)"])
    now = json.loads(json.dumps(pilot_of(config)))
    if changed := [key for key in now if before.get(key) != now[key]]:
        keys = ", ".join(changed)
        lines.append(f"  made before these keys were changed: {keys}; run it again (snakemake pilot)")
    models = [entry["name"] for entry in config["models"]]
    table = [row for row in table if row["model"] in models and row["task"] in config["tasks"]]
    found = warnings(table, Design.of(config, contents))
    lines += [f"  {line}" for line in found or ["nothing is wrong, and every task will be sufficient"]]
    return "\n".join(lines)
