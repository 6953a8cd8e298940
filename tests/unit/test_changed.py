"""Which unit tests `make check` runs after which change, by changed.py."""

import subprocess

import changed
import pytest
from changed import ALWAYS, unit_tests


def others(file):
    """Without those that always run."""
    always = {f"tests/unit/{name}.py" for name in ALWAYS}
    return {test.removeprefix("tests/unit/") for test in unit_tests([file]) if test not in always}


@pytest.mark.parametrize(
    "file, tests",
    [
        ("workflow/skillprobe/probes/solver.py", ["probes/test_solver.py"]),
        ("workflow/skillprobe/cli.py", ["test_cli.py"]),
        ("workflow/skillprobe/tasks/__init__.py", ["test_tasks.py"]),
        ("tests/unit/probes/test_solver.py", ["probes/test_solver.py"]),
        # By import, and by name.
        (
            "tests/unit/made/hub.py",
            ["models/test_fetching.py", "models/test_hub.py"],
        ),
        ("workflow/schemas/config.schema.json", ["study/test_schema.py"]),
        # It has none of its own, and is in no test's words.
        ("workflow/skillprobe/tasks/topic.py", []),
    ],
)
def test_a_changed_file_has_its_tests(file, tests):
    assert set(tests) <= others(file) and len(others(file)) <= 5 * len(tests)


def test_what_git_does_not_know_yet_counts_and_what_is_gone_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(changed, "ROOT", tmp_path)

    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a", *arguments], cwd=tmp_path, check=True
        )

    for name in ("same", "edited", "gone", "moved"):
        (tmp_path / name).write_text(name)
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    assert changed.changed() == []
    (tmp_path / "edited").write_text("otherwise")
    (tmp_path / "gone").unlink()
    git("mv", "moved", "a name with blanks")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/new").write_text("")
    assert sorted(changed.changed()) == ["a name with blanks", "edited", "folder/new"]
