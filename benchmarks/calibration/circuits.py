"""Verdicts on networks with a known share of multiplication, from pizza to clock.

A transformer brings both operands to the last position by attention that depends on positions alone; quadratic neurons
then square the sum and the difference of their circles, z_a = e^{iwa} and z_b = e^{iwb}:

    (1 - λ/2) (z_a + z_b)² - (λ/2) (z_a - z_b)² = 2 e^{iw(a + b)} (1 + (1 - λ) cos w(a - b)).

λ = 0 is a function of E_a + E_b, the sum type; λ = 1 multiplies, z_a z_b, a clock; in between, the product contributes
the share λ of the mean logit. The cosine of the two gradients is known for every a - b, and for one frequency its mean
is 1 - λ.

``python -m benchmarks.calibration.circuits [--small]`` prints the tables of docs/formulas.md, Circuit verdict.
"""

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from grokinterp.analysis import circuit_verdict, logit_spectrum
from grokinterp.analysis.circuit.rule import OBLIQUE, PARALLEL
from grokinterp.analysis.circuit.symmetricity import drawn_cosines
from grokinterp.analysis.circuit.verdict import CIRCUITS, Circuit, settling_triples
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.experiment.problem import Problem
from grokinterp.models import Transformer, TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import ModularAddition, Table, Task
from grokinterp.training import train

NOISES = {"common": "f(E_a + E_b), all classes alike", "noise": "f(E_a, E_b), each class its own"}

HARD = 60.0
"""Attention score of the position that a head attends to."""


@dataclass(frozen=True)
class PlantedCircuit:
    """A network with a known circuit.

    Args:
        p: modulus.
        amplitudes: {frequency: size of its logits}.
        product: λ, the share of the mean logit contributed by the product of both operands.
        rotations: {frequency: angle by which b's circle is rotated against a's}; b then has separate tokens.
        common: size of random neurons on E_a + E_b added to all logits of a pair alike, which changes no answer.
        noise: size of neurons on E_a and E_b with different random weights, added to every logit.
        seed: seed of the noise.
    """

    p: int
    amplitudes: dict[int, float]
    product: float
    rotations: dict[int, float] = field(default_factory=dict)
    common: float = 0.0
    noise: float = 0.0
    seed: int = 0

    def task(self) -> Task:
        """Return addition, or a table if b has separate tokens."""
        if not self.rotations:
            return ModularAddition(p=self.p)
        table = [[-1] * self.p + [(a + b) % self.p for b in range(self.p)] for a in range(self.p)]
        return Table.from_array(table)

    def checkpoint(self) -> Checkpoint:
        """Return the network as a checkpoint on all pairs."""
        task = self.task()
        tokens = torch.cat([task.tokens(), torch.full((task.n_examples, 1), task.d_vocab)], 1)
        problem = Problem(task, tokens, task.labels(), torch.zeros(task.n_examples, dtype=torch.bool))
        return Checkpoint(0, self.model(task), problem)

    def model(self, task: Task) -> Transformer:
        """Return the network, in the axes: circles, positions, a's circles, b's circles, answer."""
        width, noise = 2 * len(self.amplitudes), 64 if self.common or self.noise else 0
        spec = TransformerSpec(
            d_model=4 * width + 3 + noise, n_heads=2, d_head=max(width, 3), d_mlp=3 * width + noise, act_fn="quadratic"
        )
        model = Transformer(spec, d_vocab=task.d_vocab + 1, d_vocab_out=self.p, n_ctx=3).double().requires_grad_(False)
        self._embed(model)
        self._attend(model, width)
        self._multiply(model, width)
        if noise:
            self._disturb(model, width)
        return model

    def _embed(self, model: Transformer) -> None:
        residue = torch.arange(self.p).double()
        for i, k in enumerate(self.amplitudes):
            for b, angle in enumerate((0.0, *([self.rotations.get(k, 0.0)] if self.rotations else []))):
                rows = slice(b * self.p, (b + 1) * self.p)
                wave = 2 * math.pi * k / self.p * residue + angle
                model.embed.W_E[rows, 2 * i], model.embed.W_E[rows, 2 * i + 1] = wave.cos(), wave.sin()
        width = 2 * len(self.amplitudes)
        model.pos_embed.W_pos[:, width : width + 3] = torch.eye(3)

    def _attend(self, model: Transformer, width: int) -> None:
        """Let head 0 attend to the first position and head 1 to the second, each copying circles to its own axes."""
        attn = model.blocks[0].attn
        for head in range(2):
            attn.W_Q[head, width + 2, head] = HARD * attn.scale
            attn.W_K[head, width + head, head] = 1
            for axis in range(width):
                attn.W_V[head, axis, axis] = 1
                attn.W_O[head, axis, width + 3 + head * width + axis] = 1

    def _multiply(self, model: Transformer, width: int) -> None:
        """Map squares of x, y and x + y, of the sum and of the difference, to Re and Im of the answer."""
        mlp, first = model.blocks[0].mlp, width + 3
        answer, neuron, residue = first + 2 * width, 0, torch.arange(self.p).double()
        for i, (k, amplitude) in enumerate(self.amplitudes.items()):
            turn = self.rotations.get(k, 0.0)
            for sign, share in ((1, 1 - self.product / 2), (-1, -self.product / 2)):
                for x, y, real, imaginary in ((1, 0, 1, -1), (0, 1, -1, -1), (1, 1, 0, 1)):
                    for axis, weight in enumerate((x, y)):
                        mlp.W_in[first + 2 * i + axis, neuron] = weight
                        mlp.W_in[first + width + 2 * i + axis, neuron] = sign * weight
                    mlp.W_out[neuron, answer + 2 * i] = share * real
                    mlp.W_out[neuron, answer + 2 * i + 1] = share * imaginary
                    neuron += 1
            wave = 2 * math.pi * k / self.p * residue + turn
            model.unembed.W_U[answer + 2 * i] = amplitude / 2 * wave.cos()
            model.unembed.W_U[answer + 2 * i + 1] = amplitude / 2 * wave.sin()

    def _disturb(self, model: Transformer, width: int) -> None:
        """Add random quadratic neurons on the circles of both operands, with random weights to the classes."""
        generator = torch.Generator().manual_seed(self.seed)
        mlp, first, n = model.blocks[0].mlp, width + 3, 64
        halves = torch.randn(2, width, n, generator=generator, dtype=torch.float64) / width**0.5
        halves[1, :, : n // 2] = halves[0, :, : n // 2]  # the first half depends only on the sum
        mlp.W_in[first : first + width, -n:], mlp.W_in[first + width : first + 2 * width, -n:] = halves
        out = torch.randn(n, self.p, generator=generator, dtype=torch.float64) / (n / 2) ** 0.5
        out[: n // 2] = out[: n // 2, :1]
        scale = torch.tensor([self.common, self.noise], dtype=torch.float64).repeat_interleave(n // 2)
        mlp.W_out[-n:, -n:] = torch.eye(n, dtype=torch.float64)
        model.unembed.W_U[-n:] = scale[:, None] * out / 2

    def cosines(self) -> Tensor:
        """Return the exact cosine of both gradients for every a - b, without noise."""
        angle = 2 * math.pi / self.p * torch.arange(self.p).double() / 2
        squares = [
            (a * (1 - self.product / 2) * (k * angle - self.rotations.get(k, 0.0) / 2).cos()).square()
            for k, a in self.amplitudes.items()
        ]
        others = [
            (a * (self.product / 2) * (k * angle - self.rotations.get(k, 0.0) / 2).sin()).square()
            for k, a in self.amplitudes.items()
        ]
        together, apart = sum(squares, torch.zeros(self.p)), sum(others, torch.zeros(self.p))
        return (together - apart) / (together + apart)

    def symmetricity(self) -> float:
        """Return the mean cosine over all triples."""
        return float(self.cosines().nanmean())


def measured(planted: PlantedCircuit) -> tuple[str, Circuit]:
    """Return the verdict and the evidence of a planted circuit, with enough triples to decide."""
    return judged(planted.checkpoint(), torch.tensor(list(planted.amplitudes)))


def judged(checkpoint: Checkpoint, keys: Tensor) -> tuple[str, Circuit]:
    """Return the verdict and the evidence of any network."""
    none = torch.empty(0, dtype=torch.int64)
    found = circuit_verdict(checkpoint, key_frequencies=keys, key_irreps=none, triples=settling_triples(checkpoint))
    close = [CIRCUITS[i] for i in found.is_close_to.nonzero().flatten()]
    verdict = CIRCUITS[int(found.is_circuit.nonzero())]
    return f"{verdict}{f', close to {close[0]}' if close else ''}", found


def amplitudes(p: int, count: int) -> dict[int, float]:
    """Return equal sizes at spread frequencies."""
    return {1 + i * (p // 2 - 1) // max(count, 2): 6.0 for i in range(count)}


def by_product(p: int, counts: Sequence[int], products: Sequence[float]) -> list[str]:
    """Return exact g, sampled g and verdict by the share of the product, for frequencies of equal size."""
    lines = ["| λ | " + " | ".join(f"{count} frequencies" for count in counts) + " |", "|---|" + "---|" * len(counts)]
    for product in products:
        cells = []
        for count in counts:
            planted = PlantedCircuit(p, amplitudes(p, count), product)
            verdict, found = measured(planted)
            g, error = float(found.gradient_symmetricity), float(found.gradient_symmetricity_error)
            cells.append(f"{planted.symmetricity():.3f} ({g:.3f} ± {error:.3f}): {verdict}")
        lines.append(f"| {product:g} | " + " | ".join(cells) + " |")
    return lines


def by_noise(p: int, noises: Sequence[float], seeds: int) -> list[str]:
    """Return g, q and verdicts of the sum type and the clock under noise."""
    lines = ["| planted | added | size | g | q | verdicts |", "|---|---|---|---|---|---|"]
    for kind, product in (("pizza", 0.0), ("clock", 1.0)):
        for where in ("common", "noise"):
            for size in noises:
                found = [
                    measured(PlantedCircuit(p, amplitudes(p, 5), product, seed=seed, **{where: size}))
                    for seed in range(seeds)
                ]
                g, q = (
                    torch.stack([getattr(one, name) for _, one in found])
                    for name in ("gradient_symmetricity", "distance_irrelevance")
                )
                counts = Counter(verdict.split(",")[0] for verdict, _ in found)
                verdicts = ", ".join(f"{name} {count}" for name, count in counts.most_common())
                lines.append(f"| {kind} | {NOISES[where]} | {size:g} | {spread(g)} | {spread(q)} | {verdicts} |")
    return lines


def by_distance(p: int, distances: Sequence[float], draws: int) -> list[str]:
    """Return how often a sample puts g on the correct side of a threshold, by sample size and distance."""
    lines = ["| threshold | distance of g | correct side, 128 | 512 | 2,048 | close to |", "|---|---|---|---|---|---|"]
    for threshold in (PARALLEL, OBLIQUE):
        for distance in distances:
            planted = at(p, threshold + distance)
            values = drawn_cosines(planted.checkpoint(), "calibration", p**3)
            truth, generator = float(values.mean()), torch.Generator().manual_seed(0)
            shares = []
            for size in (128, 512, 2048):
                means = torch.stack(
                    [values[torch.randperm(len(values), generator=generator)[:size]].mean() for _ in range(draws)]
                )
                shares.append(float(((means >= threshold) == (truth >= threshold)).double().mean()))
            verdict, _ = measured(planted)
            close = "yes" if "close" in verdict else "no"
            lines.append(
                f"| {threshold:.3f} | {truth - threshold:+.3f} | "
                + " | ".join(f"{s:.0%}" for s in shares)
                + f" | {close} |"
            )
    return lines


def by_training(p: int, rates: Sequence[float], seeds: int, steps: int) -> list[str]:
    """Return verdicts on trained transformers by their share of learned attention, and their dependence on it."""
    lines = [
        "| rate | seed | test accuracy | g | q | pizza − clock | correct with mean attention | verdict |",
        "|" + "---|" * 8,
    ]
    for rate in rates:
        for seed in range(seeds):
            with TemporaryDirectory() as directory:
                run = train(experiment(p, rate, seed, steps), Path(directory) / "run")
                checkpoint = run[run.steps[-1]]
            keys = logit_spectrum(checkpoint).is_key.nonzero().flatten() + 1
            verdict, found = judged(checkpoint, keys)
            right = (checkpoint.logits.argmax(1) == checkpoint.problem.label).double()
            lines.append(
                f"| {rate:g} | {seed} | {float(right[~checkpoint.problem.is_train].mean()):.3f} "
                f"| {float(found.gradient_symmetricity):.3f} ± {float(found.gradient_symmetricity_error):.3f} "
                f"| {float(found.distance_irrelevance):.2f} | {float(found.pizza_preference):+.2f} "
                f"| {with_mean_attention(checkpoint):.0%} | {verdict} |"
            )
    return lines


def experiment(p: int, rate: float, seed: int, steps: int) -> Experiment:
    """Return the setting of Zhong et al. 2023 at a smaller size."""
    return Experiment(
        task=ModularAddition(p=p),
        model=TransformerSpec(
            d_model=64, n_heads=4, d_mlp=256, read_at="last", attention="bidirectional", attention_rate=rate
        ),
        split=Split(fraction=0.8),
        optimization=Optimization(lr=2e-3, weight_decay=2.0),
        save=SaveAt(every=steps),
        steps=steps,
        evaluate_every=steps,
        seed=seed,
    )


def with_mean_attention(checkpoint: Checkpoint) -> float:
    """Return the share of pairs answered correctly with every head's attention fixed at its mean over the pairs."""
    name = checkpoint.model.pattern_hooks[-1]

    def mean(pattern: Tensor, *, hook: Any) -> Tensor:
        return pattern.mean(0, keepdim=True).expand_as(pattern)

    with torch.no_grad(), checkpoint.model.hooks(fwd_hooks=[(name, mean)]):
        logits = checkpoint.model(checkpoint.problem.tokens)[:, -1]
    return float((logits.argmax(1) == checkpoint.problem.label).double().mean())


def at(p: int, g: float) -> PlantedCircuit:
    """Return the network of two frequencies whose exact symmetricity is g, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if PlantedCircuit(p, amplitudes(p, 2), middle).symmetricity() > g else (low, middle)
    return PlantedCircuit(p, amplitudes(p, 2), low)


def spread(values: Tensor) -> str:
    """Format the range of some values."""
    return f"{float(values.min()):.2f} … {float(values.max()):.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args(arguments).small
    products = (0.0, 0.5, 1.0) if small else (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
    noises, distances = ((0.3,), (0.005,)) if small else ((0.3, 1.0, 3.0, 10.0), (-0.02, -0.005, 0.002, 0.01))
    tables = (
        by_product(11 if small else 53, (1, 2) if small else (1, 2, 5), products),
        by_noise(11 if small else 31, noises, 1 if small else 10),
        by_distance(11 if small else 31, distances, 50),
        by_training(*((7, (0.5,), 1, 5) if small else (31, (0.0, 0.25, 0.5, 0.75, 1.0), 1, 2000))),
    )
    print("\n\n".join("\n".join(table) for table in tables))


if __name__ == "__main__":
    main()
