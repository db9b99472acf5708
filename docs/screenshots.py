"""The screenshots of README and docs: `python docs/screenshots.py runs/arithmetic`.

Opens the run's report.html in headless Chromium, which must be on PATH, without network, and
writes curves.png, heat-map.png and table.png beside this file. Behind the run, names of pictures
choose others: warnings.png needs a run that has warnings, card.png is the card in the run's prm/.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image

_SECTIONS = {  # file: what of the page's body it shows, and height in pixels
    "curves.png": ("h1, h1 + p, #curves, img", 1180),
    "heat-map.png": ("#pinned", 1320),
    "table.png": ("#responses, #responses ~ *", 570),
    "warnings.png": ("h1, h1 + p, #warnings, .warnings", 370),
    "card.png": ("*", 1330),
}
_CARD_STYLE = """<meta charset="utf-8"><style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem }
  pre { background: #f5f7f9; padding: 1em }
  table { border-collapse: collapse } td, th { border: 1px solid #d9dde3; padding: .2rem .6rem }
</style></head>"""
_WIDTH = 960
_COLORS = 128  # keeps the files small
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    """
    --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-sync
    --disable-background-networking --disable-component-update --disable-quic
    --virtual-time-budget=3000
""".split()
    + ["--host-resolver-rules=MAP * ~NOTFOUND"]
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("pictures", nargs="*", default=list(_SECTIONS)[:3], metavar="PICTURE")
    arguments = parser.parse_args()
    page = arguments.run.resolve() / "report.html"
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None or not page.exists():
        sys.exit(f"needed are {page} and one of {', '.join(_BROWSERS)} on PATH.")
    for file in arguments.pictures:
        selectors, height = _SECTIONS[file]
        target = Path(__file__).resolve().parent / file
        hidden = f"<style>body > :not({selectors}) {{display: none}}</style></head>"
        if file == "card.png":
            text = render_card(arguments.run / "prm" / "README.md")
        else:
            text = page.read_text().replace("</head>", hidden, 1)
        take_screenshot(browser, text, height, target)
        print(target)


def render_card(path: Path) -> str:
    """Return a model card as a page, without its front matter."""
    text = path.read_text().split("---\n", 2)[2]
    return _CARD_STYLE + MarkdownIt("commonmark").enable("table").render(text)


def take_screenshot(browser: str, page: str, height: int, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        address, picture = Path(folder) / "page.html", Path(folder) / "page.png"
        address.write_text(page)
        options = [f"--user-data-dir={folder}/profile", f"--window-size={_WIDTH},{height}"]
        command = [browser, *_OPTIONS, *options, f"--screenshot={picture}", address.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        Image.open(picture).convert("RGB").quantize(_COLORS).save(target, optimize=True)


if __name__ == "__main__":
    main()
