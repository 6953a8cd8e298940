"""What the study was made of and with: commit, versions, models, config."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from html import escape
from importlib import metadata
from pathlib import Path

from skillprobe.report.html import html_table

LIBRARIES = ("h5py", "matplotlib", "numpy", "scikit-learn", "seaborn", "snakemake", "torch", "transformers")


def commit() -> str:
    """The workflow's commit, "+" after it where files have changed since; "" outside of a git repository."""
    root = Path(__file__).parents[3]

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def provenance(config: Mapping, identities: Mapping[str, Mapping], commit: str) -> str:
    versions = {"python": platform.python_version()}
    for name in ("skillprobe", *LIBRARIES):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if "skillprobe" not in versions:
        from skillprobe import __version__

        versions["skillprobe"] = __version__
    listed = ", ".join(f"{escape(name)}&nbsp;{escape(version)}" for name, version in sorted(versions.items()))
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    rows = [
        [
            model,
            str(identity["source"]),
            str(identity.get("revision") or ""),
            str(identity["dtype"]),
            identity.get("sha256", "")[:16],
        ]
        for model, identity in identities.items()
    ]
    models = html_table(("model", "source", "revision", "dtype", "sha256 of its files"), rows, words=5)
    at = f", workflow at commit {escape(commit)}" if commit else ""
    return f"""<p>Seed {config["seed"]}{at}. {listed}.</p>
{models if rows else ""}
<details><summary>The whole config, with defaults</summary><pre>{escape(text)}</pre></details>"""
