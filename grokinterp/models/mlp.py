"""Multilayer perceptrons on embedded or one-hot tokens, and the analytic solution of modular addition."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from grokinterp.errors import ConfigError, NotDefined
from grokinterp.maths.matrix_norms import Ruler
from grokinterp.models.bounds import activated, normalized, through_layers
from grokinterp.models.fast import one_hot, sum_rows
from grokinterp.models.hooked import HookPoint, TypedModuleList
from grokinterp.models.layers import ACTIVATIONS, Embed, SeparateEmbed, Unembed, bias, norm, quadratic
from grokinterp.models.model import Model
from grokinterp.models.parametrization import Role, rate_factor
from grokinterp.models.readout import Readout, ReadoutInputs
from grokinterp.models.specifications import MLPSpec, require_size
from grokinterp.models.training_mode import BatchNorm, dropout


class OneHot(nn.Module):
    """One-hot vectors with an entry per token of the vocabulary."""

    def __init__(self, d_vocab: int) -> None:
        super().__init__()
        self.d_vocab = d_vocab

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Bool[Tensor, "batch position token"]:
        return one_hot(tokens, self.d_vocab)


def normalization(width: int, kind: str | None) -> nn.Module:
    """Return BatchNorm for "BN", LayerNorm for "LN", both with scale and shift, and the identity for None."""
    return BatchNorm(width) if kind == "BN" else norm(width, kind)


class HiddenLayer(nn.Module):
    """A hidden layer, act(norm(x W_in + b_in)), with dropout in training.

    Without LayerNorm, the input of the activation function in evaluation is x W_in · scale + shift.
    """

    b_in: Float[Tensor, "neuron"]
    norm: Any
    """BatchNorm, LayerNorm or the identity."""

    def __init__(self, d_in: int, d_hidden: int, spec: MLPSpec) -> None:
        super().__init__()
        self.W_in = nn.Parameter(torch.empty(d_in, d_hidden))
        bias(self, "b_in", d_hidden, trained=spec.biases)
        self.act, self.kind = ACTIVATIONS[spec.act_fn], spec.normalization
        self.norm, self.drop = normalization(d_hidden, spec.normalization), dropout(spec.dropout)
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()

    def forward(self, x: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch neuron"]:
        return self.drop(self.hook_post(self.act(self.hook_pre(self.norm(x @ self.W_in + self.b_in)))))

    def after(self, products: Float[Tensor, "batch neuron"]) -> Float[Tensor, "batch neuron"]:
        """Return the neurons in evaluation from x W_in + b_in."""
        return self.act(self.norm(products))

    @property
    def scale(self) -> Float[Tensor, "neuron"] | float:
        """The factor by which BatchNorm multiplies each neuron in evaluation; 1 without it."""
        return self.norm.scale if self.kind == "BN" else 1.0

    @property
    def matrix(self) -> Float[Tensor, "in neuron"]:
        """W_in with the scale of BatchNorm. Raises NotDefined with LayerNorm, which is no matrix."""
        if self.kind == "LN":
            raise NotDefined("matrices of the layers", "with LayerNorm, a hidden layer does not start with a matrix")
        return self.W_in * self.scale

    @property
    def offset(self) -> Float[Tensor, "neuron"]:
        """b_in with the scale and shift of BatchNorm."""
        return self.b_in * self.scale + (self.norm.shift if self.kind == "BN" else 0.0)


class MLP(Model):
    """A multilayer perceptron, which answers once per sequence.

    Parameters: embed.W_E [token, d_embed], or [position, token, d_embed] if separate, none if
    one-hot; layers.L.W_in [in, neuron], layers.L.b_in; unembed.W_U [neuron, class], unembed.b_U; with normalization
    layers.L.norm.w and layers.L.norm.b, and the running statistics layers.L.norm.mean and layers.L.norm.variance.
    Concatenated positions are consecutive rows of layers.0.W_in.
    Hooks: hook_embed [batch, position, d_embed], layers.L.hook_pre and layers.L.hook_post
    [batch, neuron].

    Args:
        spec: the specification.
        d_vocab: number of input tokens. d_vocab_out: number of classes. n_ctx: number of positions.
        generator: random generator for the initial weights; without a generator they are zero, to be loaded.
    """

    embed: Any
    """Embed, SeparateEmbed or OneHot."""

    def __init__(
        self, spec: MLPSpec, *, d_vocab: int, d_vocab_out: int, n_ctx: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.spec, self.n_ctx = spec, n_ctx
        d_embed = d_vocab if spec.d_embed is None else spec.d_embed
        if spec.d_embed is None:
            self.embed = OneHot(d_vocab)
        elif spec.embedding == "shared":
            self.embed = Embed(d_vocab, d_embed)
        else:
            self.embed = SeparateEmbed(n_ctx, d_vocab, d_embed)
        widths = [d_embed if spec.combine == "sum" else n_ctx * d_embed, *spec.hidden]
        self.layers = TypedModuleList([HiddenLayer(*sizes, spec) for sizes in pairwise(widths)])
        self.unembed = Unembed(widths[-1], d_vocab_out, biases=spec.biases, tied_to=None, scale=spec.output_scale)
        self.hook_embed = HookPoint()
        self.initialize(generator)
        self.setup()
        self.eval()

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None) -> None:
        """Draw every weight according to ``spec.initialization``."""
        if generator is None:
            for weight in self.parameters():
                weight.zero_()
            return
        if self.spec.d_embed is not None:
            deviation = 1.0 if self.spec.initialization in ("pytorch", "mup") else self.spec.d_embed**-0.5
            self.embed.W_E.normal_(0, deviation, generator=generator)
        for layer in self.layers:
            self._draw(layer.W_in, layer.b_in, generator)
        self._draw(self.unembed.W_U, self.unembed.b_U, generator)
        if self.spec.initialization in ("mean_field", "mup"):
            self.unembed.W_U.mul_(self.spec.hidden[-1] ** -0.5)

    def _draw(self, weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
        """Draw weights with ``fan_in`` inputs, and their bias."""
        scale = weight.shape[0] ** -0.5
        if self.spec.initialization != "pytorch":
            weight.normal_(0, scale, generator=generator)
            return
        weight.uniform_(-scale, scale, generator=generator)
        if self.spec.biases:
            bias.uniform_(-scale, scale, generator=generator)

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch answer class"]:
        """Return the logits of the single answer."""
        x = self.hook_embed(self.embed(tokens).to(self.W_U.dtype))
        x = x.sum(1) if self.spec.combine == "sum" else x.flatten(1)
        for layer in self.layers:
            x = layer(x)
        return self.unembed(x).unsqueeze(1)

    def readout_by_hooks(self, tokens: Int[Tensor, "example position"]) -> Readout:
        logits, neurons = self.catch(tokens, f"layers.{self.n_layers - 1}.hook_post")
        return Readout(None, neurons, neurons, logits[:, -1])

    def readout_fast(self, inputs: ReadoutInputs) -> Readout:
        """Compute the first layer once per token and position instead of once per example."""
        first, *others = self.layers
        x = first.after(first.b_in + sum_rows(self.first_layer_rows, inputs.tokens))
        for layer in others:
            x = layer.after(torch.addmm(layer.b_in, x, layer.W_in))
        return Readout(None, x, x, torch.addmm(self.b_U, x, self.W_U))

    @property
    def tables(self) -> Float[Tensor, "table token d_embed"]:
        """Return one embedding table per position, or the shared table."""
        return self.embed.W_E if self.spec.embedding == "separate" else self.embed.W_E.unsqueeze(0)

    @property
    def first_layer_rows(self) -> Float[Tensor, "table token neuron"]:
        """Return the contribution of a token to the first layer's neurons, in a table per position or one for all."""
        W_in, parts = self.layers[0].W_in, 1 if self.spec.combine == "sum" else self.n_ctx
        W_in = W_in.unflatten(0, (parts, -1))
        return W_in if self.spec.d_embed is None else self.tables @ W_in

    @property
    def embedding(self) -> Float[Tensor, "token feature"]:
        tables = self.first_layer_rows if self.spec.d_embed is None else self.tables
        return tables.transpose(0, 1).flatten(1)

    @property
    def n_tables(self) -> int:
        return len(self.first_layer_rows if self.spec.d_embed is None else self.tables)

    def embedded_by(self, table: Float[Tensor, "token feature"]) -> dict[str, Tensor]:
        tables = table.unflatten(1, (self.n_tables, -1)).transpose(0, 1)
        if self.spec.d_embed is None:
            return {"layers.0.W_in": tables.flatten(0, 1)}
        return {"embed.W_E": tables if self.spec.embedding == "separate" else table}

    @property
    def embeds_one_hot(self) -> bool:
        return self.spec.d_embed is None

    def is_linear_in_neurons(self, tokens: Int[Tensor, "example position"]) -> bool:
        return True

    @property
    def adds_operands(self) -> bool:
        return True

    @property
    def neurons_add_operands(self) -> bool:
        return self.n_layers == 1 and self.spec.normalization != "LN"

    @property
    def position_tables(self) -> tuple[Float[Tensor, "token neuron"], ...]:
        return tuple(self.first_layer_rows * self.layers[0].scale)

    def rate_factor(self, parameter: str, *, adaptive: bool) -> float:
        spec, (above, _, name) = self.spec, parameter.rpartition(".")
        if not spec.scales_rates:
            return 1.0
        widths = [spec.d_embed or spec.base_width, *spec.hidden]
        outer: dict[str, Role] = {"W_E": "input", "W_U": "output", "b_U": "vector"}
        if name in outer:
            role = outer[name]
            read, written = widths[-1], widths[0] if name == "W_E" else spec.base_width
        else:
            layer = int(above.split(".")[1])
            reads_width = layer > 0 or spec.d_embed is not None
            role = ("hidden" if reads_width else "input") if name == "W_in" else "vector"
            read, written = widths[layer], widths[layer + 1]
        return rate_factor(role, fan_in=read / spec.base_width, fan_out=written / spec.base_width, adaptive=adaptive)

    @property
    def pre_hook(self) -> str:
        return f"layers.{self.n_layers - 1}.hook_pre"

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        return self.layers[-1].act

    @property
    def weight_chain(self) -> list[Float[Tensor, "_ _"]]:
        """The matrices of the model; the first maps the one-hot vectors of all positions to the first layer's input."""
        first, *others = (layer.matrix for layer in self.layers)
        tables = torch.eye(self.embed.d_vocab).to(first)[None] if self.embeds_one_hot else self.tables
        each = tables.expand(self.n_ctx, -1, -1)
        read = each.flatten(0, 1) if self.spec.combine == "sum" else torch.block_diag(*each)
        return [*([read @ first] if self.embeds_one_hot else [read, first]), *others, self.W_U]

    @property
    def chain_biases(self) -> list[Float[Tensor, "_"]] | None:
        if self.activation is quadratic or self.spec.normalization == "LN":
            return None
        return [*(layer.offset for layer in self.layers), self.b_U]

    def logit_bound(self, ruler: Ruler) -> Float[Tensor, "*"]:
        first, *others = self.layers
        rows = self.first_layer_rows.detach().double().abs().amax(1).expand(self.n_ctx, -1).sum(0)
        bound = ruler.length(rows) + ruler.length(first.b_in.double())
        bound = activated(first.act, normalized(first.norm, ruler, bound))
        return ruler.affine(through_layers(others, ruler, bound), self.W_U, self.b_U)

    @property
    def n_layers(self) -> int:
        return len(self.spec.hidden)

    @property
    def feature_hooks(self) -> tuple[str, ...]:
        """The hooks of the embedding, if any, and of every hidden layer."""
        embedded = () if self.spec.d_embed is None else ("hook_embed",)
        return (*embedded, *(f"layers.{layer}.hook_post" for layer in range(self.n_layers)))

    @property
    def kept_per_example(self) -> int:
        return sum(self.spec.hidden) + self.spec.hidden[-1] + 2 * self.unembed.d_vocab_out

    @property
    def W_U(self) -> Float[Tensor, "neuron class"]:
        return self.unembed.directions

    @property
    def b_U(self) -> Float[Tensor, "class"]:
        return self.unembed.offsets

    @property
    def W_L(self) -> Float[Tensor, "neuron class"]:
        return self.unembed.directions

    @property
    def neuron_weights(self) -> Float[Tensor, "feature neuron"]:
        return self.layers[-1].W_in


@torch.no_grad()
def solved_addition(p: int, *, width: int = 500, generator: torch.Generator) -> MLP:
    """Return a network that adds modulo p with analytic, untrained weights.

    Neuron n has a frequency k, w = 2πk/p, and two random phases φ, ψ:

        W_in[a] = cos(w a + φ),  W_in[b] = cos(w b + ψ),  W_U[c] = (2 / width) cos(w c + φ + ψ).

    The square of cos u + cos v contains cos(u + v), which W_U maps to cos(w (a + b - c)) / 2; all other terms have a
    random phase. The neurons cycle through the frequencies 1 … ⌊p/2⌋, so with increasing width the logits tend to the
    mean of cos(w (a + b - c)) over them: 1 at the answer and, for odd p, -1 / (p - 1) elsewhere. Their deviations are
    about 2 / √width.

    Source: Gromov 2023, §3 (analytic solution).

    Raises:
        ConfigError: p is outside [3, 1000], or the width is below 1.
    """
    if not 3 <= p <= 1000:
        raise ConfigError("p", p, "must be an integer from 3 to 1000")
    require_size("width", width)
    model = MLP(MLPSpec(hidden=(width,)), d_vocab=p, d_vocab_out=p, n_ctx=2)
    frequency = 1 + torch.arange(width) % (p // 2)
    angle = 2 * math.pi / p * (torch.arange(p)[:, None] * frequency % p)
    phases = 2 * math.pi * torch.rand(2, 1, width, generator=generator)
    model.layers[0].W_in.copy_((angle + phases).cos().flatten(0, 1))
    model.unembed.W_U.copy_(2 / width * (angle + phases.sum(0)).cos().T)
    return model
