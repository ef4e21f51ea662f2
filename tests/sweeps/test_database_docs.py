"""The commands, the code and the queries of docs/database.md are run on a small sweep."""

import re
import shlex
import sys

import pytest

from benchmarks.queries import BASE, BLOCK, trained, with_results
from grokinterp.cli.entry import run as run_command_line
from grokinterp.sweeps import open_db


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the sweep of the page, trained for a few steps."""
    place = tmp_path_factory.mktemp("docs")
    trained(
        place / "sweeps", BASE.override(["task.p=7", "steps=20", "evaluate_every=2", "save.every=20"]), engine="stack"
    )
    (place / "checkpoints").symlink_to(place / "sweeps")
    return place


@pytest.fixture
def page(root, folder, monkeypatch) -> str:
    monkeypatch.chdir(folder)
    return (root / "docs" / "database.md").read_text(encoding="utf-8")


def test_the_commands_run_and_the_code_reads_their_database(page, monkeypatch, capsys):
    commands = [line.split(" # ")[0] for line in page.splitlines() if line.startswith("grokinterp ")]
    for command in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        assert not ended.value.code, capsys.readouterr().err
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {}
    for block in code:
        exec(block, names)
    assert (len(commands), len(code), len(names["db"].runs)) == (4, 1, 8)


def test_every_query_has_a_result_of_its_columns(page, folder):
    db = open_db(folder / "sweeps" / "experiments.db")
    again = with_results(page, db)
    assert re.sub(BLOCK, r"\1", again) == re.sub(BLOCK, r"\1", page)
    shown = re.findall(r"```sql\n(.*?)\n```\n\n```text\n(.*?)\n", page, re.DOTALL)
    assert len(shown) == page.count("```sql")
    for query, header in shown:
        assert header.split() == db.select(query)[0]
