"""Imported by the scripts before torch: idle threads soon sleep, so that a run shares its machine.

A thread of OpenMP that waits for the others spins, in case they are about to end. Beside other work
that keeps the cores busy, it spins while those it waits for have no core. libgomp reads how long
from the environment, once, when torch loads it. docs/speed.md has what this measures.
"""

import os

SPINS = "1000"  # of a waiting thread before it sleeps; libgomp's own are 300,000

os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
