"""Networks that other people trained, as checkpoints; used where they lie beside the repository."""

import json
import random
from pathlib import Path

import torch

from grokinterp.experiment.problem import Problem
from grokinterp.models import Transformer, TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import ModularAddition
from tests.support.small_networks import with_equals

STORED_LOSSES = {"train": 1.6814e-10, "test": 1.10985e-6}
"""Losses of the network of Nanda et al., from the file itself."""


def nanda(published: Path) -> Checkpoint:
    """Nanda et al. 2023, mod_addition_no_wd: transposed layout, MLP biases, a 114th output that is not used."""
    p = 113
    file = torch.load(published / "nanda" / "mod_addition_no_wd.pth", weights_only=True, map_location="cpu")
    old = {name: value.double() for name, value in file["model"].items()}
    model = Transformer(TransformerSpec(biases=True), d_vocab=p + 1, d_vocab_out=p, n_ctx=3).double()
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    state |= {"embed.W_E": old["embed.W_E"].T, "pos_embed.W_pos": old["pos_embed.W_pos"]}
    state |= {"unembed.W_U": old["unembed.W_U"][:, :p]}
    state |= {f"blocks.0.attn.W_{x}": old[f"blocks.0.attn.W_{x}"].transpose(1, 2) for x in "QKV"}
    state |= {"blocks.0.attn.W_O": old["blocks.0.attn.W_O"].T.reshape(4, 32, 128)}
    state |= {f"blocks.0.mlp.W_{x}": old[f"blocks.0.mlp.W_{x}"].T for x in ("in", "out")}
    state |= {f"blocks.0.mlp.b_{x}": old[f"blocks.0.mlp.b_{x}"] for x in ("in", "out")}
    model.load_state_dict(state)
    return Checkpoint(5000, model.requires_grad_(False), problem_of_nanda(p))


def chughtai_cyclic(published: Path) -> tuple[Checkpoint, dict[str, float]]:
    """Chughtai et al. 2023, C113_T_seed2, with its published metrics: TransformerLens layout, addition modulo 113."""
    p, folder = 113, published / "chughtai" / "C113_T_seed2"
    state = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    model = Transformer(TransformerSpec(biases=True), d_vocab=p + 1, d_vocab_out=p, n_ctx=3).double()
    model.load_state_dict({name: value for name, value in state.items() if name not in ("x_embed", "y_embed")})
    drawn = torch.randperm(p * p, generator=torch.Generator().manual_seed(2))
    is_train = torch.zeros(p * p, dtype=torch.bool)
    is_train[drawn[: int(0.3 * p * p)]] = True
    task = ModularAddition(p=p)
    problem = Problem(task, with_equals(task), task.labels(), is_train)
    metrics = json.loads((folder / "summary_metrics.json").read_text())
    return Checkpoint(50_000, model.requires_grad_(False), problem), metrics


def problem_of_nanda(p: int) -> Problem:
    """Fraction .9, seed 0, by Python's shuffle of the pairs in row-major order."""
    pairs = [(a, b) for a in range(p) for b in range(p)]
    random.Random(0).shuffle(pairs)
    is_train = torch.zeros(p * p, dtype=torch.bool)
    is_train[[a * p + b for a, b in pairs[: int(0.9 * p * p)]]] = True
    task = ModularAddition(p=p)
    return Problem(task, with_equals(task), task.labels(), is_train)
