"""What a job begins with: its log, its model and its judge."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from made.hub import COMMIT, JUDGE
from skillprobe.errors import UserError
from skillprobe.study.job import judge_entry, model_entry

LOGGED = """
import sys
from types import SimpleNamespace as Of
from skillprobe.study.job import start

start(Of(log=[sys.argv[1]], params=Of(settings="{}"), rule="make_prompts"))
print("so far")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_log_that_cannot_be_written_is_said_on_the_terminal():
    done = subprocess.run(
        [sys.executable, "-c", LOGGED, "/dev/full"],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode and "Traceback" not in done.stderr
    assert (
        "make_prompts: the disk is full; free disk space and run again: finished results are kept\n"
        in done.stderr
    )


def job(**inputs):
    """What Snakemake gives a script."""
    return SimpleNamespace(
        wildcards=SimpleNamespace(model="tiny"),
        resources=SimpleNamespace(gpu=2),
        input=SimpleNamespace(**inputs),
    )


def test_a_job_asks_for_the_commit_that_was_fetched_and_nobody(tmp_path):
    (tmp_path / "it.json").write_text(json.dumps({"source": "org/tiny", "revision": COMMIT}))
    own = {"source": "org/tiny", "revision": None}
    cached = {"revision": COMMIT, "offline": True}
    entry = model_entry(job(fetched=[tmp_path / "it.json"]), {"model": own})
    assert entry == {"name": "tiny", "source": "org/tiny", "gpu": 2} | cached
    assert model_entry(job(fetched=[]), {"model": own}) == own | {"name": "tiny", "gpu": 2}
    folder, converted = tmp_path / "converted", tmp_path / "file.json"
    folder.mkdir()
    converted.write_text(json.dumps({"folder": str(folder), "sha256": "00"}))
    file = {"source": "m.gguf", "revision": None, "sha256": "11"}
    entry = model_entry(job(fetched=[converted]), {"model": file})
    assert entry == file | {"name": "tiny", "gpu": 2, "folder": str(folder), "offline": True}
    folder.rmdir()
    with pytest.raises(
        UserError, match=f"in {folder}, which is gone; make it again: .* --force {converted} "
    ):
        model_entry(job(fetched=[converted]), {"model": file})
    hub_judge = job(fetched_judge=[tmp_path / "it.json"])
    assert judge_entry(hub_judge, {"judge": JUDGE}) == JUDGE | cached | {"gpu": 2}
    assert judge_entry(job(fetched_judge=[]), {"judge": JUDGE}) == JUDGE | {"gpu": 2}
    for judge in ("lexicon", None):
        assert judge_entry(job(fetched_judge=[]), {"judge": judge}) == judge
