"""Scores responses with an implicit PRM: token and step rewards, P(correct) if it learned by CE.

`python score.py --prm runs/NAME/prm [--reference MODEL] responses.jsonl` writes
responses.scores.jsonl and responses.scores.html beside the file, or into the folder --output. A row
holds `prompt` and `response`. The prompt is a list of messages, or a question, which gets the
template of the row's `ability`, one of VERIFIERS as in the PRM's run. Rows of a run's rollouts/ or
of evaluate.py's responses/ are scored as sampled. Rows of ProcessBench measure how well the PRM
finds wrong steps.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import checks.openmp  # noqa: F401  # isort: skip  (before torch)
import torch
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

import data
from checks import files, machine, model_files
from checks.errors import UserError, advising_on_memory
from evaluation import process_bench, scoring
from generation.ending import find_pad_token_id
from reporting.page import ShownGroup, show_response, write_page
from reporting.progress import hide_library_bars
from reporting.steps import make_visible, split_steps, token_texts

_SHOWN = 1_000  # responses on the page, the first ones


def main() -> None:
    arguments = parse_arguments()
    if not sys.stderr.isatty():
        hide_library_bars()
    settings, tokenizer = scoring.read_settings(
        arguments.prm, arguments.reference, arguments.beta, ("--prm", "--reference", "--beta")
    )
    rows = list(data.load_rows(str(arguments.file), arguments.split, "file"))
    has_labels = process_bench.is_process_bench(rows)
    if has_labels:
        rows = process_bench.read_solutions(rows, str(arguments.file))
    prompts, responses = scoring.encode_pairs(
        rows,
        tokenizer,
        system_prompt=arguments.system_prompt,
        templates=settings.templates,
        constant=str(arguments.file),
    )
    longest = max(len(prompt) + len(ids) for prompt, ids in zip(prompts, responses))
    config = model_files.load_config(arguments.prm, "--prm")
    model_files.check_length(config, longest, f"The rows of {arguments.file}")
    stem = arguments.file.with_suffix(".scores")
    if not arguments.file.exists():  # on the hub
        stem = Path(f"{arguments.file.name}-{arguments.split}.scores")
    if arguments.output:
        stem = arguments.output / stem.name
    files.check_folder(stem.parent, "--output")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    machine.expand_segments()
    scorer = scoring.load_scorer(settings, getattr(torch, arguments.dtype), device)
    torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every shape
    with (
        advising_on_memory("Out of memory: lower --batch-tokens."),
        tqdm(total=len(rows), desc="score", unit="response", disable=None) as bar,
    ):
        token_rewards = scoring.score_tokens(
            scorer,
            prompts,
            responses,
            pad_token_id=find_pad_token_id(tokenizer),
            batch_tokens=arguments.batch_tokens,
            on_rows=bar.update,
        )
    lines = [
        make_line(row, ids, rewards, tokenizer, settings.loss)
        for row, ids, rewards in zip(rows, responses, token_rewards)
    ]
    scores_path, page_path = stem.with_suffix(".scores.jsonl"), stem.with_suffix(".scores.html")
    files.replace_file(scores_path, "".join(json.dumps(line) + "\n" for line in lines))
    write_scores_page(page_path, settings, rows, responses, token_rewards, tokenizer)
    print(scores_path)
    print(page_path)
    if has_labels:
        step_rewards = [[step["reward"] for step in line["steps"]] for line in lines]
        labels = [row["label"] for row in rows]
        print("\n".join(process_bench.describe(step_rewards, labels, arguments.threshold)))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, help="responses: jsonl, json or parquet file, or hub id")
    parser.add_argument("--output", type=Path, help="folder of the scores; default: the file's")
    parser.add_argument("--prm", required=True, help="folder or hub id of the implicit PRM")
    parser.add_argument("--reference", help="model the PRM started from; default: as recorded")
    parser.add_argument("--beta", type=float, help="weight of the log-ratio; default: as recorded")
    parser.add_argument("--system-prompt", help='for rows without one; "eurus": the published text')
    parser.add_argument("--split", default="train", help="of a data set on the hub")
    parser.add_argument(
        "--threshold", type=float, default=0.0, help="ProcessBench: a step below it is wrong"
    )
    parser.add_argument("--batch-tokens", type=int, default=8192, help="tokens in a forward pass")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    arguments = parser.parse_args()
    if arguments.batch_tokens < 1:
        raise UserError(f"--batch-tokens = {arguments.batch_tokens} must be at least 1.")
    return arguments


def make_line(
    row: dict,
    ids: Sequence[int],
    rewards: Sequence[float],
    tokenizer: PreTrainedTokenizerBase,
    loss: str,
) -> dict:
    """Return the line of the scores file for a response."""
    texts = token_texts(tokenizer, ids)
    if "solution_steps" in row:  # of ProcessBench
        steps = process_bench.find_steps(row["solution_steps"], tokenizer, len(ids))
    else:
        steps = split_steps(texts)
    return {
        "prompt": row["prompt"],
        "response": row["response"],
        "probability_correct": scoring.probability_correct(rewards, loss),
        "score": sum(rewards),
        "steps": [
            {"text": "".join(texts[start:end]), "reward": reward}
            for (start, end), reward in zip(steps, scoring.sum_steps(rewards, steps))
        ],
        "tokens": texts,
        "token_rewards": rewards,
        **({"label": row["label"]} if "solution_steps" in row else {}),
    }


def write_scores_page(
    path: Path,
    settings: scoring.ScorerSettings,
    rows: Sequence[dict],
    responses: Sequence[list[int]],
    token_rewards: Sequence[list[float]],
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Write the page of heat maps; consecutive rows with the same prompt stand side by side."""
    groups: list[ShownGroup] = []
    for row, ids, rewards in list(zip(rows, responses, token_rewards))[:_SHOWN]:
        prompt = row["prompt"] if isinstance(row["prompt"], str) else json.dumps(row["prompt"])
        response = show_response(
            tokenizer,
            ids,
            rewards=rewards,
            status=str(row.get("status") or ""),
            parts=row.get("parts"),
            outcome=row.get("outcome_reward"),
            probability=scoring.probability_correct(rewards, settings.loss),
        )
        if groups and groups[-1].prompt == make_visible(prompt):
            groups[-1].responses.append(response)
        else:
            truth = make_visible(str(row.get("ground_truth") or ""))
            groups.append(ShownGroup(make_visible(prompt), truth, "", [response]))
    write_page(
        path,
        title="Process rewards",
        summary=f"{len(rows)} responses scored by {settings.prm} against {settings.reference}, "
        f"beta {settings.beta:g}.",
        selection=f"The first {_SHOWN} responses. Click on a row to see its tokens."
        if len(rows) > _SHOWN
        else "Click on a row to see its tokens.",
        groups=groups,
    )


if __name__ == "__main__":
    main()
