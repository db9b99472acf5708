"""Groups of responses with boxed answers."""

from generation.groups import Group


def make_group(answers: list[str | None], truth: str, ability: str = "math") -> Group:
    """Return a group whose responses box some answers; None boxes nothing."""
    rewards = [float(answer is not None and answer == truth) for answer in answers]
    count = len(answers)
    return Group(
        prompt_ids=[1],
        ability=ability,
        ground_truth=truth,
        data_source="",
        response_ids=[[2]] * count,
        responses=["?" if a is None else f"so \\boxed{{{a}}}" for a in answers],
        outcome_rewards=rewards,
        statuses=["correct" if reward else "wrong" for reward in rewards],
        truncated=[False] * count,
    )
