"""Specifications of models, as data that loads without torch."""

from abc import ABC
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from grokinterp.errors import ConfigError, require
from grokinterp.specification import ADDED, Specification

MOST_APPLICATIONS = 2000
"""Largest number of applications of the network to one question; each has separate hooks."""


ActivationName = Literal["relu", "gelu", "silu", "quadratic", "tanh"]
DropoutSite = Literal["embed", "pattern", "attn_out", "neurons", "mlp_out"]
RESIDUAL: tuple[DropoutSite, ...] = ("attn_out", "mlp_out")
"""The outputs of the sub-layers before they are added to the residual stream."""

BASE_WIDTH = 128
"""The width at which μP has the learning rate of the optimization."""


def require_common(spec: Any) -> None:
    """Raise ConfigError unless dropout, output scale and base width of a specification are in range and have a use."""
    if not 0 <= spec.dropout < 1:
        raise ConfigError("dropout", spec.dropout, "must be from 0 to below 1")
    if not 0 < spec.output_scale <= 10**6:
        raise ConfigError("output_scale", spec.output_scale, "must be positive and at most 10^6")
    require_size("base_width", spec.base_width)
    if spec.base_width != BASE_WIDTH and spec.initialization != "mup":
        raise ConfigError("base_width", spec.base_width, "needs initialization=mup, whose learning rates depend on it")


def common_reason_alone(spec: Any) -> str | None:
    """Return ``ModelSpec.reason_alone`` of a specification with dropout, normalization and μP."""
    if spec.dropout:
        return f"model.dropout={spec.dropout}: each run draws random numbers of its own"
    if spec.has_running_statistics:
        return "model.normalization=BN: the running statistics are those of a single run"
    if spec.scales_rates:
        return "model.initialization=mup: parameters have learning rates of their own"
    return None


def require_size(key: str, value: int, largest: int = 65536) -> None:
    """Raise ConfigError unless 1 ≤ value ≤ largest."""
    if not 1 <= value <= largest:
        raise ConfigError(key, value, f"must be an integer from 1 to {largest}")


class ModelSpec(Specification, ABC):
    """The specification of a model, a frozen dataclass with a unique ``kind``.

    It does not include the sizes that the task determines, which are arguments of ``build``.
    """

    about: ClassVar[str]
    """One-line description of the model."""

    kind: str

    @property
    def appends_equals(self) -> bool:
        """Whether the model appends "=", the token after all others, to every sequence."""
        return False

    @property
    def reason_alone(self) -> str | None:
        """The setting for which a run is trained by itself and not in a stack, with the reason; None without one."""
        return None

    @property
    def has_running_statistics(self) -> bool:
        """Whether the network has BatchNorm."""
        return False

    @property
    def scales_rates(self) -> bool:
        """Whether the learning rate of a parameter depends on the width."""
        return False

    @property
    def is_recorded(self) -> bool:
        """Whether the model is a module from another training loop, whose initial weights cannot be drawn."""
        return False

    @property
    def knows_task(self) -> bool:
        """Whether the inputs of a recorded module are the examples of a task of this package."""
        return False

    def require_sequences(self) -> None:
        """Raise ConfigError unless the model can answer at several positions, each without seeing later tokens."""
        raise ConfigError("kind", self.kind, "answers once; a task with several answers needs a transformer")

    def with_stablemax(self) -> "ModelSpec":
        """Return the specification with StableMax instead of softmax in its attention.

        Raises:
            ConfigError: the model has no softmax attention.
        """
        raise ConfigError("model.kind", self.kind, "has no softmax attention to replace with StableMax")


@dataclass(frozen=True, kw_only=True)
class TransformerSpec(ModelSpec):
    """The specification of a transformer; ``d_head`` defaults to d_model / n_heads.

    ``read_at``: "equals" appends the token "=" to every sequence and reads the answer there (unless answers belong
    to tokens of the question, which are then read), "last" reads it at the last token, and "mean" pools all
    positions after the last layer. ``normalization``: None, "LN" (LayerNorm with scale and shift) or "LNPre"
    (without). ``norm_position``: "pre" normalizes before each sub-layer and before the unembedding; "post"
    normalizes after each sum into the residual stream, which is then no longer the sum of the layers' outputs.
    ``positions``: "learned", "sinusoidal" (fixed) or "none". ``attention_fn``: "softmax" or "stablemax".
    ``attention_rate``: attention is rate · softmax + (1 - rate) · 1 (all ones). ``biases``: False keeps every bias
    at zero, untrained; "mlp" trains only the biases of the MLPs. ``tied_embeddings``: the unembedding is the
    transposed embedding of the first ``d_vocab_out`` tokens. ``initialization``: "normal" draws every weight from
    N(0, 1/d_model), and W_U from N(0, 1/d_vocab_out); "pytorch" follows torch.nn.Embedding, MultiheadAttention and
    Linear; "mup" is the maximal update parametrization: initial weights, attention scores divided by d_head, and
    learning rates, which are those of the optimization at d_model = ``base_width`` (``models.parametrization``).
    ``dropout`` is the rate of dropout in training at each of ``dropout_at``: "attn_out" and "mlp_out", the outputs
    of attention and MLP before they are added to the residual stream (residual dropout), "embed", "pattern"
    (attention), and "neurons". The released code of Power et al. 2022 has ``dropout_at=("mlp_out",)``.
    ``output_scale`` α multiplies the logits throughout training; analyses see α W_U and α b_U.

    Source: Nanda et al. 2023, §3 (defaults); Zhong et al. 2023, §4 (attention rate); Prieto et al.
    2025, §4.1 (StableMax); Yang et al. 2022, Table 3 ("mup"); Vaswani et al. 2017, §5.4 (residual dropout);
    Kumar et al. 2023 (output scale).

    Raises:
        ConfigError: a size is below 1, n_heads does not divide d_model, or a rate is outside [0, 1].
    """

    about: ClassVar[str] = "attention and MLP layers on a residual stream, with TransformerLens names"

    kind: Literal["transformer"] = "transformer"
    n_layers: int = 1
    d_model: int = 128
    n_heads: int = 4
    d_head: int | None = None
    d_mlp: int = 512
    act_fn: ActivationName = "relu"
    read_at: Literal["equals", "last", "mean"] = "equals"
    normalization: Literal["LN", "LNPre"] | None = None
    norm_position: Literal["pre", "post"] = "pre"
    positions: Literal["learned", "sinusoidal", "none"] = "learned"
    attention: Literal["causal", "bidirectional"] = "causal"
    attention_fn: Literal["softmax", "stablemax"] = "softmax"
    attention_rate: float = 1.0
    biases: bool | Literal["mlp"] = False
    tied_embeddings: bool = False
    initialization: Literal["normal", "pytorch", "mup"] = "normal"
    dropout: float = field(default=0.0, metadata=ADDED)
    dropout_at: tuple[DropoutSite, ...] = field(default=RESIDUAL, metadata=ADDED)
    output_scale: float = field(default=1.0, metadata=ADDED)
    base_width: int = field(default=BASE_WIDTH, metadata=ADDED)

    def __post_init__(self) -> None:
        require_common(self)
        distinct = 0 < len(set(self.dropout_at)) == len(self.dropout_at)
        if not distinct or (self.dropout == 0 and self.dropout_at != RESIDUAL):
            rule = "must be distinct places" if self.dropout else "needs a dropout above 0"
            raise ConfigError("dropout_at", ",".join(self.dropout_at), rule)
        if self.initialization == "mup" and self.tied_embeddings:
            raise ConfigError(
                "tied_embeddings", True, "must not be set with initialization=mup, which scales W_U alone"
            )
        require_size("n_layers", self.n_layers, 128)
        for key in ("d_model", "n_heads", "d_mlp"):
            require_size(key, getattr(self, key))
        if self.d_head is not None:
            require_size("d_head", self.d_head)
        elif self.d_model % self.n_heads:
            raise ConfigError("n_heads", self.n_heads, f"must divide d_model={self.d_model} (or give d_head)")
        if self.normalization is None and self.norm_position == "post":
            raise ConfigError("norm_position", self.norm_position, "needs a normalization, LN or LNPre")
        if not 0 <= self.attention_rate <= 1:
            raise ConfigError("attention_rate", self.attention_rate, "must be from 0 (uniform) to 1 (learned)")

    def dropout_on(self, site: DropoutSite) -> float:
        """Return the rate of dropout at a place."""
        return self.dropout if site in self.dropout_at else 0.0

    @property
    def reason_alone(self) -> str | None:
        return common_reason_alone(self)

    @property
    def scales_rates(self) -> bool:
        return self.initialization == "mup"

    @property
    def head_size(self) -> int:
        return self.d_head if self.d_head is not None else self.d_model // self.n_heads

    @property
    def appends_equals(self) -> bool:
        return self.read_at == "equals"

    def require_sequences(self) -> None:
        rule = "answers once; a task with several answers needs read_at=equals or last"
        require(self.read_at != "mean", "read_at", self.read_at, rule)
        rule = "shows every answer the tokens after it; a task with several answers needs causal attention"
        require(self.attention == "causal", "attention", self.attention, rule)

    def with_stablemax(self) -> "TransformerSpec":
        if self.attention_rate == 0:
            raise ConfigError("model.attention_rate", 0, "makes attention constant: there is no softmax to replace")
        return replace(self, attention_fn="stablemax")

    @property
    def beyond_transformer_lens(self) -> list[str]:
        """Return the settings that no TransformerLens model supports."""
        known: dict[str, tuple[object, ...]] = {"act_fn": ("relu", "gelu", "silu"), "read_at": ("equals", "last")}
        known |= {"norm_position": ("pre",), "attention_fn": ("softmax",), "attention_rate": (1.0,)}
        known |= {"initialization": ("normal", "pytorch")}  # "mup" has other attention scores
        return [f"{key}={getattr(self, key)}" for key, values in known.items() if getattr(self, key) not in values]


@dataclass(frozen=True, kw_only=True)
class MLPSpec(ModelSpec):
    """The specification of a multilayer perceptron: the input of the first layer and the widths of the hidden layers.

    ``d_embed``: length of a token's embedding; None for one-hot vectors. ``embedding``: "shared" by all positions, or a
    "separate" table for each. ``combine``: whether the vectors of the positions are summed or concatenated;
    concatenated one-hot vectors have separate first-layer rows for every position, and summed vectors share them.
    ``hidden``: number of neurons of each hidden layer.

    ``initialization``: "normal" draws every weight from N(0, 1/fan_in), an embedding from N(0, 1/d_embed), and sets
    biases to zero. "mean_field" differs by N(0, 1/fan_in²) in the unembedding. "pytorch" is U(±fan_in^-½), including
    biases, as in ``nn.Linear``, and N(0, 1) as in ``nn.Embedding``. "mup", the maximal update parametrization, differs
    from "mean_field" by N(0, 1) in an embedding and by its learning rates, which are those of the optimization where a
    width is ``base_width`` (``models.parametrization``).

    ``normalization``: None, "BN" (BatchNorm) or "LN" (LayerNorm), of the pre-activations of every hidden layer, with
    scale and shift. ``dropout``: rate of dropout on every hidden layer in training. ``output_scale`` α multiplies the
    logits throughout training; analyses see α W_U and α b_U.

    The defaults are the network of Gromov 2023, who draws from N(0, 1) and uses explicit factors fan_in^-½ and
    fan_in^-1: the same function at initialization, which changes less in a step at the same learning rate. Other
    published networks:

    * Doshi et al. 2023, Morwani et al. 2023: the same network with other widths.
    * Chughtai et al. 2023: d_embed=256, embedding="separate", hidden=(128,), act_fn="relu",
      initialization="normal".
    * Liu et al. 2022: d_embed, combine="sum", hidden, act_fn="relu".
    * Prieto et al. 2025: hidden=(200, 200), act_fn="relu", initialization="pytorch".

    Raises:
        ConfigError: a width is below 1, there is no hidden layer, or one-hot vectors have separate tables.
    """

    about: ClassVar[str] = "hidden layers on summed or concatenated embeddings or one-hot vectors"

    kind: Literal["mlp"] = "mlp"
    d_embed: int | None = None
    embedding: Literal["shared", "separate"] = "shared"
    combine: Literal["sum", "concatenate"] = "concatenate"
    hidden: tuple[int, ...] = (500,)
    act_fn: ActivationName = "quadratic"
    biases: bool = False
    initialization: Literal["normal", "mean_field", "pytorch", "mup"] = "mean_field"
    normalization: Literal["BN", "LN"] | None = field(default=None, metadata=ADDED)
    dropout: float = field(default=0.0, metadata=ADDED)
    output_scale: float = field(default=1.0, metadata=ADDED)
    base_width: int = field(default=BASE_WIDTH, metadata=ADDED)

    def __post_init__(self) -> None:
        require_common(self)
        if not 1 <= len(self.hidden) <= 128:
            raise ConfigError("hidden", self.hidden, "must have from 1 to 128 layers")
        for width in self.hidden:
            require_size("hidden", width)
        if self.d_embed is not None:
            require_size("d_embed", self.d_embed)
        elif self.embedding == "separate":
            raise ConfigError("embedding", self.embedding, "one-hot vectors (d_embed=none) are shared by all positions")

    @property
    def reason_alone(self) -> str | None:
        return common_reason_alone(self)

    @property
    def has_running_statistics(self) -> bool:
        return self.normalization == "BN"

    @property
    def scales_rates(self) -> bool:
        return self.initialization == "mup"


@dataclass(frozen=True, kw_only=True)
class RecursiveSpec(ModelSpec):
    """The specification of a tiny recursive model: sizes and numbers of applications of its network.

    With the question x, the latent z and the answer y, vectors of length ``d_model``, each of the ``n_supervision``
    supervision steps is

        z ← net(x + y + z), ``n_latent`` times;  y ← net(y + z);  logits = y W_U + b_U,

    where net(u) = norm(u + act(u W_in + b_in) W_out + b_out) and norm divides by the root mean square. x is the sum of
    the embeddings of the tokens, with a separate table at every position. y and z start at zero and are passed from one
    supervision step to the next without gradient. The logits of all steps are trained; those of the last step are the
    answer.

    Source: Jolicoeur-Martineau 2025, §4, where x, y and z have one vector per position, mixed by attention or a second
    MLP; here there are few tokens, and their sum is one vector.

    Raises:
        ConfigError: a size is below 1 or too large.
    """

    about: ClassVar[str] = "a tiny network that refines a latent state and an answer, supervised at every step"

    kind: Literal["recursive"] = "recursive"
    d_model: int = 64
    d_mlp: int = 256
    n_latent: int = 6
    n_supervision: int = 16
    act_fn: ActivationName = "silu"
    biases: bool = False

    def __post_init__(self) -> None:
        require_size("d_model", self.d_model)
        require_size("d_mlp", self.d_mlp)
        require_size("n_latent", self.n_latent, 1000)
        require_size("n_supervision", self.n_supervision, 1000)
        if self.n_supervision * (self.n_latent + 1) > MOST_APPLICATIONS:
            rule = (
                f"times n_latent + 1 = {self.n_latent + 1} must be at most {MOST_APPLICATIONS} applications of the net"
            )
            raise ConfigError("n_supervision", self.n_supervision, rule)
