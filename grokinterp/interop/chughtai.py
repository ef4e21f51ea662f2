"""Import of the networks of Chughtai et al. 2023: a folder with model.pt, cfg.json and, for some, metrics.csv."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.errors import ConfigError, short
from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.interop.elements import Renaming, renamed
from grokinterp.interop.files import ForeignFileError, given, listed, read_config, required
from grokinterp.interop.fitting import biases, fitted, plain, spec_sizes, transformer_sizes
from grokinterp.interop.layout import State, layout
from grokinterp.interop.logs import read_log
from grokinterp.interop.release import Curves, Release, loaded, split_of
from grokinterp.interop.scores import answers
from grokinterp.interop.splits import permuted
from grokinterp.interop.weights import read_content, require_not_hugging_face, weights_in
from grokinterp.models import MLPSpec, ModelSpec, TransformerSpec
from grokinterp.tasks import GroupComposition, ModularAddition, Task

FAMILIES = {"CyclicGroup": "C", "DihedralGroup": "D", "SymmetricGroup": "S", "AlternatingGroup": "A"}


class Known(NamedTuple):
    """A network under this package's names, in the release's order of elements."""

    model: ModelSpec
    state: State


def read(path: Path) -> Release:
    """Read a network of the release, with its tokens and classes in this package's order.

    Args:
        path: the folder, or the model.pt in it.

    Raises:
        ForeignFileError: if a file is not of this release, or if no known order makes the products correct.
    """
    if path.is_dir():
        files = (path / name for name in ("model.pt", "model.safetensors"))
        return read_files(next((file for file in files if file.exists()), path / "model.pt"), path / "cfg.json")
    return read_files(path, path.with_name("cfg.json"))


def read_files(weights: Path, cfg: Path) -> Release:
    """Read a network from these two files, and the log next to them."""
    if not weights.exists():
        raise ForeignFileError(weights, "no such file")
    folder = weights.parent
    config = read_config(cfg)
    task = task_of(config, cfg)
    content = read_content(weights)
    require_not_hugging_face(weights, content)
    known = network(str(required(config, "model", cfg)), plain(weights_in(content, weights), weights), weights)
    state = fitted(known.state, Experiment(task=task, model=known.model), weights)
    order, how = order_of(known.model, state, task, weights)
    seed, fraction = given(config, "seed", 0, cfg), given(config, "frac_train", 0.0, cfg)
    steps = given(config, "num_epochs", 0, cfg, least=1)
    return Release(
        name=f"chughtai-{folder.resolve().name}",
        source=weights,
        task=task,
        model=known.model,
        optimization=optimization(config, cfg),
        split=split(task, order, seed, fraction, cfg),
        steps=steps,
        seed=seed,
        states={steps: reordered(state, order)},
        curves=curves_of(folder / "metrics.csv"),
        notes={
            "release": "Chughtai et al. 2023",
            "split": f"drawn by torch.randperm with seed {seed}, over pairs in their order of elements",
            "elements": f"order: {how}",
        },
    )


def task_of(config: Mapping[str, Any], path: Path) -> Task:
    """Return composition in the configuration's group, or addition for a cyclic group. Raises ForeignFileError."""
    family, n = str(required(config, "group", path)), given(config, "group_parameter", 0, path, least=2)
    if family not in FAMILIES:
        raise ForeignFileError(path, f"group={short(family, 40)}: must be among {listed(FAMILIES)}")
    try:
        if family == "CyclicGroup" and n > 2:
            return ModularAddition(p=n)
        return GroupComposition(group=f"{FAMILIES[family]}{n}")
    except ConfigError as error:
        raise ForeignFileError(path, f"group_parameter={n}: {error.rule}") from None


def network(name: str, state: State, path: Path) -> Known:
    """Return the network that a configuration names. Raises ForeignFileError."""
    if name == "OneLayerMLP":
        return mlp(state, path)
    if name == "Transformer":
        return transformer(state, path)
    raise ForeignFileError(path, f"model={short(name, 40)}: must be OneLayerMLP or Transformer")


def mlp(state: State, path: Path) -> Known:
    """Return relu([W_x[x], W_y[y]] W) W_U, with an embedding table per operand, no biases. Raises ForeignFileError."""
    mapped = layout("chughtai-mlp").read(state, path)
    width, hidden = mapped.sizes["d_embed"], (mapped.sizes["neuron"],)
    spec = MLPSpec(d_embed=width, embedding="separate", hidden=hidden, act_fn="relu", initialization="normal")
    return Known(spec, mapped.state)


def transformer(state: State, path: Path) -> Known:
    """Return a HookedTransformer without LayerNorm; ``x_embed`` and ``y_embed`` repeat its embedding."""
    mapped = layout("transformer-lens").read(state, path)
    spec = TransformerSpec(**spec_sizes(transformer_sizes(mapped)), biases=biases([mapped.state]))
    return Known(spec, mapped.state)


def order_of(model: ModelSpec, state: State, task: Task, path: Path) -> tuple[Renaming, str]:
    """Return this package's index of each element of theirs. Raises ForeignFileError if every order is at chance."""
    n = task.n_classes
    if not isinstance(task, GroupComposition):
        return torch.arange(n), "as here"
    experiment = Experiment(task=task, model=model)
    table: Int[Tensor, "x y"] = answers(loaded(experiment, state), experiment.tokens()).unflatten(0, (n, n))
    order, accuracy, how = renamed(table, task.structure)
    if accuracy < max(0.1, 2 / n):
        raise ForeignFileError(
            path, f"answers at chance ({accuracy:.1%}) in every known order of {task.group}'s elements"
        )
    return order, how


def reordered(state: State, order: Renaming) -> State:
    """Renumber a network: rows of embeddings and columns of the unembedding; "=" remains last."""
    theirs = order.argsort()
    tokens = state["embed.W_E"].shape[-2]
    rows = torch.cat([theirs, torch.arange(len(theirs), tokens)])
    ours = state | {"embed.W_E": state["embed.W_E"].index_select(-2, rows)}
    for name in ("unembed.W_U", "unembed.b_U"):
        ours[name] = state[name].index_select(-1, theirs)
    return ours


def split(task: Task, order: Renaming, seed: int, fraction: float, path: Path) -> Split:
    """Return the split that trains on the first ⌊fraction · n²⌋ pairs, in row-major order, of torch.randperm.

    Source: the code released with Chughtai et al. 2023.
    """
    n = task.n_classes
    trained = int(fraction * n * n)
    if not 0 < trained < n * n:
        raise ForeignFileError(path, f"frac_train={fraction}: leaves no pairs for training or for testing")
    if seed >= 2**63:
        raise ForeignFileError(path, f"seed={short(seed)}: must be below 2^63")
    pairs = permuted(n * n, seed)[:trained]
    is_train = torch.zeros(n * n, dtype=torch.bool)
    is_train[order[pairs // n] * n + order[pairs % n]] = True
    return split_of(task, is_train, fraction=fraction, seed=seed)


def optimization(config: Mapping[str, Any], path: Path) -> Optimization:
    """Return AdamW without warm-up."""
    betas = config.get("betas", (0.9, 0.98))
    if not (
        isinstance(betas, list | tuple) and len(betas) == 2 and all(isinstance(beta, int | float) for beta in betas)
    ):
        raise ForeignFileError(path, f"betas={short(betas, 40)}: must be two numbers")
    return Optimization(
        lr=given(config, "lr", 1e-3, path),
        weight_decay=given(config, "weight_decay", 0.0, path),
        betas=(float(betas[0]), float(betas[1])),
        warmup_steps=0,
        loss="float64",
    )


def curves_of(log: Path) -> Curves:
    """Return the curves of metrics.csv by epoch, since its rows are not all epochs; empty without the file."""
    return read_log(log) if log.exists() else {}
