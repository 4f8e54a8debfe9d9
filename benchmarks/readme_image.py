"""The README's picture from the demo's figure of learning curves, small enough for a page.

grokscope demo && python benchmarks/readme_image.py report_figures/curves.png
"""

import argparse
from pathlib import Path

from PIL import Image

OUT = Path(__file__).parent.parent / "docs" / "images" / "two_routes.png"
WIDTH, COLORS = 1700, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("figure", type=Path)
    with Image.open(parser.parse_args().figure) as image:
        height = round(image.height * WIDTH / image.width)
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
        white.resize((WIDTH, height), Image.Resampling.LANCZOS).quantize(COLORS).save(OUT, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
