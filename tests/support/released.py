"""Our networks in the file formats of the releases."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grokinterp.experiment import Experiment
from grokinterp.maths.groups import Group
from grokinterp.models import MLPSpec, Model, TransformerSpec
from grokinterp.tasks import Task


def drawn(task: Task, spec: TransformerSpec | MLPSpec, seed: int = 0) -> Model:
    """A drawn network in float64, including biases."""
    model = Experiment(task=task, model=spec, seed=seed).build_model().double().requires_grad_(False)
    for name, weight in model.named_parameters():
        if ".b_" in name:
            weight.normal_(generator=torch.Generator().manual_seed(seed))
    return model


def logits_of(model: Model, task: Task) -> Tensor:
    return model(Experiment(task=task, model=model.spec).tokens())[:, -1]


def transposed(model: Model) -> dict[str, Tensor]:
    """The layout of Nanda et al. and Zhong et al.; one output more than tokens of the task."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    theirs = {"embed.W_E": state["embed.W_E"].T, "pos_embed.W_pos": state["pos_embed.W_pos"]}
    extra = torch.full((len(state["unembed.W_U"]), 1), 9.0, dtype=torch.float64)
    theirs["unembed.W_U"] = torch.cat([state["unembed.W_U"], extra], 1)
    for layer in range(model.n_layers):
        block = f"blocks.{layer}"
        for letter in "QKV":
            theirs[f"{block}.attn.W_{letter}"] = state[f"{block}.attn.W_{letter}"].transpose(1, 2)
        theirs[f"{block}.attn.W_O"] = state[f"{block}.attn.W_O"].flatten(0, 1).T
        theirs[f"{block}.attn.mask"] = torch.ones(3, 3).tril()
        for name in ("W_in", "W_out"):
            theirs[f"{block}.mlp.{name}"] = state[f"{block}.mlp.{name}"].T
        for name in ("b_in", "b_out"):
            theirs[f"{block}.mlp.{name}"] = state[f"{block}.mlp.{name}"]
    return {name: value.contiguous() for name, value in theirs.items()}


def lookup(group: Group, order: Tensor | None = None) -> dict[str, Tensor]:
    """An MLP that has a neuron for each pair of elements: W_x, W_y, W, W_U as Chughtai et al. write them.

    ``order`` holds our number of each of their elements.
    """
    n = group.order
    order = torch.arange(n) if order is None else order
    table = order.argsort()[group.table[order[:, None], order]]
    one = torch.ones(n, 1)
    embed = torch.cat([torch.eye(n), one], 1)
    left = torch.cat([torch.eye(n).repeat_interleave(n, 1), torch.full((1, n * n), -1.0)])
    right = torch.cat([torch.eye(n).repeat(1, n), torch.zeros(1, n * n)])
    unembed = torch.nn.functional.one_hot(table.flatten(), n).float()
    return {"W_x": embed, "W_y": embed, "W": torch.cat([left, right]), "W_U": 20 * unembed}


def save(folder: Path, weights: Any, config: dict[str, Any], names: tuple[str, str] = ("model.pt", "cfg.json")) -> Path:
    """Both files in a folder; the path of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights, folder / names[0])
    (folder / names[1]).write_text(json.dumps(config))
    return folder / names[0]


def cfg(group: str, n: int, model: str = "OneLayerMLP", **changes: Any) -> dict[str, Any]:
    """A configuration of Chughtai et al."""
    plain = {"lr": 0.001, "weight_decay": 1, "betas": [0.9, 0.98], "layers": {"embed_dim": 256, "hidden_dim": 128}}
    named = {"model": model, "group": group, "group_parameter": n, "frac_train": 0.4, "seed": 1, "num_epochs": 100}
    return plain | named | changes


def pizza_config(p: int, **changes: Any) -> dict[str, Any]:
    """A configuration of Zhong et al."""
    plain = {"name": f"modadd_{p}", "funcs": f"lambda x: (x[0]+x[1])%{p}", "C": p, "n_heads": 2, "d_model": 8}
    plain |= {"n_layers": 1, "attention_dir": "casual", "act_fn": "ReLU", "epoch": 50, "batch_size": p * p, "lr": 0.001}
    return (
        plain | {"weight_decay": 2.0, "frac": 0.8, "attn_coeff": 1.0, "diff_vocab": False, "eqn_sign": False} | changes
    )
