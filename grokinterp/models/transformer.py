"""Transformers of the grokking literature, with TransformerLens names."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from grokinterp.errors import ConfigError, GrokinterpError, NotDefined
from grokinterp.maths.matrix_norms import Ruler
from grokinterp.models.bounds import normalized, through_block
from grokinterp.models.fast import all_positions, last_position
from grokinterp.models.folded import folded_logits, folding_saves
from grokinterp.models.hooked import FactoredMatrix, HookPoint, TypedModuleList, bridge, bridge_config
from grokinterp.models.initialization import initialize
from grokinterp.models.layers import MLP, Attention, Block, Embed, PosEmbed, Unembed, norm
from grokinterp.models.model import Model
from grokinterp.models.parametrization import Role, rate_factor
from grokinterp.models.readout import Answers, Readout, ReadoutInputs
from grokinterp.models.residual_stream import component_names, direct_attribution, head_tail, neuron_tail, patch_sites
from grokinterp.models.sites import HeadTail, NeuronTail, PatchSite
from grokinterp.models.specifications import TransformerSpec
from grokinterp.models.tabulated import readout_by_tables, tables_save
from grokinterp.models.training_mode import dropout


class Transformer(Model):
    """A transformer with every parameter and hook under its TransformerLens name.

    Pooling adds the hook ``hook_pooled`` [batch, 1, d_model], the input of the unembedding.

    Args:
        spec: the specification.
        d_vocab: number of input tokens, including "=". d_vocab_out: number of classes. n_ctx: number of positions.
        generator: random generator for the initial weights; without a generator they are zero, to be loaded.

    Raises:
        ConfigError: embeddings are tied, but there are fewer tokens than classes.
    """

    def __init__(
        self,
        spec: TransformerSpec,
        *,
        d_vocab: int,
        d_vocab_out: int,
        n_ctx: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if spec.tied_embeddings and d_vocab_out > d_vocab:
            raise ConfigError(
                "tied_embeddings", True, f"needs a token per class: {d_vocab} tokens, {d_vocab_out} classes"
            )
        self.spec = spec
        self.cfg = bridge_config(
            d_model=spec.d_model,
            n_layers=spec.n_layers,
            n_heads=spec.n_heads,
            d_head=spec.head_size,
            d_mlp=spec.d_mlp,
            n_ctx=n_ctx,
            d_vocab=d_vocab,
            d_vocab_out=d_vocab_out,
            act_fn=spec.act_fn,
            normalization=spec.normalization,
            bidirectional=spec.attention == "bidirectional",
        )
        self.embed = Embed(d_vocab, spec.d_model)
        self.pos_embed = PosEmbed(n_ctx, spec.d_model, spec.positions)
        self.blocks = TypedModuleList([block(spec, n_ctx) for _ in range(spec.n_layers)])
        self.ln_final = norm(spec.d_model, spec.normalization if spec.norm_position == "pre" else None)
        tied = self.embed if spec.tied_embeddings else None
        self.unembed = Unembed(
            spec.d_model, d_vocab_out, biases=spec.biases is True, tied_to=tied, scale=spec.output_scale
        )
        self.drop = dropout(spec.dropout_on("embed"))
        self.hook_embed = HookPoint()
        self.hook_pos_embed = HookPoint()
        if spec.read_at == "mean":
            self.hook_pooled = HookPoint()
        self.initialize(generator)
        self.setup()
        self.eval()  # which TransformerLens's patching requires; ``training_mode`` differs from it only with dropout

    def initialize(self, generator: torch.Generator | None) -> None:
        initialize(self, self.spec, generator)

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch answer class"]:
        """Return the logits at every position or, with pooling, of the mean over positions."""
        x = self.drop(self.hook_embed(self.embed(tokens)) + self.hook_pos_embed(self.pos_embed(tokens)))
        for block in self.blocks:
            x = block(x)
        x = self.ln_final(x)
        if self.spec.read_at == "mean":
            x = self.hook_pooled(x.mean(1, keepdim=True))
        return self.unembed(x)

    def readout_by_hooks(self, tokens: Int[Tensor, "example position"]) -> Readout:
        """Return the ``readout`` of the plain module at all positions, with activations caught by hooks."""
        last = f"blocks.{self.spec.n_layers - 1}"
        names = (f"{last}.attn.hook_pattern", f"{last}.mlp.hook_post", f"{last}.hook_resid_post")
        logits, pattern, neurons, residual = self.catch(tokens, *names)
        if self.spec.read_at == "mean":
            return Readout(pattern.mean(2), neurons.mean(1), residual.mean(1), logits[:, -1])
        return Readout(pattern[:, :, -1], neurons[:, -1], residual[:, -1], logits[:, -1])

    def readout_fast(self, inputs: ReadoutInputs) -> Readout:
        """Compute only what the answer depends on, with first-layer rows once per (token, position) pair."""
        x = self._embedded(inputs)
        if self.spec.read_at == "mean":
            return self._pooled(x, inputs)
        last = last_position(list(self.blocks), x, inputs)
        logits = torch.addmm(self.b_U, self.ln_final(last.residual), self.W_U)
        return Readout(last.pattern, last.neurons, last.residual, logits)

    def readout_of_many(self, inputs: ReadoutInputs, *, by_tables: bool = True) -> Readout:
        faster = by_tables and self.has_tables and self.is_plain and tables_save(self.blocks[0], inputs)
        return self.readout_by_tables(inputs) if faster else super().readout_of_many(inputs)

    @property
    def has_tables(self) -> bool:
        """Whether the residual stream at the read-out position is a sum of rows of tables, as in ``tabulated``."""
        return self.spec.n_layers == 1 and self.spec.normalization is None and self.spec.read_at != "mean"

    def readout_by_tables(self, inputs: ReadoutInputs) -> Readout:
        """Return the ``readout`` of any number of examples, without gradients, of a model that ``has_tables``."""
        return readout_by_tables(self.blocks[0], self._embedded(inputs), inputs, self.W_U, self.b_U)

    def functional_answers(self, inputs: ReadoutInputs) -> Answers:
        """Compute the last layer only at the positions of the answers, and rows once per (token, position) pair."""
        if self.n_answers == 1 or not self.is_plain:
            return super().functional_answers(inputs)
        last = all_positions(list(self.blocks), self._embedded(inputs), inputs, last=self.n_answers)
        logits = torch.addmm(self.b_U, self.ln_final(last.residual), self.W_U)
        return Answers(logits.unflatten(0, (-1, self.n_answers)), None)

    def answers_fast(self, inputs: ReadoutInputs) -> Answers:
        """Compute the logits from tables on a CPU, if the model has tables and they save time."""
        if self.n_answers > 1:
            return self.functional_answers(inputs)
        on_cpu = inputs.row.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        is_wide = self.W_E.dtype in (torch.float32, torch.float64)
        if on_cpu and is_wide and self.has_tables and folding_saves(self.blocks[0], inputs, self.unembed.d_vocab_out):
            return self.answers_by_tables(inputs)
        return super().answers_fast(inputs)

    def answers_by_tables(self, inputs: ReadoutInputs) -> Answers:
        """Return the ``answers`` of a model that ``has_tables``."""
        logits = folded_logits(self.blocks[0], self._embedded(inputs), inputs, self.W_U, self.b_U)
        return Answers(logits.unsqueeze(1), None)

    def _embedded(self, inputs: ReadoutInputs) -> Float[Tensor, "row d_model"]:
        """Return the residual stream before the first layer, for every distinct (token, position) pair."""
        rows = functional.embedding
        return rows(inputs.row_token, self.W_E) + rows(inputs.row_position, self.W_pos)

    def _pooled(self, x: Float[Tensor, "row d_model"], inputs: ReadoutInputs) -> Readout:
        """Return ``readout_fast`` for the mean over positions."""
        last, of_example = all_positions(list(self.blocks), x, inputs), (-1, inputs.tokens.shape[1])
        pooled = self.ln_final(last.residual).unflatten(0, of_example).mean(1)
        neurons, residual = (part.unflatten(0, of_example).mean(1) for part in (last.neurons, last.residual))
        return Readout(last.pattern.mean(2), neurons, residual, torch.addmm(self.b_U, pooled, self.W_U))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state as nn.Module does, ignoring the constants ``.mask`` and ``.IGNORE`` of a HookedTransformer."""
        kept = {name: value for name, value in state_dict.items() if not name.endswith((".mask", ".IGNORE"))}
        return super().load_state_dict(kept, strict=strict, assign=assign)

    def to_bridge(self) -> Any:
        """Return a TransformerLens TransformerBridge with the same weights and logits.

        Raises:
            GrokinterpError: TransformerLens has no such model.
        """
        if self.spec.beyond_transformer_lens:
            raise GrokinterpError(f"TransformerLens has no model with {', '.join(self.spec.beyond_transformer_lens)}")
        state = self.state_dict() | {"unembed.W_U": self.W_U, "unembed.b_U": self.b_U}  # not separate if tied; scaled
        return bridge(self.cfg, {name: value.detach().clone() for name, value in state.items()})

    def to_tokens(self, tokens: Tensor, **_: Any) -> Tensor:
        """Return the tokens, which are already tensors; utilities of TransformerLens call this method."""
        return tokens

    def tokens_to_residual_directions(self, tokens: Int[Tensor, "*batch"] | int) -> Float[Tensor, "*batch d_model"]:
        """Return the unembedding direction of each class, for ``ActivationCache.logit_attrs``."""
        return self.W_U.T[tokens]

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, "d_model"]:
        """Return the sum of the output biases before ``layer`` (for ``ActivationCache``)."""
        total = torch.zeros_like(self.blocks[0].attn.b_O)
        for block in self.blocks[:layer]:
            total = total + block.attn.b_O + (block.mlp.b_out if include_mlp_biases else 0)
        return total + self.blocks[layer].attn.b_O if mlp_input else total

    @property
    def adds_operands(self) -> bool:
        """Whether attention is not learned, so that every position receives the same sum over the tokens."""
        return self.spec.attention_rate == 0

    @property
    def n_layers(self) -> int:
        return self.spec.n_layers

    @property
    def n_heads(self) -> int:
        return self.spec.n_heads

    @property
    def feature_hooks(self) -> tuple[str, ...]:
        """The hooks of every block: attention output, mid residual stream, neurons, and final residual stream."""
        points = ("hook_attn_out", "hook_resid_mid", "mlp.hook_post", "hook_resid_post")
        return tuple(f"blocks.{layer}.{point}" for layer in range(self.n_layers) for point in points)

    def at_readout(self, x: Float[Tensor, "batch *position_and_feature"]) -> Float[Tensor, "batch feature"]:
        """Return an activation at the last position or, with pooling, its mean over positions; heads concatenated."""
        return (x.mean(1) if self.spec.read_at == "mean" else x[:, -1]).flatten(1)

    def is_linear_in_neurons(self, tokens: Int[Tensor, "example position"]) -> bool:
        return self.spec.normalization is None

    @property
    def pattern_hooks(self) -> tuple[str, ...]:
        return tuple(f"blocks.{layer}.attn.hook_pattern" for layer in range(self.n_layers))

    def pattern_at_readout(
        self, pattern: Float[Tensor, "batch head query position"]
    ) -> Float[Tensor, "batch head position"]:
        """Return the attention from the last position or, with pooling, its mean over positions."""
        return pattern.mean(2) if self.spec.read_at == "mean" else pattern[:, :, -1]

    @property
    def components(self) -> tuple[str, ...]:
        return component_names(self.n_layers, self.n_heads)

    def logit_components(
        self, tokens: Int[Tensor, "example position"], classes: Int[Tensor, "example"]
    ) -> Float[Tensor, "component example"]:
        if self.spec.norm_position == "post":
            why = "with post-LayerNorm, no residual stream is the sum of the layers' outputs"
            raise NotDefined("logit attribution", why)
        return direct_attribution(self, tokens, classes)

    @property
    def patch_sites(self) -> dict[str, PatchSite]:
        return patch_sites(self.n_layers, self.n_heads)

    def head_tail(self, layer: int, tokens: Int[Tensor, "example position"]) -> HeadTail:
        return head_tail(self, layer, tokens)

    def neuron_tail(self, tokens: Int[Tensor, "example position"]) -> NeuronTail:
        return super().neuron_tail(tokens) if self.spec.normalization is None else neuron_tail(self, tokens)

    @property
    def pre_hook(self) -> str:
        if self.spec.read_at == "mean":
            raise NotDefined("pre-activations", "the neurons are averaged over positions")
        return f"blocks.{self.n_layers - 1}.mlp.hook_pre"

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        return self.blocks[-1].mlp.act

    @property
    def dense_matrices(self) -> dict[str, Float[Tensor, "_ _"]]:
        last = self.blocks[-1].mlp
        return {"W_E": self.W_E, "W_U": self.W_U, "W_in": last.W_in, "W_out": last.W_out, "W_L": self.W_L}

    @property
    def head_circuits(self) -> dict[str, tuple[Float[Tensor, "head d_model _"], Float[Tensor, "head d_model _"]]]:
        last = self.blocks[-1].attn
        return {"QK": (last.W_Q, last.W_K), "OV": (last.W_V, last.W_O.mT)}

    @property
    def head_values(
        self,
    ) -> tuple[Float[Tensor, "layer head d_model d_head"], Float[Tensor, "layer head d_head d_model"]]:
        return self.W_V, self.W_O

    @property
    def weight_chain(self) -> list[Float[Tensor, "_ _"]]:
        """The matrices of the model, with W_V and W_O of all heads concatenated, without queries and keys."""
        parts = [(block.attn, block.mlp) for block in self.blocks]
        inner = [(a.W_V.transpose(0, 1).flatten(1), a.W_O.flatten(0, 1), mlp.W_in, mlp.W_out) for a, mlp in parts]
        return [self.W_E, *(matrix for block in inner for matrix in block), self.W_U]

    def logit_bound(self, ruler: Ruler) -> Float[Tensor, "*"]:
        bound = ruler.length(self.W_E.double().abs().amax(0)) + ruler.length(self.W_pos.double().abs().amax(0))
        for block in self.blocks:
            bound = through_block(block, ruler, bound)
        return ruler.affine(normalized(self.ln_final, ruler, bound), self.W_U, self.b_U)

    def rate_factor(self, parameter: str, *, adaptive: bool) -> float:
        spec, name = self.spec, parameter.rpartition(".")[2]
        if not spec.scales_rates:
            return 1.0
        outer: dict[str, Role] = {"W_E": "input", "W_pos": "input", "W_U": "output"}
        role = outer.get(name, "hidden" if name.startswith("W_") else "vector")
        wide = spec.d_model / spec.base_width
        return rate_factor(role, fan_in=wide, fan_out=1.0 if name == "b_U" else wide, adaptive=adaptive)

    @property
    def n_neurons(self) -> int:
        return self.spec.d_mlp

    @property
    def kept_per_example(self) -> int:
        spec, positions = self.spec, self.cfg.n_ctx
        layers = spec.n_layers - (spec.read_at != "mean")  # the layers that compute every position
        at_a_position = spec.d_mlp + spec.d_model + spec.n_heads * positions
        at_answers = self.n_answers * 2 * (spec.d_mlp + self.unembed.d_vocab_out)
        return at_answers + layers * positions * at_a_position

    @property
    def embedding(self) -> Float[Tensor, "token feature"]:
        return self.embed.W_E

    def embedded_by(self, table: Float[Tensor, "token feature"]) -> dict[str, Tensor]:
        return {"embed.W_E": table}

    @property
    def W_L(self) -> Float[Tensor, "neuron class"]:
        return self.blocks[-1].mlp.W_out @ self.W_U

    @property
    def neuron_weights(self) -> Float[Tensor, "feature neuron"]:
        return self.blocks[-1].mlp.W_in

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        return self.embed.W_E

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        return self.pos_embed.W_pos

    @property
    def W_U(self) -> Float[Tensor, "d_model class"]:
        return self.unembed.directions

    @property
    def b_U(self) -> Float[Tensor, "class"]:
        return self.unembed.offsets

    def __getattr__(self, name: str) -> Any:
        """Return W_Q, W_K, W_V, W_O, b_Q, … or W_in, W_out, b_in, b_out [layer, …], as in TransformerLens."""
        if name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O"):
            return torch.stack([getattr(block.attn, name) for block in self.blocks])
        if name in ("W_in", "W_out", "b_in", "b_out"):
            return torch.stack([getattr(block.mlp, name) for block in self.blocks])
        return super().__getattr__(name)

    @property
    def QK(self) -> FactoredMatrix:
        """W_Q W_Kᵀ per layer and head."""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    @property
    def OV(self) -> FactoredMatrix:
        """W_V W_O per layer and head."""
        return FactoredMatrix(self.W_V, self.W_O)


def block(spec: TransformerSpec, n_ctx: int) -> Block:
    """Return one layer of the specified transformer with uninitialized weights."""
    attention = Attention(
        spec.d_model,
        spec.n_heads,
        spec.head_size,
        n_ctx,
        biases=spec.biases is True,
        bidirectional=spec.attention == "bidirectional",
        function=spec.attention_fn,
        rate=spec.attention_rate,
        scale=float(spec.head_size) if spec.scales_rates else None,
        dropped=spec.dropout_on("pattern"),
    )
    mlp = MLP(spec.d_model, spec.d_mlp, spec.act_fn, biases=bool(spec.biases), dropped=spec.dropout_on("neurons"))
    return Block(
        spec.d_model,
        attention,
        mlp,
        normalization=spec.normalization,
        post_norm=spec.norm_position == "post",
        dropped=(spec.dropout_on("attn_out"), spec.dropout_on("mlp_out")),
    )
