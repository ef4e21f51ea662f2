"""The examples of log formats in docs/import.md: each is written exactly as shown, and dated."""

import contextlib
import re

import pytest

from grokinterp.interop.logs import as_text, date_logs
from grokinterp.phases.counting import read_rules

EXPECTED = {
    "accuracy.csv": ["seed=0", "seed=1"],
    "long.csv": [""],
    "wandb_train.csv wandb_val.csv": ["fog-1", "sun-2"],
    "run7-tag-train_accuracy.csv run7-tag-test_accuracy.csv": [""],
    "history.json": [""],
    "trainer_state.json": [""],
    "sweep.json": ["wd=1", "wd=0"],
    "log.jsonl": [""],
    "arrays.npz": [""],
    "p97_train_acc.npy p97_test_acc.npy p97_steps.npy": [""],
    "low_precision.pth": [""],
    "events": [""],
}


@pytest.fixture(scope="module")
def section(root):
    text = (root / "docs" / "import.md").read_text()
    return text[text.index("## Training logs") : text.index("## Published numbers")]


@pytest.fixture(scope="module")
def examples(section, tmp_path_factory):
    """A folder with all files of the section, those included that its program writes."""
    folder = tmp_path_factory.mktemp("examples")
    for name, content in re.findall(r"`([\w.-]+)`:\n\n```(?:csv|json)\n(.*?)```", section, flags=re.DOTALL):
        (folder / name).write_text(content)
    (program,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    with contextlib.chdir(folder):
        exec(program, {})
    return folder


def test_every_file_is_dated(examples):
    files = {file for names in EXPECTED for file in names.split()}
    assert {path.name for path in examples.iterdir()} == files


@pytest.mark.parametrize("names", EXPECTED)
def test_an_example_is_read(examples, names):
    dated = date_logs([examples / name for name in names.split()])
    assert dated.failed == ()
    assert [run.log.run for run in dated.runs] == EXPECTED[names]
    assert as_text(dated)
    if names == "history.json":
        assert dated.runs[0].log.theirs == {"grok_epoch": 1000}
        assert dated.runs[0].log.columns == {"train_loss": "history/train_loss", "test_loss": "history/test_loss"}
    if names == "log.jsonl":
        assert dated.runs[0].log.theirs == {"memorize_step": 50, "grok_step": None, "grokked": False}
        assert dated.runs[0].log.n_test == 4705
    if names == "low_precision.pth":
        assert "one every 10 steps" in dated.runs[0].log.notes[-1]


def test_every_rule_is_one(section):
    table = section[section.index("| rule | finds |") : section.index("These rules reproduce")]
    rules = [
        rule for cell in re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE) for rule in re.findall("`(.*?)`", cell)
    ]
    assert len(read_rules(rules)) == 10
