"""vLLM's process: started, read, ended and told of, with a stand-in that another Python imports as vllm."""

import json
import os
import subprocess
import sys
import time

import pytest
from skillprobe.models import engines, vllm_worker

# It generates the prompt backwards; its options are in its output.
STAND_IN = """
import os, sys, time
from types import SimpleNamespace
import hub  # noqa: F401 (a package of that name, and not the file beside the worker)
__version__ = "0.1"
class SamplingParams:
    def __init__(self, **options):
        self.options = options
class LLM:
    def __init__(self, **options):
        print("loading", sorted(options), flush=True)
        names = [name for name in os.environ if "VLLM" in name or "HF_" in name]
        print({name: os.environ[name] for name in names}, flush=True)
    def generate(self, prompts, params, use_tqdm):
        if "late" in os.environ:
            raise MemoryError
        if "dies" in os.environ:
            os.kill(os.getpid(), 9)
        if "waits" in os.environ:
            open(os.environ["waits"], "w").write(str(os.getpid()))
            time.sleep(60)
        return [self.one(prompt["prompt_token_ids"], each) for prompt, each in zip(prompts, params)]
    def one(self, ids, params):
        output = SimpleNamespace(token_ids=(*ids[::-1], params.options["seed"]))
        return SimpleNamespace(prompt_token_ids=tuple(ids), outputs=[output])
"""
PLATFORMS = """
from types import SimpleNamespace
current_platform = SimpleNamespace(is_cpu=lambda: True, device_type="cpu")
"""
ASKED = {
    "options": {"model": ".", "trust_remote_code": False},
    "prompts": [[1, 2, 3], [4]],
    "sampling": {"temperature": 0.5},
    "seeds": [2**63 - 1, 0],
}


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    folder = tmp_path / "packages"
    (folder / "vllm").mkdir(parents=True)
    (folder / "vllm/__init__.py").write_text(STAND_IN)
    (folder / "vllm/platforms.py").write_text(PLATFORMS)
    (folder / "hub.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    return tmp_path


@pytest.mark.parametrize("safe_path", ["", "1"])
def test_what_is_asked_is_answered_in_another_process(stand_in, safe_path, monkeypatch, capsys):
    # With it, Python's path doesn't begin with the worker's folder.
    monkeypatch.setenv("PYTHONSAFEPATH", safe_path)
    answered = engines._in_vllm(sys.executable, ASKED)
    assert answered == {
        "version": "0.1",
        "device": "cpu",
        "prompts": [[1, 2, 3], [4]],
        "responses": [[3, 2, 1, 2**63 - 1], [4, 0]],
    }
    said = capsys.readouterr().err
    # No compiler on a CPU, no other process, and nobody is asked for a model that is here.
    assert "loading ['enforce_eager', 'model', 'trust_remote_code']" in said
    for stated in (
        "'VLLM_CPU_KVCACHE_SPACE': '4'",
        "'VLLM_ENABLE_V1_MULTIPROCESSING': '0'",
        "'HF_HUB_OFFLINE': '1'",
    ):
        assert stated in said


def test_what_the_user_has_set_stays(stand_in, monkeypatch, capsys):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    engines._in_vllm(sys.executable, ASKED | {"options": {"model": "org/name", "trust_remote_code": False}})
    said = capsys.readouterr().err
    assert "'VLLM_CPU_KVCACHE_SPACE': '7'" in said and "HF_HUB_OFFLINE" not in said


def test_what_fails_says_why_and_leaves_a_trace(stand_in, monkeypatch, capsys):
    assert engines._in_vllm(str(stand_in / "no-python"), ASKED) == {
        "failed": "import",
        "why": f"{stand_in}/no-python: No such file or directory",
    }
    monkeypatch.setenv("late", "1")
    assert engines._in_vllm(sys.executable, ASKED) == {"failed": "generate", "why": "MemoryError"}
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.delenv("late")
    monkeypatch.setenv("dies", "1")
    assert engines._in_vllm(sys.executable, ASKED) == {"failed": "end", "why": "signal 9"}
    sentence = str(engines._failed("m", None, {"failed": "end", "why": "signal 9"}))
    assert sentence.startswith("model 'm': vLLM was ended (signal 9), for want of memory perhaps")
    (stand_in / "packages/hub.py").unlink()
    found = engines._in_vllm(sys.executable, ASKED)
    assert found == {"failed": "import", "why": "No module named 'hub'"}


def test_it_ends_with_who_started_it(stand_in, monkeypatch):
    """Killed, too: else vLLM would keep the GPU that another job leases."""
    note, asked = stand_in / "pid", stand_in / "asked.json"
    asked.write_text(json.dumps(ASKED))
    monkeypatch.setenv("waits", str(note))
    code = (
        "import subprocess, sys, time; "
        f"subprocess.Popen([sys.executable, {vllm_worker.__file__!r}, {str(asked)!r}, 'answered'], "
        "stdin=subprocess.PIPE); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        pid = int(_waited(lambda: note.is_file() and note.read_text()))
    finally:
        parent.kill()
        parent.wait()
    assert _waited(lambda: not _runs(pid))


def _waited(done, seconds=20.0):
    end = time.monotonic() + seconds
    while not (found := done()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _runs(pid: int) -> bool:
    """Not so, either, if it is over and nobody has asked how it ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(status.strip()) and not status.strip().startswith("Z")
