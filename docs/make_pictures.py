"""Copy the figures that README.md shows from results/demo/ to docs/images/, in fewer colours and pixels.

Run it with `make pictures` after `make demo`.
"""

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FIGURES, IMAGES = ROOT / "results/demo/figures", ROOT / "docs/images"
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
