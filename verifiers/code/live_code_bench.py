"""Reads the test cases of LiveCodeBench. The private ones are a pickle, and nothing in it runs."""

import base64
import io
import json
import pickle
import zlib


class _TextUnpickler(pickle.Unpickler):
    """Reads a pickle of plain values: one that names a class or a function is refused."""

    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def read_cases(row: dict) -> dict[str, object]:
    """Return the test cases of a row as lists "inputs" and "outputs", with "fn_name".

    Args:
        row: public_test_cases, private_test_cases and metadata, as the data set has them.

    Raises:
        ValueError: a part cannot be read. Its words follow "a ground truth that".
    """
    cases = [
        *_load_cases(row.get("public_test_cases"), "public_test_cases"),
        *_load_cases(_decode(row["private_test_cases"]), "private_test_cases"),
    ]
    metadata = _load(row.get("metadata"), "metadata")
    name = metadata.get("func_name") if isinstance(metadata, dict) else None
    kinds = {case["testtype"] for case in cases}
    if kinds - {"functional" if name else "stdin"}:
        raise ValueError(f"has test cases of the kinds {sorted(kinds)}, but the func_name {name!r}")
    return {
        "inputs": [case["input"] for case in cases],
        "outputs": [case["output"] for case in cases],
        "fn_name": name or "",
    }


def _decode(text: object) -> object:
    """Return private test cases as JSON, from JSON or base64 of zlib of a pickle of it."""
    if not isinstance(text, str) or text.lstrip().startswith("["):
        return text
    try:
        packed = zlib.decompress(base64.b64decode(text, validate=True))
        decoded = _TextUnpickler(io.BytesIO(packed)).load()
    except Exception as error:  # a damaged pickle raises any kind
        raise ValueError(f"has private_test_cases that cannot be decoded: {error}") from error
    if not isinstance(decoded, str):
        kind = type(decoded).__name__
        raise ValueError(f"has private_test_cases that cannot be decoded: a {kind}, not a text")
    return decoded


def _load(text: object, column: str) -> object:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"has {column} that cannot be read: {error}") from error


def _load_cases(text: object, column: str) -> list[dict[str, str]]:
    cases = _load(text, column)
    keys = ("input", "output", "testtype")
    for case in cases if isinstance(cases, list) else [None]:
        values = [case.get(key) for key in keys] if isinstance(case, dict) else [None]
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"has {column} that are no list of texts input, output and testtype")
    return cases
