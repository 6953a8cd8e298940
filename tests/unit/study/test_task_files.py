"""What a study refuses of a task's file before any job, with which sentence; and what it takes."""

import re
import sys
import textwrap

import pytest
from made.configs import study
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels import judges
from skillprobe.study.config import complete
from skillprobe.study.task_files import check_task
from skillprobe.tasks.world import load_world

WORLD = load_world("toy")
RULED = """
from skillprobe.tasks.base import Phrasing, Task, Verdict, make_phrasings, needed


class Shouting(Task):
    name = "shouting"
    category = "stylistic"
    draws = ("terms",)
    phrasings = make_phrasings(
        name,
        human=("{request} Shout {term}.",),
        human_negated=("{request} Do not whisper {term}.",),
        plm=("HERE IS {subject} AND {term}:",),
        entailment=("{request} It shouts {term}.",),
    )

    def sample_params(self, rng, world):
        return {"term": rng.choice(world.terms)}

    def check_params(self, params):
        self.check_keys(params, required=("term",))

    def describe(self, params):
        return {"term": params["term"]}

    def verify(self, text, params, judge=None):
        return Verdict(params["term"].upper() in text, {"length": len(text)})


TASK = Shouting()
"""
JUDGED = """
from skillprobe.tasks.base import LabelTask, Task, Verdict, make_phrasings


class Shouting(LabelTask):
    name = "shouting"
    category = "stylistic"
    labels = ("loud", "quiet")
    phrasings = make_phrasings(
        name,
        human=("{request} Be {label}.",),
        plm=("{subject}, {label}:",),
        entailment=("{request} Is {label}.",),
    )


TASK = Shouting()
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write tasks/<name>.py with replacements in its text; returns how messages call it."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(folder)])
    before = set(sys.modules)

    def make(*replaced, text=RULED, name="shouting"):
        for old, new in zip(replaced[::2], replaced[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        (folder / f"{name}.py").write_text(text)
        return str(folder / f"{name}.py")

    yield make
    for module in set(sys.modules) - before:
        if module.startswith("skillprobe.tasks."):
            sys.modules.pop(module)
            vars(tasks).pop(module.rpartition(".")[2], None)


def refused(write, message, *replaced, text=RULED):
    file = write(*replaced, text=text)
    with pytest.raises(UserError) as caught:
        check_task("shouting", WORLD)
    said = str(caught.value)
    assert said.startswith(file) and re.search(message, said[len(file) :]), said
    assert "\n" not in said and len(said) < len(file) + 400


@pytest.mark.parametrize("text", [RULED, JUDGED], ids=["ruled", "judged"])
def test_a_task_of_either_kind_is_taken(write, text):
    write(text=text)
    check_task("shouting", WORLD)
    check_task("shouting", load_world("general"))


ATTRIBUTES = [
    ("lacks the attribute 'category'; add it", '    category = "stylistic"\n', ""),
    ("name is 'whisper', but the file's is 'shouting'", 'name = "shouting"', 'name = "whisper"'),
    ("category must be one of .*stylistic, not 'stylistc' .did you mean 'sty", '"stylistic"', '"stylistc"'),
    ("category must be one of .*, not None", '"stylistic"', "None"),
    ("judged must be True or False, not 'yes'", "draws =", 'judged = "yes"\n    draws ='),
    (r"draws must be a tuple of .*, not 'terms'; write \('terms',\)", '("terms",)', '"terms"'),
    ("draws must be one of word_targets, .*, not 'term' .did you mean 'terms'", '("terms",)', '("term",)'),
    ("reads world.terms, which draws doesn't name; add it there", '("terms",)', "()"),
    (
        "clusters_with must be one of word_count, .*not 'topics' ",
        "draws =",
        'clusters_with = "topics"\n    draws =',
    ),
    ("clusters_with must be one of .*not 'shouting'", "draws =", 'clusters_with = "shouting"\n    draws ='),
]


@pytest.mark.parametrize(("message", "old", "new"), ATTRIBUTES)
def test_attributes_are_refused_by_name(write, message, old, new):
    refused(write, message, old, new)


def test_a_block_is_joined_by_its_own_name(write):
    joined = RULED.replace("shouting", "other").replace("draws =", 'clusters_with = "topic"\n    draws =')
    write(text=joined, name="other")
    check_task("other", WORLD)
    assert tasks.clusters_of(["other", "topic"]) == {"other": "topic"}
    message = "clusters_with is 'other', which itself joins 'topic'; write 'topic' here"
    refused(write, message, "draws =", 'clusters_with = "other"\n    draws =')


def another(*given):
    """One more phrasing, before the first method."""
    return f"    phrasings += (Phrasing(*{given}),)\n\n    def sample"


PHRASINGS = [
    (
        "phrasings must be what make_phrasings returns, not 'Shout'",
        "phrasings = make_phrasings(",
        'phrasings = "Shout"\n    unused = make_phrasings(',
    ),
    ("phrasings is empty", "phrasings = make_phrasings(", "phrasings = ()\n    unused = make_phrasings("),
    ("'whisper.human.1': its id must begin with 'shouting.'", "        name,\n", '        "whisper",\n'),
    ("phrasing 'shouting.entailment.1': another one has the same", "It shouts {term}", "Shout {term}"),
    (
        "two phrasings have the id 'shouting.human.1'",
        "    def sample",
        another("shouting.human.1", "human", "positive", "{request} X {term}"),
    ),
    (
        "'shouting.x': instruction_type must be one of human, plm, entailment, not 'humn' .did",
        "    def sample",
        another("shouting.x", "humn", "positive", "{request} X {term}"),
    ),
    (
        "'shouting.x': polarity must be one of positive, negated, not None",
        "    def sample",
        another("shouting.x", "human", None, "{request} X {term}"),
    ),
    (
        "'shouting.x': the template must be a text, not 3",
        "    def sample",
        another("shouting.x", "human", "positive", 3),
    ),
    (
        "'shouting.human.1': the template has the field {trem} .did you mean 'term'.*request, subject, term$",
        "Shout {term}",
        "Shout {trem}",
    ),
    ("'shouting.human.2': the template has the field {0}", "whisper {term}", "whisper {0}"),
    ("'shouting.plm.1': the template has the field {}", "AND {term}", "AND {}"),
    (
        "'shouting.human.1': the template can't be filled in .ValueError: .*; write {{ and }} for",
        "Shout {term}",
        "Shout {term} {",
    ),
    ("'shouting.human.1': the template can't be filled in .AttributeError", "Shout {term}", "Shout {term.x}"),
    ("'shouting.plm.1': the template has neither {request} nor {subject}", "{subject} AND", "AND"),
    (
        "'shouting.entailment.1': the prompt is the same for the params {'term': '.*'} and {'term': ",
        "shouts {term}",
        "shouts",
    ),
]


@pytest.mark.parametrize(("message", "old", "new"), PHRASINGS)
def test_phrasings_are_refused_by_id(write, message, old, new):
    refused(write, message, old, new)


METHODS = [
    (
        "sample_params must return a dict of what JSON",
        '{"term": rng.choice(world.terms)}',
        '{"term": (rng.choice(world.terms),)}',
    ),
    ("sample_params must return a dict", 'return {"term": rng.choice(world.terms)}', "pass"),
    ("line 18: sample_params fails .AttributeError: .*wrods", "world.terms", "world.wrods"),
    (
        "check_params refuses what sample_params draws: task 'shouting': 'term' is not one of",
        '("term",))',
        '("trem",) if "trem" in params else ())',
    ),
    ("describe must return a dict of fields .*, not 'x'", 'return {"term": params["term"]}', 'return "x"'),
    (
        "describe returns the field 'subject', which every template has",
        '{"term": params["term"]}',
        '{"term": params["term"], "subject": "x"}',
    ),
    ("line 24: describe fails .KeyError: 'trem'.; correct it", 'params["term"]}', 'params["trem"]}'),
    ("verify must return a Verdict, not ", "Verdict(", "("),
    (
        "verify: satisfied must be True or False, not 0; convert it by bool",
        'params["term"].upper() in text',
        'text.count("A")',
    ),
    ("verify: evidence must be a dict that JSON can hold", "len(text)", "float('nan')"),
    ("line 27: verify fails .ZeroDivisionError", "len(text)", "1 / len(text)"),
    (
        "verify refuses .*needs a judge.* .a judged task has judged = True",
        "return Verdict(",
        'needed(judge, "shouting")\n        return Verdict(',
    ),
]


@pytest.mark.parametrize(("message", "old", "new"), METHODS)
def test_methods_are_refused_by_name(write, message, old, new):
    refused(write, message, old, new)


def test_params_come_from_the_rng_that_is_given(write):
    refused(
        write,
        "other params for an equal rng; draw from the rng",
        *("rng.choice(world.terms)", "world.terms[next(self.turns)]"),
        *("    def sample", "    turns = iter(range(99))\n\n    def sample"),
    )


def test_a_task_without_a_name_is_refused(write):
    missing = ('    name = "shouting"\n', "", "        name,\n", '        "shouting",\n')
    refused(write, "lacks the attribute 'name'; add it", *missing)


LABELS = [
    ("is judged, but has no labels; add labels = ", '    labels = ("loud", "quiet")\n', ""),
    (r"labels must be a tuple of .*not 'loud'; write \('loud',\)", '("loud", "quiet")', '"loud"'),
    ("labels must be a tuple of different texts", '("loud", "quiet")', '("loud", "loud")'),
    (
        "word_lists must be one of topics, .*not 'topic' .did you mean 'topics'",
        "labels =",
        'word_lists = "topic"\n    labels =',
    ),
    ("labels are loud, quiet, but words are of food, ", "labels =", 'word_lists = "topics"\n    labels ='),
    ("word_lists is insults, the words of one label", "labels =", 'word_lists = "insults"\n    labels ='),
    ("words must be a dict", "labels =", 'words = ["ah"]\n    labels ='),
    (r"words\['quiet'\] is empty; give", "labels =", 'words = {"loud": ["ah"], "quiet": []}\n    labels ='),
    (
        r"words\['loud'\] must be a tuple of different texts, not 'ah'",
        "labels =",
        'words = {"loud": "ah"}\n    labels =',
    ),
    ("words has 'ah' twice", "labels =", 'words = {"loud": ["ah"], "quiet": ["AH"]}\n    labels ='),
]


@pytest.mark.parametrize(("message", "old", "new"), LABELS)
def test_what_a_judge_chooses_from_is_refused_by_name(write, message, old, new):
    refused(write, message, old, new, text=JUDGED)


BROKEN = [
    ("line 2: can't be imported .SyntaxError", "from skillprobe", "form skillprobe"),
    (
        "line 2: can't be imported .ImportError: cannot import name 'Tsak'",
        "import Phrasing, Task",
        "import Phrasing, Tsak",
    ),
    (
        "can't be imported .TypeError: Can't instantiate abstract class Shouting .*describe",
        "def describe",
        "def descibe",
    ),
    (
        r"can't be imported .UserError: human_negated must be a tuple of templates.*end it with a comma",
        '("{request} Do not whisper {term}.",)',
        '("{request} Do not whisper {term}.")',
    ),
    ("does not define TASK; define it there", "TASK =", "TAKS ="),
    (
        r"TASK is no object of a class derived from Task; write TASK = Shouting\(\)",
        "TASK = Shouting()",
        "TASK = Shouting",
    ),
    ("TASK is no object of a class derived from Task; make it one", "TASK = Shouting()", "TASK = 3"),
]


@pytest.mark.parametrize(("message", "old", "new"), BROKEN)
def test_a_file_that_holds_no_task_is_refused(write, message, old, new):
    refused(write, message, old, new)


def test_the_config_refuses_a_task_before_any_job_and_with_its_own_lists(root, write):
    file = write("Shout {term}", "Shout {trem}")
    with pytest.raises(UserError, match=f"^{re.escape(file)}: phrasing 'shouting.human.1'"):
        complete(study(tasks=["word_count", "shouting"], judges={}), root)


def test_a_lexicon_needs_words(root, write):
    file = write(text=JUDGED)
    config = study(tasks=["word_count", "shouting"], judges={"shouting": "lexicon"})
    refusal = (
        f"^judges.shouting: .* has no word lists .*; add `words` to {re.escape(file)}, or choose another"
    )
    with pytest.raises(UserError, match=refusal):
        complete(config, root)


def test_a_lexicon_reads_a_tasks_own_words(root, write):
    write("labels =", 'words = {"quiet": ["hush"], "loud": ["ah", "oh my"]}\n    unused =', text=JUDGED)
    config = complete(study(tasks=["shouting"], judges={"shouting": "lexicon"}), root)
    task = tasks.get("shouting")
    assert task.labels_in(WORLD) == ("loud", "quiet")
    judge = judges.for_task(task, config["judges"]["shouting"], WORLD)
    params = {"label": "loud", "labels": ["loud", "quiet"]}
    said = {
        text: task.verify(text, params, judge).satisfied for text in ("Oh my!", "ah, hush", "hush", "", "a")
    }
    assert said == {"Oh my!": True, "ah, hush": False, "hush": False, "": False, "a": False}


def test_a_judge_scores_a_single_label(root, write):
    write(
        *("(LabelTask)", "(Task)", '("loud", "quiet")', '("loud",)', "{label}", "loud"),
        "TASK =",
        textwrap.indent(
            textwrap.dedent("""
            judged = True
            words = {"loud": ["ah"]}

            def sample_params(self, rng, world):
                return {}

            def check_params(self, params):
                self.check_keys(params)

            def describe(self, params):
                return {}

            def verify(self, text, params, judge=None):
                found = judge.classify(text)
                return Verdict(found["scores"]["loud"] >= judge.threshold, found)
            """),
            "    ",
        )
        + "\n\nTASK =",
        text=JUDGED,
    )
    complete(study(tasks=["shouting"], judges={"shouting": "lexicon"}), root)
    judge = judges.for_task(tasks.get("shouting"), "lexicon", WORLD)
    found = [tasks.get("shouting").verify(text, {}, judge) for text in ("Ah!", "hush")]
    assert [verdict.satisfied for verdict in found] == [True, False]
    assert [verdict.evidence["label"] for verdict in found] == ["loud", None]


@pytest.mark.parametrize(
    "old, new, said",
    [
        (
            "text, params, judge=None",
            "text, params",
            r": verify doesn't take the arguments \(text, params, judge\); write def verify\(self, text, "
            r"params, judge\), as docs/tasks.md has it$",
        ),
        (
            "self, rng, world",
            "self, rng",
            r": sample_params doesn't take the arguments \(rng, world\); write",
        ),
        (
            "describe(self, params)",
            "describe(params)",
            r": describe doesn't take the arguments \(params\); write",
        ),
        (
            "check_params(self, params)",
            "check_params(self, params, least)",
            r": check_params doesn't take .*\(params\)",
        ),
        (
            'required=("term",)',
            'required="term"',
            r"check_keys takes a tuple of required keys, not the text 'term'; write required=\('term',\)$",
        ),
    ],
)
def test_methods_with_other_arguments_are_named_with_those_that_they_get(write, old, new, said):
    refused(write, said, old, new)


def test_arguments_may_have_other_names(write):
    write(
        "text, params, judge=None",
        "answer, params, *rest",
        "in text, {",
        "in answer, {",
        "len(text)",
        "len(answer)",
    )
    check_task("shouting", WORLD)
