"""Ctrl-C: the first press lets the iteration end and saves the run, the second stops at once."""

import ctypes
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator

_EXIT_STATUS = 128 + signal.SIGINT  # as a shell reports a program that Ctrl-C has ended
_PR_SET_PDEATHSIG = 1
_SEVERAL = "TORCHELASTIC_RUN_ID"  # set by the launcher of several processes
_PATIENCE = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"  # its seconds until it kills them after Ctrl-C


class Interrupt:
    """Notes Ctrl-C while a run trains, and says which command goes on with the run."""

    def __init__(self, accelerator: Accelerator, saves: bool):
        self.accelerator = accelerator
        self.saves = saves  # SAVE_ON_INTERRUPT; False: the first press stops at once
        self.pressed = False
        self.is_saved = False
        self.command = find_command()  # now: a launcher of one process ends at the first press

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Handle Ctrl-C as long as this lasts. Then give the process back its own handler."""
        before = signal.signal(signal.SIGINT, self._note)
        try:
            yield
        except KeyboardInterrupt:
            if self.is_saved:
                self.accelerator.end_training()
            where = "" if self.is_saved else " from its last checkpoint"
            self._say(f"Interrupted. This command goes on with the run{where}:\n  {self.command}")
            raise SystemExit(_EXIT_STATUS) from None
        finally:
            signal.signal(signal.SIGINT, before)

    def is_noted(self) -> bool:
        """Return whether any process has noted Ctrl-C; every process gets the same answer.

        All processes must stop after the same iteration: otherwise one would wait for the others.
        """
        mine = torch.tensor(float(self.pressed), device=self.accelerator.device)
        pressed = bool(self.accelerator.reduce(mine))
        if pressed:  # otherwise a press that came meanwhile counts in the next iteration
            self.pressed = True
        return pressed

    def stop(self) -> None:
        """End the run, which has just been saved."""
        self.is_saved = True
        raise KeyboardInterrupt

    def _note(self, number: int, frame: object) -> None:
        if self.pressed or not self.saves:
            raise KeyboardInterrupt
        self.pressed = True
        if _SEVERAL in os.environ:
            # The launcher ends at the second press without a word to its processes.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
            seconds = os.environ.get(_PATIENCE, "30")
            more = f" The launcher waits {seconds} s for that: {_PATIENCE} sets how long."
        else:
            more = f" (kill -INT {os.getpid()} does the same.)"
        self._say(
            "Ctrl-C: the run ends after this iteration, when it is saved. A second Ctrl-C stops it "
            f"at once.{more}"
        )

    def _say(self, text: str) -> None:
        """Print on the main process. A signal may come amid print(), which cannot be re-entered."""
        if self.accelerator.is_main_process:
            os.write(sys.__stdout__.fileno(), f"{text}\n".encode())


def find_command() -> str:
    """Return the command that started this process: that of its launcher, if it has one."""
    for process in (os.getppid(), os.getpid()):
        path = Path(f"/proc/{process}/cmdline")
        arguments = path.read_text().split("\0")[:-1] if path.exists() else []
        if sys.argv[0] in arguments:
            break
    else:
        arguments = [sys.executable, *sys.argv]
    return shorten(arguments)


def shorten(arguments: Sequence[str]) -> str:
    """Return a command as a person types it: python and programs without their folders."""
    python, *rest = arguments
    if rest and Path(rest[0]).name in ("accelerate", "torchrun"):  # a script of that name
        return shlex.join([Path(rest[0]).name, *rest[1:]])
    if rest[:2] == ["-m", "accelerate.commands.launch"]:
        return shlex.join(["accelerate", "launch", *rest[2:]])
    return shlex.join([Path(python).name, *rest])
