"""The package in other programs: their settings are kept and do not affect results, even in threads and Jupyter."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
import torch
import torch._dynamo
from nbclient import NotebookClient

import grokinterp
from tests.support.process_state import LOWERED, state
from tests.support.public_calls import CALLS, FAILING, Fails, Given

OF_THE_CALLER = {"GrokkingAwareTrainer", "train_until_grokking", "configure_for_grokking", "filtered"}
"""These run the caller's own module in the caller's own precision; they only enable gradients."""


@pytest.fixture(scope="module", autouse=True)
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_every_public_function_that_computes_is_called_here():
    public = {name: getattr(grokinterp, name) for name in grokinterp.__all__}
    data = {name for name, thing in public.items() if isinstance(thing, type) and is_data(thing)}
    rooms = {name for name, thing in public.items() if isinstance(thing, ModuleType)}
    assert public.keys() - data - rooms <= CALLS.keys()


def is_data(kind: type) -> bool:
    """Whether a class only holds values."""
    return is_dataclass(kind) or issubclass(kind, BaseException | tuple)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    return Given.make(tmp_path_factory.mktemp("given"), Path()).files


@pytest.fixture(scope="module")
def expected(files, tmp_path_factory) -> dict[str, Any]:
    """The results in plain settings."""
    return {name: call(Given(files, tmp_path_factory.mktemp(name))) for name, call in CALLS.items()}


@pytest.mark.parametrize("settings", LOWERED)
def test_the_settings_of_the_caller_stay_and_do_not_matter(settings, files, expected, tmp_path):
    changed, other = {}, {}
    for name in CALLS:
        given = Given(files, tmp_path / name)
        given.out.mkdir()
        with LOWERED[settings](), torch.autocast("cpu", torch.bfloat16, enabled=name not in OF_THE_CALLER):
            before = state()
            try:
                found = CALLS[name](given)
            except Exception as error:
                found = repr(error)
            changed |= {f"{name}: {key}": value for key, value in state().items() if value != before[key]}
        if repr(found) != repr(expected[name]):
            other[name] = found
    assert changed.keys() == set()
    assert other.keys() == set(), other


@pytest.mark.parametrize("name", FAILING)
def test_the_settings_of_the_caller_stay_after_an_error(name, files, tmp_path):
    before = state()
    with pytest.raises((Fails, grokinterp.GrokinterpError)) as error:
        FAILING[name](Given(files, tmp_path))
    assert (error.type, state()) == (error.type, before)  # the error, and what its traceback refers to, are still there


ALONE = ("train", "analyze", "evaluate", "import_run", "train_until_grokking", "Recorder", "write_report")


def test_three_threads_at_once_have_the_results_of_one(files, expected, tmp_path):
    """Threads begin and end at different times, so that each call runs alongside every other."""
    before, given = state(), [Given(files, tmp_path / f"{i}") for i in range(3 * len(ALONE))]
    for one in given:
        one.out.mkdir()
    with ThreadPoolExecutor(3) as pool:
        names = [ALONE[i * 2 % len(ALONE)] for i in range(len(given))]
        found = list(pool.map(lambda name, one: CALLS[name](one), names, given))
    assert [name for name, one in zip(names, found, strict=True) if repr(one) != repr(expected[name])] == []
    after = state()
    assert {key: after[key] for key in before if after[key] != before[key]} == {}


@pytest.mark.timeout(400)
def test_imports_change_nothing_and_forked_and_spawned_processes_train(root, tmp_path):
    command = [sys.executable, "-m", "tests.support.other_processes", str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")


CELLS = (
    """
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
import torch
from tests.support.process_state import state
from tests.support.public_calls import CALLS, Given
given = Given.make(Path("given"), Path())
torch.set_grad_enabled(False)
before = state()
""",
    """
def call(name):
    Path(name).mkdir()
    return CALLS[name](Given(given.files, Path(name)))
with ThreadPoolExecutor(2) as pool:
    list(pool.map(call, ["train", "analyze"]))
call("train_until_grokking")
after = state()
changed = {key for key in before if after[key] != before[key]}
assert changed <= {"threads", "warnings"}, changed  # the kernel starts threads; packages add filters when imported
""",
)
"""The cells of a notebook that has gradients off. A kernel runs cells in an event loop, with streams of its own."""


@pytest.mark.notebook
@pytest.mark.timeout(400)
def test_a_live_kernel_trains_and_analyzes(root, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(root))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [cell.execution_count for cell in notebook.cells] == [1, 2]
