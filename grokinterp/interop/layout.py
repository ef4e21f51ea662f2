"""Names and shapes of the released weights, and the same weights under ours."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from grokinterp.experiment import Experiment
from grokinterp.interop.files import ForeignFileError, listed

CONSTANTS = (".mask", ".IGNORE", ".causal_mask")
"""Entries of a state dict that are no weights."""

Activation = Literal["relu", "gelu", "silu", "quadratic"]

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "quadratic": "quadratic",
}
"""Activation functions by their published names in small letters."""

BIAS = re.compile(r"\.b_\w+$")

State = dict[str, Tensor]


class Sizes(NamedTuple):
    """What the weights of a transformer say about its shape."""

    n_layers: int
    n_heads: int
    d_head: int
    d_model: int
    d_mlp: int
    d_vocab: int
    d_vocab_out: int
    n_ctx: int

    def spec(self) -> dict[str, Any]:
        """The sizes that a TransformerSpec has."""
        kept = {key: getattr(self, key) for key in ("n_layers", "n_heads", "d_model", "d_mlp")}
        return kept | {"d_head": None if self.d_head * self.n_heads == self.d_model else self.d_head}


def plain(state: State, path: Path) -> State:
    """The weights alone, in float32 or, where they are so, float64. Raises ForeignFileError."""
    weights = {name: value for name, value in state.items() if not name.endswith(CONSTANTS)}
    for name, value in weights.items():
        if not value.is_floating_point():
            raise ForeignFileError(path, f"{name} holds {value.dtype}, no floating-point numbers")
    return {name: value if value.dtype == torch.float64 else value.float() for name, value in weights.items()}


def untransposed(state: State, path: Path) -> State:
    """Weights that act from the left, W x, as TransformerLens has them, acting from the right, x W.

    embed.W_E [d_model, token] and W_U [d_model, class]; W_Q, W_K, W_V [head, d_head, d_model]; W_O [d_model,
    head · d_head], heads one behind the other; W_in [d_mlp, d_model], W_out [d_model, d_mlp].

    Source: the code released with Nanda et al. 2023, and with Zhong et al. 2023.

    Raises:
        ForeignFileError: a weight is missing, or has another number of axes.
    """
    ours = dict(state)
    ours["embed.W_E"] = weight(state, "embed.W_E", 2, path).T
    for layer in range(n_layers(state, path)):
        block = f"blocks.{layer}"
        for letter in "QKV":
            name = f"{block}.attn.W_{letter}"
            ours[name] = weight(state, name, 3, path).transpose(1, 2)
        heads, _, d_head = ours[f"{block}.attn.W_V"].shape
        name = f"{block}.attn.W_O"
        rows = weight(state, name, 2, path).T
        if len(rows) != heads * d_head:
            raise ForeignFileError(path, f"{name} has {len(rows)} columns for {heads} heads of {d_head}")
        ours[name] = rows.unflatten(0, (heads, d_head))
        for name in (f"{block}.mlp.W_in", f"{block}.mlp.W_out"):
            ours[name] = weight(state, name, 2, path).T
    return ours


def sizes(state: State, path: Path) -> Sizes:
    """The sizes of a transformer in TransformerLens layout. Raises ForeignFileError."""
    layers = n_layers(state, path)
    d_vocab, d_model = weight(state, "embed.W_E", 2, path).shape
    heads, _, d_head = weight(state, "blocks.0.attn.W_Q", 3, path).shape
    d_mlp = weight(state, "blocks.0.mlp.W_in", 2, path).shape[1]
    n_ctx = weight(state, "pos_embed.W_pos", 2, path).shape[0]
    d_vocab_out = weight(state, "unembed.W_U", 2, path).shape[1]
    return Sizes(layers, heads, d_head, d_model, d_mlp, d_vocab, d_vocab_out, n_ctx)


def n_layers(state: State, path: Path) -> int:
    """The blocks there are. Raises ForeignFileError for none, or a gap."""
    found = {int(match[1]) for name in state if (match := re.match(r"blocks\.(\d{1,3})\.", name))}
    if not found or found != set(range(len(found))):
        raise ForeignFileError(path, f"has no transformer blocks 0, 1, ...; it has {listed(state)}")
    return len(found)


def weight(state: Mapping[str, Tensor], name: str, axes: int, path: Path) -> Tensor:
    """One tensor of so many axes. Raises ForeignFileError."""
    if name not in state:
        raise ForeignFileError(path, f"has no {name}; it has {listed(state)}")
    if state[name].ndim != axes or not state[name].numel():
        raise ForeignFileError(path, f"{name} has shape {tuple(state[name].shape)}, not {axes} axes")
    return state[name]


def biases(states: Iterable[State]) -> bool | Literal["mlp"]:
    """Which biases were trained: those that are not zero in some state, of the MLPs alone or of other layers too."""
    found = {name for state in states for name, value in state.items() if BIAS.search(name) and value.any()}
    return "mlp" if found and all(".mlp." in name for name in found) else bool(found)


def fitted(state: State, experiment: Experiment, path: Path) -> State:
    """The state as the experiment's model holds it: of more classes and positions the first, absent biases zero.

    Raises:
        ForeignFileError: a weight that the model has not, one that is missing, or of another shape.
    """
    with torch.device("meta"):  # before anything of a size that the file makes up is built
        own = experiment.empty_model().state_dict()
    state = dict(state)
    for name in own.keys() - state.keys():
        if ".b_" in name or name.startswith(("b_U", "unembed.b_U")):
            state[name] = torch.zeros(own[name].shape)
    odd = own.keys() ^ state.keys()
    if odd:
        word = "lacks" if odd & own.keys() else "holds"
        raise ForeignFileError(path, f"{word} {listed(odd & own.keys() or odd)}, unlike the network it says it is")
    for name, of in (("unembed.W_U", 1), ("unembed.b_U", 0), ("pos_embed.W_pos", 0)):
        if name in own and state[name].ndim == own[name].ndim:
            state[name] = state[name].narrow(of, 0, min(state[name].shape[of], own[name].shape[of]))
    for name, value in state.items():
        if value.shape != own[name].shape:
            shapes = f"{tuple(value.shape)}; {tuple(own[name].shape)} follows from the other weights"
            raise ForeignFileError(path, f"{name} has shape {shapes}")
    return {name: value.contiguous().clone() for name, value in state.items()}
