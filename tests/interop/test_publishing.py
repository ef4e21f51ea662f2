"""Published folders: what a hub and TransformerLens read in them, and the way back, bit by bit."""

import json
import sys
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load, load_file, save_file
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge.sources.native import boot
from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

from grokinterp.cli.entry import run as run_command_line
from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.experiment import Optimization
from grokinterp.interop import ForeignFileError, export_run, import_run
from grokinterp.interop.publishing.card import in_words
from grokinterp.interop.publishing.layout import is_published
from grokinterp.models import MLPSpec, TransformerSpec
from grokinterp.runs.trajectory import Trajectory
from grokinterp.tasks import GroupComposition, ModularAddition, ModularDivision
from grokinterp.training import train
from tests.support.listed_task import Listed
from tests.support.report_page import PAYLOADS
from tests.support.small_runs import TINY, changed, draw_checkpoints, written

SMALL = {"d_model": 8, "n_heads": 2, "d_mlp": 12}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trajectory:
    """A run that was trained, with updates and averaged weights in its checkpoints."""
    averaged = changed(optimization={"average": 0.9}, name="tiny_run")
    return train(averaged, tmp_path_factory.mktemp("runs") / "tiny", device="cpu")


def contents(run: Trajectory) -> dict[str, bytes]:
    """The files that training wrote, without the resume state, which is not published."""
    return {name: data for name, data in written(run.path).items() if not name.startswith("resume/")}


@pytest.mark.parametrize("to", ["hf", "transformer-lens"])
def test_a_run_is_read_back_bit_by_bit(to, trained, tmp_path):
    folder = export_run(trained, to, tmp_path / "folder")
    back = import_run(to, folder, tmp_path / "back")
    assert contents(back) == contents(trained)
    assert back.steps == trained.steps
    assert torch.equal(back.checkpoint().logits, trained.checkpoint().logits)
    assert not (folder / "lock").exists()
    assert is_published(folder)


@pytest.mark.parametrize(
    "experiment",
    [
        replace(TINY, model=MLPSpec(hidden=(6,))),
        replace(TINY, task=ModularDivision(p=5), optimization=Optimization(optimizer="sgd", lr=0.005)),
        replace(TINY, model=TransformerSpec(**SMALL, output_scale=2.0, read_at="mean")),
    ],
)
def test_every_kind_of_run_goes_to_the_hub_and_back(experiment, tmp_path):
    run = draw_checkpoints(tmp_path / "run", experiment)
    back = import_run("hf", export_run(run, "hf", tmp_path / "folder"), tmp_path / "back")
    assert contents(back) == contents(run) | {"status.json": contents(back)["status.json"]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_layers": 2, "d_head": 3, "act_fn": "gelu", "biases": True},
        {"attention": "bidirectional"},
        {"normalization": "LN", "act_fn": "silu"},
        {"normalization": "LNPre", "read_at": "last"},
        {"positions": "sinusoidal"},
        {"positions": "none", "tied_embeddings": True},
    ],
)
def test_transformer_lens_computes_the_logits_of_the_run(changes, tmp_path):
    spec = TransformerSpec(**(SMALL | changes))
    run = draw_checkpoints(tmp_path / "run", replace(TINY, task=ModularAddition(p=5), model=spec))
    folder = export_run(run, "transformer-lens", tmp_path / "folder", last=True)
    stated = json.loads((folder / "config.json").read_text())
    config = TransformerBridgeConfig(**stated, architecture="TransformerLensNative")
    weights = {name: value.double() for name, value in load_file(folder / "model.safetensors").items()
               if not name.endswith((".mask", ".IGNORE"))}  # fmt: skip
    model = boot(config, dtype=torch.float64)
    model.load_state_dict(convert_tl_checkpoint(weights, config))
    logits = model(load_file(folder / "dataset.safetensors")["tokens"])[:, -1]
    assert (logits - run.checkpoint().logits).abs().max() < 1e-9
    back = import_run("transformer-lens", folder, tmp_path / "back")
    assert back.steps == run.steps[-1:]
    assert torch.equal(back.checkpoint().logits, run.checkpoint().logits)


def test_the_state_dict_has_what_a_hooked_transformer_has(tmp_path):
    """Names, shapes and dtypes of HookedTransformer 2.18, which TransformerLens 4 no longer has."""
    small = replace(TINY, task=ModularAddition(p=5), model=TransformerSpec(**SMALL))
    run = draw_checkpoints(tmp_path / "run", small)
    state = load_file(export_run(run, "transformer-lens", tmp_path / "folder", last=True) / "model.safetensors")
    attention = {"W_Q": (2, 8, 4), "W_K": (2, 8, 4), "W_V": (2, 8, 4), "W_O": (2, 4, 8), "b_Q": (2, 4), "b_K": (2, 4),
                 "b_V": (2, 4), "b_O": (8,), "mask": (3, 3), "IGNORE": ()}  # fmt: skip
    other = {"embed.W_E": (6, 8), "pos_embed.W_pos": (3, 8), "unembed.W_U": (8, 5), "unembed.b_U": (5,),
             "blocks.0.mlp.W_in": (8, 12), "blocks.0.mlp.b_in": (12,), "blocks.0.mlp.W_out": (12, 8),
             "blocks.0.mlp.b_out": (8,)}  # fmt: skip
    expected = {f"blocks.0.attn.{name}": shape for name, shape in attention.items()} | other
    assert {name: tuple(value.shape) for name, value in state.items()} == expected
    assert state["blocks.0.attn.mask"].tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert state["blocks.0.attn.IGNORE"] == -torch.inf


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (MLPSpec(hidden=(6,)), "model.kind=mlp: TransformerLens has transformers only"),
        (TransformerSpec(**SMALL, read_at="mean"), "model.read_at=mean: TransformerLens has no such"),
        (TransformerSpec(**SMALL, attention_rate=0.5, act_fn="tanh"), "model.act_fn=tanh, model.attention_rate=0.5"),
        (TransformerSpec(**SMALL, output_scale=2.0), "model.output_scale=2.0: TransformerLens has no such"),
    ],
)
def test_what_transformer_lens_lacks_is_refused_in_one_line(model, why, tmp_path):
    run = draw_checkpoints(tmp_path / "run", replace(TINY, model=model))
    with pytest.raises(ConfigError, match=why):
        export_run(run, "transformer-lens", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_the_card_has_a_header_that_the_hub_reads(trained, tmp_path):
    folder = export_run(trained, "hf", tmp_path / "folder")
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    assert {"grokking", "mechanistic-interpretability", "modular-addition", "transformer"} <= set(card["tags"])
    assert card["library_name"] == "grokinterp"
    metrics = {one["name"]: one["value"] for one in card["model-index"][0]["results"][0]["metrics"]}
    assert metrics["test loss"] == trained.metrics["test_loss"].values[-1]
    assert "# tiny\\_run" in text
    assert "| task | Addition modulo 7. Given a and b, the network predicts (a + b) mod 7. |" in text
    assert "| data | modular\\_addition p=7: 49 examples, 7 classes |" in text
    assert f"| steps | 0 to 30, {len(trained.steps)} checkpoints |" in text
    assert "| `optimization.average` | 0.9 |" in text
    assert "grokinterp import hf FOLDER --out checkpoints/tiny" in text
    texts = [file.read_text() for file in folder.iterdir() if file.suffix in (".md", ".json")]
    assert str(tmp_path) not in "".join(texts)


def test_a_card_describes_the_very_task(tmp_path):
    """Not only its kind; a task without words of its own describes itself."""
    group = draw_checkpoints(tmp_path / "group", replace(TINY, task=GroupComposition(group="S3")))
    text = (export_run(group, "hf", tmp_path / "folder") / "README.md").read_text()
    assert "Given two elements of the group S3, the network predicts their product." in text
    assert 'name: "Composition in the group S3"' in text
    assert in_words(Listed(classes=(0, 1))) == "Listed: labels as they are listed"


def test_the_files_stand_alone(trained, tmp_path):
    folder = export_run(trained, "hf", tmp_path / "folder")
    last = load_file(folder / "model.safetensors")
    assert last.keys() == trained.weights(30).state.keys()
    assert torch.equal(last["embed.W_E"], load_file(folder / "steps/step_00000030/model.safetensors")["embed.W_E"])
    more = load_file(folder / "steps/step_00000030/training.safetensors")
    assert {name.split("/")[0] for name in more} == {"update", "average"}
    data = load_file(folder / "dataset.safetensors")
    assert torch.equal(data["tokens"], trained.problem.tokens)
    assert torch.equal(data["is_train"], trained.problem.is_train)
    config = json.loads((folder / "config.json").read_text())
    assert (config["d_vocab"], config["n_ctx"], config["n_classes"], config["last_step"]) == (8, 3, 7, 30)


def test_names_in_a_card_are_text(tmp_path):
    experiment = changed(name="a-b")
    run = draw_checkpoints(tmp_path / "run", experiment)
    run.directory.write_status({"status": "diverged", "step": 20, "why": " ".join(PAYLOADS) + "\n# injected\n---\n"})
    text = (export_run(run, "hf", tmp_path / "folder") / "README.md").read_text()
    assert text.count("\n---\n") == 1
    assert "\n# injected" not in text
    assert yaml.safe_load(text.split("---\n")[1])["library_name"] == "grokinterp"


def test_folders_that_are_not_free_and_runs_without_checkpoints_are_refused(trained, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").touch()
    with pytest.raises(ConfigError, match="is not empty: give a new or empty directory"):
        export_run(trained, "hf", tmp_path / "full")
    with pytest.raises(ConfigError, match="to=onnx: must be one of hf, transformer-lens"):
        export_run(trained, "onnx", tmp_path / "new")
    with pytest.raises(RunDirectoryError, match="has no checkpoint yet"):
        export_run(draw_checkpoints(tmp_path / "bare", steps=()), "hf", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_damaged_folders_are_refused_and_leave_nothing(trained, tmp_path):
    folder = export_run(trained, "hf", tmp_path / "folder", last=True)
    step = folder / "steps" / "step_00000030" / "model.safetensors"
    whole = load(step.read_bytes())  # not mapped, since the file is replaced
    cases = {
        "is not a safetensors file": lambda: step.write_bytes(b"rubbish"),
        "has no embed.W_E": lambda: save_file({k: v for k, v in whole.items() if k != "embed.W_E"}, step),
        r"embed.W_E has shape \(2, 2\), but \(8, 16\) in the model": lambda: save_file(
            whole | {"embed.W_E": torch.zeros(2, 2)}, step
        ),
        "task.p=1": lambda: (folder / "experiment.json").write_text('{"task": {"kind": "modular_addition", "p": 1}}'),
        "is damaged": lambda: (folder / "experiment.json").write_text("{"),
    }
    for why, damage in cases.items():
        damage()
        with pytest.raises(ForeignFileError, match=why):
            import_run("hf", folder, tmp_path / "back")
        assert not (tmp_path / "back").exists()
    with pytest.raises(ForeignFileError, match="is not a folder that `grokinterp export` wrote"):
        import_run("hf", tmp_path / "nowhere", tmp_path / "back")


def test_the_commands_export_and_import(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [
        "export {run} folder --last",
        "import hf folder --out back",
        "export {run} lens --to transformer-lens --last",
    ]
    for line in lines:
        monkeypatch.setattr(sys, "argv", ["grokinterp", *line.format(run=trained.path).split()])
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines() == ["folder", "back: 1 checkpoint, step 30", "lens"]
