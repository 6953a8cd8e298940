"""Judges by their names and settings."""

import pytest
from made.hub import COMMIT, JUDGE
from made.items import WORLD
from made.judges import shipped
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels import batched, judges
from skillprobe.labels.judges import get_judge
from skillprobe.study.config import complete
from skillprobe.study.sources import judge_identity


@pytest.mark.gpu
def test_a_judge_of_the_config_is_filled_in_and_known_by_its_files(make, tmp_path):
    folder = make({0: "toxicity", 1: "no"})
    config = complete(shipped("toxicity", {"model": folder, "threshold": 0.3, "gpu": 1}), ".")
    judge = config["judges"]["toxicity"]
    assert judge["threshold"] == 0.3 and judge["method"] == "classification" and judge["batch_size"] == 32
    known = judge_identity(config, "toxicity", ".")
    assert len(known["sha256"]) == 64 and "gpu" not in known and "mem_mb" not in known
    assert judge_identity(config, "topic", ".") == "lexicon"
    assert judge_identity(config, "word_count", ".") is None
    made = judges.for_task(tasks.get("toxicity"), known, WORLD)
    assert made.threshold == 0.3 and judges.for_task(tasks.get("word_count"), None, WORLD) is None


@pytest.mark.gpu
def test_a_model_that_cannot_be_loaded_is_named(make, tmp_path):
    folder = make({0: "toxicity", 1: "no"})
    with pytest.raises(UserError, match="judges.toxicity: '.*' can't be loaded"):
        get_judge("transformers", "toxicity", WORLD, {"model": str(tmp_path)})
    with pytest.raises(UserError, match="no setting 'size'; it has model"):
        get_judge("transformers", "toxicity", WORLD, {"model": folder, "size": 3})
    with pytest.raises(UserError, match="needs a model"):
        get_judge("transformers", "toxicity", WORLD)
    with pytest.raises(UserError, match="'word_count' needs no judge"):
        get_judge("transformers", "word_count", WORLD, {"model": folder})


def test_a_judge_is_loaded_from_the_cache_at_that_commit(monkeypatch):
    asked = []

    def from_pretrained(source, **where):
        asked.append((source, where["revision"], where["local_files_only"]))
        raise OSError("enough")

    monkeypatch.setattr(batched.AutoTokenizer, "from_pretrained", from_pretrained)
    for entry in (JUDGE, JUDGE | {"revision": COMMIT, "offline": True}):
        with pytest.raises(UserError, match="judges.toxicity: 'org/tiny' can't be loaded: enough"):
            judges.for_task(tasks.get("toxicity"), entry, WORLD)
    assert asked == [("org/tiny", "main", False), ("org/tiny", COMMIT, True)]
