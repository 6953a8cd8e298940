"""Copy the figures that the pages show from results/demo/ and results/real/ to docs/images/, in fewer colours
and pixels, take a picture of the monitor's page, and check the numbers of the demo that README.md states.

Run it with `make pictures` after `make demo`. Without `make real`, the figures of the real model stay as they
are; without Chromium, the picture of the monitor's page does.
"""

import csv
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

ROOT = Path(__file__).resolve().parents[1]
DEMO, REAL = ROOT / "results/demo", ROOT / "results/real"
IMAGES = ROOT / "docs/images"
# Below figures/ of each study, and what they are called here.
FIGURES = {
    DEMO: {"scorecard": "scorecard", "time": "time", "monitors/toy-llama": "monitors"},
    REAL: {"scorecard": "real_scorecard", "time_within": "real_time"},
}
# The command of docs/monitor.md, whose page is shown there.
MONITOR = "skillprobe monitor --study results/demo"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, COLOURS, MOST_BYTES = 1140, 256, 150_000


def save(picture: Image.Image, target: Path) -> None:
    picture = picture.convert("RGB")
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


def monitor_page(browser: str) -> None:
    """A picture of what the first command of docs/monitor.md shows, as far as the page goes."""
    page = (ROOT / "docs/monitor.md").read_text(encoding="utf-8").replace("\\\n", " ")
    command = next(line for line in page.splitlines() if line.startswith(MONITOR))
    with tempfile.TemporaryDirectory() as name:
        shown, picture = Path(name) / "monitor.html", Path(name) / "monitor.png"
        arguments = [str(shown) if each == "monitor.html" else each for each in shlex.split(command)[1:]]
        quiet = {"cwd": ROOT, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([sys.executable, "-m", "skillprobe", *arguments, "--seed", "0"], **quiet)
        window = ["--window-size=900,900", f"--screenshot={picture}", shown.as_uri()]
        subprocess.run([browser, "--headless", "--no-sandbox", "--hide-scrollbars", *window], **quiet)
        image = Image.open(picture).convert("RGB")
        blank = Image.new("RGB", image.size, image.getpixel((image.width - 1, image.height - 1)))
        bottom = ImageChops.difference(image, blank).getbbox()[3]
        save(image.crop((0, 0, image.width, min(image.height, bottom + 20))), IMAGES / "monitor.png")


IMAGES.mkdir(exist_ok=True)
for study, figures in FIGURES.items():
    if study == REAL and not study.is_dir():
        print("the figures of the real model stay as they are: run `make real` first")
        continue
    for figure, name in figures.items():
        source = study / "figures" / f"{figure}.png"
        if not source.is_file():
            raise SystemExit(f"{source.relative_to(ROOT)} is missing; run `make {study.name}` first")
        save(Image.open(source), IMAGES / f"{name}.png")
if browser := next(filter(None, map(shutil.which, BROWSERS)), None):
    monitor_page(browser)
else:
    print(f"docs/images/monitor.png stays as it is: there is no {' or '.join(BROWSERS)}")


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
