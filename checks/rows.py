"""Encodes the rows of a data set: faults name their row, long ones are dropped and counted."""

from collections.abc import Callable
from pathlib import Path

from datasets import Dataset, Features
from datasets.fingerprint import Hasher

from checks.errors import UserError

_ROOT = Path(__file__).resolve().parent.parent


def map_rows(rows: Dataset, encode: Callable, features: Features, constant: str) -> Dataset:
    """Return the encoded rows, cached as long as rows, encode() and its code stay the same.

    datasets compares encode() and its settings, but the functions that it calls by name alone. So
    the files that hold these count too.
    """
    caller = Path(encode.__code__.co_filename)
    sources = [caller, _ROOT / "data.py", *sorted((_ROOT / "verifiers/code").rglob("*.py"))]
    code = [path.read_bytes() for path in sources]

    def encode_batch(batch: dict[str, list], numbers: list[int]) -> dict[str, list]:
        columns = zip(*batch.values())
        encoded = [encode(dict(zip(batch, own)), n) for own, n in zip(columns, numbers)]
        return {name: [row[name] for row in encoded] for name in features}

    return rows.map(
        encode_batch,
        with_indices=True,
        batched=True,
        remove_columns=rows.column_names,
        features=features,
        new_fingerprint=Hasher.hash([rows._fingerprint, encode, code]),
        desc=f"encode {constant}",
    )


def raise_first_fault(encoded: Dataset, constant: str) -> None:
    for number, fault in zip(encoded["row"], encoded["fault"]):
        if fault:
            raise UserError(f"{constant}: row {number} {fault}")


def keep_short(
    encoded: Dataset, lengths: list[int], limit_constant: str, limit: int, constant: str
) -> tuple[Dataset, int]:
    """Return the rows of at most limit tokens, and how many were longer."""
    short = [i for i, length in enumerate(lengths) if length <= limit]
    if not short:
        raise UserError(
            f"{constant}: every row is longer than {limit_constant} = {limit} "
            f"(the shortest has {min(lengths)} tokens): raise it."
        )
    kept = encoded.select(short).remove_columns(["fault", "row"])
    return kept, len(lengths) - len(short)
