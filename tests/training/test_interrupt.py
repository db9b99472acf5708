"""Ctrl-C: what one press and two do, in one process and in several."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from small_runs import (
    SMALL_RUN,
    edit_script,
    launch,
    options_for,
    read_metrics,
    read_weights,
    run_here,
    without_seconds,
)

from training.interrupt import Interrupt, shorten

RUN = {**SMALL_RUN, "NUM_ITERATIONS": 4, "SAVE_EVERY": 100, "EVAL_EVERY": 100}


def make_accelerator(ended: list, others: float = 0.0) -> SimpleNamespace:
    """Return a stand-in: one process, to whose sums the others add a number."""
    return SimpleNamespace(
        device=torch.device("cpu"),
        is_main_process=True,
        reduce=lambda tensor: tensor + others,
        end_training=lambda: ended.append(True),
    )


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_press_is_noted_and_the_second_stops_at_once(capfd):
    ended, handler = [], signal.getsignal(signal.SIGINT)
    interrupt = Interrupt(make_accelerator(ended), saves=True)
    with pytest.raises(SystemExit) as stop, interrupt.noted():
        assert not interrupt.is_noted()
        press()
        assert interrupt.is_noted()
        assert "Ctrl-C: the run ends after this iteration" in capfd.readouterr().out
        press()
        pytest.fail("it went on")
    assert stop.value.code == 130 and ended == []
    assert "goes on with the run from its last checkpoint:\n  " in capfd.readouterr().out
    assert signal.getsignal(signal.SIGINT) is handler


def test_without_saving_the_first_press_stops_at_once(capfd):
    interrupt = Interrupt(make_accelerator([]), saves=False)
    with pytest.raises(SystemExit), interrupt.noted():
        press()
        pytest.fail("it went on")
    assert "from its last checkpoint" in capfd.readouterr().out


def test_a_press_on_another_process_ends_this_one_too():
    ended = []
    interrupt = Interrupt(make_accelerator(ended, others=1.0), saves=True)
    with pytest.raises(SystemExit), interrupt.noted():
        assert interrupt.is_noted() and interrupt.pressed
        interrupt.stop()
    assert ended == [True]  # trackers are closed


def test_a_press_while_processes_ask_each_other_counts_the_next_time():
    accelerator = make_accelerator([])
    interrupt = Interrupt(accelerator, saves=True)
    with interrupt.noted():
        accelerator.reduce = lambda tensor: press() or tensor
        assert not interrupt.is_noted()
        accelerator.reduce = lambda tensor: tensor
        assert interrupt.is_noted()


@pytest.mark.parametrize(
    "arguments, command",
    [
        ("/e/bin/python /e/bin/accelerate launch t.py SEED=1", "accelerate launch t.py SEED=1"),
        ("/e/bin/python -m accelerate.commands.launch t.py", "accelerate launch t.py"),
        ("/e/bin/python /e/bin/torchrun --nproc 2 t.py", "torchrun --nproc 2 t.py"),
        ("/e/bin/python3 t.py A='x y'", "python3 t.py 'A=x y'"),
        ("/e/bin/python", "python"),
    ],
)
def test_the_command_is_what_a_person_types(arguments, command):
    assert shorten(shlex.split(arguments)) == command


def interrupt_a_run(process: subprocess.Popen, folder, send) -> str:
    """Press Ctrl-C once iteration 0 has learned; return what the run said."""
    deadline = time.monotonic() + 240
    while not (folder / "rollouts" / "000000.jsonl").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    send(signal.SIGINT)
    return process.communicate(timeout=240)[0]


def test_an_interrupted_run_is_saved_and_goes_on_exactly(tmp_path, script_environment):
    settings = {**RUN, "OUTPUT_DIR": str(tmp_path / "runs")}
    whole = run_here(tmp_path, **{**settings, "RUN_NAME": "whole"})
    script = edit_script("train_prime.py", tmp_path / "t.py", **{**settings, "RUN_NAME": "cut"})
    cut = tmp_path / "runs" / "cut"
    process = subprocess.Popen(
        [sys.executable, str(script), "SEED=0"],
        env=script_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = interrupt_a_run(process, cut, process.send_signal)
    assert process.returncode == 130 and "Traceback" not in output, output
    python = os.path.basename(sys.executable)
    assert output.endswith(f"This command goes on with the run:\n  {python} {script} SEED=0\n")
    done = len(read_metrics(cut))
    assert 1 <= done < 4 and (cut / "checkpoint" / f"{done:06d}").is_dir()
    assert f"cut: {done} iterations from" in (cut / "report.html").read_text()
    shutil.move(cut, tmp_path / "runs" / "moved")
    run_here(tmp_path, **{**settings, "RUN_NAME": "moved"})
    moved = tmp_path / "runs" / "moved"
    assert without_seconds(read_metrics(moved)) == without_seconds(read_metrics(whole))
    for role in ("policy", "prm"):
        one, two = read_weights(whole / role), read_weights(moved / role)
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_two_processes_stop_after_the_same_iteration(tmp_path, script_environment):
    settings = {**RUN, "OUTPUT_DIR": str(tmp_path / "runs"), "NUM_ITERATIONS": 40}
    script = edit_script("train_prime.py", tmp_path / "t.py", **settings)
    patient = {**script_environment, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "240"}
    process = launch(script, patient, *options_for(2))
    folder = tmp_path / "runs" / "run"
    output = interrupt_a_run(process, folder, lambda number: os.killpg(process.pid, number))
    done = len(read_metrics(folder))
    assert 1 <= done < 40 and (folder / "checkpoint" / f"{done:06d}").is_dir(), output
    assert f"--num_processes 2 --num_machines 1 --main_process_port 0 {script}\n" in output
    assert output.count("Ctrl-C: the run ends after this iteration") == 1
    assert "The launcher waits 240 s for that" in output


WORKER = """
import time
from types import SimpleNamespace
from training.interrupt import Interrupt

with Interrupt(SimpleNamespace(is_main_process=True), saves=True).noted():
    print("ready", flush=True)
    while True:
        time.sleep(0.01)
"""


def test_a_launcher_of_several_that_ends_takes_its_processes_with_it(script_environment):
    """It ends at the second press without passing it on."""
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {WORKER!r}])"
    launcher = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**script_environment, "TORCHELASTIC_RUN_ID": "a test"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout.readline() == "ready\n"
    children = f"/proc/{launcher.pid}/task/{launcher.pid}/children"
    with open(children) as file:
        worker = int(file.read())
    os.kill(worker, signal.SIGINT)
    assert launcher.stdout.readline().startswith("Ctrl-C: the run ends after")
    launcher.kill()
    assert "from its last checkpoint" in launcher.communicate(timeout=60)[0]  # it wrote its last
