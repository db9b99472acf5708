"""Draws the report of a run, or of several together: `python report.py runs/NAME [runs/OTHER ...]`.

Writes curves.png and report.html into the run's folder, from the files in that folder alone.
Several runs share one figure and one page. train_prime.py draws the report of its own run every
EVAL_EVERY iterations and at the end.
"""

import argparse
from pathlib import Path

from reporting.run_report import read_run, write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--output", type=Path, help="folder to write to; default: the first run's")
    arguments = parser.parse_args()
    runs = [read_run(folder) for folder in arguments.runs]
    output = arguments.output or arguments.runs[0]
    prefix = "comparison-" if len(runs) > 1 and not arguments.output else ""
    output.mkdir(parents=True, exist_ok=True)
    for path in write_report(runs, output, prefix):
        print(path)


if __name__ == "__main__":
    main()
