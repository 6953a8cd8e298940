"""Copy the figures that README.md shows from results/demo/ to docs/images/, in fewer colours and pixels, and
check the numbers of the demo that it states.

Run it with `make pictures` after `make demo`.
"""

import csv
import json
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "results/demo"
FIGURES, IMAGES = DEMO / "figures", ROOT / "docs/images"
NAMES = ("scorecard", "time")
WIDTH, COLOURS, MOST_BYTES = 1140, 256, 150_000

IMAGES.mkdir(exist_ok=True)
for name in NAMES:
    source, target = FIGURES / f"{name}.png", IMAGES / f"{name}.png"
    if not source.is_file():
        raise SystemExit(f"{source.relative_to(ROOT)} is missing; run `make demo` first")
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDTH:
        height = round(picture.height * WIDTH / picture.width)
        picture = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
    # Other methods lose colours that only few pixels have, such as those of the legend.
    picture = picture.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    picture.save(target, optimize=True)
    size = target.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(
            f"{target.relative_to(ROOT)} has {size:,} bytes, more than {MOST_BYTES:,}; lower WIDTH or COLOURS"
        )
    print(f"{target.relative_to(ROOT)}  {size / 1e3:.0f} kB")


def numbers():
    """What README.md says of the demo, with its numbers."""
    findings = json.loads((DEMO / "findings.json").read_text(encoding="utf-8"))
    verdicts = [
        finding["verdict"]
        for model, by_claim in findings.items()
        if model != "all models"
        for finding in by_claim.values()
    ]
    yield f"the verdict in {verdicts.count('insufficient')} of the {len(verdicts)} cases"
    with (DEMO / "tables/compliance.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["task"] == "term_exclusion"]
    for column, words in (("compliance", "of the responses avoid"), ("twin_compliance", "do without")):
        rates = [float(row[column]) for row in rows]
        yield f"{min(rates):.0%} to {max(rates):.0%} {words}".replace("%", "", 1).replace("%", " %")


said = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
wrong = [words for words in numbers() if words not in said]
if wrong:
    raise SystemExit("README.md should say of the demo: " + "; ".join(wrong))
