"""All files that a study leaves, in the order in which they are made."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from skillprobe.catalogue.fields import (
    HDF5,
    JSON,
    LINES,
    PAGE,
    PICTURE,
    SAFETENSORS,
    TEXT,
    Field,
    File,
    Values,
    attribute,
    case,
    dataset,
    fits,
    key,
    named,
    string,
)
from skillprobe.catalogue.tables import FIGURES, PARTS, TABLES

# What "<…>" stands for in paths and groups.
PLACES = {
    "claim": "a claim's name",
    "model": "a model's name, as in the config",
    "task": "a task's name",
    "source": "a task's name",
    "target": "a task's name",
    "layer": "0 for the embeddings, k for the output of block k",
    "shard": "number of a block of `generation.block` content requests, from 0",
    "scope": "`across` or `within` prompts",
    "position": "a position such as `eos`, or a span of tokens such as `tokens_5_8`",
    "variant": "`all`, `centred`, `matched` or `leave_one_out`",
    "baseline": "what the probe sees, such as `length`",
    "fold": "number of a test fold, from 0; `all`: fitted on all folds",
    "contrast": "`type`, `polarity`, `held_out` or `diversity`",
    "trained on": "a wording, or a number of phrasings",
    "tested on": "a wording, or a draw",
    "probe": "`trained`, `eos_back` or `prompt_forward`",
    "name": "a name",
    "world": "a kind of planted activations",
    "auroc": "that specialists are planted to reach",
    "bases": "number of content requests",
    "seed": "a number",
    "first": "number of the first study",
    "end": "number after that of the last",
    "toy": "a toy model's name",
}

_LABEL = Values("integer", 0, 1)
_FOLD = Values("integer", -1)
_COUNT = Values("integer", 0)
_UNIT = Values("number", 0, 1, "AUROC")
_ANSWER = (
    key("id", "the response's: `<task>/<base>/<item>/<variant>/<sample>`"),
    key("item", "the prompt's: `<task>/<base>/<item>`"),
    key("base", "content request (subject × request), shared by all tasks"),
    key("group", "subject of the request: what folds and draws are of"),
)
_VARIANT = string(
    "variant",
    "which prompt was answered",
    case("constrained", "the one with the constraint"),
    case("unconstrained", "the same request without it"),
)
_SAMPLE = (
    key("prompt", "the text that was asked"),
    key("response", "the text of the response, without special tokens"),
    key("token_ids", "its tokens, with EOS unless it was cut short", "list"),
)
_WORDING = (
    string(
        "instruction_type",
        "how the constraint is put; empty where a prompt of your own doesn't say",
        case("human", "a plain request"),
        case("plm", "a prefix to continue"),
        case("entailment", "a statement that must hold"),
    ),
    string(
        "polarity",
        "of the instruction; empty where a prompt of your own doesn't say",
        case("positive", "asked to do"),
        case("negated", "asked not to do"),
    ),
    key("phrasing", "the template's id; `own` where a prompt of your own has none"),
)
_TRUNCATED = key("truncated", "whether it was cut short at `generation.max_new_tokens`", "true or false")
_THINKING = key(
    "thinking", "how many tokens a thinking model thought before the response", "integer", 0, optional=True
)
_UNDECIDED = key(
    "undecided",
    "true where the scores are within the judge's margin of another label: it is left out; else missing",
    "true or false",
    optional=True,
)
_VERDICT = (
    key("satisfied", "whether the response satisfies the constraint", "true or false"),
    _TRUNCATED,
    key("params", "the constraint's parameters, as `skillprobe verify` reads them", "object"),
    key("evidence", "what the verifier or judge saw", "object"),
)
_LABELLED = (*_ANSWER, _VARIANT, *_VERDICT, *_SAMPLE, *_WORDING, _UNDECIDED, _THINKING)
_PROMPTS = (
    _ANSWER[1],
    key("task", "the task's name"),
    *_ANSWER[2:],
    key("subject", "the subject in words"),
    key(
        "request", "the request, with {subject} for the subject; null in prompts of your own", "text or none"
    ),
    _VERDICT[2],
    _WORDING[2],
    *_WORDING[:2],
    key("prompt", "the request with the constraint"),
    key("unconstrained_prompt", "the request without it; null: there is none", "text or none"),
)
_RESPONSES = (
    *_ANSWER,
    _VARIANT,
    key("sample", "number of the sample, from 0", "integer", 0),
    *_SAMPLE,
    _TRUNCATED,
    _THINKING,
)
_CROSSED = (
    string(
        "variant",
        "which pair this is",
        case("counterfactual", "one constraint and one response of a crossing: four rows have one item"),
        case("without_constraint", "an own response with the prompt that lacks the constraint"),
    ),
    key("asked", "of counterfactual rows: which of the two constraints, 0 or 1", "integer", 0, optional=True),
    key("answered", "of these: which of the two responses, 0 or 1", "integer", 0, optional=True),
    key("answer_from", "id of the response's own row in labels/"),
    key(
        "one_relation",
        "of these, for counts: whether both constraints have one relation",
        "true, false or none",
        optional=True,
    ),
    key(
        "n_difference",
        "of these, for counts: how far apart their numbers are",
        "number or none",
        optional=True,
    ),
)
_CONDITION = key("condition", "what was done to hidden states, as in tables/behaviour.csv; `none`: nothing")

_ORIGIN = (
    attribute("format_version", "of the layout", _COUNT),
    attribute("study", "the study's name"),
    attribute("model", "the model's name"),
    attribute("task", "the task's name"),
    attribute("model_source", "its folder, or its id on the hub"),
    attribute("model_revision", "commit on the hub; empty for a folder"),
    attribute("num_layers", "number of blocks", _COUNT),
    attribute("hidden_size", "d", _COUNT),
    string(
        "dtype",
        "of the stored activations",
        case("float32", ""),
        case("float16", ""),
        case(
            "bfloat16", 'stored as uint16, the upper half of a float32: `(x.astype("u4") << 16).view("f4")`'
        ),
    ),
    attribute("model_dtype", "that the model computed in"),
    attribute("random_weights", "1 of a random-weight model", Values("integer", 0, 1), optional=True),
    attribute("attn_implementation", "of the model"),
    attribute("chat_template_sha256", "of the tokenizer's chat template"),
    attribute("tokenizer_sha256", "of its vocabulary"),
    attribute("library_versions", "JSON: {library: version}"),
)
_SHARD = (
    *_ORIGIN,
    dataset("positions", "names of the positions, as in tables/time.csv", "P", "text"),
    dataset("samples/id", "of each response, as in labels/", "n", "text"),
    dataset("samples/base", "its content request", "n", "text"),
    dataset("samples/group", "its subject", "n", "text"),
    dataset("samples/variant", "which prompt was answered, as in labels/", "n", "text"),
    dataset("samples/label", "1: satisfied", "n", "int8", _LABEL),
    dataset("samples/response_length", "tokens of the response, with EOS", "n", "int32", _COUNT),
    dataset("samples/truncated", "whether it was cut short", "n", "bool"),
    dataset("samples/instruction_type", "as in labels/", "n", "text"),
    dataset("samples/polarity", "as in labels/", "n", "text"),
    dataset("samples/phrasing", "as in labels/", "n", "text"),
    dataset(
        "valid",
        "whether the response has the position to itself; where not, activations are 0",
        "P n",
        "bool",
    ),
    dataset("characters", "how many of the response there are up to the position", "P n", "int32", _COUNT),
    dataset("layers/<layer>", "activations, in `dtype`", "P n d", ""),
)
_LOG_PROBABILITY = dataset(
    "log_probability", "of the response given the prompt", "n", "float32", Values("number", None, 0, "nats")
)
_MANIFEST = (
    key("format_version", "of the layout", "integer", 0),
    key("bytes", "size of the shard", "integer", 0),
    key("n_samples", "responses", "integer", 0),
    key("n_layers", "layers, with the embeddings", "integer", 0),
    key("hidden_size", "d", "integer", 0),
    key("head", "SHA-256 of all but the activations"),
    key("layers", "CRC-32 of the activations of each layer and position", "list"),
)

_STATUS = attribute("status", "why there are no scores; absent: there are", optional=True)
_PROBE = (
    attribute("intercept", "of the probe with `weights`", Values("number")),
    attribute(
        "truncated", "the task's responses that were cut short, and left out", Values("number", 0, 1, "share")
    ),
    _STATUS,
    dataset("ids", "of the n responses, as in labels/ (some of the shard's)", "n", "text"),
    dataset("groups", "subject of each", "n", "text"),
    dataset("items", "prompt of each; empty across prompts", "n", "text"),
    dataset("labels", "1: satisfied", "n", "int8", _LABEL),
    dataset(
        "folds",
        "test fold of each response, by fold seed; −1: calibration, never trained on or tested",
        "S n",
        "integer",
        _FOLD,
    ),
    dataset(
        "scores",
        "decision value by the probe of the response's own test fold; nan on calibration rows",
        "S n",
        "float32",
    ),
    dataset("fold_seeds", "the fold seeds", "S", "int64", _COUNT),
    dataset("penalties", "C that inner folds chose from", "C", "float64", Values("number", 0)),
    dataset("chosen_c", "the C of each test fold", "S K", "float64", Values("number", 0)),
    dataset(
        "inner_auroc", "of inner folds at this C: what C and layer are chosen by", "S K", "float64", _UNIT
    ),
    dataset(
        "task_inner_auroc", "of the task alone; nan where it was not trained on", "S K", "float64", _UNIT
    ),
    dataset(
        "weights",
        "one probe, fitted on all rows but those of calibration, for raw activations: on these rows its "
        "AUROC is too high",
        "d",
        "float64",
    ),
    dataset(
        "fold_weights",
        "the probes that gave the scores, for raw activations; empty where only scores are kept",
        "S K d",
        "float32",
    ),
    dataset("fold_intercepts", "theirs", "S K", "float64"),
    dataset(
        "residualised_scores",
        "the same protocol, confounds regressed out; empty but for specialists",
        "S n",
        "float32",
    ),
    dataset(
        "shuffled_labels",
        "labels shuffled between subjects; empty but for specialists",
        "L n",
        "int8",
        _LABEL,
    ),
    dataset("shuffled_scores", "the same protocol on these, first fold seed", "L n", "float32"),
)
_SOURCES = attribute(
    "sources", "names of the T tasks whose probes or erasers these are, in their order", Values("list")
)
_TRANSFER = (
    _SOURCES,
    dataset("ids", "of the target's responses", "n", "text"),
    dataset(
        "scores",
        "decision value by the source's probe that never saw the subject; nan on calibration rows",
        "T S n",
        "float32",
    ),
)
_REFITS = (
    attribute("tasks", "names of the T tasks, in their order", Values("list")),
    dataset(
        "pairs",
        "satisfied and violated responses, pairs by draw of subjects and test fold",
        "T B K",
        "float64",
        Values("number", 0),
    ),
    dataset(
        "specialist",
        "of these in the right order by the specialist, fitted anew on the draw",
        "T B K",
        "float64",
        Values("number", 0),
    ),
    dataset("general", "by the general probe (`centred`)", "T B K", "float64", Values("number", 0)),
    dataset(
        "transfer",
        "by the specialist of the first task on the second",
        "T T B K",
        "float64",
        Values("number", 0),
    ),
)
_ERASER = (
    attribute("alpha", "1 projects, 2 reflects", Values("number", 0)),
    dataset("a", "x′ = x − α A B (x − μ): the directions that are taken out, A", "d k", "float32"),
    dataset("b", "what they read, B; B A = I", "k d", "float32"),
    dataset("mean", "μ", "d", "float32"),
)
_SELECTED = (
    key("across", "the layer, across prompts", "number"),
    key("within", "the layer, within prompts", "number"),
)
_ABLATION = (
    _SOURCES,
    attribute("without", "of each source why it is not erased; empty: it is", Values("list")),
    dataset("ids", "of the target's responses", "n", "text"),
    dataset("before", "decision values before", "S n", "float32"),
    *(
        dataset(
            f"retrained/{method}",
            f"of probes trained on rows erased by {method}",
            "T S n",
            "float32",
            optional=True,
        )
        for method in ("inlp", "inlp_stopped", "leace")
    ),
    *(
        dataset(
            f"frozen/{method}",
            f"of the probes from before on rows erased by {method}",
            "T S n",
            "float32",
            optional=True,
        )
        for method in ("inlp", "inlp_reflected", "leace")
    ),
    dataset("null", "retrained, by erasers of shuffled labels; first fold seed", "L T n", "float32"),
    dataset("curve", "retrained, by the first 1, 2, … directions; first fold seed", "k T n", "float32"),
    dataset("random", "retrained, in random subspaces; first fold seed", "R n", "float32"),
    dataset(
        "refitted_before",
        "AUROC, probes fitted anew on each draw; empty at other layers than the claims'",
        "B",
        "float64",
        _UNIT,
    ),
    dataset("refitted_after", "AUROC, erasers and probes fitted anew", "B T", "float64", _UNIT),
)
_POOL = (
    attribute("status", "why there are no responses; empty: there are"),
    dataset("items", "of each prompt", "n", "text"),
    dataset("groups", "its subject", "n", "text"),
    dataset("tokens", "how many each response has, EOS included", "n G", "int64", _COUNT),
    dataset("satisfied", "whether it satisfies", "n G", "bool"),
    dataset("truncated", "whether it was cut short", "n G", "bool"),
    dataset(
        "lost",
        "after how many tokens the verifier knows that it can't satisfy; 0: never",
        "n G",
        "int64",
        _COUNT,
    ),
    dataset(
        "probabilities",
        "the monitor's, at the prompt's end and after each token; NaN where there is none",
        "n G W",
        "float32",
        Values("number", 0, 1),
    ),
    dataset("threshold", "of each steering: below which probability", "Z", "float64", _UNIT),
    dataset("strength", "of each, in standard deviations", "Z", "float64"),
    dataset("steered_tokens", "as `tokens`, of responses that were steered", "Z n J", "int64", _COUNT),
    dataset("steered_satisfied", "as `satisfied`, of these", "Z n J", "bool"),
    dataset("steered_truncated", "as `truncated`, of these", "Z n J", "bool"),
)
_PLANNING = (
    attribute("status", "why there are no scores; empty: there are"),
    dataset("ids", "of the n prompts", "n", "text"),
    dataset("groups", "subject of each", "n", "text"),
    dataset("satisfied", "satisfied responses to each", "n", "int64", _COUNT),
    dataset("samples", "responses that were not cut short", "n", "int64", _COUNT),
    dataset("folds", "test fold; −1: calibration", "S n", "int8", _FOLD),
    dataset("surface", "chance to satisfy by the prompt's surface, held out", "S n", "float64"),
    dataset("both", "by surface and prompt probe", "S n", "float64"),
    dataset("layers", "the prompt probe's layer; −1: there is none", "S K", "int64", Values("integer", -1)),
    dataset("penalties", "its C", "S K", "float64", Values("number", 0)),
    dataset("drawn_layers", "power control: the layer of each of D random directions", "D", "int64", _COUNT),
    dataset("drawn_satisfied", "`satisfied`, redrawn from the state along it", "D n", "int64", _COUNT),
    dataset("drawn_surface", "`surface` of these", "D n", "float64"),
    dataset("drawn_both", "`both` of these", "D n", "float64"),
)
_DRAWS = (
    dataset("row", "numbers of m rows of the table, from 0", "m", "int64", _COUNT),
    dataset("by_seed", "each fold seed's estimate of the row", "m S", "float64"),
    dataset("n_seeds", "how many of them count", "m", "int64", _COUNT),
    dataset("factor", "by how much draws' deviations are multiplied", "m", "float64", Values("number", 1)),
    dataset(
        "drawn/<row>",
        "the estimate on each draw of subjects, of the m rows from 0",
        "B",
        "float64",
        optional=True,
    ),
)

_CLAIM = (
    string(
        "verdict",
        "docs/findings.md",
        *(
            case(name, "")
            for name in (
                "supported",
                "supported, planning untested",
                "supported, not beyond likelihood",
                "contradicted",
                "inconclusive",
                "insufficient",
            )
        ),
    ),
    key("claim", "in words"),
    string("scope", "which pairs of responses it is about", case("across", ""), case("within", "")),
    key("estimate", "what the rule is about; null without one", "number or none"),
    key("interval", "[lower, upper]; null without one", "list or none"),
    key("level", "of the interval, 0.99 or more", "number"),
    key("rule", "the rule in words"),
    key("reason", "why it is insufficient, or what was left open"),
    key("tasks", "names of the tasks that count", "list"),
    key(
        "n",
        "`tasks` that count, `fewest_tasks` of any model, tested `responses`, and their `subjects`",
        "object",
    ),
    key("rules_version", "of the rules", "integer", 1),
    key("models", "of `all models`: which the mean is over", "list", optional=True),
    key(
        "counted",
        "of `all models`: models by verdict, at a level that holds for all at once",
        "object",
        optional=True,
    ),
    key("secondary", "the finding in the other scope; null without one", "object or none", optional=True),
    key("paper", "what the paper `says`, and the numbers that it `reported`", "object", optional=True),
)
_FETCHED = (
    key("source", "its id on the hub, or the package"),
    key("revision", "the commit that was found; of judges on the hub", optional=True),
    key("sha256", "of the package's wheel; of judges of packages", optional=True),
    key("folder", "where its files are, below the working directory; of judges of packages", optional=True),
)
_HEAD = (
    key("source", "of a judge that was downloaded", optional=True),
    *_FETCHED[1:],
    key("quality", "its row of tables/judges.csv", "object"),
    key(
        "head",
        "`labels`, `penalty`, and of each label the `intercepts` and `weights` of multinomial logistic "
        "regression on unit vectors of the encoder",
        "object",
    ),
)
_FETCHED_MODEL = (
    key("source", "as in its entry"),
    key("revision", "the commit that was found; of models on the hub", optional=True),
    key("sha256", "of the file; of GGUF files", optional=True),
    key("sampling", "what its generation_config.json says of sampling", "object"),
)
_CONVERTED = (
    key("folder", "where the model is now, below the working directory"),
    key("sha256", "of the file that it was made of"),
    key("sampling", "nothing: such files don't say how they are meant to be sampled", "object"),
)
_MONITOR = (
    dataset("first", "tokens of the response from which on a stage is read; −1: at EOS", "M", "int32"),
    dataset("weights", "of raw activations at the card's layer", "M d", "float32"),
    dataset("intercepts", "the decision value is x · weights + intercept", "M", "float32"),
    dataset(
        "calibration",
        "slope and intercept: the probability is 1 / (1 + exp(−(slope · decision value + intercept)))",
        "M 2",
        "float32",
    ),
)
_MONITORED = (
    attribute("positions", "names of the P positions, in their order", Values("list")),
    dataset("ids", "of each response, as in labels/", "n", "text"),
    dataset("groups", "its subject", "n", "text"),
    dataset("labels", "1: satisfied", "n", "int8", _LABEL),
    dataset("folds", "its test fold; −1: a calibration subject, which is in none", "S n", "int8", _FOLD),
    dataset("tokens", "how many tokens of the response there are up to the position", "P n", "int64"),
    dataset("valid", "whether the response has the position to itself", "P n", "bool"),
    dataset(
        "probabilities",
        "of satisfaction, by a monitor that never saw the subject; NaN where there is none",
        "S P n",
        "float32",
        Values("number", 0, 1),
    ),
)
_TRIVIAL = (
    attribute("kinds", "names of the V trivial monitors, in their order", Values("list")),
    attribute("stages", "names of the M stages", Values("list")),
    attribute("status", "why there are none, or empty"),
    dataset("ids", "of each response, as in labels/", "n", "text"),
    dataset("inner_auroc", "in the inner folds, at each stage", "V S K M", "float64", Values("number", 0, 1)),
    dataset(
        "probabilities",
        "of satisfaction, by one that never saw the subject; NaN where there is none",
        "V S P n",
        "float32",
        Values("number", 0, 1),
    ),
    dataset(
        "best",
        "the same of the one that counts at the position's stage",
        "S P n",
        "float32",
        Values("number", 0, 1),
    ),
)

# In any folder.
SEALS = ".<name>.sha256"
_ACTIVATIONS = "Hidden states of P positions, n responses and d dimensions, at every layer."
# What the axes of datasets are.
AXES = {
    "n": "responses (of planning and pools: prompts)",
    "P": "positions",
    "d": "hidden dimensions (of surface probes: features)",
    "S": "fold seeds",
    "K": "test folds",
    "C": "penalties",
    "L": "shufflings of the labels",
    "T": "tasks",
    "B": "draws of subjects",
    "k": "directions",
    "R": "random subspaces",
    "D": "random directions",
    "m": "rows of the table that have draws",
    "M": "stages of a response",
    "G": "independent responses to a prompt",
    "J": "steered responses to a prompt",
    "V": "trivial monitors",
    "W": "the prompt's end and tokens",
    "Z": "steerings",
    "2": "slope and intercept",
}


def _manifest(folder: str, when: str = "") -> File:
    return File(
        (f"{folder}/<model>/<task>/<shard>.json",),
        "The shard's manifest: what it must hold to be whole.",
        JSON,
        _MANIFEST,
        when=when,
    )


def _lines(path: str, what: str, fields: tuple[Field, ...], each: str, when: str = "") -> File:
    return File((path,), what, LINES, fields, each=each, when=when)


_RESPONSE_FILES = (
    ("prompts/<task>/<shard>.jsonl", "Prompts.", _PROMPTS, "prompt"),
    ("responses/<model>/<task>/<shard>.jsonl", "Sampled responses.", _RESPONSES, "response"),
    ("labels/<model>/<task>/<shard>.jsonl", "Labelled responses.", _LABELLED, "response"),
)
_WITH_DRAWS = (
    *("generality", "transfer_summary", "ablation_summary", "layers", "time_summary"),
    *("monitors_summary", "specificity"),
)
SHARDS = (
    File(("activations/<model>/<task>/<shard>.h5",), _ACTIVATIONS, HDF5, _SHARD, ("",)),
    File(
        ("random_activations/<model>/<task>/<shard>.h5",),
        "The same of the model with random weights, at the probes' position.",
        HDF5,
        _SHARD,
        ("",),
        when="if `controls.random_weights`",
    ),
    File(
        ("crossing_activations/<model>/<task>/<shard>.h5",),
        "The same of the pairs in crossings/, at eos, with log-probabilities.",
        HDF5,
        (*_SHARD, _LOG_PROBABILITY),
        ("",),
    ),
)


def _probes(path: str, what: str, *groups: str, each: str = "", when: str = "") -> File:
    return File((path,), what, HDF5, _PROBE, groups, each, when)


FILES = (
    File(
        ("models/<model>.json",),
        "The model that was downloaded.",
        JSON,
        _FETCHED_MODEL,
        when="for models on the hub or in a package",
    ),
    File(
        ("converted/<model>.json",),
        "The folder that was made of a GGUF file.",
        JSON,
        _CONVERTED,
        when="for models that come as GGUF files",
    ),
    File(
        ("judges/<task>.json",),
        "The judge that was downloaded.",
        JSON,
        _FETCHED,
        when="for judges on the hub or in a package",
    ),
    File(
        ("heads/<task>.json",),
        "The head of a judge that was fitted to labelled texts.",
        JSON,
        _HEAD,
        when="for judges with `labelled`",
    ),
    *(_lines(*each) for each in _RESPONSE_FILES),
    *(
        _lines(
            f"pilot/{path}",
            f"The pilot's: {what[0].lower()}{what[1:]}",
            fields,
            each,
            "after `snakemake pilot`",
        )
        for path, what, fields, each in _RESPONSE_FILES
    ),
    PARTS[0],
    File(
        ("pilot/pilot.json",),
        "The settings that the pilot was asked with.",
        JSON,
        when="after `snakemake pilot`",
    ),
    File(("pilot/pilot.txt",), "The pilot's advice.", TEXT, when="after `snakemake pilot`"),
    SHARDS[0],
    _manifest("activations"),
    SHARDS[1],
    _manifest("random_activations", "if `controls.random_weights`"),
    _lines(
        "crossings/<model>/<task>/<shard>.jsonl",
        "Two constraints × two responses of one content request.",
        (*_LABELLED[:4], *_CROSSED[:1], *_LABELLED[5:], *_CROSSED[1:]),
        "pair of a constraint and a response",
    ),
    SHARDS[2],
    _manifest("crossing_activations"),
    _probes(
        "probes/specialist/<model>/<task>/<layer>.h5",
        "Specialist probes of one task at one layer.",
        "<scope>",
        each="scope",
    ),
    _probes(
        "probes/general/<model>/<layer>.h5",
        "General probes at one layer; weights are the same for all tasks that were trained on.",
        "<scope>/<variant>/<task>",
        each="scope, variant, and task that it is tested on",
    ),
    _probes(
        "probes/surface/<model>/<task>.h5",
        "Controls that see only the surface of prompt or response.",
        "<baseline>",
        each="baseline",
    ),
    _probes(
        "probes/random/<model>/<task>.h5",
        "Specialists on the model with random weights, across prompts.",
        "<layer>",
        each="layer",
        when="if `controls.random_weights`",
    ),
    _probes(
        "probes/wordings/<model>/<layer>.h5",
        "Probes trained on some wordings of the instruction and tested on others; without weights.",
        "<task>/<scope>/<contrast>/<trained on>/<tested on>",
        each="task, scope, contrast, training and test",
    ),
    File(
        ("probes/transfer/<model>/<layer>.h5",),
        "Every task's specialist on the responses of every task.",
        HDF5,
        _TRANSFER,
        ("<scope>/<target>",),
        "scope and target",
    ),
    File(
        ("probes/refits/<model>.h5",),
        "Probes fitted anew on draws of subjects, at the selected layers: how they order responses.",
        HDF5,
        _REFITS,
        ("<scope>",),
        "scope",
    ),
    File(
        ("ablation/<model>/selected.json",),
        "The layer at which claims about erasure are decided, and erasers fitted anew.",
        JSON,
        _SELECTED,
    ),
    File(
        ("ablation/<model>/<layer>.h5",),
        "Decision values after each task's signal was erased, at one layer.",
        HDF5,
        _ABLATION,
        ("<scope>/<target>",),
        "scope and target",
    ),
    File(
        ("monitors/<model>/<task>.safetensors",),
        "A monitor: one probe and calibration for each stage of a response (docs/monitor.md has its card).",
        SAFETENSORS,
        _MONITOR,
    ),
    File(
        ("monitors/<model>/<task>.h5",),
        "What monitors say of held-out subjects, at every stored position.",
        HDF5,
        _MONITORED,
        ("",),
        "response",
    ),
    File(
        ("monitors/<model>/trivial/<task>.h5",),
        "What trivial monitors, which don't look into the model, say of the same responses.",
        HDF5,
        _TRIVIAL,
        ("",),
        "response",
    ),
    File(
        ("erasers/<model>/<layer>.h5",),
        "INLP's erasers across prompts of `ablation.max_rank` directions or fewer, and random subspaces.",
        HDF5,
        _ERASER,
        ("tasks/<source>/<fold>", "random/<fold>"),
        "source and fold that it was not fitted on",
    ),
    _probes(
        "time/<model>/<layer>.h5",
        "Probes over time (a course): trained at each position, carried back from eos, or forward from the "
        "prompt's end; without weights.",
        "<task>/<scope>/<probe>/<position>",
        each="task, scope, probe and position",
        when="as tables/time.csv",
    ),
    _probes(
        "time/<model>/baselines/<task>.h5",
        "Baselines that see only the text so far; without weights.",
        "<scope>/<baseline>/<position>",
        each="scope, baseline and position",
        when="as tables/time.csv",
    ),
    File(
        ("time/<model>/planning/<task>.h5",),
        "How well a prompt's surface and its last state foretell the responses.",
        HDF5,
        _PLANNING,
        ("",),
        when="as tables/time.csv",
    ),
    _lines(
        "behaviour/<model>/<task>.jsonl",
        "Responses that were written while hidden states were edited.",
        (_CONDITION, key("task", "the task's name"), *_LABELLED),
        "condition and response",
        "if `behaviour.bases` is above 0",
    ),
    _lines(
        "behaviour/<model>/<task>.perplexity.jsonl",
        "How well unconstrained responses are predicted under each condition.",
        (
            key("task", "the task's name"),
            _CONDITION,
            _ANSWER[0],
            *_ANSWER[2:],
            key("nll", "negative log-likelihood of the response in nats, sum over tokens", "number", 0),
            key("tokens", "their number", "integer", 0),
        ),
        "condition and response",
        "if `behaviour.bases` is above 0",
    ),
    File(
        ("guard/<model>/<task>.h5",),
        "A pool: independent responses to prompts about new subjects, read by the monitor, and steered ones.",
        HDF5,
        _POOL,
        ("",),
        "prompt",
        "if `guard.bases` is above 0",
    ),
    _lines(
        "guard/<model>/<task>.jsonl",
        "The responses of the pool, and steered ones.",
        (key("condition", "`plain`, or `steer:` and the strength"), *_LABELLED),
        "condition and response",
        "if `guard.bases` is above 0",
    ),
    *TABLES,
    File(("tables/compliance.txt",), "Compliance for a terminal.", TEXT),
    File(
        tuple(f"tables/{name}/<model>.h5" for name in _WITH_DRAWS),
        "Bootstrap draws of the table's main rows, to pool models and to compare studies.",
        HDF5,
        _DRAWS,
        ("",),
    ),
    File(
        ("findings.json",),
        "The verdict on each claim: {model: {claim: finding}}, and of `all models` if there are several.",
        JSON,
        _CLAIM,
        ("<model>/<claim>",),
        "model and claim",
    ),
    *PARTS[1:],
    File(("calibration.md",), "docs/calibration.md of this study.", TEXT, when="after `snakemake calibrate`"),
    *FIGURES,
    File(
        tuple(
            path.removesuffix("csv") + ending
            for ending in ("svg", "png")
            for each in FIGURES
            for path in each.paths
        ),
        "The figures; the numbers in each are in the CSV beside it.",
        PICTURE,
    ),
    File(
        tuple(
            f"report/{name}.html"
            for name in ("overview", "examples", "methods", "findings", "compliance", "generality")
        ),
        "The report's own pages.",
        PAGE,
    ),
    File(("report/config.json",), "The completed config of the study.", JSON),
    File(("report.html",), "The report.", PAGE, when="after `snakemake --report`"),
    File(
        ("logs/",),
        "What jobs wrote; `logs/controller.lock` is there while a run is active, and after it.",
        TEXT,
    ),
    File(("benchmarks/",), "Time and memory of each job, by Snakemake.", TEXT),
    File(
        (SEALS,),
        "Seal of the JSON lines or CSV beside it, as `sha256sum` writes it; jobs refuse a file that differs.",
        TEXT,
    ),
)
# Below results/toy/.
TOYS = (
    _lines(
        "corpus.jsonl",
        "Training examples of the toy models.",
        (
            key("prompt", "the request, with constraints or without"),
            key("response", "an answer"),
            key(
                "satisfied",
                "whether it satisfies the constraint; null without one, or with several",
                "true, false or none",
            ),
        ),
        "example",
        "after `snakemake train_toy_models`",
    ),
    File(
        ("models/<toy>/model.safetensors",),
        "Weights of a toy model, in a Hugging Face model folder.",
        SAFETENSORS,
        when="after `snakemake train_toy_models`",
    ),
    File(("cards/<toy>.md",), "Its model card.", TEXT, when="after `snakemake train_toy_models`"),
)


def place_in(file: File, path: str | Path) -> str:
    """Where in a study's folder the path lies if it is such a file: "tables/time/toy-llama.csv"; else ""."""
    parts = Path(path).parts
    if SEALS in file.paths:
        return parts[-1] if parts and fits(SEALS, parts[-1]) else ""
    for pattern in file.paths:
        length = pattern.count("/") + 1
        if pattern.endswith("/"):
            if (folder := pattern[:-1]) in parts[:-1]:
                return "/".join(parts[parts.index(folder) :])
        elif len(parts) >= length and fits(pattern, place := "/".join(parts[-length:])):
            return place
    return ""


def by_place(path: str | Path) -> File | None:
    """The kind of file that lies at such a path, the one that says most of it; None for a foreign path."""
    places = {}
    for each in (*FILES, *TOYS):
        if place := place_in(each, path):
            # "<task>" may be "topic.perplexity".
            plain = min(len(re.sub("<.*?>", "", pattern)) for pattern in each.paths)
            places.setdefault((place.count("/"), plain), each)
    return places[max(places)] if places else None


def by_names(form: str, names: Iterable[str]) -> list[File]:
    """Kinds of files of this format that have just these columns, keys or datasets."""
    names = set(names)
    return [each for each in (*FILES, *TOYS) if each.format == form and lacks(each, names) == (set(), set())]


def stored(file: File) -> tuple[Field, ...]:
    """Its columns or keys; of HDF5 its datasets, without attributes."""
    return tuple(each for each in file.fields if each.shape or file.format != HDF5)


def lacks(file: File, names: Iterable[str]) -> tuple[set[str], set[str]]:
    """Of columns, keys or datasets: which of the names the catalogue lacks, and which of its own are missing.
    A kind of file without any lacks all."""
    names, known = set(names), stored(file)
    missing = {
        each.name for each in known if not each.optional and not any(fits(each.name, name) for name in names)
    }
    return {name for name in names if named(known, name) is None}, missing
