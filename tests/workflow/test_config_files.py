"""What Snakemake says of the files of a config: where a wrong value stands, and whose study it is."""

import pytest
from workdir import ROOT, copy_repository


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return copy_repository(tmp_path_factory.mktemp("clone"))


def asked(clone, text, *arguments, check=True):
    """A dry run, which says what is wrong on standard output; both are in its stderr here."""
    (clone.path / "my.yaml").write_text(text)
    options = ("--dry-run", "--quiet", "rules", *arguments)
    done = clone.snakemake(*options, "--configfile", "my.yaml", check=check)
    done.stderr += done.stdout
    return done


def line_of(text):
    """In config.yaml, from 1."""
    lines = (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()
    (number,) = [number for number, line in enumerate(lines, start=1) if line.startswith(text)]
    return number


def test_a_study_of_other_tasks_needs_a_name(clone):
    refused = asked(clone, "tasks: [word_count]\n", check=False)
    assert refused.returncode and "my.yaml lacks the key 'study', but has other tasks than" in refused.stderr
    assert "lacks the key" not in asked(clone, "study: mine\ntasks: [word_count]\n").stderr
    assert "lacks the key" not in asked(clone, "tasks: [word_count]\n", "--config", "study=mine").stderr


def test_a_change_of_the_default_study_is_planned_with_a_warning(clone):
    done = asked(clone, "figures: {dpi: 99}\n")
    assert "my.yaml lacks the key 'study', so it changes the study 'demo' of config.yaml" in done.stderr
    assert "plot_time" in done.stdout
    # On the command line it is plain whose study it is.
    done = clone.snakemake("--dry-run", "--quiet", "rules", "--config", "tasks=[word_count]")
    assert "lacks the key" not in done.stderr and "plot_time" in done.stdout


@pytest.mark.parametrize(
    "text, place, said",
    [
        ("study: mine\nprompts:\n  bases: 0\n", "my.yaml, line 3", "prompts.bases must be at least"),
        ("study: mine\nprompts: {bases: 11}\n", "config.yaml, line {}", "behaviour.bases is 12, more than"),
        (
            "study: mine\nmodels:\n- {name: a}\n",
            "my.yaml, line 3",
            "models[0] (model 'a'): source is missing",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_file_and_line(clone, text, place, said):
    number = line_of("  bases: 12")
    refused = asked(clone, text, check=False)
    assert refused.returncode and f"{place.format(number)}: {said}" in refused.stderr


def test_a_wrong_value_of_the_command_line_is_named_as_such(clone):
    refused = asked(clone, "study: mine\n", "--config", "seed=x", check=False)
    assert refused.returncode and "--config: seed must be a whole number" in refused.stderr


def test_responses_that_outgrow_the_context_window_stop_the_run_before_any_job(clone):
    (clone.path / "my.yaml").write_text("study: mine\ngeneration:\n  max_new_tokens: 600\n")
    refused = clone.snakemake("responses", "--configfile", "my.yaml", check=False)
    said = (
        "my.yaml, line 3: generation.max_new_tokens is 600, but model 'toy-llama' has a context window of 5"
    )
    assert refused.returncode and said in refused.stderr and "Finished jobid" not in refused.stderr
    # Where nothing is generated, nothing is said.
    clone.snakemake("results/mine/prompts/word_count/0.jsonl", "--configfile", "my.yaml")
    plan = clone.snakemake("plan", "--configfile", "my.yaml").stdout
    assert (
        "the run would stop: generation.max_new_tokens is 600" in plan
        and "model toy-llama\n  sampling" in plan
    )


def test_the_plan_says_which_claims_a_study_cannot_decide(clone):
    (clone.path / "my.yaml").write_text("study: mine\ntasks: [word_count, topic]\n")
    plan = clone.snakemake("plan", "--configfile", "my.yaml").stdout
    assert "can't be decided by this study, whatever the models respond (9 of 9 claims):\n" in plan
    assert "\n  layers_stratified: it takes 5 tasks that count, and the study has 2\n" in plan
