"""Writes the card of a model that a run has trained: README.md and curves.png in its folder."""

import ast
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from string import Template

from huggingface_hub import ModelCard, ModelCardData, hf_hub_download
from yaml import YAMLError

from checks.constants import Constants, follow_precision
from checks.prm_record import find_loss, find_reference

_HERE = Path(__file__).resolve().parent
_DOCS = _HERE.parent / "docs" / "constants.md"
_PRIVATE = ("OUTPUT_DIR",)  # says nothing about the model
_MEANINGS = {  # of a response's score, by PRM_LOSS
    "ce": "Its sigmoid is P(correct).",
    "pairs": "It ranks the responses to one prompt, and is no probability.",
}
_ROWS = 11  # of the accuracy table
_COLUMNS = {  # metric: heading
    "train_accuracy": "mean outcome reward of sampled responses",
    "eval_accuracy": "held-out, greedy",
    "kept_fraction": "prompts that pass the filter",
    "prm_accuracy": "pairs that the PRM ranks right",
}


def write_card(
    target: Path, *, role: str, run: Path, constants: dict, licence: str | None, name: str
) -> None:
    """Write README.md into a model's folder and, if they are drawn, the run's curves.

    Args:
        role: "policy" or "prm".
        run: folder of the run.
        constants: of train_prime.py.
        licence: of the base model, from find_licence().
        name: folder or repository from which a reader loads the model.
    """
    c = constants
    lines = (run / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    curves = run / "curves.png"
    if curves.exists():
        shutil.copyfile(curves, target / curves.name)
    template = Template((_HERE / f"card_{role}.md").read_text())
    from_run = c["PRM_MODEL"] if role == "prm" and c["PRM_MODEL"] else c["MODEL"]
    reference = find_reference(c) if role == "prm" else None
    text = template.substitute(
        front_matter=_make_front_matter(c, from_run, licence),
        run=c["RUN_NAME"],
        name=name,
        base=from_run,
        reference=reference or c["MODEL"],
        reference_role=f"`{reference}`, the same in all iterations"
        if reference
        else "the policy of each iteration. To score with the PRM, choose a policy of the run",
        meaning=_MEANINGS[find_loss(c)],
        beta=c["BETA"],
        temperature=c["TEMPERATURE"],
        data=f"`{c['TRAIN_DATA']}`, split `{c['TRAIN_SPLIT']}`",
        iterations=len(metrics),
        planned=c["NUM_ITERATIONS"],
        responses=c["PROMPTS_PER_ITERATION"] * c["SAMPLES_PER_PROMPT"],
        accuracy=_make_table(metrics),
        curves="![curves of the run by iteration](curves.png)" if curves.exists() else "",
        constants=_list_changes(c),
        licence=f"That of the base model: `{licence}`."
        if licence
        else "The base model states none. Ask its authors before you hand this model on.",
    )
    (target / "README.md").write_text(text)


def find_licence(model: str) -> str | None:
    """Return the licence that the card or the configuration of a model states, None if neither.

    Args:
        model: folder or hub id. A hub that cannot be reached states nothing.
    """
    readers = {"README.md": _read_card, "config.json": _read_json}
    for file, read in readers.items():
        try:
            folder = Path(model)
            path = folder / file if folder.is_dir() else Path(hf_hub_download(model, file))
            if licence := read(path).get("license"):
                return str(licence)
        except (
            OSError,
            ValueError,
            YAMLError,
        ):  # no such file, no hub, or a card that cannot be read
            continue
    return None


def _read_card(path: Path) -> dict:
    return ModelCard.load(path).data.to_dict()


def _read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def read_defaults() -> dict[str, object]:
    """Return the defaults of the constants, as the table in docs/constants.md has them.

    The script's own values are no help: a user edits them there.
    """
    defaults = {}
    for row in re.findall(r"(?m)^\| (`[A-Z_]+`.*)$", _DOCS.read_text()):
        names, values = (re.findall(r"`([^`]+)`", cell) for cell in row.split(" | ")[:2])
        defaults |= {name: ast.literal_eval(value) for name, value in zip(names, values)}
    return defaults


def _make_front_matter(constants: dict, base: str, licence: str | None) -> str:
    """Return the YAML that a hub reads. It names a base model or a data set only if it has them."""
    return ModelCardData(
        pipeline_tag="text-generation",
        library_name="transformers",
        tags=["prime", "reinforcement-learning", "arxiv:2502.01456"],
        base_model=base if _is_hub_id(base) else None,
        datasets=[constants["TRAIN_DATA"]] if _is_hub_id(constants["TRAIN_DATA"]) else None,
        license=licence,
    ).to_yaml()


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not Path(name).exists()


def _make_table(metrics: Sequence[dict]) -> str:
    """Return some iterations as a table: the evaluated ones, spread evenly, and the last."""
    if not metrics:  # the best policy may be the first
        return "No iteration has ended yet."
    places = range(len(metrics))
    evaluated = [n for n in places if metrics[n].get("eval_accuracy") is not None] or list(places)
    every = -(-len(evaluated) // _ROWS)
    chosen = sorted({*evaluated[::every], *places[-1:]})
    rows = [["iteration", *_COLUMNS.values()], ["---"] * (1 + len(_COLUMNS))]
    for n in chosen:
        cells = [metrics[n].get(key) for key in _COLUMNS]
        shown = ["" if value is None else f"{100 * value:.1f} %" for value in cells]
        rows.append([str(metrics[n]["iteration"]), *shown])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _list_changes(constants: dict) -> str:
    """Return the constants that differ from the default, as a table."""
    defaults = follow_precision(Constants(read_defaults()))
    changed = [
        (name, repr(value))
        for name, value in constants.items()
        if name not in _PRIVATE and value != defaults.get(name)
    ]
    if not changed:
        return "None."
    cells = [(name, value.replace("`", "'").replace("|", r"\|")) for name, value in changed]
    rows = [f"| `{name}` | `{value}` |" for name, value in cells]
    return "\n".join(["| constant | value |", "|---|---|", *rows])
