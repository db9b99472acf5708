"""Draws the report of a run, or of several together: `python report.py runs/NAME [runs/OTHER ...]`.

Writes curves.png and report.html into the run's folder, from the files in that folder alone.
Several runs share one figure and one page. train_prime.py draws the report of its own run every
EVAL_EVERY iterations and at the end. `--watch` draws it after every iteration, and the page loads
itself again, so that a browser shows the run as it goes.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from checks.errors import UserError
from reporting.run_report import RELOAD_SECONDS, is_complete, read_run, write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--output", type=Path, help="folder to write to; default: the first run's")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="draw the report again after every iteration, until Ctrl-C or the end of the run",
    )
    arguments = parser.parse_args()
    output = arguments.output or arguments.runs[0]
    prefix = "comparison-" if len(arguments.runs) > 1 and not arguments.output else ""
    if arguments.watch:
        try:
            watch(arguments.runs, output, prefix)
        except KeyboardInterrupt:
            print("no longer watching")
        return
    runs = [read_run(folder) for folder in arguments.runs]
    output.mkdir(parents=True, exist_ok=True)
    for path in write_report(runs, output, prefix):
        print(path)


def watch(folders: Sequence[Path], output: Path, prefix: str) -> None:
    """Draw the report whenever an iteration has ended, until all runs are complete.

    Raises:
        UserError: a folder does not exist.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} does not exist.")
    output.mkdir(parents=True, exist_ok=True)
    tokenizers = dict.fromkeys(folders)  # loaded once
    drawn = None
    while True:
        lines = [path / "metrics.jsonl" for path in folders]
        there = [path.stat() if path.exists() else None for path in lines]
        state = [own and (own.st_mtime_ns, own.st_size) for own in there]
        if state != drawn and all(own and own.st_size for own in there):
            runs = [read_run(folder, tokenizers[folder]) for folder in folders]
            tokenizers = {run.folder: run.tokenizer for run in runs}
            ends = all(map(is_complete, runs))
            paths = _draw(runs, output, prefix, reloads=not ends)
            if drawn is None:
                print(f"open {paths[-1].resolve()} in a browser; Ctrl-C ends this", flush=True)
            if ends:
                return
            drawn = state
        time.sleep(RELOAD_SECONDS)


def _draw(runs: Sequence, output: Path, prefix: str, reloads: bool) -> list[Path]:
    """Draw beside the report, then rename: the run itself may be drawing it as well."""
    with tempfile.TemporaryDirectory(dir=output, prefix=".watch-") as folder:
        drawn = write_report(runs, Path(folder), prefix, reloads)
        for path in drawn:
            os.replace(path, output / path.name)
    return [output / path.name for path in drawn]


if __name__ == "__main__":
    main()
