"""The report of a run that goes on: report.py --watch, and the page that loads itself again."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from browser import BROWSER, open_page
from pages import Page
from small_runs import ROOT
from test_report import make_run

from reporting import run_report


def add_iteration(folder: Path, **changes) -> None:
    """Write one more iteration as a run does: its responses, then its line of metrics."""
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    number = len(lines)
    last = folder / "rollouts" / f"{number - 1:06d}.jsonl"
    (folder / "rollouts" / f"{number:06d}.jsonl").write_text(last.read_text())
    line = json.dumps({**json.loads(lines[-1]), "iteration": number, **changes}) + "\n"
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(line)


def draw(folder: Path, reloads: bool) -> Page:
    run_report.write_report([run_report.read_run(folder)], folder, reloads=reloads)
    return Page(folder / "report.html")


def test_warnings_are_on_the_page(tmp_path):
    folder = make_run(tmp_path / "run", iterations=6)
    assert 'id="warnings"' not in draw(folder, reloads=False).text
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    text = "".join(json.dumps({**line, "kept_fraction": 0.01}) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    page = draw(folder, reloads=False)
    assert "<li>iteration 4: fewer than one prompt in ten passes the filter" in page.text
    other = make_run(tmp_path / "other")
    run_report.write_report([run_report.read_run(own) for own in (folder, other)], tmp_path)
    assert "<li>run, iteration 4: fewer than" in (tmp_path / "report.html").read_text()


def test_only_the_page_of_a_run_that_goes_on_loads_itself_again(tmp_path):
    folder = make_run(tmp_path / "run")
    assert "location.reload()" not in draw(folder, reloads=False).text
    page = draw(folder, reloads=True)
    assert "location.reload(), 5 * 1000)" in page.text and "every 5 seconds" in page.text


def test_a_line_that_is_half_written_is_no_iteration_yet(tmp_path):
    folder = make_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 3, "train_acc')
    assert len(run_report.read_run(folder).metrics) == 3


def watch(folder: Path, *options: str) -> subprocess.Popen:
    """Start report.py --watch on a folder, with a reload every tenth of a second."""
    program = "import report, signal, reporting.run_report as r\nreport.RELOAD_SECONDS = "
    program += "r.RELOAD_SECONDS = 0.1\n"  # and Ctrl-C counts also where the tests ignore it
    program += "signal.signal(signal.SIGINT, signal.default_int_handler)\nreport.main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "--watch", str(folder), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_watched_run_is_drawn_until_it_is_complete(tmp_path):
    """With a browser on PATH, as a person sees it: a new iteration appears without a touch."""
    folder = make_run(tmp_path / "run", NUM_ITERATIONS=5)
    process = watch(folder)
    assert process.stdout.readline().startswith(f"open {folder}/report.html in a browser")
    if BROWSER:
        with open_page(folder / "report.html", tmp_path / "profile") as page:
            page.wait_for("document.body.innerText.includes('run: 3 iterations from')")
            add_iteration(folder)
            page.wait_for("document.body.innerText.includes('run: 4 iterations from')")
            page.evaluate("document.querySelector('tr.row').click()")  # reads a response
            page.wait_for("document.body.innerText.includes('no longer loads itself')")
            add_iteration(folder)
            assert process.wait(timeout=120) == 0
            assert page.evaluate("document.body.innerText.includes('run: 4 iterations from')")
            assert page.evaluate("document.querySelector('#detail .card') !== null")
    else:
        add_iteration(folder)
        add_iteration(folder)
        assert process.wait(timeout=120) == 0
    text = (folder / "report.html").read_text()
    assert "run: 5 iterations from" in text and "location.reload()" not in text
    assert not list(folder.glob(".watch-*"))


def test_a_watch_waits_for_the_first_iteration_and_ends_with_ctrl_c(tmp_path):
    folder = make_run(tmp_path / "run", NUM_ITERATIONS=9)
    lines = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text("")
    process = watch(folder)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.01)
    (folder / "metrics.jsonl").write_text(lines)
    assert process.stdout.readline().startswith("open ")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and output == "no longer watching\n"
    assert "location.reload()" in (folder / "report.html").read_text()
    assert watch(tmp_path / "none").communicate(timeout=120)[0].strip().endswith("does not exist.")
