"""The rooms of the package import only downwards, and light rooms stay light.

Imports are read from the syntax tree, those inside functions and under TYPE_CHECKING included; what an import
drags in is read from `sys.modules` of a fresh interpreter.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "grokinterp"
LAYERS = [
    ["_version", "errors", "front_door", "garbage", "interrupt", "lazy", "shared"],
    [
        "allocations",
        "allocator",
        "maths",
        "remote",
        "streams",
        "named_values",
        "numbers",
        "display",
        "specification",
        "torch_settings",
    ],
    ["statistics"],
    ["phases", "progress", "storage"],
    ["available", "tasks", "models", "losses", "optim"],
    ["experiment"],
    ["presets", "runs"],
    ["interventions"],
    ["training", "analysis.engine", "figures", "interop", "diagnostics"],
    ["analysis.structure", "analysis.landscape", "analysis.health"],
    ["analysis.groups", "analysis.inside"],
    ["analysis.circuit"],
    ["analysis"],
    ["custom"],
    ["page", "interactive"],
    ["sweeps"],
    ["report"],
    ["atlas", "league", "reproduction", "sweep_report", "watch"],
    ["cli"],
]
LAYER_OF = {room: layer for layer, rooms in enumerate(LAYERS) for room in rooms}
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


class Import(NamedTuple):
    """One imported module, or one name imported from a module, with the module and the line that import it."""

    module: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}, imports {self.target}"


def module_name(file: Path, root: Path = PACKAGE.parent) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path, root: Path = PACKAGE.parent) -> Iterator[Import]:
    module = module_name(file, root)
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(module, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (Import(module, node.lineno, f"{source}.{alias.name}") for alias in node.names)


def room_of(module: str) -> str:
    """The room of a module; analysis has rooms of its own, the engine and the chapters."""
    _, *parts = module.split(".")
    inner = ".".join(parts[:2])
    return inner if inner in LAYER_OF else "".join(parts[:1])


FILES = sorted(PACKAGE.rglob("*.py"))
IMPORTS = [found for file in FILES for found in imports_of(file)]
ROOMS = sorted({room_of(module_name(file)) for file in FILES} - {"", "__main__"})


def breaks_the_order(found: Import) -> bool:
    here, there = room_of(found.module), room_of(found.target)
    if found.target.split(".")[0] != "grokinterp" or here in ("", "__main__", there) or there == "__version__":
        return False
    return LAYER_OF.get(there, len(LAYERS)) >= LAYER_OF.get(here, 0)


def modules_after_importing(*modules: str) -> set[str]:
    """Names of all modules loaded in a fresh interpreter once the given ones are imported."""
    script = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    command = [sys.executable, "-c", script, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PACKAGE.parent, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_every_room_has_its_layer():
    assert [room for room in ROOMS if room not in LAYER_OF] == []


def test_imports_go_down_only():
    assert [str(found) for found in IMPORTS if breaks_the_order(found)] == []


@pytest.mark.parametrize(
    ("where", "line", "allowed"),
    [
        ("tasks/x.py", "from grokinterp.models.transformer import Transformer", False),
        ("tasks/x.py", "from grokinterp import models", False),
        ("tasks/x.py", "from ..models import mlp", False),
        ("tasks/x.py", "def f():\n    import grokinterp.cli", False),
        ("storage/x.py", "from grokinterp.runs import trajectory", False),
        ("report/x.py", "from grokinterp.nowhere import thing", False),
        ("analysis/engine/x.py", "from grokinterp.analysis.structure.fourier import logit_spectrum", False),
        ("analysis/structure/x.py", "from grokinterp.analysis import circuit", False),
        ("analysis/groups/x.py", "from grokinterp.analysis.circuit import verdict", False),
        ("tasks/x.py", "from .task import Task", True),
        ("analysis/circuit/x.py", "from grokinterp.analysis.groups import irreps", True),
        ("models/x.py", "from grokinterp.maths import fourier", True),
        ("runs/x.py", "from grokinterp.storage import digest", True),
        ("cli/x.py", "from grokinterp.report import write_report", True),
    ],
)
def test_imports_upwards_are_found(where, line, allowed, tmp_path):
    file = tmp_path / "grokinterp" / where
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(line)
    assert any(breaks_the_order(found) for found in imports_of(file, tmp_path)) is not allowed


def test_transformer_lens_is_used_in_one_module_only():
    users = {found.module for found in IMPORTS if found.target.split(".")[0] == "transformer_lens"}
    assert users <= {"grokinterp.models.hooked"}


def test_lightning_is_used_in_one_module_only_which_no_other_imports():
    users = {found.module for found in IMPORTS if found.target.split(".")[0] in ("lightning", "pytorch_lightning")}
    assert users == {"grokinterp.custom.lightning"}
    callbacks = ("grokinterp.custom.lightning", "grokinterp.custom.hugging_face")
    assert [str(found) for found in IMPORTS if found.target.startswith(callbacks)] == []


def test_tasks_know_no_models_and_no_modules():
    tasks = [found for found in IMPORTS if room_of(found.module) == "tasks"]
    assert [str(found) for found in tasks if found.target.startswith(("grokinterp.models", "torch.nn"))] == []


MODEL_CLASSES = {"Transformer", "MLP", "RecursiveModel", "RecordedModel", "Attention"}
MODEL_CLASSES |= {"TransformerSpec", "MLPSpec", "RecursiveSpec", "RecordedSpec"}


def model_classes_asked_for(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        asked = []
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            asked = [name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)]
        elif isinstance(node, ast.MatchClass):
            asked = [ast.unparse(node.cls)]
        yield from (f"{module_name(file)}:{node.lineno} asks for {name}" for name in asked if name in MODEL_CLASSES)


def test_models_are_asked_for_properties_and_never_for_their_class():
    outside = [file for file in FILES if room_of(module_name(file)) != "models"]
    assert [found for file in outside for found in model_classes_asked_for(file)] == []


def test_the_package_itself_is_light():
    loaded = modules_after_importing("grokinterp")
    assert loaded & {"torch", "transformer_lens", "xarray", "matplotlib", "pydantic"} == set()


@pytest.mark.parametrize(
    "room", ["page", "phases", "diagnostics", "figures", "report", "statistics", "sweep_report", "watch"]
)
def test_what_draws_and_dates_imports_no_torch(room):
    modules = [module_name(file) for file in FILES if room_of(module_name(file)) == room]
    if not modules:
        pytest.fail(f"grokinterp.{room} does not exist")
    assert "torch" not in modules_after_importing(*modules)


def names_that_unpickle(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called in ("torch.load", "torch.save", "pd.read_pickle", "pandas.read_pickle", "eval", "exec"):
            yield f"{module_name(file)}:{node.lineno} calls {called}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            yield f"{module_name(file)}:{node.value.lineno} passes allow_pickle"


def test_nothing_that_is_read_can_run_code():
    pickles = [str(found) for found in IMPORTS if found.target.split(".")[0] in PICKLES]
    calls = [name for file in FILES if room_of(module_name(file)) != "interop" for name in names_that_unpickle(file)]
    assert pickles + calls == []


def test_interop_unpickles_weights_only():
    calls = [
        node
        for file in FILES
        if room_of(module_name(file)) == "interop"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert all("weights_only=True" in ast.unparse(call) for call in calls)
