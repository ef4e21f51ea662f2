"""A transformer whose weights are written down: it adds modulo p with chosen frequencies, to 1e-10.

Head 0 attends uniformly and brings a + b, as a number, to the last position; hinges relu(a + b - j) then
interpolate every cos(w_k(a + b)) and sin(w_k(a + b)) exactly on the integers; the unembedding turns them
into the logits Σ_k α_k cos(w_k(a + b - c)). Beside that, unused by the answer: circles in the embedding,
one neuron per circle that is linear in cos w_k a + cos w_k b, and head 1, which looks at the first circle.
So every Fourier and progress measure has a value known in closed form.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from grokinterp.models import Transformer, TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from tests.support.small_networks import problem

RAMP, SUM, EQUALS, CIRCLES = 0, 1, 2, 3
"""Axes of the residual stream; the circles follow, then the answer."""


def close(actual: object, expected: object, *, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    """Assert equality in float64."""
    actual, expected = (torch.as_tensor(x, dtype=torch.float64) for x in (actual, expected))
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


def wave(k: int, p: int, x: Tensor) -> tuple[Tensor, Tensor]:
    angle = 2 * math.pi * k / p * x.double()
    return angle.cos(), angle.sin()


def cosine_norm(k: int, p: int) -> float:
    """Σ_t cos²(w_k t)."""
    return p if 2 * k == p else p / 2


@dataclass(frozen=True)
class Constructed:
    """The network that answers with ``amplitudes`` {frequency: α} and embeds ``circles`` {frequency: radius}."""

    p: int
    amplitudes: dict[int, float]
    circles: dict[int, float]
    gain: float = 0.05

    @property
    def n_hinges(self) -> int:
        return 2 * self.p - 2

    @property
    def answer(self) -> int:
        return CIRCLES + 2 * len(self.circles)

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(0, self.model(), problem(self.p))

    def model(self) -> Transformer:
        spec = TransformerSpec(
            d_model=self.answer + 2 * len(self.amplitudes),
            n_heads=2,
            d_head=1 + 2 * len(self.circles),
            d_mlp=self.n_hinges + len(self.circles),
            biases=True,
        )
        model = Transformer(spec, d_vocab=self.p + 1, d_vocab_out=self.p, n_ctx=3).double().requires_grad_(False)
        self.write_embedding(model)
        self.write_attention(model)
        self.write_neurons(model)
        self.write_unembedding(model)
        return model

    def write_embedding(self, model: Transformer) -> None:
        residues = torch.arange(self.p)
        model.embed.W_E[: self.p, RAMP] = residues.double()
        model.embed.W_E[self.p, EQUALS] = 1
        for i, (k, radius) in enumerate(self.circles.items()):
            cos, sin = wave(k, self.p, residues)
            model.embed.W_E[: self.p, CIRCLES + 2 * i] = radius * cos
            model.embed.W_E[: self.p, CIRCLES + 2 * i + 1] = radius * sin

    def write_attention(self, model: Transformer) -> None:
        attn = model.blocks[0].attn
        attn.W_V[0, RAMP, 0] = 1
        attn.W_O[0, 0, SUM] = 3
        for i in range(2 * len(self.circles)):
            attn.W_V[0, CIRCLES + i, 1 + i] = 1
            attn.W_O[0, 1 + i, CIRCLES + i] = 3
        attn.W_Q[1, EQUALS, 0] = self.gain * attn.scale / next(iter(self.circles.values()))
        attn.W_K[1, CIRCLES, 0] = 1

    def write_neurons(self, model: Transformer) -> None:
        mlp, n = model.blocks[0].mlp, self.n_hinges
        mlp.W_in[SUM, :n] = 1
        mlp.b_in[:n] = -torch.arange(n).double()
        for i, radius in enumerate(self.circles.values()):
            mlp.W_in[CIRCLES + 2 * i, n + i] = 1
            mlp.b_in[n + i] = 3 * radius
        for i, k in enumerate(self.amplitudes):
            for axis, f in enumerate(wave(k, self.p, torch.arange(n + 1))):
                mlp.b_out[self.answer + 2 * i + axis] = f[0]
                mlp.W_out[0, self.answer + 2 * i + axis] = f[1] - f[0]
                mlp.W_out[1:n, self.answer + 2 * i + axis] = f[2:] - 2 * f[1:-1] + f[:-2]

    def write_unembedding(self, model: Transformer) -> None:
        for i, (k, alpha) in enumerate(self.amplitudes.items()):
            cos, sin = wave(k, self.p, torch.arange(self.p))
            model.unembed.W_U[self.answer + 2 * i] = alpha * cos
            model.unembed.W_U[self.answer + 2 * i + 1] = alpha * sin

    # What the measures must give.

    def logits(self) -> Tensor:
        return planted_logits(self.p, self.amplitudes)

    def loss(self, *kept: int) -> float:
        """Cross-entropy, the same for every example, of Σ_{k kept} α_k cos(w_k(a + b - c))."""
        classes = torch.arange(self.p)
        row = sum((self.amplitudes[k] * wave(k, self.p, classes)[0] for k in kept), torch.zeros(self.p).double())
        return float(torch.logsumexp(row, 0) - row[0])

    def similarity(self) -> dict[int, float]:
        energy = {k: alpha**2 * cosine_norm(k, self.p) for k, alpha in self.amplitudes.items()}
        return {k: math.sqrt(e / sum(energy.values())) for k, e in energy.items()}

    def embedding_power(self, k: int) -> float:
        """The ramp 0..p-1 has |Σ_t t e^{iw_k t}|² = p² / (4 sin²(πk/p)); a circle adds p times its squared radius."""
        ramp = self.p**2 / (4 * math.sin(math.pi * k / self.p) ** 2) / cosine_norm(k, self.p)
        return ramp + self.p * self.circles.get(k, 0) ** 2

    def embedding_constant(self) -> float:
        return self.p * (self.p - 1) ** 2 / 4

    def neuron_logit_power(self, k: int) -> float:
        """First and second differences of e^{iwx} have squared moduli 4 sin²(w/2) and 16 sin⁴(w/2)."""
        half = math.sin(math.pi * k / self.p) ** 2
        hinges = 4 * half + (self.n_hinges - 1) * 16 * half**2
        return self.amplitudes.get(k, 0) ** 2 * cosine_norm(k, self.p) * hinges

    def attention_to_a(self) -> Tensor:
        """The attention of head 1 to a, [a, b]."""
        key = next(iter(self.circles))
        score = (self.gain * wave(key, self.p, torch.arange(self.p))[0]).exp()
        return score[:, None] / (score[:, None] + score + 1)


def planted_logits(p: int, amplitudes: dict[int, float]) -> Tensor:
    """Σ_k α_k cos(w_k(a + b - c)), [example, class]."""
    a, b, c = torch.meshgrid(*[torch.arange(p)] * 3, indexing="ij")
    total = sum(alpha * wave(k, p, a + b - c)[0] for k, alpha in amplitudes.items())
    return total.reshape(p * p, p)


def pair_sums(p: int) -> Tensor:
    """The sum a + b modulo p of all pairs, in row-major order."""
    return (torch.arange(p)[:, None] + torch.arange(p)).flatten() % p


SMALL = Constructed(7, {2: 3.0, 3: 1.0}, {1: 2.0, 3: 1.0})
"""p = 7; 3 = ⌊p/2⌋."""

CASES = [
    SMALL,
    Constructed(6, {1: 2.0, 3: 1.5}, {3: 1.0}),
    Constructed(23, {2: 6.0, 11: 6.0}, {11: 3.0, 5: 2.0}),
    Constructed(24, {5: 4.0, 12: 4.0}, {12: 2.0, 8: 1.0, 6: 1.0}),
    Constructed(53, {3: 5.0, 20: 5.0, 26: 5.0}, {20: 1.0, 26: 1.0}),
    Constructed(113, {17: 8.0, 56: 8.0}, {56: 1.0, 4: 1.0}),
]
"""Odd and even p; the answer always has the highest frequency ⌊p/2⌋."""
