"""What may import what: jobs without a language model start without torch, and no floor looks up. And where
tests are: each beside its module's place in the package."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import skillprobe
from skillprobe import tasks
from skillprobe.study.code_files import code_files

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workflow/skillprobe"
LOAD_A_MODEL = {
    "convert_model",
    "generate_responses",
    "take_answers",
    "extract_activations",
    "extract_random_activations",
    "extract_crossings",
    "edit_behaviour",
    "guard_responses",
    "train_toy_model",
    "write_model_card",
}
FIGURES = ("ablation", "agreement", "behaviour", "compliance", "generality", "guard", "layers")
FIGURES += ("monitors", "robustness", "scorecard", "similarity", "specificity", "time", "transfer")
DRAW = {f"plot_{name}" for name in FIGURES}
SCRIPTS = {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")} - {"publish_toys"}
# The package's folders and files in the order of the data: each may import those before it.
FLOORS = ["errors", "statistics", "storage"]
FLOORS += ["tasks", "prompts", "models", "labels", "toy", "activations"]
FLOORS += ["study"]
FLOORS += ["probes", "erasure", "analyses", "findings", "catalogue", "report"]
FLOORS += ["monitor"]
FLOORS += ["cli", "__main__"]
# Tests of no single module.
OF_THE_WHOLE = {"test_architecture", "test_changed", "test_definitions", "test_floors", "test_gpu"}
OF_THE_WHOLE |= {"test_own_tasks", "test_packaging", "test_parity", "test_security", "test_vllm"}
# Modules without tests of their own.
TESTED_ELSEWHERE = (
    "__main__",  # calls `cli.main`: test_cli.py
    "errors",  # raised, and read, by tests of whatever can go wrong
    "labels/batched",  # what labels/test_classifiers.py and labels/test_embeddings.py are about
    # Wordings alone: test_tasks.py has them with all others, tasks/test_base.py what they inherit.
    *("tasks/register", "tasks/sentiment", "tasks/topic"),
    # Drawn with all others in report/test_figures.py, which has nothing to say of these alone.
    *("report/figures/responses", "report/figures/time", "report/figures/transfer"),
)


# What nearly all of them may import and do, by whether they draw; the rest is in a process of each one's own.
BEFORE = {True: "import h5py, matplotlib.pyplot, seaborn", False: "import h5py"}
EACH = """
import os, sys
for name in sys.argv[1:]:
    if os.fork():
        if os.wait()[1]:
            sys.exit(f"{name} can't import what it imports")
    else:
        with open(name) as script:
            exec("".join(line for line in script if line.startswith(("import ", "from "))))
        print(name, *sys.modules, flush=True)
        os._exit(0)
"""


@cache
def imported(draw):
    """{script: modules that its own imports bring along}, of those that load no model, and draw or don't."""
    names = sorted((SCRIPTS - LOAD_A_MODEL) & DRAW if draw else SCRIPTS - LOAD_A_MODEL - DRAW)
    done = subprocess.run(
        [sys.executable, "-c", BEFORE[draw] + EACH, *(f"{name}.py" for name in names)],
        cwd=ROOT / "workflow/scripts",
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "workflow"), "PATH": ""},
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name.removesuffix(".py"): set(modules) for name, *modules in lines}


@pytest.mark.parametrize("script", sorted(SCRIPTS - LOAD_A_MODEL))
def test_jobs_without_a_language_model_start_light(script):
    heavy = {"torch", "transformers", "sklearn", "tokenizers"}
    heavy |= set() if script in DRAW else {"pandas", "scipy", "matplotlib", "seaborn"}
    assert imported(script in DRAW)[script] & heavy == set()


def floor(path):
    return FLOORS.index(path.parts[0].removesuffix(".py"))


def test_the_floors_are_all_there_is():
    rooms = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    assert rooms == set(FLOORS) - {"__main__"}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_nothing_imports_upwards(path):
    reached = [Path(file).relative_to("workflow/skillprobe") for file in code_files(path, PACKAGE)]
    # The package's own file holds the version, and what users import.
    reached = [file for file in reached if file != Path("__init__.py")]
    here = path.relative_to(PACKAGE)
    assert here == Path("__init__.py") or max(map(floor, reached)) == floor(here)


def own_imports(path):
    """Modules of the package that a file imports by name, as files."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            files = [PACKAGE.parent / f"{name.replace('.', '/')}.py" for name in names]
            yield from filter(Path.is_file, files)


def test_no_modules_import_each_other_in_a_circle():
    imports = {path: set(own_imports(path)) for path in PACKAGE.rglob("*.py")}
    assert sum(map(len, imports.values())) > 200
    TopologicalSorter(imports).prepare()  # raises CycleError, which lists the circle


@pytest.mark.parametrize(
    "path",
    [*sorted(PACKAGE.rglob("*.py")), *sorted((ROOT / "workflow/scripts").glob("*.py"))],
    ids=lambda path: path.stem,
)
def test_what_is_lent_to_users_is_imported_by_no_job(path):
    """The import graph doesn't see where it comes from."""
    used = {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "skillprobe" and not node.level
        for alias in node.names
    }
    assert used & set(skillprobe._EXPORTS) == set()


def test_every_script_belongs_to_one_rule():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    for script in SCRIPTS:
        assert rules.count(f'"../scripts/{script}.py"') == 1


def test_the_tests_of_a_module_are_where_its_place_says():
    def places(root, pattern):
        return {path.relative_to(root).with_suffix("").as_posix() for path in root.rglob(pattern)}

    tests = places(ROOT / "tests/unit", "test_*.py") - OF_THE_WHOLE
    tests = {place.replace("test_", "", 1) for place in tests}
    files = places(PACKAGE, "*.py")
    packages = {place.removesuffix("/__init__") for place in files if place.endswith("__init__")}
    modules = {place for place in files if not place.endswith("__init__")}
    assert tests <= modules | packages
    # Tasks that users add are tested in test_tasks.py.
    added = {f"tasks/{name}" for name in set(tasks.available()) - set(tasks.NAMES)}
    assert modules - tests - added == set(TESTED_ELSEWHERE)
