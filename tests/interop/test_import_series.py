"""Checkpoints of a module unrelated to this package, imported by a spec."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

from grokinterp import cli
from grokinterp.errors import GrokinterpError
from grokinterp.interop import ForeignFileError, import_run
from grokinterp.interop.splits import drawn
from grokinterp.tasks import ModularAddition
from tests.support.linear_layers import LinearLayers

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "import.md"
SPEC = re.search(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]
STEPS = (0, 100, 1000)
LABELS = ModularAddition(p=13).label()
TRAIN = drawn("torch.randperm", 169, fraction=0.4, seed=7)


def loss_on_test(module: LinearLayers) -> float:
    return float(cross_entropy(module.logits()[~TRAIN], LABELS[~TRAIN]))


@pytest.fixture(scope="module")
def modules() -> dict[int, LinearLayers]:
    """Three networks as in the course of training; the last is trained a little."""
    found = {}
    for step in STEPS:
        torch.manual_seed(step)
        found[step] = LinearLayers()
    tokens = torch.cat([ModularAddition(p=13).tokens(), torch.full((169, 1), 13)], 1)
    optimizer = torch.optim.AdamW(found[1000].parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        cross_entropy(found[1000](tokens[TRAIN]), LABELS[TRAIN]).backward()
        optimizer.step()
    return found


@pytest.fixture
def folder(modules, tmp_path) -> Path:
    """The files that the document describes."""
    (tmp_path / "run").mkdir()
    for step, module in modules.items():
        content = {"net": {"weights": module.state_dict()}, "losses": {"test": loss_on_test(module)}, "epoch": step - 1}
        torch.save(content, tmp_path / "run" / f"step_{step:06d}.pt")
    (tmp_path / "run" / "notes.txt").write_text("no weights")
    (tmp_path / "mine.toml").write_text(SPEC)
    return tmp_path


def imported(folder: Path, old: str = "", new: str = "", **more: Any):
    """The series, with one change in its spec."""
    assert old in SPEC
    (folder / "mine.toml").write_text(SPEC.replace(old, new) if old else SPEC)
    options = {"release": "series", "path": folder / "run", "out": folder / "out"} | more
    return import_run(options["release"], options["path"], options["out"], spec=folder / "mine.toml")


def refused(folder: Path, words: str, old: str = "", new: str = "", **more: Any) -> None:
    """One line with these words, and nothing written."""
    with pytest.raises(GrokinterpError, match=re.escape(words)) as error:
        imported(folder, old, new, **more)
    assert "\n" not in str(error.value)
    assert {path.name for path in folder.iterdir()} <= {"run", "mine.toml"}


def test_the_documented_spec_reads_a_series(folder, modules):
    run = imported(folder)
    assert (run.steps, run.experiment.name, run.experiment.task) == (STEPS, "mine", ModularAddition(p=13))
    for step, module in modules.items():
        assert (run[step].logits - module.logits()).abs().max() < 1e-12
    assert torch.equal(run.problem.is_train, TRAIN)
    metrics = run.metrics
    assert metrics["step"].values.tolist() == list(STEPS)
    expected = [loss_on_test(module) for module in modules.values()]
    assert metrics["test_loss"].values.tolist() == pytest.approx(expected, rel=1e-6)
    assert run.directory.environment["warnings"] == []
    assert run.directory.environment["steps"] == "the names of the files"


def test_steps_from_a_key_in_the_files(folder):
    assert imported(folder, "{ name = 'step_(\\d+)' }", '{ key = "epoch", offset = 1 }').steps == STEPS


def test_one_file_with_the_same_spec(folder, modules):
    run = imported(folder, release="file", path=folder / "run" / "step_001000.pt")
    assert run.steps == (1000,)
    assert (run[1000].logits - modules[1000].logits()).abs().max() < 1e-12


def test_a_list_of_state_dicts_in_one_file(folder, modules):
    content = {"net": {"weights": [m.state_dict() for m in modules.values()]}, "losses": {"test": [9.0, 1.0]}}
    torch.save(content | {"epochs": torch.tensor(STEPS)}, folder / "all.pt")
    options = {"release": "file", "path": folder / "all.pt"}
    run = imported(folder, "{ name = 'step_(\\d+)' }", '{ key = "epochs" }', **options)
    assert run.steps == STEPS
    assert (run[100].logits - modules[100].logits()).abs().max() < 1e-12
    run = imported(folder, "{ name = 'step_(\\d+)' }", "{ every = 50 }", **options | {"out": folder / "other"})
    assert run.steps == (0, 50, 100)


def test_safetensors_and_names_of_wrappers(folder, modules):
    state = {f"module._orig_mod.{name}": value.contiguous() for name, value in modules[100].state_dict().items()}
    save_file({k: v for k, v in state.items() if "mask" not in k}, folder / "a.safetensors", {"epoch": "41"})
    spec = SPEC.replace("{ name = 'step_(\\d+)' }", '{ key = "epoch", offset = 1 }')
    spec = re.sub(r"^(at|expect) = .*$", "", spec, flags=re.MULTILINE)
    (folder / "mine.toml").write_text(spec)
    run = import_run("file", folder / "a.safetensors", folder / "out", spec=folder / "mine.toml")
    assert run.steps == (42,)
    assert (run[42].logits - modules[100].logits()).abs().max() < 1e-12


def test_the_split_is_found_by_the_losses(folder, modules):
    losses = cross_entropy(modules[1000].logits(), LABELS, reduction="none")
    spec = SPEC.replace('by = "torch.randperm"', 'by = "losses"').replace("fraction = 0.4\nseed = 7\n", "")
    expect = f"{{ train_loss = {float(losses[TRAIN].mean())}, test_loss = {float(losses[~TRAIN].mean())} }}"
    (folder / "mine.toml").write_text(re.sub(r"\{ test_loss = .*? \}", expect, spec))
    run = import_run("series", folder / "run", folder / "out", spec=folder / "mine.toml")
    assert torch.equal(run.problem.is_train, TRAIN)
    assert "torch.randperm with seed 7" in run.directory.environment["split"]


def test_identical_weights_and_losses_that_are_not_theirs_are_named(folder, monkeypatch, capsys):
    torch.save(torch.load(folder / "run" / "step_000000.pt"), folder / "run" / "step_000200.pt")
    (folder / "mine.toml").write_text(SPEC.replace('"losses.test"', "0.5"))
    given = ["import", "series", str(folder / "run"), "--spec", str(folder / "mine.toml"), "--out", str(folder / "out")]
    monkeypatch.setattr(sys, "argv", ["grokinterp", *given])
    with pytest.raises(SystemExit):
        cli.main()
    done = capsys.readouterr()
    assert "4 checkpoints, step 1000" in done.out
    assert "warning: at step 1000 the stored test_loss is 0.5, but the weights give " in done.err
    assert "warning: steps 0, 200 have identical weights" in done.err


def test_a_wrong_table_is_right_at_chance_level_alone(folder):
    """Every answer is the class before the correct class."""
    assert imported(folder).directory.environment["accuracy"] > 0.3
    (folder / "mine.toml").write_text(SPEC.replace("part = { class = [0, 13] }", "part = { class = [1, 14] }"))
    run = import_run("series", folder / "run", folder / "other", spec=folder / "mine.toml")
    (chance, loss) = run.directory.environment["warnings"]
    assert re.match(r"at step 1000 the accuracy on all examples is \d\.\d%, no more than chance", chance)
    assert "stored test_loss" in loss


def test_logits_of_another_forward_pass_are_named(folder, modules):
    for name, change in (("same", 0.0), ("other", 0.1)):
        path = folder / f"{name}_step_1.pt"
        torch.save({"net": {"weights": modules[100].state_dict()}, "logits": modules[100].logits() + change}, path)
        options = {"release": "file", "path": path, "out": folder / name}
        run = imported(folder, '{ test_loss = "losses.test" }', '{ logits = "logits" }', **options)
        lines = [line for line in run.directory.environment["warnings"] if "logits differ" in line]
        assert len(lines) == (change > 0)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("files =", "fles =", "mine.toml: fles=*.pt: unknown key"),
        ("[task]", "[[task]]", "mine.toml: task="),
        ('kind = "modular_addition"', 'kind = "addition"', "mine.toml: task.kind=addition: must be one of"),
        ("n_heads = 2", "n_heads = 3", "mine.toml: model.n_heads=3: must divide d_model=16"),
        ("n_heads = 2", "n_head = 2", "mine.toml: model.n_head=2: unknown key"),
        ("d_model = 16", "d_model = 32", "embedding.weight with shape (14, 16)"),
        ("n_heads = 2\n", "n_layers = 2\n", "lacks blocks.1."),
        ("p = 13", "p = 11", "(16, 11) has no axis of 13, the size that part keeps of head.weight"),
        ('"torch.randperm"', '"numpy"', "mine.toml: split.by=numpy: must be one of grokinterp, losses"),
        ("seed = 7\n", "", "mine.toml: split.seed=none: must be given for split.by=torch.randperm"),
        ("seed = 7\n", "validation = 0.1\n", "mine.toml: split.validation=0.1: unknown key for"),
        ("fraction = 0.4", "fraction = 1.4", "mine.toml: split.fraction=1.4: must lie strictly between 0 and 1"),
        ("'step_(\\d+)'", "'step_\\d+'", "mine.toml: steps.name=step_\\d+: must have one group"),
        ("'step_(\\d+)'", "'step_('", "mine.toml: steps.name=step_(: is not a regular expression"),
        ("'step_(\\d+)'", "'epoch_(\\d+)'", "step_000000.pt: its name is not a step: None"),
        ("{ name = 'step_(\\d+)' }", '{ key = "losses.epoch" }', "has no 'losses.epoch': at 'epoch' it has test"),
        ("{ name = 'step_(\\d+)' }", "{ at = 5 }", "mine.toml: steps=none: must have name or key"),
        ("{ name = 'step_(\\d+)' }", "{ nam = 'step_(\\d+)' }", "mine.toml: steps.nam="),
        ("'step_(\\d+)'", "'(0)'", "step_000100.pt: has step 0, the same as step_000000.pt"),
        ('"*.pt"', '"../*.pt"', "mine.toml: files=../*.pt: must stay inside the folder"),
        ('"*.pt"', '"*.pth"', "has no file *.pth with one of the endings .pt, "),
        ('"net.weights"', '"net.state"', "has no 'net.state': at 'state' it has weights"),
        ('{ test_loss =', "{ loss =", "mine.toml: expect.loss=losses.test: unknown key"),
        ('"losses.test"', '"net.weights"', "net.weights is not a number"),
        ('test_loss = "losses.test"', 'logits = "losses"', "losses must be a tensor (169, 13), not dict"),
        ('test_loss = "losses.test"', "logits = 3", "mine.toml: expect.logits=3: must be"),
        ('"*.mask"]', "]", "holds layers.0.mask, which no line of its layout names"),
        ("(qkv head d_head) d_model ->", "(qkv head d_head d_model ->", "blocks.{layer}.attn.W_Q\".pattern="),
        ('"embedding.weight"', '"emb.weight"', "has no emb.weight; it has embedding.weight, head.weight"),
        ('"pos_embed.W_pos" = "position"\n', "", "holds position, which no line of its layout names"),
        (", part = { class = [0, 13] }", "", "the model's unembed.W_U with shape (16, 13)"),
    ],
)  # fmt: skip
def test_a_spec_that_cannot_be_gives_one_line(folder, old, new, words):
    refused(folder, words, old, new)


def test_a_damaged_checkpoint_is_named(folder):
    path = folder / "run" / "step_000100.pt"
    path.write_bytes(path.read_bytes()[:500])
    refused(folder, "step_000100.pt: refused: it is not a file that PyTorch loads with weights_only=True")


def test_a_spec_is_needed_by_some_and_useless_to_others(folder):
    with pytest.raises(GrokinterpError, match="spec=None: must be a TOML file"):
        import_run("series", folder / "run", folder / "out")
    with pytest.raises(GrokinterpError, match="is not used for nanda"):
        import_run("nanda", folder / "run", folder / "out", spec=folder / "mine.toml")
    with pytest.raises(ForeignFileError, match=r"config=.*none\.toml: no such file"):
        import_run("series", folder / "run", folder / "out", spec=folder / "none.toml")
