"""The shipped toy models say what they are."""

import pytest
from made.toy import FAMILIES, SHIPPED
from skillprobe import tasks


@pytest.mark.parametrize("name", FAMILIES)
def test_shipped_models_are_small_and_say_what_they_are(name):
    folder = SHIPPED / name
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8e6
    assert not [path for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pkl", ".py")]
    card = (folder / "README.md").read_text()
    for word in ("seed", "snakemake", "compliance", *tasks.NAMES):
        assert word in card.lower()
