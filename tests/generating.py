"""Generation with settings that suit the tests."""

from generation.generate import generate_responses

PROMPTS = [[5, 6, 7, 8, 9], [10, 11], [12, 13, 14], [15]]


def generate(model, prompts=PROMPTS, **changes):
    return generate_both(model, prompts, **changes)[0]


def generate_both(model, prompts, **changes):
    """Return responses and log-probabilities."""
    settings = dict(samples_per_prompt=3, max_response_tokens=12, temperature=1.0)
    settings |= dict(eos_token_ids=[2], pad_token_id=0)
    return generate_responses(model, prompts, **{**settings, **changes})
