"""The commands, the file and the code of docs/sweeps.md do what the text says."""

import re
import shlex
from pathlib import Path

from grokinterp.cli.sweeping import chosen_grid, settings_and_axes
from grokinterp.storage import RunDirectory
from grokinterp.sweeps.contents import sweeps_in
from grokinterp.sweeps.grid import product
from grokinterp.sweeps.grid_file import read_grid
from grokinterp.sweeps.named import SWEEPS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")

OPTIONS = ("--preset", "--scale", "--seeds", "--out", "--workers", "--engine", "--address")
"""Options of the commands that have a value."""


def block(language: str) -> str:
    """The first code block of a language."""
    return re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)[1]


def test_the_commands_name_sweeps_and_axes_that_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "decay.toml").write_text(block("toml"))
    commands = re.findall(r"grokinterp sweep ([^#`\n]*)", TEXT)
    assert len(commands) >= 5
    for command in commands:
        words = shlex.split(command)
        preset = words[words.index("--preset") + 1] if "--preset" in words else None
        values = {i + 1 for i, word in enumerate(words) if word in OPTIONS}
        arguments = [word for i, word in enumerate(words) if i not in values and not word.startswith("--")]
        _, grid = chosen_grid(arguments, preset, None, "small" if "small" in words else None)
        assert product(grid.base, **grid.axes)
    for assignment in re.findall(r"`([a-z_.,]+=[^` ]+)`", TEXT):
        assert settings_and_axes([assignment])


def test_the_file_has_the_axes_of_the_text(tmp_path):
    (tmp_path / "decay.toml").write_text(block("toml"))
    name, grid = read_grid(tmp_path / "decay.toml")
    assert (name, len(product(grid.base, **grid.axes))) == ("decay", 12)


def test_the_table_lists_the_named_sweeps_with_their_numbers_of_runs():
    listed = {name: int(runs) for name, runs in re.findall(r"^\| `(\w+)` \| (\d+) \|", TEXT, re.MULTILINE)}
    assert listed == {
        name: len(product(grid.base, **grid.axes))
        for name, grid in SWEEPS["full"].items()
        if not name.endswith("_extended")
    }


def test_the_code_trains_four_runs_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block("python"), names)
    assert [entry.failure for entry in names["entries"]] == [None] * 4
    runs = sweeps_in(tmp_path / "many")["primes"].runs
    statuses = {RunDirectory.open(tmp_path / "many" / run.directory).status["status"] for run in runs.values()}
    assert (len(runs), statuses) == (4, {"finished"})
