"""The commands and the code of docs/prediction.md are run on planted runs."""

import re
import shlex
import sys
from dataclasses import replace

import pytest

from grokinterp.cli.entry import run as run_command_line
from tests.support.planted_groks import LONG, curve_run, planted_folder

TOY = ["steps=60", "evaluate_every=2", "task.p=7", "model.d_model=8", "model.d_mlp=8", "save.every=60"]


@pytest.mark.filterwarnings("ignore:.* never stopped, because a prediction would extrapolate")
def test_the_commands_and_the_code_run(root, tmp_path, monkeypatch, capsys):
    page = (root / "docs" / "prediction.md").read_text(encoding="utf-8")
    planted_folder(tmp_path, settings=8, seeds=2, scale=10)
    new = replace(LONG, seed=5, steps=6000, evaluate_every=100)
    curve_run(tmp_path / "checkpoints" / "demo-0123456789", new, 3000, until=600)
    monkeypatch.chdir(tmp_path)
    commands = [line.split(" # ")[0] for line in page.splitlines() if line.startswith("grokinterp ")]
    for number, command in enumerate(commands):
        trains = " predict " not in command
        smaller = [*TOY, "--out", f"new-{number}", *(["--engine", "stack"] if " sweep " in command else [])]
        monkeypatch.setattr(sys, "argv", [*shlex.split(command), *(smaller if trains else [])])
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        assert not ended.value.code, capsys.readouterr().err
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert (len(commands), names["found"].at) == (6, 600)
