"""What every task is, and what kindred tasks (counts, terms, judged labels) share."""

import operator
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from skillprobe.errors import UserError
from skillprobe.tasks.world import REPLACEABLE, World

INSTRUCTION_TYPES = ("human", "plm", "entailment")
POLARITIES = ("positive", "negated")

# Evidence goes into every labelled row, so long lists and long texts in it are cut.
EVIDENCE_ITEMS = 20
EVIDENCE_CHARACTERS = 80
# What a text may go on with and change its last word: nothing, a letter, a mark.
ENDINGS = ("", "a", "\N{COMBINING ACUTE ACCENT}")


@dataclass(frozen=True)
class Verdict:
    """Whether the response obeys the constraint, and why: JSON-able and small, never the whole text."""

    satisfied: bool
    evidence: dict


@dataclass(frozen=True)
class Phrasing:
    """One wording of a constraint: a template with {request}, {subject} and the fields of `describe`.

    instruction_type: "human" (a plain request), "plm" (a prefix to continue) or "entailment" (a statement
    that must hold); polarity: "negated" where the wording says what not to do, "positive" otherwise.
    """

    id: str
    instruction_type: str
    polarity: str
    template: str


def make_phrasings(
    task: str,
    *,
    human: Sequence[str],
    human_negated: Sequence[str] = (),
    plm: Sequence[str],
    entailment: Sequence[str],
) -> tuple[Phrasing, ...]:
    """Phrasings with ids such as "word_count.human.2"; the negated ones are numbered after the others."""
    given = {"human": human, "human_negated": human_negated, "plm": plm, "entailment": entailment}
    for name, templates in given.items():
        if isinstance(templates, str):
            raise UserError(f'{name} must be a tuple of templates, not a text: end it with a comma, ("…",)')
    made = []
    for kind, positive, negated in (
        ("human", human, human_negated),
        ("plm", plm, ()),
        ("entailment", entailment, ()),
    ):
        for number, template in enumerate([*positive, *negated], start=1):
            polarity = "positive" if number <= len(positive) else "negated"
            made.append(Phrasing(f"{task}.{kind}.{number}", kind, polarity, template))
    return tuple(made)


class Task(ABC):
    """A verifiable constraint. A subclass gives the attributes and the four methods (docs/tasks.md).

    name: the module's; category: one of `skillprobe.tasks.CATEGORIES`; clusters_with: the task whose block it
    joins in the test of clusters (docs/definitions.md, "Transfer"), "" for a block of its own; draws: which
    of the lists that a config may replace (`skillprobe.tasks.world.REPLACEABLE`) `sample_params` reads.

    given: whether its labels come with activations of the user's own, so that nothing is asked or verified.
    judged: whether `verify` needs a judge (`skillprobe.labels.judges`), because no rule on the text decides.
    The judge gives one of several `labels`, or the score of a single one. words: the words that decide each
    label, for lexicon judges; word_lists: the world's field with such words, instead. Of several labels
    either stands for `labels`, too.
    """

    name: str
    category: str
    phrasings: tuple[Phrasing, ...]
    clusters_with: str = ""
    draws: tuple[str, ...] = REPLACEABLE
    given: bool = False
    judged: bool = False
    labels: tuple[str, ...] = ()
    words: Mapping[str, Sequence[str]] = MappingProxyType({})
    word_lists: str = ""

    @abstractmethod
    def sample_params(self, rng: random.Random, world: World) -> dict:
        """Params drawn from the world's targets and lists."""

    @abstractmethod
    def check_params(self, params: dict) -> None:
        """Raise UserError, naming task and key, for params that the task doesn't take."""

    @abstractmethod
    def describe(self, params: dict) -> dict[str, str]:
        """The fields that the phrasings' templates need."""

    @abstractmethod
    def verify(self, text: str, params: dict, judge=None) -> Verdict:
        """Whether `text` obeys. Raises UserError for wrong params, or where a judge is needed and missing.

        An empty text satisfies only term_exclusion, toxicity and upper bounds.
        """

    def is_lost(self, text: str, params: dict, judge=None) -> bool:
        """Whether no text that begins with `text` can obey any more; False where that can't be told.

        `skillprobe.monitor.guard` asks this of a response that is being written. Arguments as of `verify`.
        """
        return False

    def words_in(self, world: World) -> Mapping[str, Sequence[str]]:
        """{label: words that decide it}, for a lexicon judge; {} where there are none."""
        words = getattr(world, self.word_lists) if self.word_lists else self.words
        return words if isinstance(words, Mapping) else {self.labels[0]: words}

    def labels_in(self, world: World) -> tuple[str, ...]:
        """What a judge chooses from, or the one label that it scores; in alphabetical order if of words."""
        return tuple(self.labels) or tuple(sorted(self.words_in(world)))

    def refuse(self, key: str, problem: str) -> UserError:
        return UserError(f"task '{self.name}': '{key}' {problem}")

    def check_keys(self, params: dict, required: Sequence[str] = (), optional: Sequence[str] = ()) -> None:
        """Raise UserError unless `params` is a mapping with the required keys and no unknown ones."""
        for name, keys in (("required", required), ("optional", optional)):
            if isinstance(keys, str):
                raise UserError(
                    f"task '{self.name}': check_keys takes a tuple of {name} keys, not the text {keys!r}; "
                    f"write {name}=({keys!r},)"
                )
        if not isinstance(params, dict):
            raise UserError(f"task '{self.name}': params must be an object, not {shown(params)}")
        for key in required:
            if key not in params:
                raise self.refuse(key, "is missing from params; give it")
        for key in params:
            if key not in (*required, *optional):
                known = ", ".join((*required, *optional)) or "none"
                raise self.refuse(shorten(str(key)), f"is not one of its params, which are: {known}")

    def check_choice(self, params: dict, key: str, choices: Sequence[str]) -> None:
        if not isinstance(params[key], str) or params[key] not in choices:
            raise self.refuse(key, f"must be one of {', '.join(choices)}, not {shown(params[key])}")

    def check_count(self, params: dict, key: str, least: int) -> None:
        value = params[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.refuse(key, f"must be a whole number of at least {least}, not {shown(value)}")

    def check_texts(self, params: dict, key: str) -> None:
        value = params[key]
        if not isinstance(value, list | tuple) or not value:
            raise self.refuse(key, f"must be a list of at least one text, not {shown(value)}")
        for item in value:
            if not isinstance(item, str) or not item.strip():
                raise self.refuse(key, f"must hold texts that are not empty, not {shown(item)}")

    def check_text(self, text: str) -> None:
        if not isinstance(text, str):
            raise UserError(f"task '{self.name}': the response must be a text, not {shown(text)}")


class CountTask(Task):
    """So many of something. A subclass names it (`noun`), its counting rules and the world's targets."""

    category = "structural"
    noun: str
    option: str  # the optional param that chooses the rule of counting
    options: tuple[str, ...]
    targets: str  # the world's field with what n may be

    @property
    def draws(self) -> tuple[str, ...]:
        return (self.targets,)

    @abstractmethod
    def count(self, text: str, rule: str | None) -> int:
        """How many there are in `text`, by one of `options` or, without one, by the task's own rule."""

    def sample_params(self, rng: random.Random, world: World) -> dict:
        return {"relation": rng.choice(list(RELATIONS)), "n": rng.choice(getattr(world, self.targets))}

    def check_params(self, params: dict) -> None:
        self.check_keys(params, required=("relation", "n"), optional=(self.option,))
        self.check_choice(params, "relation", tuple(RELATIONS))
        self.check_count(params, "n", least=0)
        if self.option in params:
            self.check_choice(params, self.option, self.options)

    def describe(self, params: dict) -> dict[str, str]:
        self.check_params(params)
        n, relation = params["n"], RELATIONS[params["relation"]]
        noun = self.noun if n == 1 else f"{self.noun}s"
        return {
            "n": str(n),
            "relation": relation.wording,
            "amount": f"{relation.wording} {n} {noun}",
            "not_amount": relation.negation.format(n=n, nouns=f"{self.noun}s", noun=noun),
        }

    def verify(self, text: str, params: dict, judge=None) -> Verdict:
        self.check_params(params)
        self.check_text(text)
        count = self.count(text, params.get(self.option))
        relation = RELATIONS[params["relation"]]
        holds = relation.holds(count, params["n"]) and (text != "" or relation.upper_bound)
        return Verdict(holds, {"count": count})

    def is_lost(self, text: str, params: dict, judge=None) -> bool:
        n, relation = params["n"], RELATIONS[params["relation"]]
        if relation.holds(n + 1, n):  # Of lower bounds, more is better.
            return False
        least = self.count_at_least(text, params.get(self.option))
        return not any(relation.holds(count, n) for count in (least, n) if count >= least)

    def count_at_least(self, text: str, rule: str | None) -> int:
        """As many as every text has that begins with `text`. Here: the count up to the last blank, which
        nothing after it can change, and one for what the text ends with, unless it counts nothing."""
        last = re.split(r"\s", text)[-1]
        return self.count(text[: len(text) - len(last)], rule) + min(1, self.count(last, rule))


@dataclass(frozen=True)
class Relation:
    """A relation to n: its wording before n, the wording of its opposite, and the test of a count."""

    wording: str
    negation: str
    holds: Callable[[int, int], bool]
    upper_bound: bool = False


RELATIONS = {
    "exactly": Relation("exactly", "more or fewer than {n} {noun}", operator.eq),
    "at_least": Relation("at least", "fewer than {n} {noun}", operator.ge),
    "at_most": Relation("at most", "more than {n} {noun}", operator.le, upper_bound=True),
    "less_than": Relation("fewer than", "{n} or more {nouns}", operator.lt, upper_bound=True),
    "more_than": Relation("more than", "{n} or fewer {nouns}", operator.gt),
}


class TermTask(Task):
    """Something about terms, which are literal text."""

    category = "lexical"
    draws = ("terms",)
    options: tuple[str, ...] = ()

    def sample_params(self, rng: random.Random, world: World) -> dict:
        return {"terms": rng.sample(world.terms, min(rng.choice((1, 2)), len(world.terms)))}

    def check_params(self, params: dict) -> None:
        self.check_keys(params, required=("terms",), optional=(*self.options, "match"))
        self.check_texts(params, "terms")
        if "match" in params:
            self.check_choice(params, "match", ("word", "substring"))

    def describe(self, params: dict) -> dict[str, str]:
        """Fields `terms` (all of them) and `any_term` (one or the other)."""
        self.check_params(params)
        terms = params["terms"]
        phrases = sum(len(term.split()) > 1 for term in terms)
        if params.get("match") == "substring":
            noun = "string"
        else:
            noun = {0: "word", len(terms): "phrase"}.get(phrases, "term")
        noun += "s" if len(terms) > 1 else ""
        return {
            "terms": f"the {noun} {quoted_list(terms)}",
            "any_term": f"the {noun} {quoted_list(terms, 'or')}",
        }


class LabelTask(Task):
    """The configured classifier's label is the asked one."""

    judged = True
    draws = ()

    def sample_params(self, rng: random.Random, world: World) -> dict:
        labels = list(self.labels_in(world))
        return {"label": rng.choice(labels), "labels": labels}

    def check_params(self, params: dict) -> None:
        self.check_keys(params, required=("label", "labels"))
        self.check_texts(params, "labels")
        if len(set(params["labels"])) < max(2, len(params["labels"])):
            raise self.refuse(
                "labels", f"must be two or more different labels, not {shown(params['labels'])}"
            )
        self.check_choice(params, "label", params["labels"])

    def describe(self, params: dict) -> dict[str, str]:
        self.check_params(params)
        label = params["label"]
        article = "an" if label[0].lower() in "aeiou" else "a"
        return {
            "label": label,
            "a_label": f"{article} {label}",
        }

    def verify(self, text: str, params: dict, judge=None) -> Verdict:
        self.check_params(params)
        self.check_text(text)
        judge = needed(judge, self.name)
        known = getattr(judge, "labels", None)
        if known and params["label"] not in known:  # it would never be satisfied, whatever the text
            raise self.refuse("label", f"is {shown(params['label'])}, but the judge knows {listed(known)}")
        if text == "":
            return Verdict(False, {"label": None, "scores": {}})
        judged = judge.classify(text)
        return Verdict(judged["label"] == params["label"], judged)


def needed(judge, task: str):
    """The judge, or a UserError that says how to give one."""
    if judge is None:
        raise UserError(f"task '{task}' needs a judge: give --judge (or 'judge' in the config)")
    return judge


def listed(items: Sequence[str], last: str = "and") -> str:
    """A natural list: "a", "a and b", "a, b and c"."""
    return f" {last} ".join([part for part in (", ".join(items[:-1]), items[-1]) if part])


def quoted_list(items: Sequence[str], last: str = "and") -> str:
    return listed([f'"{item}"' for item in items], last)


def shorten(text: str) -> str:
    return text if len(text) <= EVIDENCE_CHARACTERS else text[:EVIDENCE_CHARACTERS] + "…"


class GivenTask(Task):
    """A task whose labels come with activations of the user's own (docs/interop.md). A file with nothing but
    `TASK = GivenTask("honesty", category="semantic")` makes one; arguments: as the attributes of `Task`."""

    given = True
    phrasings = ()
    draws = ()

    def __init__(self, name: str, category: str, clusters_with: str = ""):
        self.name, self.category, self.clusters_with = name, category, clusters_with

    def sample_params(self, rng, world):
        raise self._refusal()

    def check_params(self, params):
        """All are fine."""

    def describe(self, params):
        raise self._refusal()

    def verify(self, text, params, judge=None):
        raise self._refusal()

    def _refusal(self) -> UserError:
        return UserError(
            f"task '{self.name}': its labels come with activations of your own, and no rule decides it; "
            "leave it out of studies that ask models"
        )


def shown(value: object) -> str:
    """`value` for an error message: short whatever it is, as reprs of users' values can be huge or fail."""
    if isinstance(value, str):
        return repr(shorten(value))
    if value is None or isinstance(value, bool | float) or isinstance(value, int) and abs(value) < 10**20:
        return repr(value)
    return {int: "a huge number", list: "a list", dict: "an object"}.get(type(value), type(value).__name__)


def render(task: Task, phrasing: Phrasing, request: str, subject: str, params: dict) -> str:
    """The prompt: `request` may still hold `{subject}` or be filled in already."""
    request = request.replace("{subject}", subject)
    return phrasing.template.format(request=request, subject=subject, **task.describe(params))
