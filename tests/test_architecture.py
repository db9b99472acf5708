"""The map of the house, held true: which room may import which, and what stands at the root."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from small_runs import ROOT

# From low to high. A room imports lower rooms only. A root module is a room of its own.
FLOORS = (
    ("checks",),
    ("embedded", "verifiers", "generation", "advantage", "prm", "policy"),
    ("models", "data"),
    ("rollout", "reporting"),
    ("training",),
    ("evaluation",),
    ("train_prime", "train_prm", "sft", "evaluate", "score", "report"),
    ("benchmarks",),
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
VERIFIERS = ("math", "code", "sandbox", "own", "pool")  # the same inside verifiers/
SCRIPTS = {"train_prime.py", "train_prm.py", "sft.py", "evaluate.py", "score.py", "report.py"}
ALGORITHM = {"rollout.py", "prm.py", "advantage.py", "policy.py", "data.py"}
MOST_LEVELS, MOST_ENTRIES = 7, 26
MOST_LINES = {"train_prime.py": 400}  # of any other file 350


def list_modules() -> dict[str, Path]:
    """Return the Python files of the project by dotted name, tests and docs left out."""
    folders = [ROOT / room for floor in FLOORS for room in floor if (ROOT / room).is_dir()]
    paths = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    names = {path: path.relative_to(ROOT).with_suffix("").parts for path in paths}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in names.items()}


MODULES = list_modules()


def read_imports(name: str) -> set[str]:
    """Return the project's modules that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    siblings = {f"benchmarks.{own}" for own in found} if name.startswith("benchmarks.") else set()
    known = {own for own in found | siblings if own in MODULES and own != name}
    return {own for own in known if not any(other.startswith(f"{own}.") for other in known)}


IMPORTS = {name: read_imports(name) for name in MODULES}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def rooms_imported() -> dict[str, set[str]]:
    """Return which other rooms each room imports."""
    rooms: dict[str, set[str]] = {room: set() for room in FLOOR_OF}
    for name, imported in IMPORTS.items():
        rooms[room_of(name)] |= {room_of(own) for own in imported} - {room_of(name)}
    return rooms


def test_every_room_has_a_floor():
    assert {room_of(name) for name in MODULES} == set(FLOOR_OF)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_run_downward(name):
    for own in IMPORTS[name]:
        if room_of(own) != room_of(name):
            low, high = FLOOR_OF[room_of(own)], FLOOR_OF[room_of(name)]
            assert low < high, f"{name} imports {own}, which is not below it"
        elif name.startswith("verifiers.") and own != "verifiers":
            low, high = (VERIFIERS.index(module.split(".")[1]) for module in (own, name))
            assert low <= high, f"{name} imports {own}, which is above it"


def test_no_modules_import_each_other_in_a_circle():
    try:
        tuple(TopologicalSorter(IMPORTS).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_the_rooms_are_few_levels_deep():
    rooms, levels = rooms_imported(), {}
    for room in TopologicalSorter(rooms).static_order():
        levels[room] = 1 + max((levels[own] for own in rooms[room]), default=0)
    assert max(levels.values()) <= MOST_LEVELS, levels


def test_the_root_holds_the_scripts_and_the_algorithm_alone():
    assert {path.name for path in ROOT.glob("*.py")} == SCRIPTS | ALGORITHM
    left_by_users = {"runs", "wandb"}
    visible = {
        path.name
        for path in ROOT.iterdir()
        if path.name[0] not in "._" and path.suffix in ("", ".py", ".md", ".txt", ".toml")
    } - left_by_users
    assert len(visible) <= MOST_ENTRIES, sorted(visible)


def test_the_equations_are_functions_of_tensors():
    for name in ("prm", "advantage", "policy"):
        assert not IMPORTS[name]
        assert "Eq. " in MODULES[name].read_text()


def test_no_package_hands_on_what_its_modules_hold():
    for name, path in MODULES.items():
        if path.name == "__init__.py" and name != "verifiers":
            assert not IMPORTS[name] and len(ast.parse(path.read_text()).body) == 1, name


def test_files_and_functions_stay_small():
    for path in [*MODULES.values(), *(ROOT / "tests").rglob("*.py")]:
        text = path.read_text()
        most = MOST_LINES.get(path.name, 350)
        assert len(text.splitlines()) <= most, f"{path} has more than {most} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and "tests" not in path.parts:
                length = node.end_lineno - node.lineno + 1
                assert length <= 60, f"{path}: {node.name} has {length} lines"
    tree = ast.parse(MODULES["train_prime"].read_text())
    [train] = [node for node in tree.body if getattr(node, "name", "") == "train"]
    assert train.end_lineno - train.lineno < 40
