"""Prompts with their responses, as Python values that go between processes and into files."""

from dataclasses import dataclass

MIN_KEPT_FRACTION = 0.25  # a round samples at most (missing prompts) / this


@dataclass(frozen=True)
class Group:
    """A prompt and its K responses, as plain Python values for other processes and for files."""

    prompt_ids: list[int]
    ability: str
    ground_truth: str
    data_source: str
    response_ids: list[list[int]]  # K lists, EOS included where there is one
    responses: list[str]  # K texts without special tokens
    outcome_rewards: list[float]  # K values r_o in [0, 1]
    statuses: list[str]  # K, status of each verdict
    truncated: list[bool]  # K, True if the length limit came before EOS
    question: str | None = None  # its text, without template and system prompt
    # K lists: log pi_sampler of each token, as it was drawn; None if it was the likeliest.
    sampling_logprobs: list[list[float]] | None = None
    age: int = 0  # iterations since it was sampled
    extra_info: str | None = None  # of its row, as JSON; read where VERIFIERS names functions
    # Where VERIFIERS weighs several functions, K each: see verifiers.Verdict.
    shaped_rewards: list[float] | None = None
    parts: list[dict[str, tuple[float, str]]] | None = None

    @property
    def accuracy(self) -> float:
        return sum(self.outcome_rewards) / len(self.outcome_rewards)


@dataclass(frozen=True)
class Collected:
    """The groups that one iteration sampled, and how the filter divided them."""

    kept: list[Group]  # the batch
    surplus: list[Group]  # passed the filter too; goes into the next iteration's batch
    sampled: list[Group]  # all groups of this iteration, in order
    kept_fraction: float  # share of sampled groups that passed; as before if none was sampled
    rounds: int
    expired: int = 0  # surplus groups that were too old, and dropped
    cut: int = 0  # groups that did not pass only because a response was cut off
