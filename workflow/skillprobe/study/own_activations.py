"""Studies of activations of the user's own (docs/interop.md): what of the config is theirs to say, and what
can't be computed without the model."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from skillprobe import tasks
from skillprobe.errors import UserError, suggestion
from skillprobe.prompts.own import WORDING
from skillprobe.study.slices import on_given_activations
from skillprobe.study.sources import as_from, path_of

# Keys of a model's entry that are of a model which is loaded.
_LOADED = ("revision", "sha256", "answers", "device_map", "attn_implementation", "prompt_format")
_LOADED += ("temperature", "top_p", "top_k", "max_new_tokens")


def check_sources(config: Mapping) -> None:
    """Raises UserError for a model with neither `source` nor `activations` or with both, and for a study that
    has models of both kinds."""
    for number, entry in enumerate(config["models"]):
        where = f"models[{number}] (model '{entry['name']}')"
        if entry["source"] is None and entry["activations"] is None:
            raise UserError(
                f"{where}: source is missing; give the model's folder, file or Hub id, or, for activations "
                "that are there already, activations"
            )
        if entry["activations"] is None:
            continue
        for key in ("source", *_LOADED):
            if entry[key] is not None:
                raise UserError(
                    f"{where}: {key} is of a model that is loaded, but activations are given; remove it"
                )
    kinds = {entry["activations"] is None for entry in config["models"]}
    if len(kinds) > 1:
        raise UserError(
            "models has some with activations and some without; make a study for each kind, and put them "
            "side by side with `skillprobe compare`"
        )


def use_activations(config: dict, root: Path) -> None:
    """Of a study of given activations, put into the config what its folders say: layers, positions, how many
    items, bases and samples there are ("found"); and leave out what would need the model. Raises UserError
    for folders that can't be used, and for those of several models that are not of the same groups."""
    if not on_given_activations(config):
        for name in config["tasks"]:
            if tasks.get(name).given:
                raise UserError(
                    f"tasks contains '{name}', whose labels come with activations of your own "
                    f"({tasks.file_of(name)}); remove it, or give models with activations"
                )
        return
    if config["prompts"]["file"] is not None:
        raise UserError(
            "prompts.file is given, but models has activations, which are of prompts of their own; remove one"
        )
    cards = [_card(config, number, root) for number in range(len(config["models"]))]
    first = config["models"][0]["name"]
    for number, card in enumerate(cards):
        where = f"models[{number}].activations (model '{config['models'][number]['name']}')"
        for what in ("groups", "positions"):
            if card[what] != cards[0][what]:
                raise UserError(
                    f"{where}: it has other {what} than model '{first}' "
                    f"({_differing(card[what], cards[0][what])}); "
                    "models of one study need the same; make a study for each, or import them alike"
                )
    if config["probes"]["position"] not in cards[0]["positions"]:
        raise UserError(
            f"probes.position is '{config['probes']['position']}', but the activations are of "
            f"{', '.join(cards[0]['positions'])}; choose one of these"
        )
    _complete(config, cards)


def _card(config: dict, number: int, root: Path) -> dict:
    from skillprobe.activations.given import card_hash, read_card  # other studies need no numpy to be planned

    entry = config["models"][number]
    where = f"models[{number}].activations (model '{entry['name']}')"
    try:
        path = path_of(entry["activations"], root)
        card = read_card(path)
        entry["activations"] = as_from(root, path)
        if set("{}") & set(entry["activations"]):
            raise UserError("its path contains a brace, which Snakemake reads as a wildcard; rename it")
        if card["model"] != entry["name"]:
            raise UserError(
                f"the folder holds activations of '{card['model']}'; name the model so, or import them again "
                f"with --model {entry['name']}"
            )
        if entry["num_layers"] not in (None, card["num_layers"]):
            raise UserError(
                f"num_layers is {entry['num_layers']}, but the folder is of a model with "
                f"{card['num_layers']} blocks; remove it, or import the activations again with --num-layers"
            )
        for task in config["tasks"]:
            if task not in card["tasks"]:
                raise UserError(
                    f"it has no rows of the task {task}{suggestion(task, card['tasks'])}; the folder has "
                    f"{', '.join(card['tasks'])}: correct tasks, or import these rows too"
                )
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    entry["num_layers"], entry["hidden_size"] = card["num_layers"], card["hidden_size"]
    entry["given_layers"], entry["dtype"] = card["layers"], card["dtype"]
    # What identifies it, wherever a model's source does.
    entry["source"] = entry["activations"]
    entry["sha256"] = card_hash(path)
    return card


def _complete(config: dict, cards: list[dict]) -> None:
    studied = {name: [card["tasks"][name] for card in cards] for name in config["tasks"]}

    def most(key: str) -> dict[str, int]:
        return {name: max(about[key] for about in own) for name, own in studied.items()}

    found = {
        "sha256": [entry["sha256"] for entry in config["models"]],
        "groups": len(cards[0]["groups"]),
        "bases": max(card["bases"] for card in cards),
        "constrained": most("items"),
        "unconstrained": most("unconstrained_items"),
        "crossed": dict.fromkeys(studied, 0),
        "worded": {
            name: [key for key in WORDING if all(key in about["worded"] for about in own)]
            for name, own in studied.items()
        },
        "texts": all(card["texts"] for card in cards),
        "lengths": all(card["lengths"] for card in cards),
    }
    positions = cards[0]["positions"]
    found["untimed"] = _untimed(config, cards, positions)
    config["prompts"] |= {"found": found, "bases": found["bases"]}
    config["activations"] = config["activations"] | {"positions": positions, "dtype": "auto"}
    config["generation"] = config["generation"] | {
        "samples": max(most("samples").values()),
        "twin_samples": max(most("unconstrained_samples").values()),
        # One job takes all of a task.
        "block": found["bases"],
    }
    # What isn't known can't be regressed out.
    unknown = set() if found["lengths"] else {"response_length"}
    if not all("phrasing" in keys for keys in found["worded"].values()):
        unknown |= {"phrasing"}
    confounds = [name for name in config["probes"]["confounds"] if name not in unknown]
    config["probes"] = config["probes"] | {"confounds": confounds}
    # Without the model nothing is written, crossed or initialised anew.
    config["behaviour"] = config["behaviour"] | {"bases": 0}
    config["guard"] = config["guard"] | {"bases": 0}
    config["labels"] = config["labels"] | {"crossings": 0}
    config["controls"] = config["controls"] | {"random_weights": False}


def _untimed(config: Mapping, cards: list[dict], positions: list[str]) -> str:
    """Why there is no time course, "" where there is one."""
    if lacking := [name for name in ("prompt_100", "eos") if name not in positions]:
        return f"the activations have no position {' or '.join(lacking)}"
    if not all(card["texts"] for card in cards):
        return "not all rows have a prompt and a response, which the baselines read"
    if not all(card["characters"] for card in cards):
        return "the rows don't say how many characters of the response there are up to each position"
    if given := [name for name in config["tasks"] if tasks.get(name).given]:
        return f"no rule tells of a text so far whether it satisfies {', '.join(given)}"
    # Nothing tells whether given responses are in the language that a lexicon judge knows.
    able = {
        name for name, judge in config["judges"].items() if isinstance(judge, Mapping) or judge == "formality"
    }
    if unjudged := [name for name in config["tasks"] if tasks.get(name).judged and name not in able]:
        names = ", ".join(unjudged)
        return (
            f"no judge but a lexicon is named that could tell of a text so far whether it satisfies {names}"
        )
    if not all(card["params"] for card in cards):
        return "not all rows have params, by which the text so far is verified"
    if not all(card["lengths"] for card in cards):
        return "not all rows have token_ids or a response_length"
    return ""


def missing(config: Mapping) -> Iterator[str]:
    """Sentences on what a study of given activations can't compute; none for other studies."""
    if not on_given_activations(config):
        return
    yield (
        "activations are given and no model is loaded, so nothing is edited while it writes (behaviour), no "
        "monitor acts (guard), nothing is crossed (specificity is insufficient) and there is no "
        "random-weight model"
    )
    found = config["prompts"]["found"]
    if found["untimed"]:
        yield f"{found['untimed']}, so there is no course over time, no planning and no monitor"
    if not found["texts"]:
        yield (
            "not all rows have a prompt and a response, so there are no surface baselines (length, words) "
            "and no examples"
        )
    if not found["lengths"]:
        yield (
            "not all rows have token_ids or a response_length, so lengths are not regressed out "
            "(probes.confounds)"
        )
    if unnamed := [name for name in config["tasks"] if len(found["worded"][name]) < len(WORDING)]:
        yield (
            f"the rows of {', '.join(unnamed)} lack a phrasing, instruction_type or polarity, so these are "
            "not compared (wording, robustness), and phrasings not regressed out"
        )
    if not any(found["unconstrained"].values()):
        yield "there are no responses to unconstrained prompts to compare with"


def _differing(own: list[str], others: list[str]) -> str:
    more = sorted(set(own) ^ set(others))
    return f"such as {more[0]!r}" if more else "in another order"
