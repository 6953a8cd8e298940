"""A Python that has imported already what Snakemake and its jobs begin with: most of the time of short ones.

Each of them is a fork of one process. Folder, environment, path, arguments and output are each one's own, and
each imports the package of its own copy of the repository.
"""

import ast
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

# Nothing of the repository.
MODULES = (
    *("snakemake.cli", "snakemake.script", "snakemake.persistence.file", "jsonschema", "yaml", "yte", "h5py"),
    *("requests", "smart_open", "pygments", "jinja2", "packaging", "platformdirs", "regex", "scipy.stats"),
    *("pandas", "sklearn.linear_model", "sklearn.ensemble", "matplotlib.pyplot", "seaborn"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
    *("torch", "safetensors.torch", "transformers", "transformers.generation"),
    *(f"transformers.models.{name}.modeling_{name}" for name in ("gemma2", "llama", "qwen2")),
)
# Begin the names of variables that MODULES read when they are imported: a fork can't have other values.
READ_EARLY = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TORCH", "OMP_", "OPENBLAS_", "MKL_", "MPL")
# Takes the place of Python: asks for a fork and ends as that does; if this is killed, so is the fork.
COMMAND = """#!{python} -IS
import json, os, socket, sys
arguments = sys.argv[1:]
early = {{name: value for name, value in os.environ.items() if name.startswith({names})}}
if early != {early} or arguments[:2] != ["-m", "snakemake"] and not arguments[0].endswith(".py"):
    os.execv("{python}", ["{python}", *arguments])
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("{folder}/socket")
    asked = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode() + b"\\n"
    connection.sendall(asked[socket.send_fds(connection, [asked], [0, 1, 2]) :])
    status = int(connection.makefile().read())
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
"""
_starting = threading.Lock()
# Its input is open as long as this process is there.
_held: list[subprocess.Popen] = []


def python() -> str:
    """A command that takes the place of Python; what it asks for forks ends when this process does."""
    with _starting:
        return _started()


@cache
def _started() -> str:
    folder = Path(tempfile.mkdtemp(prefix="forks-"))
    command = folder / "python"
    early = {name: value for name, value in os.environ.items() if name.startswith(READ_EARLY)}
    command.write_text(COMMAND.format(python=sys.executable, folder=folder, names=READ_EARLY, early=early))
    command.chmod(0o755)
    # Without a path to the repository's own package, which is each fork's.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # In a session of its own: Ctrl-C ends the tests, and by that these, in whose order none is left over.
    process = subprocess.Popen(
        [sys.executable, __file__, folder], env=env, stdin=subprocess.PIPE, start_new_session=True
    )
    _held.append(process)
    while not (folder / "socket").exists():
        assert process.poll() is None, "the process that others are forked from did not start"
        time.sleep(0.05)
    return str(command)


def serve(folder: Path) -> None:
    """Forks whatever is asked for, and is that in the fork."""
    for name in MODULES:
        importlib.import_module(name)
    assert "skillprobe" not in sys.modules
    remember_parsed()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.new"))
        listening.listen()
        # It is there when it listens.
        (folder / "socket.new").rename(folder / "socket")
        children = set()
        while True:
            # What would come from there is the end of the tests.
            if sys.stdin in select.select([listening, sys.stdin], [], [])[0]:
                shutil.rmtree(folder)
                return
            connection, _ = listening.accept()
            children -= {child for child in children if os.waitpid(child, os.WNOHANG)[0]}
            if not (child := os.fork()):
                break
            children.add(child)
            connection.close()
    with connection:
        asked, files, _, _ = socket.recv_fds(connection, 2**16, 3)
        while not asked.endswith(b"\n"):
            asked += connection.recv(2**16)
        ended, held = os.pipe()
        child = os.fork()
        # Its own group, whichever of the two is first to say so.
        with suppress(OSError):
            os.setpgid(child, child)
        if child:
            os.close(held)
            # One end is closed when the fork has ended, the other when who asked for it was killed.
            if ended not in select.select([ended, connection], [], [])[0]:
                os.killpg(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            try:
                connection.sendall(str(status).encode())
            finally:
                os._exit(0)
    become(*json.loads(asked), files, folder)


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


def become(arguments: list[str], cwd: str, env: dict[str, str], files: list[int], folder: Path) -> None:
    """Makes this process what Python would be with these arguments."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    script = arguments[0] if arguments[0].endswith(".py") else None
    # The first is this file's folder.
    sys.path[:1] = [os.path.dirname(script) if script else cwd]
    sys.path[1:1] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    site.execsitecustomize()
    if script:
        sys.argv[:] = arguments
        runpy.run_path(script, run_name="__main__")
    else:
        # Its jobs are started with this.
        sys.executable = str(folder / "python")
        sys.argv[:] = arguments[1:]
        runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
