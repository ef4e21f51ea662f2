"""The notebooks as files, and with the solutions of their exercises in place of the answers."""

import ast
import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from jupyter_client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
ANSWER = re.compile(r"^(\w+) = \.\.\.$", re.MULTILINE)
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(.*?)\n```\n\n</details>", re.DOTALL)
HINT = re.compile(r"<details><summary>Hint</summary>\n\n.*?\n\n</details>", re.DOTALL)


class Exercise(NamedTuple):
    """An exercise: its words with a hint and a solution, and the cell with the names to assign and their check."""

    words: str
    cell: NotebookNode

    @property
    def names(self) -> list[str]:
        return ANSWER.findall(self.cell.source)

    @property
    def solution(self) -> str:
        """The code of the solution; empty without one."""
        found = SOLUTION.search(self.words)
        return found[1] if found else ""

    @property
    def solved(self) -> str:
        """The cell with the solution in place of its first answer, and without the other answers."""
        before, after = re.split(ANSWER.pattern.replace("(", "(?:"), self.cell.source, maxsplit=1, flags=re.MULTILINE)
        return before + self.solution + ANSWER.sub("", after)


def exercises(content: NotebookNode) -> list[Exercise]:
    """The exercises of a notebook, in their order."""
    return [
        Exercise(content.cells[i - 1].source, cell)
        for i, cell in enumerate(content.cells)
        if cell.cell_type == "code" and ANSWER.search(cell.source)
    ]


def solved(content: NotebookNode) -> NotebookNode:
    """A copy of a notebook in which every exercise is solved."""
    content = copy.deepcopy(content)
    for exercise in exercises(content):
        exercise.cell.source = exercise.solved
    return content


def read(path: Path) -> NotebookNode:
    """A notebook file."""
    return nbformat.read(path, as_version=4)


def tree(source: str) -> ast.Module:
    """The syntax tree of a cell, with its magics and shell commands left out."""
    return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE))


@contextmanager
def kernel(folder: Path, environment: Mapping[str, str]) -> Iterator[BlockingKernelClient]:
    """A kernel that runs several notebooks one after the other, so that the packages are imported once."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder), env=dict(environment))
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def executed(content: NotebookNode, client: BlockingKernelClient, *, seconds: float = 300) -> list[dict[str, Any]]:
    """The outputs of a notebook that is executed with every exercise solved, and without the names of others.

    Raises:
        AssertionError: a cell fails.
    """
    messages: list[dict[str, Any]] = []
    sources = [cell.source for cell in solved(content).cells if cell.cell_type == "code"]
    for source in [r"%reset_selective -f ^[^_]", *sources]:
        reply = client.execute_interactive(source, timeout=seconds, allow_stdin=False, output_hook=messages.append)
        answer = reply["content"]
        assert answer["status"] == "ok", "\n".join([source, *answer.get("traceback", [])])
    return [message["content"] for message in messages]


def figures(outputs: list[dict[str, Any]]) -> int:
    """The number of figures among the outputs."""
    return sum("image/png" in output.get("data", {}) for output in outputs)


def complaints(outputs: list[dict[str, Any]]) -> list[str]:
    """The texts on standard error."""
    return [output["text"] for output in outputs if output.get("name") == "stderr"]
