"""A tiny recursive model: one small network that repeatedly refines a latent state and an answer."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.maths.matrix_norms import Ruler
from grokinterp.models.fast import sum_rows
from grokinterp.models.hooked import HookPoint, TypedModuleList
from grokinterp.models.layers import ACTIVATIONS, SeparateEmbed, Unembed, bias
from grokinterp.models.model import Model
from grokinterp.models.readout import Readout, ReadoutInputs
from grokinterp.models.sites import NeuronTail, PatchSite
from grokinterp.models.specifications import RecursiveSpec

EPSILON = 1e-5


class TinyNet(nn.Module):
    """The network norm(u + act(u W_in + b_in) W_out + b_out), split into two halves at the neurons."""

    b_in: Float[Tensor, "neuron"]
    b_out: Float[Tensor, "d_model"]

    def __init__(self, spec: RecursiveSpec) -> None:
        super().__init__()
        self.W_in = nn.Parameter(torch.empty(spec.d_model, spec.d_mlp))
        self.W_out = nn.Parameter(torch.empty(spec.d_mlp, spec.d_model))
        bias(self, "b_in", spec.d_mlp, trained=spec.biases)
        bias(self, "b_out", spec.d_model, trained=spec.biases)
        self.act = ACTIVATIONS[spec.act_fn]

    def pre_activations(self, u: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch neuron"]:
        return torch.addmm(self.b_in, u, self.W_in)

    def neurons(self, u: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch neuron"]:
        return self.act(self.pre_activations(u))

    def output(
        self, u: Float[Tensor, "batch d_model"], neurons: Float[Tensor, "batch neuron"]
    ) -> Float[Tensor, "batch d_model"]:
        return functional.rms_norm(u + torch.addmm(self.b_out, neurons, self.W_out), u.shape[-1:], eps=EPSILON)

    def forward(self, u: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch d_model"]:
        return self.output(u, self.neurons(u))


class Step(nn.Module):
    """One supervision step of the shared network, with the hooks of this step."""

    def __init__(self, n_latent: int) -> None:
        super().__init__()
        self.hook_latent = TypedModuleList([HookPoint() for _ in range(n_latent)])
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()
        self.hook_answer = HookPoint()

    def forward(
        self,
        net: TinyNet,
        x: Float[Tensor, "batch d_model"],
        y: Float[Tensor, "batch d_model"],
        z: Float[Tensor, "batch d_model"],
    ) -> tuple[Float[Tensor, "batch d_model"], Float[Tensor, "batch d_model"]]:
        for hook_latent in self.hook_latent:
            z = hook_latent(net(x + y + z))
        neurons = self.hook_post(net.act(self.hook_pre(net.pre_activations(y + z))))
        return self.hook_answer(net.output(y + z, neurons)), z


class RecursiveModel(Model):
    """A tiny recursive model, which answers at every supervision step; the last answer counts.

    Parameters: embed.W_E [position, token, d_model]; net.W_in [d_model, neuron], net.b_in,
    net.W_out [neuron, d_model], net.b_out; unembed.W_U [d_model, class], unembed.b_U.
    Hooks: hook_embed [batch, position, d_model]; at supervision step S, counted from 0, the latent
    after its I-th update steps.S.hook_latent.I [batch, d_model], the neurons that update the answer, steps.S.hook_pre
    and steps.S.hook_post [batch, neuron], and the answer steps.S.hook_answer [batch, d_model].

    Args:
        spec: the specification.
        d_vocab: number of input tokens. d_vocab_out: number of classes. n_ctx: number of positions.
        generator: random generator for the initial weights; without a generator they are zero, to be loaded.
    """

    def __init__(
        self,
        spec: RecursiveSpec,
        *,
        d_vocab: int,
        d_vocab_out: int,
        n_ctx: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.embed = SeparateEmbed(n_ctx, d_vocab, spec.d_model)
        self.net = TinyNet(spec)
        self.unembed = Unembed(spec.d_model, d_vocab_out, biases=spec.biases, tied_to=None)
        self.steps = TypedModuleList([Step(spec.n_latent) for _ in range(spec.n_supervision)])
        self.hook_embed = HookPoint()
        self.initialize(generator)
        self.setup()
        self.eval()

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None) -> None:
        """Draw weights from N(0, 1/fan_in), and embeddings such that x has entries from N(0, 1); biases are zero."""
        for name, weight in self.named_parameters():
            if generator is None:
                weight.zero_()
            elif ".W_" in name:
                weight.normal_(0, weight.shape[0] ** -0.5, generator=generator)  # the first axis of W_E is the position

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch answer class"]:
        """Return the logits of every supervision step."""
        x = self.hook_embed(self.embed(tokens)).sum(1)
        y = z = torch.zeros_like(x)
        logits = []
        for step in self.steps:
            y, z = step(self.net, x, y.detach(), z.detach())
            logits.append(self.unembed(y))
        return torch.stack(logits, 1)

    def readout_by_hooks(self, tokens: Int[Tensor, "example position"]) -> Readout:
        hooks = f"{self.last_step}.hook_post", f"{self.last_step}.hook_answer"
        logits, neurons, answer = self.catch(tokens, *hooks)
        return Readout(None, neurons, answer, logits[:, -1], logits.transpose(0, 1))

    def readout_fast(self, inputs: ReadoutInputs) -> Readout:
        """Compute the recursion without hooks, and unembed all answers at once."""
        net, x = self.net, sum_rows(self.embed.W_E, inputs.tokens)
        y = z = neurons = torch.zeros_like(x)
        answers = []
        for _ in range(self.spec.n_supervision):
            y, z = y.detach(), z.detach()
            question = x + y
            for _ in range(self.spec.n_latent):
                z = net(question + z)
            neurons = net.neurons(y + z)
            y = net.output(y + z, neurons)
            answers.append(y)
        supervised = torch.stack(answers) @ self.W_U + self.unembed.b_U
        return Readout(None, neurons, y, supervised[-1], supervised)

    @property
    def adds_operands(self) -> bool:
        return True

    @property
    def has_true_gradient(self) -> bool:
        """Whether there is a single supervision step, because no gradient passes between steps."""
        return self.spec.n_supervision == 1

    @property
    def last_step(self) -> str:
        """The name of the last supervision step."""
        return f"steps.{self.spec.n_supervision - 1}"

    @property
    def pre_hook(self) -> str:
        return f"{self.last_step}.hook_pre"

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        return self.net.act

    @property
    def patch_sites(self) -> dict[str, PatchSite]:
        """The sites of the embedding, and of the last latent and the answer of every supervision step."""
        points = (f"hook_latent.{self.spec.n_latent - 1}", "hook_answer")
        names = [f"steps.{step}.{point}" for step in range(self.spec.n_supervision) for point in points]
        return super().patch_sites | {name: PatchSite(name, has_positions=False) for name in names}

    def neuron_tail(self, tokens: Int[Tensor, "example position"]) -> NeuronTail:
        """Return the neurons of the last update of the answer, and the network after them."""
        names = [f"{self.last_step}.hook_post", f"{self.last_step}.hook_latent.{self.spec.n_latent - 1}"]
        before = [f"steps.{step}.hook_answer" for step in range(self.spec.n_supervision - 1)][-1:]
        _, neurons, z, *y = self.catch(tokens, *names, *before)
        stream = sum(y, z) + torch.addmm(self.net.b_out, neurons, self.net.W_out)

        def answer(stream: Tensor) -> Tensor:
            return self.unembed(functional.rms_norm(stream, stream.shape[-1:], eps=EPSILON)[..., 0, :])

        return NeuronTail(neurons.unsqueeze(1), stream.unsqueeze(1), self.net.W_out, answer)

    @property
    def weight_chain(self) -> list[Float[Tensor, "_ _"]]:
        """The matrices of the model, with the shared network counted once."""
        return [self.embed.W_E.flatten(0, 1), self.net.W_in, self.net.W_out, self.W_U]

    def logit_bound(self, ruler: Ruler) -> Float[Tensor, "*"]:
        """Return a bound on the logits, using that the answer has root mean square 1 after every update."""
        ones = self.W_U.new_ones(self.spec.d_model)
        return ruler.affine(ruler.normalized(ones, 0 * ones), self.W_U, self.b_U)

    @property
    def n_layers(self) -> int:
        return 1

    @property
    def feature_hooks(self) -> tuple[str, ...]:
        """The hooks of the embedding, and of the answer of every supervision step."""
        return ("hook_embed", *(f"steps.{step}.hook_answer" for step in range(self.spec.n_supervision)))

    @property
    def kept_per_example(self) -> int:
        spec = self.spec
        applied = spec.n_supervision * (spec.n_latent + 1)
        return applied * (2 * spec.d_mlp + 3 * spec.d_model) + 2 * spec.n_supervision * self.unembed.d_vocab_out

    @property
    def n_tables(self) -> int:
        return len(self.embed.W_E)

    @property
    def embedding(self) -> Float[Tensor, "token feature"]:
        return self.embed.W_E.transpose(0, 1).flatten(1)

    def embedded_by(self, table: Float[Tensor, "token feature"]) -> dict[str, Tensor]:
        return {"embed.W_E": table.unflatten(1, (self.n_tables, -1)).transpose(0, 1)}

    @property
    def W_U(self) -> Float[Tensor, "d_model class"]:
        return self.unembed.W_U

    @property
    def b_U(self) -> Float[Tensor, "class"]:
        return self.unembed.b_U

    @property
    def W_L(self) -> Float[Tensor, "neuron class"]:
        return self.net.W_out @ self.W_U

    @property
    def neuron_weights(self) -> Float[Tensor, "feature neuron"]:
        return self.net.W_in
