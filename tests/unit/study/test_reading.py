"""Config files are merged as Snakemake does it, and what is wrong in them is named by file and line."""

import re
import shutil

import pytest
import yaml
from made.configs import ROOT, make_folder
from skillprobe import cli
from skillprobe.errors import UserError
from skillprobe.study.reading import check_named, given, laid_over, merged, place_of, placed, read_config
from snakemake.utils import update_config

GOOD = """\
study: mine
models:
  - name: a
    source: models/a
prompts:
  # A comment.
  bases: 40
"""


@pytest.fixture
def mine(tmp_path):
    def write(text=GOOD, name="my.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "a: 1\nb: [1,\nc: 2\n",
            "line 4, column 1: no valid YAML, expected ',' or '.', but got .* which begins in line 2.; corr",
        ),
        (
            "a: 1\nb:\n\tc: 2\n",
            r"line 3, column 1: no valid YAML, found character '\\t' .*: indent with blanks, not",
        ),
        (
            "study: a: b\n",
            "line 1, column 9: no valid YAML, mapping values are not .*: quote a text that has ': '",
        ),
        ("a: 'x\n", "line 2, column 1: no valid YAML, found unexpected end of stream"),
        ("a: *x\n", "line 1, column 4: no valid YAML, found undefined alias"),
        (
            "prompts:\n  bases: 4\nseed: 1\nprompts:\n  world: toy\n",
            "line 4: the key 'prompts' is there twice .first in line 1",
        ),
        (
            "prompts:\n  bases: 4\n  bases: 5\n",
            "line 3: the key 'prompts.bases' is there twice .first in line 2",
        ),
        ("models:\n  - {name: a, name: b}\n", r"line 2: the key 'models\[0\].name' is there twice"),
        (b"a: 1\nb: \xff\n", "line 2: not UTF-8; save"),
    ],
)
def test_what_is_no_yaml_is_named_by_file_and_line(mine, text, message):
    path = mine(text)
    with pytest.raises(UserError) as caught:
        read_config(path)
    assert re.match(f"{re.escape(str(path))}, {message}", str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n", "a\n"])
def test_a_file_without_keys_is_refused(mine, text):
    with pytest.raises(UserError, match="my.yaml must have keys at its top level"):
        read_config(mine(text))


def test_a_file_that_is_not_there_is_named_with_one_that_is(mine, tmp_path):
    mine()
    with pytest.raises(
        UserError, match=r"^there is no config file .*/mi.yaml \(did you mean '.*/my.yaml'\?\); corr"
    ):
        read_config(tmp_path / "mi.yaml")
    with pytest.raises(UserError, match="can't be read"):
        read_config(tmp_path)


def test_files_are_merged_as_snakemake_does_it():
    below = yaml.safe_load((ROOT / "config.yaml").read_text())
    for path in sorted((ROOT / "workflow/studies").glob("*.yaml")):
        above = yaml.safe_load(path.read_text())
        theirs = yaml.safe_load((ROOT / "config.yaml").read_text())
        update_config(theirs, above)
        assert laid_over(below, above) == theirs
        files = [read_config(ROOT / "config.yaml"), read_config(path)]
        assert merged(files) == theirs and files[1].values == above


def test_the_place_of_a_key_is_in_the_last_file_that_has_it(mine):
    files = [
        read_config(mine("seed: 0\nprompts:\n  bases: 3\n  world: toy\n", "base.yaml")),
        read_config(mine()),
    ]
    base, own = (file.path for file in files)
    for message, place in (
        ("prompts.bases is 40, but ...", f"{own}, line 7"),
        ("prompts.world: no world", f"{base}, line 4"),
        ("unknown key 'bases' in prompts (did", f"{own}, line 7"),
        ("unknown key 'study'; the", f"{own}, line 1"),
        ("models[0].source (model 'a') must be", f"{own}, line 4"),
        # What isn't stated is in its section.
        ("models[0] (model 'a'): there is no", f"{own}, line 3"),
        ("models[0].num_layers is missing", f"{own}, line 3"),
        ("prompts.items_per_base must", f"{own}, line 5"),
        ("seed must be", f"{base}, line 1"),
        ("figures.dpi must be", ""),
        ("YAML reads the key", ""),
        ("", ""),
    ):
        assert place_of(message, files) == place, message


def test_a_list_in_a_later_file_leaves_no_place_of_the_one_below(mine):
    """Of the item that both have, config.yaml's line is not where a key is that the later one lacks."""
    base = read_config(mine("models:\n- name: b\n  dtype: float32\nprobes: {folds: 5}\n", "base.yaml"))
    files = [base, read_config(mine(GOOD + "probes: {min_rows: 3}\n"))]
    own = files[1].path
    assert place_of("models[0].dtype must be", files) == f"{own}, line 3"
    assert place_of("models[0].name can't be", files) == f"{own}, line 3"
    # A key of a section is where it was given, whoever has the section last.
    assert place_of("probes.folds is 5, but", files) == f"{base.path}, line 4"
    assert place_of("probes.min_rows must", files) == f"{own}, line 8"
    assert place_of("probes must be", files) == f"{own}, line 8"
    # As laid over a mapping by a text, and the other way round.
    other = read_config(mine("probes: none\n", "other.yaml"))
    assert place_of("probes.folds is 5", [base, other]) == f"{other.path}, line 1"
    assert place_of("probes.min_rows must", [other, files[1]]) == f"{own}, line 8"


def test_a_value_of_the_file_below_is_corrected_in_the_one_above(mine):
    base = read_config(mine("prompts: {world: toy}\nbehaviour: {bases: 12}\n", "base.yaml"))
    own = read_config(mine())
    more = placed("behaviour.bases is 12, more than prompts.bases, 4; lower it", [base, own])
    assert more == (
        f"{base.path}, line 2: behaviour.bases is 12, more than prompts.bases, 4; lower it "
        f"(write the key into {own.path}, which is laid over {base.path})"
    )
    assert placed("behaviour.bases is 12", [base]) == f"{base.path}, line 2: behaviour.bases is 12"
    assert placed("prompts.bases is 40", [base, own]) == f"{own.path}, line 7: prompts.bases is 40"
    # What is missing everywhere stands in no line.
    missing = placed("prompts.terms is missing: give it", [base, read_config(mine("study: x\n"))])
    assert missing == f"{own.path}: prompts.terms is missing: give it"
    own = read_config(mine())
    # What the command line gives has no line.
    files = [base, own, given({"prompts": {"bases": 3}, "seed": "x"})]
    assert placed("prompts.bases is 3", files) == "--config: prompts.bases is 3"
    assert place_of("seed must be", files) == "--config"
    assert place_of("prompts.world", files) == f"{base.path}, line 1"


def test_another_study_without_a_name_is_refused_and_a_change_of_the_same_one_is_not(mine):
    base = read_config(ROOT / "config.yaml")

    def said(text, **config):
        return check_named([base, read_config(mine(text)), given(config)])

    own = mine()
    for text, key in (
        ("tasks: [word_count]\n", "tasks"),
        ("models: [{name: a, source: models/a}]\n", "models"),
        ("models: [{name: a, source: models/a}]\ntasks: [word_count]\n", "models"),
    ):
        with pytest.raises(UserError) as caught:
            said(text)
        assert str(caught.value) == (
            f"{own} lacks the key 'study', but has other {key} than {base.path}, and its results would go to "
            "results/demo/ all the same; give your study a name, such as study: my_study"
        )
        assert said("study: mine\n" + text) == said(text, study="mine") == ""
    warning = said("figures: {dpi: 99}\n")
    assert warning.startswith(f"{own} lacks the key 'study', so it changes the study 'demo' of")
    assert "\n" not in warning and said("figures: {dpi: 99}\n", study="mine") == ""
    # The same tasks once more are no other study, and the command line alone changes this one.
    assert said(f"tasks: {base.values['tasks']}\n") == warning
    assert check_named([base, given({"tasks": ["word_count"]})]) == check_named([base]) == ""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """What `skillprobe check` looks at of the repository."""
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for entry in config["models"]:
        make_folder(tmp_path / entry["source"])
    make_folder(tmp_path / "models/a")
    monkeypatch.chdir(tmp_path)


# Where config.yaml has behaviour.bases.
LINE = 1 + next(
    number
    for number, line in enumerate((ROOT / "config.yaml").read_text(encoding="utf-8").splitlines())
    if line.startswith("  bases: 12 ")
)


@pytest.mark.usefixtures("repository")
def test_the_command_checks_a_config_as_a_run_would(mine, capsys):
    assert cli.main(["check"]) == 0
    assert capsys.readouterr().out == (
        "study demo: the config is valid (3 models, 9 tasks)\nplan it with: snakemake --cores 1 plan\n"
    )
    mine()
    assert cli.main(["check", "my.yaml"]) == 0
    said = capsys.readouterr().out
    assert "study mine: the config is valid (1 model, 9 tasks)\n" in said
    mine("figures: {dpi: 99}\n", "change.yaml")
    assert cli.main(["check", "change.yaml"]) == 0
    assert "\nchange.yaml lacks the key 'study', so it changes the study 'demo'" in capsys.readouterr().out
    mine("study: one\ntasks: [word_count]\n", "one.yaml")
    assert cli.main(["check", "one.yaml"]) == 0
    assert re.search(
        r"^  generality, .*: it takes 3 tasks that count, and the study has 1$", capsys.readouterr().out, re.M
    )
    # In the order that works.
    assert said.endswith("snakemake --cores 1 plan --configfile my.yaml\n")
    for text, message in (
        (GOOD + "  base: 4\n", "my.yaml, line 8: unknown key 'base' in prompts (did you mean 'bases'?); the"),
        (GOOD + "world: toy\n", "my.yaml, line 8: unknown key 'world' (did you mean prompts.world?); the"),
        (
            GOOD.replace("models/a", "models/x/a"),
            "my.yaml, line 3: models[0] (model 'a'): there is no folder",
        ),
        (
            GOOD + "behaviour: {bases: 41}\n",
            "my.yaml, line 8: behaviour.bases is 41, more than prompts.bases",
        ),
        (
            GOOD.replace("bases: 40", "bases: 11"),
            f"config.yaml, line {LINE}: behaviour.bases is 12, more than prompts.bases, 11; lower it (write "
            "the key into my.yaml, which",
        ),
        (
            GOOD.replace("study: mine", ""),
            "my.yaml lacks the key 'study', but has other models than config.ya",
        ),
        (GOOD + "  : :\n", "my.yaml, line 8, column"),
    ):
        mine(text)
        assert cli.main(["check", "my.yaml"]) == 2
        assert capsys.readouterr().err.startswith(f"skillprobe check: {message}")
    assert cli.main(["check", "none.yaml"]) == 2
    assert "there is no config file none.yaml" in capsys.readouterr().err


def test_the_command_is_for_the_repositorys_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check"]) == 2
    assert "there is no Snakefile here; run it in the repository's folder" in capsys.readouterr().err


COMMAND = re.compile(r"snakemake[^`\n#]*--configfile(?:[^`\n#\\]|\\\n)*")


def commands():
    """All commands of the documentation that name a config file."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("workflow/studies/*.yaml")]
    files += [ROOT / "Makefile", ROOT / ".ci/run"]
    for path in files:
        for command in COMMAND.findall(path.read_text()):
            yield path.name, command.split("'")[0].split("   ")[0].replace("\\\n", " ").split()


def test_no_command_of_the_docs_has_its_target_where_it_is_taken_for_a_file():
    shown = 0
    for path, words in commands():
        after = words[words.index("--configfile") + 1 :]
        files = after[: next((n for n, word in enumerate(after) if word.startswith("-")), len(after))]
        # The one that shows what fails.
        if files != ["my.yaml", "pilot"]:
            assert files and all(word.endswith((".yaml", "yaml)")) for word in files), (path, words)
            shown += 1
    assert shown > 15
