"""Put the trained toy models, with their cards, where the default study finds them."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRAINED, PUBLISHED = ROOT / "results" / "toy", ROOT / "workflow" / "resources" / "models"

cards = sorted((TRAINED / "cards").glob("*.md"))
if not cards:
    raise SystemExit("there are no trained toy models in results/toy/; run `make toys` first")
for card in cards:
    target = PUBLISHED / card.stem
    # Snakemake leaves the time in a folder that it has made.
    hidden = shutil.ignore_patterns(".*")
    shutil.copytree(TRAINED / "models" / card.stem, target, ignore=hidden, dirs_exist_ok=True)
    shutil.copy(card, target / "README.md")
    for path in target.iterdir():
        path.chmod(0o644)  # safetensors writes files for their owner alone
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target.relative_to(ROOT)}  {size / 1e6:.1f} MB")
