"""Local learning coefficients compared with known values, and short chains with long chains.

``python -m benchmarks.calibration.llc [--small]`` prints the tables of docs/formulas.md. The long chains run on the
demo network, which is trained first if checkpoints/demo does not exist.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from grokinterp.analysis import local_learning_coefficient
from grokinterp.analysis.landscape.learning_coefficient import FEW, MANY, Regime
from grokinterp.maths.langevin import Loss, Sampling, learning_coefficient, sgld, tuned_step
from grokinterp.maths.singular import normal_crossing, reduced_rank_regression
from grokinterp.presets import preset
from grokinterp.runs.trajectory import Trajectory
from grokinterp.training import train

DOUBLE = torch.float64
COPIES = 100
"""Independent copies of a loss with few weights, whose sum has a multiple of the coefficient."""

LONG = {"burn_in": 600, "draws": 400, "step_size": 5e-5, "batch_size": 512}
"""Long chains on the demo: half the step size, four times the batch."""


class Case(NamedTuple):
    """A loss with a known coefficient: its name, and its weights, whose minimum is at 0."""

    name: str
    loss: Callable[[int], Loss]
    size: int
    heat: float
    known: float
    regime: Regime = FEW
    copies: int = 1


def linear(d: int, n: int, *, noise: float = 1.0, scale: float = 1.0, flat: int = 0) -> Case:
    """Return linear regression around its least squares, with additional weights without effect."""
    draw = torch.Generator().manual_seed(0)
    x = scale * torch.randn(n, d, dtype=DOUBLE, generator=draw)
    y = noise * torch.randn(n, dtype=DOUBLE, generator=draw)
    residual = y - x @ torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
    heat, regime = n / math.log(n), MANY if flat else FEW
    batch = 128 if flat else max(128, math.ceil(heat))

    def loss(seed: int) -> Loss:
        batches = torch.Generator().manual_seed(seed)

        def rise(w: Tensor) -> Tensor:
            chosen = torch.randint(n, (len(w), batch), generator=batches)
            left = residual[chosen]
            return ((left - (x[chosen] @ w[:, :d, None])[..., 0]).square() - left.square()).mean(1) / 2

        return rise

    curved = heat * torch.linalg.eigvalsh(x.mT @ x / n)
    known = float((curved / (curved + regime.localization)).sum() / 2) if flat else d / 2
    unit = (f", inputs x {scale:g}" if scale != 1 else "") + (f", noise x {noise:g}" if noise != 1 else "")
    idle = f", {flat:,} idle weights" if flat else ""
    return Case(f"linear regression, {d} inputs, n = {n:,}{unit}{idle}", loss, d + flat, heat, known, regime)


def softmax(classes: int, d: int, n: int) -> Case:
    """Return softmax regression around its maximum likelihood, with batches as by default."""
    draw = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(n, d, dtype=DOUBLE, generator=draw)
    gumbel = -(-torch.rand(n, classes, dtype=DOUBLE, generator=draw).log()).log()
    y = (x @ torch.randn(d, classes, dtype=DOUBLE, generator=draw) / math.sqrt(d) + gumbel).argmax(1)

    def nll(w: Tensor, chosen: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(x[chosen] @ w.view(d, classes), y[chosen], reduction="none")

    best, everything = torch.zeros(d * classes, dtype=DOUBLE, requires_grad=True), torch.arange(n)
    optimizer = torch.optim.LBFGS([best], max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nll(best, everything).mean()
        loss.backward()
        return loss

    optimizer.step(closure)  # ty: ignore[invalid-argument-type]
    heat, at = n / math.log(n), best.detach()
    before = nll(at, everything)

    def loss(seed: int) -> Loss:
        batches = torch.Generator().manual_seed(seed)

        def rise(w: Tensor) -> Tensor:
            chosen = torch.randint(n, (len(w), max(128, math.ceil(heat))), generator=batches)
            return (torch.vmap(nll)(at + w, chosen) - before[chosen]).mean(1)

        return rise

    return Case(f"softmax regression, {classes} classes, {d} inputs, n = {n:,}", loss, d * classes, heat,
                d * (classes - 1) / 2)  # fmt: skip


def reduced_rank(inputs: int, hidden: int, outputs: int, heat: float) -> Case:
    """Return two linear layers around zero, whose product should be zero."""
    cut = inputs * hidden

    def rise(w: Tensor) -> Tensor:
        left, right = w[:, :cut].unflatten(1, (inputs, hidden)), w[:, cut:].unflatten(1, (hidden, outputs))
        return (left @ right).square().sum((1, 2)) / 2

    known = float(reduced_rank_regression(inputs, hidden, outputs).value)
    name = f"reduced-rank regression ({inputs}, {hidden}, {outputs}), nβ = {heat:g}"
    return Case(name, lambda _: rise, cut + hidden * outputs, heat, known)


def crossing(*exponents: int) -> Case:
    """Return a product of powers of weights."""
    powers = torch.tensor(exponents, dtype=DOUBLE)
    name = " ".join(f"w{i}^{power}" for i, power in enumerate(exponents, 1))
    known = float(normal_crossing(exponents).value)
    return Case(name, lambda _: lambda w: w.view(len(w), COPIES, -1).pow(powers).prod(2).sum(1),
                COPIES * len(exponents), 1e4, known, copies=COPIES)  # fmt: skip


def cases(*, small: bool) -> Iterator[Case]:
    """Return every loss with a known coefficient."""
    yield linear(32, 1000)
    yield linear(20, 200, scale=3.0, flat=1980)
    if small:
        return
    yield linear(32, 200)
    yield linear(32, 8000)
    yield linear(32, 1000, scale=10.0)
    yield linear(32, 1000, noise=3.0)
    yield softmax(4, 8, 2000)
    yield softmax(10, 8, 2000)
    for heat in (145.0, 1e4):
        yield reduced_rank(5, 3, 5, heat)
        yield reduced_rank(4, 3, 8, heat)
    for exponents in ((2,), (4,), (6,), (4, 2), (2, 2)):
        yield crossing(*exponents)


def known_row(case: Case) -> str:
    """Return a row of the table of known values."""
    start, r = torch.zeros(case.size, dtype=DOUBLE), case.regime
    sampling = Sampling(case.heat, r.localization, r.step_size, r.chains, r.burn_in, r.draws)
    if r.tunes:
        sampling = sampling._replace(step_size=tuned_step(case.loss(1), start, sampling))
    found = learning_coefficient(sgld(case.loss(2), start, sampling), sampling, case.size)
    value, spread, error = (float(x) / case.copies for x in (found.value, found.spread, found.step_error))
    numbers = f"{case.known:.3g} | {value:.3g} | {spread:.2g} | {error:.2g} | {value / case.known - 1:+.0%}"
    name, converged = "few" if r is FEW else "many", "yes" if found.converged else "no"
    return f"| {case.name} | {name} | {sampling.step_size:.2g} | {numbers} | {converged} |"


def chain_rows(run: Trajectory, steps: list[int], long: dict[str, float]) -> Iterator[str]:
    """Return rows that compare the default chains with long chains at some checkpoints."""
    for step in steps:
        checkpoint, start = run.checkpoint(step), time.process_time()
        short = local_learning_coefficient(checkpoint)
        seconds = time.process_time() - start
        longer = local_learning_coefficient(checkpoint, **long)  # ty: ignore[invalid-argument-type]
        best = float(longer.llc - longer.llc_step_error)
        yield (
            f"| {step} | {float(short.llc):.3g} ± {float(short.llc_spread):.2g} | {float(short.llc_step_error):.2g} | "
            f"{float(short.llc_equilibrium):.2f} | {float(longer.llc):.3g} ± {float(longer.llc_spread):.2g} | "
            f"{float(longer.llc_step_error):.2g} | {float(longer.llc_equilibrium):.2f} | "
            f"{float(short.llc) / best - 1:+.0%} | {seconds:.1f} |"
        )


def trained(folder: Path, *, small: bool) -> Trajectory:
    """Return the demo, or a tiny network."""
    if not small:
        if not (folder / "experiment.json").exists():
            train(preset("demo"), folder, progress=True)
        return Trajectory.open(folder)
    tiny = ["task.p=5", "model.d_model=8", "model.n_heads=1", "model.d_mlp=8", "steps=20", "save.every=10"]
    return train(preset("demo").override(tiny), folder / "tiny")


def main(arguments: list[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="two known losses and a tiny network")
    small = parser.parse_args(arguments).small
    torch.set_num_threads(1)
    print("| loss | regime | ε | known | measured | deviation over chains | of it steps | error | converged |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in cases(small=small):
        print(known_row(case), flush=True)
    print("\n| step | default | of it steps | equilibrium | long | of it steps | equilibrium | default / long | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        run = trained(Path(folder) if small else Path("checkpoints/demo"), small=small)
        steps = list(run.steps[-1:]) if small else [0, 100, 1000, 2000]
        for line in chain_rows(run, steps, {"burn_in": 10, "draws": 10} if small else LONG):
            print(line, flush=True)


if __name__ == "__main__":
    main()
