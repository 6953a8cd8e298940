"""The commit of the workflow."""

import re

from skillprobe.report import provenance


def test_the_commit_is_known_in_a_repository_only(monkeypatch):
    assert re.fullmatch(r"([0-9a-f]{12}\+?)?", provenance.commit())

    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(provenance.subprocess, "run", missing)
    assert provenance.commit() == ""
