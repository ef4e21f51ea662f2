"""Files with wrong content give one-line errors and no run directory."""

import json
import math
import os
import sys
from pathlib import Path

import pytest
import torch

from grokinterp import cli
from grokinterp.errors import GrokinterpError
from grokinterp.interop import RELEASES, ForeignFileError, import_run
from grokinterp.interop.writing import write
from grokinterp.maths.groups import group
from grokinterp.models import TransformerSpec
from grokinterp.storage import RunDirectory
from grokinterp.tasks import ModularAddition, ModularSubtraction
from tests.support.released import cfg, drawn, lookup, pizza_config, save, transposed

TASK = ModularAddition(p=5)
NET = transposed(drawn(TASK, TransformerSpec(d_model=8, n_heads=2, d_mlp=12, biases="mlp")))
TABLE = lookup(group("S3"))
LENS = dict(drawn(TASK, TransformerSpec(d_model=8, n_heads=2, d_mlp=12)).state_dict())
ADD = {"p": 5, "fn_name": "add", "frac_train": 0.4, "num_epochs": 3}


class Touch:
    """An object that runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def without(weights: dict, name: str) -> dict:
    return {key: value for key, value in weights.items() if key != name}


def refused(release: str, path: Path, words: str) -> None:
    """A single short line with these words; nothing is written."""
    out = path.parent / "out"
    with pytest.raises(GrokinterpError) as error:
        import_run(release, path, out)
    line = str(error.value)
    assert words in line, line
    assert "\n" not in line
    assert len(line) < 800
    assert not out.exists()


@pytest.mark.parametrize("release", ["nanda", "pizza", "chughtai", "transformer-lens"])
def test_a_pickle_that_runs_code_is_refused(release, tmp_path):
    path = save(tmp_path, {"model": Touch(tmp_path / "touched")}, cfg("SymmetricGroup", 3), ("model_x.pt", "cfg.json"))
    (tmp_path / "config_x.json").write_text(json.dumps(pizza_config(5)))
    refused(release, path, "refused: it is a pickle that requires posix.mkdir")
    assert not (tmp_path / "touched").exists()


def test_what_is_no_file_of_pytorch_is_refused(tmp_path):
    path = tmp_path / "x.pth"
    refused("nanda", path, "no such file")
    refused("nanda", tmp_path, "is not a regular file")
    path.write_text("no weights")
    refused("nanda", path, "not a file that PyTorch loads with weights_only=True")
    torch.save(NET, path)
    path.write_bytes(path.read_bytes()[:2000])
    refused("nanda", path, "not a file that PyTorch loads with weights_only=True")
    with path.open("wb") as file:
        file.truncate(2**31 + 1)
    refused("nanda", path, "bytes; at most 2147483648 are read")
    torch.save({"model": {"embed.W_E": torch.ones(1).expand(2**15, 2**15)}}, path)
    refused("nanda", path, "holds tensors of 1073741824 numbers")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds list, not a state dict"),
        ({"mine": NET, "config": ADD}, "model, net, network, module, weights, params; it has config, mine"),
        ({"model": {"a": 1}, "config": ADD}, "holds no state dict: 'a' is not a plain tensor"),
        ({"model": {"a": torch.ones(1)}, "config": ADD}, "has no layers 0, 1, ... such as blocks.0.attn.W_K; it has a"),
        ({"model": NET | {"unembed.W_U": torch.ones(8, 6).long()}, "config": ADD}, "unembed.W_U holds torch.int64"),
        ({"model": without(NET, "unembed.W_U"), "config": ADD}, "has no unembed.W_U"),
        ({"model": without(NET, "blocks.0.mlp.W_out"), "config": ADD}, "has no blocks.0.mlp.W_out"),
        ({"model": NET | {"blocks.0.ln1.w": torch.ones(8)}, "config": ADD}, "holds blocks.0.ln1.w"),
        (
            {"model": NET | {"blocks.0.mlp.b_in": torch.ones(5)}, "config": ADD},
            "blocks.0.mlp.b_in with shape (5,) contradicts d_mlp=12 (blocks.0.mlp.W_in with shape (12, 8))",
        ),
        (
            {"model": NET | {"blocks.0.attn.W_K": torch.ones(8, 8)}, "config": ADD},
            "W_K has shape (8, 8), but its pattern names 3 axes",
        ),
        (
            {"model": NET | {"blocks.0.attn.W_O": torch.ones(8, 7)}, "config": ADD},
            "W_O with shape (8, 7) contradicts head=2",
        ),
        ({"model": NET, "config": ADD | {"p": 7}}, "embeds 6 tokens at 3 positions; p=7 needs p + 1 at 3"),
        ({"model": NET, "config": ADD | {"p": "five"}}, "p=five: must be a whole number from 3"),
        ({"model": NET, "config": ADD | {"fn_name": "rand"}}, "fn_name=rand: must be among add, subtract, x2xyy2"),
        ({"model": NET, "config": ADD | {"act_type": "tanh"}}, "act_type=tanh: must be among gelu, quadratic, relu"),
        ({"model": NET, "config": ADD | {"use_ln": True}}, "use_ln=True"),
        ({"model": NET, "config": ADD | {"frac_train": 2}}, "frac_train=2.0: must be strictly between 0 and 1"),
        ({"model": NET, "config": ADD | {"lr": float("nan")}}, "lr=nan: must be a number from 0"),
        ({"model": NET, "epoch": 2}, "has no fn_name and computes neither a + b nor a - b modulo 5"),
        ({"state_dicts": [NET, NET], "config": ADD}, "does not state the epochs of its 2 state dicts"),
        (
            {"model": NET, "config": ADD, "train_losses": [1] * 5, "test_losses": [1] * 4},
            "test_losses has 4 values for the 5 of train_losses",
        ),
        ({"model": NET, "config": [1]}, "config must be a dict, not list"),
        ({"model": NET | {"embed.W_E": NET["embed.W_E"] * math.nan}, "config": ADD}, "embed.W_E is not finite"),
        ({"model": NET, "config": ADD | {"lr": 100}}, "lr=100.0: must be positive and below 10"),
    ],
)
def test_nanda_in_one_line(tmp_path, content, words):
    torch.save(content, tmp_path / "x.pth")
    refused("nanda", tmp_path / "x.pth", words)


@pytest.mark.parametrize(
    ("config", "weights", "words"),
    [
        (pizza_config(7), NET, "has 6 tokens, 3 positions and 6 outputs; its configuration needs 7, 2 and 7"),
        (pizza_config(5, funcs="lambda x: (x[0]*x[1])%5"), NET, "must be lambda x: (x[0]+x[1])%C with C=5"),
        (pizza_config(5, funcs="__import__('os')"), NET, "must be lambda x: (x[0]+x[1])%C with C=5"),
        (pizza_config(5, C=6), NET, "must be lambda x: (x[0]+x[1])%C with C=6"),
        (pizza_config(5, eqn_sign=True, d_model=16), NET, "d_model=16, but the weights in model_a.pt have d_model=8"),
        (pizza_config(5, eqn_sign=True, attn_coeff=1.5), NET, "attn_coeff=1.5: must be from 0 to 1"),
        (pizza_config(5, eqn_sign=True, act_fn="Sigmoid"), NET, "act_fn=Sigmoid: must be among"),
        (pizza_config(5, eqn_sign=True, epoch=0), NET, "epoch=0: must be a whole number from 1"),
        ({"C": 5}, NET, "has no 'funcs'; it has C"),
        (pizza_config(5, eqn_sign=True), TABLE, "has no layers 0, 1, ... such as blocks.0.attn.W_K"),
    ],
)
def test_pizza_in_one_line(tmp_path, config, weights, words):
    refused("pizza", save(tmp_path, weights, config, ("model_a.pt", "config_a.json")), words)


def test_pizza_files_have_their_names(tmp_path):
    torch.save(NET, tmp_path / "model_a.pt")
    refused("pizza", tmp_path / "model_a.pt", "config_a.json: no such file")
    refused("pizza", tmp_path / "a.pt", "must be named model_ID.pt, with config_ID.json next to it")
    (tmp_path / "config_a.json").write_text("C = 5")
    refused("pizza", tmp_path / "model_a.pt", "config_a.json: is not JSON")
    (tmp_path / "config_a.json").write_bytes(b"\xff\x80\x00")
    refused("pizza", tmp_path / "model_a.pt", "config_a.json: is a binary file, not text")
    (tmp_path / "config_a.json").write_text("[1]")
    refused("pizza", tmp_path / "model_a.pt", "config_a.json: must hold a JSON object")


@pytest.mark.parametrize(
    ("config", "weights", "words"),
    [
        (cfg("QuaternionGroup", 8), TABLE, "group=QuaternionGroup: must be among AlternatingGroup, CyclicGroup"),
        (cfg("SymmetricGroup", 9), TABLE, "group_parameter=9: must have at most 1000 elements"),
        (cfg("CyclicGroup", 10**12), TABLE, "group_parameter=1000000000000: must be an integer from 3 to 1000"),
        (cfg("DihedralGroup", 2), TABLE, "group_parameter=2: must have an n of at least 3"),
        (cfg("SymmetricGroup", 3, "Bilinear"), TABLE, "model=Bilinear: must be OneLayerMLP or Transformer"),
        (cfg("SymmetricGroup", 3, "Transformer"), TABLE, "has no layers 0, 1, ..."),
        (cfg("SymmetricGroup", 4), TABLE, "embed.W_E has shape (2, 6, 7); the task implies (2, 24, 7)"),
        (cfg("SymmetricGroup", 3), without(TABLE, "W_y"), "has no W_y; it has W, W_U, W_x"),
        (
            cfg("SymmetricGroup", 3),
            TABLE | {"W": torch.ones(9, 36)},
            "W with shape (9, 36) contradicts operand=2 (W_x, W_y with shape (2, 6, 7)), d_embed=7",
        ),
        (cfg("SymmetricGroup", 3), TABLE | {"b": torch.ones(3)}, "holds b, which no line of its layout names"),
        (cfg("SymmetricGroup", 3, frac_train=0.01), TABLE, "frac_train=0.01: leaves no pair"),
        (cfg("SymmetricGroup", 3, betas=1), TABLE, "betas=1: must be two numbers"),
        (cfg("SymmetricGroup", 3, seed=2**70), TABLE, "seed=1180591620717411303424: must be below 2^63"),
        (
            cfg("SymmetricGroup", 3),
            TABLE | {"W_U": torch.ones(36, 6)},
            "answers at chance (16.7%) in every known order",
        ),
        ({"group": "SymmetricGroup"}, TABLE, "group_parameter=0: must be a whole number from 2"),
        ({}, TABLE, "has no 'group'; it has nothing"),
    ],
)
def test_chughtai_in_one_line(tmp_path, config, weights, words):
    refused("chughtai", save(tmp_path, weights, config), words)


def test_a_network_that_answers_another_operation_is_refused(tmp_path):
    path = save(tmp_path / "C5", lookup(group("C5")), cfg("CyclicGroup", 5))
    changed = RELEASES["chughtai"](path)._replace(task=ModularSubtraction(p=5))
    with pytest.raises(ForeignFileError, match=r"100\.0% of its answers match modular_addition"):
        write(changed, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "weights", "words"),
    [
        ({"act_fn": "relu"}, LENS, "state the task in cfg.json"),
        ({"task": {"kind": "addition"}}, LENS, "task.kind=addition: must be one of modular_addition"),
        ({"task": {"p": 7}}, LENS, "embed.W_E has shape (6, 8)"),
        ({"task": {"p": 5}, "act_fn": "solu_ln"}, LENS, "act_fn=solu_ln: must be among gelu"),
        ({"task": {"p": 5}, "normalization_type": "RMS"}, LENS, "normalization_type=RMS: must be among LN, LNPre"),
        ({"task": {"p": 5}, "normalization_type": "LN"}, LENS, "lacks blocks.0.ln1.b"),
        ({"task": {"p": 5}, "positional_embedding_type": "rotary"}, LENS, "positional_embedding_type=rotary"),
        ({"task": {"p": 5}, "n_heads": 4}, LENS, "cfg.json: n_heads=4, but the weights in model.pt have n_heads=2"),
        ({"task": {"p": 5}, "d_vocab_out": 7}, LENS, "d_vocab_out=7, but the weights in model.pt have d_vocab_out=5"),
        ({"task": {"p": 5}, "attn_only": True}, LENS, "attn_only=True: must be among False"),
        ({"task": {"p": 5}, "attn_scale": 1.0}, LENS, "attn_scale=1.0: must be the square root of d_head=4"),
        ({"task": {"p": 5}, "steps": "many"}, LENS, "steps=many: must be a whole number from 1"),
        ({"task": {"p": 5}}, LENS | {"embed.W_E": torch.ones(1).expand(2**14, 2**14)}, "contradicts d_model"),
    ],
)
def test_transformer_lens_in_one_line(tmp_path, config, weights, words):
    refused("transformer-lens", save(tmp_path, weights, config), words)


def test_transformer_lens_has_its_configuration_beside_it(tmp_path):
    torch.save(LENS, tmp_path / "net.pt")
    words = "has no configuration file next to it: looked for cfg.json, config.json, net.json"
    refused("transformer-lens", tmp_path / "net.pt", words)
    (tmp_path / "net.json").write_text('{"task": {"p": 5}}')
    (tmp_path / "net.safetensors").write_text("no tensors")
    refused("transformer-lens", tmp_path / "net.safetensors", "is not a safetensors file")


HUGGING_FACE = (
    "transformer.h.0.attn.c_attn.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "bert.encoder.layer.0.output.dense.weight",
    "gpt_neox.layers.3.mlp.dense_h_to_4h.bias",
)


@pytest.mark.parametrize("name", HUGGING_FACE)
@pytest.mark.parametrize("release", ["nanda", "transformer-lens"])
def test_hugging_face_files_get_a_hint(tmp_path, release, name):
    path = tmp_path / "pytorch_model.bin"
    torch.save({name: torch.ones(4, 4), "other.weight": torch.ones(4)}, path)
    with pytest.raises(ForeignFileError, match=r"is a Hugging Face model.*grokinterp\.Recorder \(docs/recorder\.md\)"):
        import_run(release, path, tmp_path / "out")


@pytest.mark.parametrize("release", ["nanda", "series", "chughtai"])
def test_a_folder_of_hugging_face_gets_a_hint(tmp_path, release):
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}')
    with pytest.raises(ForeignFileError, match=r"is a Hugging Face model \(GPT2LMHeadModel\)"):
        import_run(release, tmp_path, tmp_path / "out")


def test_containers_inside_each_other_end(tmp_path):
    itself: list = []
    itself.append(itself)
    deep: dict = {}
    for _ in range(100):
        deep = {"x": deep}
    many: list = [1]
    for _ in range(40):
        many = [many, many]
    for number, content in enumerate((itself, deep, {"a": many})):
        path = tmp_path / f"{number}.pth"
        torch.save({"model": NET, "more": content}, path)
        refused("nanda", path, "refused: it ")


def test_a_failed_import_leaves_nothing(tmp_path, monkeypatch):
    path = save(tmp_path / "S3", TABLE, cfg("SymmetricGroup", 3))

    def full(self, step, tensors):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunDirectory, "save_checkpoint", full)
    with pytest.raises(GrokinterpError, match="No space left"):
        import_run("chughtai", path, tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == []


def test_an_empty_directory_is_used(tmp_path):
    path = save(tmp_path / "S3", TABLE, cfg("SymmetricGroup", 3))
    (tmp_path / "out" / "checkpoints").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert import_run("chughtai", path, tmp_path / "link").steps == (100,)
    assert (tmp_path / "link").is_symlink()


def test_a_taken_directory_and_an_unknown_release_are_refused(tmp_path):
    path = save(tmp_path / "S3", TABLE, cfg("SymmetricGroup", 3))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(GrokinterpError, match="is not empty: it holds 'mine'"):
        import_run("chughtai", path, tmp_path / "out")
    with pytest.raises(
        GrokinterpError,
        match="release=gromov: must be one of nanda, chughtai, pizza, transformer-lens, hf, series, file",
    ):
        import_run("gromov", path)


def test_the_command_line_imports(tmp_path, monkeypatch, capsys):
    path = save(tmp_path / "S3", TABLE, cfg("SymmetricGroup", 3))
    for target, code in ((path, 0), (tmp_path / "none.pt", 2)):
        monkeypatch.setattr(
            sys, "argv", ["grokinterp", "import", "chughtai", str(target), "--out", str(tmp_path / "run")]
        )
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert (ended.value.code or 0) == code
    done = capsys.readouterr()
    assert done.out == f"{tmp_path / 'run'}: 1 checkpoint, step 100, accuracy 100.0% on all examples\n"
    assert done.err == f"error: {tmp_path / 'none.pt'}: no such file\n"
