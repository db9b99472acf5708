"""A verifier that needs no processes: a reward by the text alone."""

import zlib

from verifiers import Verdict


class StubVerifier:
    """Rewards by the text alone, some of them partial."""

    sandbox_layers, sandbox_fault = {}, ""

    def __init__(self, **_):
        self.rewards: list[float] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, responses, ground_truths, abilities, questions=None):
        values = (0.0, 1.0, 0.0, 1.0, 0.25)
        self.rewards += [values[zlib.crc32(text.encode()) % 5] for text in responses]

    def collect(self, on_verdicts=None):
        verdicts = [Verdict(reward, "correct" if reward else "wrong") for reward in self.rewards]
        self.rewards = []
        return verdicts
