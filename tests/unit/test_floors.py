"""What may import what: jobs without a language model start without torch, and no floor looks up."""

import subprocess
import sys
from pathlib import Path

import pytest
from skillprobe.codefiles import code_files

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workflow/skillprobe"
LOAD_A_MODEL = {
    "generate_responses",
    "extract_activations",
    "extract_random_activations",
    "edit_behaviour",
    "train_toy_model",
    "write_model_card",
}
FIGURES = ("ablation", "agreement", "behaviour", "compliance", "generality", "layers", "robustness")
FIGURES += ("scorecard", "similarity", "specificity", "time", "transfer")
DRAW = {f"plot_{name}" for name in FIGURES}
SCRIPTS = {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")} - {"publish_toys"}
FLOORS = [
    {
        "errors",
        "text",
        "stats",
        "store",
        "hdf5",
        "tables",
        "draws",
        "bases",
        "positions",
        "fast_import",
        "fingerprint",
        "job",
        "progress",
        "locks",
        "memory",
        "devices",
    },
    {
        "tasks",
        "judges",
        "classifiers",
        "folders",
        "hub",
        "prompts",
        "models",
        "batches",
        "generation",
        "engines",
        "labels",
        "shards",
        "activations",
        "behaviour",
        "probes",
        "erasure",
        "config",
    },
    {"codefiles", "plan", "analyses", "toy", "planted"},
    {"findings", "calibration"},
    {"figures", "report", "methods", "compare", "cli", "__main__", "__init__"},
]


def imported(script):
    """Modules that a script's own imports bring along, without running the job."""
    source = (ROOT / "workflow/scripts" / f"{script}.py").read_text()
    lines = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    code = "\n".join([*lines, "import sys", "print(*sys.modules)"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "workflow"), "PATH": ""},
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("script", sorted(SCRIPTS - LOAD_A_MODEL))
def test_jobs_without_a_language_model_start_light(script):
    heavy = {"torch", "transformers", "sklearn", "tokenizers"}
    heavy |= set() if script in DRAW else {"pandas", "scipy", "matplotlib", "seaborn"}
    assert imported(script) & heavy == set()


def floor(module):
    return next(number for number, names in enumerate(FLOORS) if module in names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_imports_upwards(path):
    here = floor(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))
    reached = {Path(file).relative_to("workflow/skillprobe").parts[0] for file in code_files(path, PACKAGE)}
    assert {module for module in reached if floor(module.removesuffix(".py")) > here} <= {"__init__.py"}


def test_every_script_belongs_to_one_rule():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    for script in SCRIPTS:
        assert rules.count(f'"../scripts/{script}.py"') == 1
