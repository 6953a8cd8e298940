"""Snakemake in processes that are forked from one that has imported it, most of the time of a short run.

They have nothing else in common: folder, environment, path and arguments are each one's own, and each imports
the package of its own copy of the repository. `python forks.py SOCKET` is what they are forked from.
"""

import ast
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import site
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

# What is imported at the start of each run; nothing of the repository.
MODULES = ("snakemake.cli", "snakemake.persistence.file", "numpy", "pandas", "scipy", "jsonschema", "yaml")
MODULES += ("requests", "smart_open", "yte", "pygments", "jinja2", "packaging", "platformdirs", "PIL")
_starting = threading.Lock()


def run(arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess:
    """`python -m snakemake` with these arguments, run to its end, with what it printed as texts."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as connection:
        printed = [Path(folder, name) for name in ("stdout", "stderr")]
        asked = {"arguments": [*map(str, arguments)], "cwd": str(cwd), "env": dict(env)}
        connection.connect(_parent())
        with connection.makefile("rw", encoding="utf-8") as file:
            file.write(json.dumps(asked | {"printed": [*map(str, printed)]}) + "\n")
            file.flush()
            answer = file.readline()
        assert answer, "the process that Snakemake is forked from has ended"
        texts = [path.read_text(encoding="utf-8") for path in printed]
    return subprocess.CompletedProcess([sys.executable, "-m", "snakemake", *arguments], int(answer), *texts)


def _parent() -> str:
    """Starts the process that others are forked from, which ends when this one does; its socket."""
    with _starting:
        return _started()


@cache
def _started() -> str:
    path = os.path.join(tempfile.mkdtemp(prefix="forks-"), "socket")
    # Without a path to the repository's own package, which is each run's.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen([sys.executable, __file__, path], env=env, stdin=subprocess.PIPE)
    while not os.path.exists(path):
        assert process.poll() is None, "the process that Snakemake is forked from did not start"
        time.sleep(0.05)
    return path


def serve(path: str) -> None:
    """Answers each connection with the exit status of the run that it asks for, and is that run in a fork."""
    for name in MODULES:
        importlib.import_module(name)
    assert "skillprobe" not in sys.modules
    remember_parsed()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{path}.new")
        listening.listen()
        # It is there when it listens.
        os.rename(f"{path}.new", path)
        children = set()
        while True:
            # What would come from there is the end of the tests.
            if sys.stdin in select.select([listening, sys.stdin], [], [])[0]:
                shutil.rmtree(os.path.dirname(path))
                return
            connection, _ = listening.accept()
            children -= {child for child in children if os.waitpid(child, os.WNOHANG)[0]}
            if not (child := os.fork()):
                break
            children.add(child)
            connection.close()
    with connection, connection.makefile("rw", encoding="utf-8") as file:
        asked = json.loads(file.readline())
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            file.write(f"{os.waitstatus_to_exitcode(status)}\n")
            file.flush()
            os._exit(0)
    become(**asked)


def remember_parsed() -> None:
    """Each start reads in syntax trees which code a rule depends on.

    Those of the repository's files are here already; a file with any other byte is parsed.
    """
    parse, parsed = ast.parse, {}
    for path in (Path(__file__).resolve().parents[2] / "workflow").rglob("*.py"):
        parsed[path.read_bytes()] = parse(path.read_bytes())

    def known(source, *arguments, **options):
        found = parsed.get(source) if isinstance(source, bytes) else None
        return found or parse(source, *arguments, **options)

    ast.parse = known


def become(arguments: list[str], cwd: str, env: dict[str, str], printed: list[str]) -> None:
    """Makes this process what it would be, had it been started so."""
    for number, path in enumerate([os.devnull, *printed]):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    # The first is this file's folder.
    sys.path[:1] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv[:] = ["snakemake", *arguments]
    site.execsitecustomize()
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(sys.argv[1])
