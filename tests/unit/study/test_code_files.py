"""Code inputs from the import graph, on a small package made up here and on the real one."""

import time
from pathlib import Path

import pytest
from skillprobe.errors import UserError
from skillprobe.study.code_files import code_files

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "workflow" / "skillprobe"


@pytest.fixture
def repository(tmp_path):
    """A repository with a package of a few modules; returns its root and a function that writes files."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / "workflow" / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    write(
        skillprobe__store="import json\n",
        skillprobe__probes__solver="import numpy\n",
        skillprobe__probes__protocol="from .solver import x\nfrom ..store import y\n",
        skillprobe__findings="def f():\n    from skillprobe import store as s\n",
        scripts__a="from skillprobe.probes.protocol import fit\n",
        scripts__b="import skillprobe.findings\n",
        scripts__c="print('imports nothing')\n",
    )
    (tmp_path / "workflow/skillprobe/__init__.py").write_text('"""Doc."""\n\n__version__ = "1"\n')
    (tmp_path / "workflow/skillprobe/probes/__init__.py").write_text("from skillprobe.store import y\n")
    return tmp_path, write


def files_of(root, script, **options):
    return code_files(root / f"workflow/scripts/{script}.py", root / "workflow/skillprobe", **options)


def test_relative_imports_and_the_packages_on_the_way_count(repository):
    root, _ = repository
    assert files_of(root, "a") == [
        "workflow/scripts/a.py",
        "workflow/skillprobe/probes/__init__.py",
        "workflow/skillprobe/probes/protocol.py",
        "workflow/skillprobe/probes/solver.py",
        "workflow/skillprobe/store.py",
    ]


def test_lazy_imports_of_a_module_from_its_package_count(repository):
    root, _ = repository
    assert files_of(root, "b") == [
        "workflow/scripts/b.py",
        "workflow/skillprobe/findings.py",
        "workflow/skillprobe/store.py",
    ]
    assert files_of(root, "c") == ["workflow/scripts/c.py"]


def test_an_attribute_is_no_module_and_cycles_end(repository):
    root, write = repository
    write(skillprobe__store="from skillprobe.probes.solver import x\nfrom skillprobe import __version__\n")
    write(skillprobe__probes__solver="from skillprobe.store import anything\n")
    assert files_of(root, "b")[1:] == [
        "workflow/skillprobe/findings.py",
        "workflow/skillprobe/probes/__init__.py",
        "workflow/skillprobe/probes/solver.py",
        "workflow/skillprobe/store.py",
    ]


def test_dynamic_imports_count_only_where_they_are_named(repository):
    root, write = repository
    write(
        scripts__d="import importlib\nimportlib.import_module('skillprobe.tasks.topic')\n",
        skillprobe__tasks__topic="import skillprobe.store\n",
        skillprobe__tasks__register="",
    )
    assert files_of(root, "d") == ["workflow/scripts/d.py"]
    assert files_of(root, "d", extra=["skillprobe.tasks.topic"]) == [
        "workflow/scripts/d.py",
        "workflow/skillprobe/store.py",
        "workflow/skillprobe/tasks/topic.py",
    ]
    with pytest.raises(UserError, match="a rule needs the module skillprobe.tasks.tpoic"):
        files_of(root, "d", extra=["skillprobe.tasks.tpoic"])


def test_an_edited_import_is_seen(repository):
    root, write = repository
    assert "workflow/skillprobe/store.py" not in files_of(root, "c")
    write(scripts__c="import skillprobe.store\n")
    assert "workflow/skillprobe/store.py" in files_of(root, "c")


def test_an_init_with_code_counts(repository):
    root, _ = repository
    (root / "workflow/skillprobe/__init__.py").write_text('__version__ = "1"\nimport random\n')
    assert "workflow/skillprobe/__init__.py" in files_of(root, "b")


LENT = """
import importlib

__version__ = "1"
_EXPORTS = {"y": "store"}
__all__ = [*_EXPORTS]


def __getattr__(name):
    return getattr(importlib.import_module(f"skillprobe.{_EXPORTS[name]}"), name)
"""


def test_what_the_package_lends_to_users_reruns_nothing(repository):
    root, _ = repository
    (root / "workflow/skillprobe/__init__.py").write_text(LENT)
    before = files_of(root, "b")
    assert "workflow/skillprobe/__init__.py" not in before and "workflow/skillprobe/store.py" in before
    # Of its own file alone: jobs import from those of the folders.
    (root / "workflow/skillprobe/probes/__init__.py").write_text(LENT)
    assert "workflow/skillprobe/probes/__init__.py" in files_of(root, "a")
    (root / "workflow/skillprobe/__init__.py").write_text(LENT + "more = 1\n")
    assert "workflow/skillprobe/__init__.py" in files_of(root, "b")


def test_each_file_is_an_input_of_exactly_the_scripts_that_reach_it(repository):
    root, _ = repository
    scripts = {name: set(files_of(root, name)) for name in "abc"}
    reached_by = {
        "store": "ab",
        "findings": "b",
        "probes/protocol": "a",
        "probes/solver": "a",
        "probes/__init__": "a",
    }
    for module, expected in reached_by.items():
        path = f"workflow/skillprobe/{module}.py"
        assert "".join(name for name, files in scripts.items() if path in files) == expected, module


def test_missing_modules_and_broken_files_are_named(repository):
    root, write = repository
    write(scripts__d="from skillprobe.stroe import x\n", scripts__e="def f(:\n")
    with pytest.raises(
        UserError, match=r"scripts/d.py needs the module skillprobe.stroe, which doesn't exist"
    ):
        files_of(root, "d")
    with pytest.raises(UserError, match=r"scripts/e.py, line 1 is not valid Python"):
        files_of(root, "e")


def test_the_real_tasks_do_not_drag_each_other_in(tmp_path):
    files = code_files(PACKAGE / "prompts/items.py", PACKAGE, extra=["skillprobe.tasks.topic"])
    tasks = {Path(path).stem for path in files if "/tasks/" in path}
    assert "topic" in tasks and "word_count" not in tasks
    assert "workflow/skillprobe/tasks/base.py" in files
    assert all((ROOT / path).is_file() for path in files)


def test_the_real_package_is_read_quickly():
    modules = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"][:20]
    began = time.process_time()
    for module in modules:
        code_files(module, PACKAGE)
    assert time.process_time() - began < 1.0  # about 0.1 s; the bound is for busy machines
