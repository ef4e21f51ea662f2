"""Fit of mapped weights to a model of this package: its sizes, its biases, and its state dict."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.interop.files import ForeignFileError, listed
from grokinterp.interop.layout import Mapped, State

Activation = Literal["relu", "gelu", "silu", "quadratic"]

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "quadratic": "quadratic",
}
"""Activation functions by their published names in lower case."""

BIAS = re.compile(r"\.b_\w+$")

SIZE_NAMES = {
    "n_layers": ("n_layers", "num_layers"),
    "n_heads": ("n_heads", "num_heads"),
    "d_head": ("d_head",),
    "d_model": ("d_model",),
    "d_mlp": ("d_mlp",),
    "d_vocab": ("d_vocab",),
    "d_vocab_out": ("d_vocab_out",),
    "n_ctx": ("n_ctx",),
}
"""Sizes of a transformer, and the keys under which configurations store them."""


def transformer_sizes(mapped: Mapped) -> dict[str, int]:
    """Return the sizes of a transformer according to its weights."""
    axes = {"n_heads": "head", "d_vocab": "token", "d_vocab_out": "class", "n_ctx": "position"}
    named = {key: mapped.sizes[axes.get(key, key)] for key in SIZE_NAMES if key != "n_layers"}
    return {"n_layers": mapped.n_layers} | named


def spec_sizes(sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return the sizes that a ``TransformerSpec`` has as fields."""
    kept = {key: sizes[key] for key in ("n_layers", "n_heads", "d_model", "d_mlp")}
    usual = sizes["d_head"] * sizes["n_heads"] == sizes["d_model"]
    return kept | {"d_head": None if usual else sizes["d_head"]}


def require_sizes(config: Mapping[str, Any], sizes: Mapping[str, int], cfg: Path, path: Path) -> None:
    """Raise ForeignFileError, naming both files, if a configuration contradicts the weights.

    A size of 0, a negative size or null counts as unknown.
    """
    for size, keys in SIZE_NAMES.items():
        for key in keys:
            value = config.get(key)
            if isinstance(value, int | float) and value > 0 and value != sizes[size]:
                raise ForeignFileError(cfg, f"{key}={value}, but the weights in {path.name} have {size}={sizes[size]}")


def plain(state: State, path: Path) -> State:
    """Convert the weights to float32, except float64 weights. Raises ForeignFileError.

    Entries that are not weights, such as masks, may have any type; the layout drops them.
    """
    return {
        name: value if value.dtype == torch.float64 or not value.is_floating_point() else value.float()
        for name, value in state.items()
    }


def require_numbers(state: State, path: Path) -> None:
    """Raise ForeignFileError if weights are not floating-point numbers, or not finite."""
    for name, value in state.items():
        if not value.is_floating_point():
            raise ForeignFileError(path, f"{name} holds {value.dtype}, not floating-point numbers")
        if not value.isfinite().all():
            raise ForeignFileError(path, f"{name} is not finite")


def biases(states: Iterable[State]) -> bool | Literal["mlp"]:
    """Return which biases were trained, that is, are nonzero in some state: none, those of the MLPs only, or all."""
    found = {name for state in states for name, value in state.items() if BIAS.search(name) and value.any()}
    return "mlp" if found and all(".mlp." in name for name in found) else bool(found)


def own_shapes(experiment: Experiment, path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of an experiment's model without allocating them. Raises ForeignFileError."""
    try:
        state = experiment.empty_model(device="meta").state_dict()
    except ConfigError as error:
        raise ForeignFileError(path, str(error)) from None
    return {name: tuple(value.shape) for name, value in state.items()}


def fitted(state: State, experiment: Experiment, path: Path) -> State:
    """Return the state for the experiment's model: surplus classes and positions dropped, missing biases zero.

    Raises:
        ForeignFileError: if the model lacks a weight of the state, or a weight is missing or has another shape.
    """
    own = own_shapes(experiment, path)
    state = dict(state)
    for name in own.keys() - state.keys():
        if BIAS.search(name):
            state[name] = torch.zeros(own[name])
    odd = own.keys() ^ state.keys()
    if odd:
        word = "lacks" if odd & own.keys() else "holds"
        raise ForeignFileError(path, f"{word} {listed(odd & own.keys() or odd)}, unlike the stated network")
    for name, of in (("unembed.W_U", 1), ("unembed.b_U", 0), ("pos_embed.W_pos", 0)):
        if name in own and state[name].ndim == len(own[name]):
            state[name] = state[name].narrow(of, 0, min(state[name].shape[of], own[name][of]))
    for name, value in state.items():
        if tuple(value.shape) != own[name]:
            raise ForeignFileError(path, f"{name} has shape {tuple(value.shape)}; the task implies {own[name]}")
    require_numbers(state, path)
    return {name: value.contiguous().clone() for name, value in state.items()}
