"""Sparse structure and bounds on networks with planted periodic neurons, subnetworks, dates and output maps.

Pruning: Gromov's analytic solution with an equal number of random neurons, its periodic neurons disturbed by a known
share of noise. Subnetworks: strong neurons among weak neurons that only disturb. Dates: similarities that rise around a
known step. Certificates: the solution of three frequencies with noise in its output map; and published networks, if a
folder of them is given.

``python -m benchmarks.calibration.sparsity [--small] [--published DIR]`` prints the tables of docs/formulas.md, Sparse
structure and bounds. DIR holds chughtai/C113_T_seed2, …, nanda/…, pizza/… as their authors released them.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from grokinterp.analysis import faithful_subnetwork, idealized_network, neuron_participation, neuron_pruning
from grokinterp.analysis.circuit import certified_accuracy
from grokinterp.analysis.circuit.certified_accuracy import PROOF_RANKS
from grokinterp.analysis.inside.pruning import PRUNED_SHARES
from grokinterp.analysis.landscape import norm_bounds
from grokinterp.analysis.landscape.norm_bounds import NORMS
from grokinterp.analysis.whole_run import keys_of
from grokinterp.errors import NotDefined
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.interop import import_run
from grokinterp.models import MLPSpec, solved_addition
from grokinterp.phases import learning_order
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import ModularAddition

RELEASED = {
    "chughtai/C113_T_seed2": "chughtai/C113_T_seed2",
    "chughtai/S5_MLP_seed1": "chughtai/S5_MLP_seed1",
    "chughtai/D59_MLP_seed1": "chughtai/D59_MLP_seed1",
    "nanda, no weight decay": "nanda/mod_addition_no_wd.pth",
    "pizza, Model A": "pizza/model_p99zdpze5l.pt",
}
"""Published networks, and their paths."""


Named = tuple[str, Checkpoint, dict[str, Tensor]]
"""A network with its name and its keys, as ``certified_accuracy`` expects them."""


def mixture(p: int, width: int, *, impurity: float = 0.0, disturbance: float = 0.0, seed: int = 0) -> Checkpoint:
    """Return ``width`` neurons of Gromov's solution alternating with ``width`` random neurons."""
    draw = torch.Generator().manual_seed(seed)
    solved = solved_addition(p, width=width, generator=draw).double()
    experiment = Experiment(task=ModularAddition(p=p), model=MLPSpec(hidden=(2 * width,)))
    model = experiment.empty_model().double().requires_grad_(False)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    with torch.no_grad():
        W_in, W_U = model.layers[0].W_in, model.unembed.W_U
        W_in[:, ::2] = (1 - impurity) ** 0.5 * solved.layers[0].W_in + (impurity / 2) ** 0.5 * noise(2 * p, width)
        W_in[:, 1::2] = 0.5**0.5 * noise(2 * p, width)
        W_U[::2] = solved.W_U
        W_U[1::2] = disturbance * 2**0.5 / width * noise(width, p)
    return Checkpoint(0, model, Problem.of(experiment))


def by_impurity(p: int, width: int, impurities: Sequence[float], disturbance: float) -> list[str]:
    """Return whether pruning by IPR keeps the periodic neurons as they become less periodic."""
    lines = [
        "| noise in the periodic neurons | mean IPR: periodic | random | pairs of neurons in the correct order | "
        "accuracy: whole | half removed: lowest IPR | random | highest IPR |",
        "|---|---|---|---|---|---|---|---|",
    ]
    half = PRUNED_SHARES.index(0.5)
    for impurity in impurities:
        checkpoint = mixture(p, width, impurity=impurity, disturbance=disturbance)
        ratio = neuron_participation(checkpoint).neuron_ipr
        periodic, random = ratio[::2], ratio[1::2]
        ordered = float((periodic[:, None] > random).double().mean())
        accuracy = neuron_pruning(checkpoint).pruned_accuracy[:, 2]  # of all examples
        kept = [f"{float(accuracy[row, half]):.3f}" for row in (0, 2, 1)]
        whole = f"{float(accuracy[0, 0]):.3f}"
        ratios = f"{float(periodic.mean()):.3f} | {float(random.mean()):.3f}"
        lines.append(f"| {impurity:.0%} | {ratios} | {ordered:.4f} | {whole} | {' | '.join(kept)} |")
    return lines


def by_strength(p: int, width: int, strengths: Sequence[float]) -> list[str]:
    """Return the size of the smallest faithful subnetwork for given numbers of strong and weak neurons."""
    lines = [
        "| output weights of the weak neurons | neurons | strong | kept for the accuracy | for 99 % of the answers | "
        "in random order, for the accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for strength in strengths:
        found = faithful_subnetwork(mixture(p, width, disturbance=strength))
        sizes = (found.subnetwork_size[2], found.faithful_size, found.subnetwork_size_control[2])
        lines.append(f"| {strength:g} | {2 * width} | {width} | " + " | ".join(f"{float(s):.0f}" for s in sizes) + " |")
    return lines


def by_noise_of_similarity(noises: Sequence[float], draws: int) -> list[str]:
    """Return the errors of both dates for a planted step, with checkpoints every 20 steps."""
    lines = [
        "| noise of a similarity | half of the last similarity: median error [checkpoints] | largest | "
        "key from: median error [checkpoints] | largest |",
        "|---|---|---|---|---|",
    ]
    steps, random = np.arange(0, 2001, 20), np.random.default_rng(0)
    for noise in noises:
        half, key = [], []
        for _ in range(draws):
            middle = random.uniform(300, 1500)
            rise = 0.6 / (1 + np.exp(-(steps - middle) / 40))
            similarity = rise + noise * random.normal(size=len(steps))
            found = learning_order(
                xr.Dataset(
                    {
                        "logit_similarity": (("step", "frequency"), similarity[:, None]),
                        "is_key": (("step", "frequency"), similarity[:, None] > 0.1),
                    },
                    {"step": steps, "frequency": [5]},
                )
            )
            half.append(float(found["half_from"][0] - middle) / 20)
            key.append(float(found["key_from"][0] - (middle - 40 * np.log(5))) / 20)  # where the rise is 0.1
        both = [f"{np.median(np.abs(errors)):.2f} | {np.abs(errors).max():.2f}" for errors in (half, key)]
        lines.append(f"| {noise:g} | {' | '.join(both)} |")
    return lines


def three_frequencies(p: int, width: int, noise: float) -> tuple[Checkpoint, Tensor]:
    """Return Gromov's solution with the neurons of three frequencies and output noise, and the frequencies."""
    draw = torch.Generator().manual_seed(0)
    model = solved_addition(p, width=width, generator=draw).double().requires_grad_(False)
    keys, frequency = torch.tensor([2, 4, 5]), 1 + torch.arange(width) % (p // 2)
    with torch.no_grad():
        model.unembed.W_U[~torch.isin(frequency, keys)] = 0
        model.unembed.W_U += noise * 2 / width * torch.randn(model.W_U.shape, generator=draw, dtype=torch.float64)
    experiment = Experiment(task=ModularAddition(p=p), model=model.spec)
    return Checkpoint(0, model, Problem.of(experiment)), keys


def proofs(named: Iterator[Named]) -> list[str]:
    """Return proven accuracies and their cost, with the true accuracy and the idealized network's margin."""
    ranks = " | ".join(f"r = {rank}" for rank in PROOF_RANKS)
    lines = [
        f"| network | accuracy | idealized margin above its error | proven: {ranks} | cost at r = 0 | at r = 32 |",
        "|---" * (len(PROOF_RANKS) + 5) + "|",
    ]
    for name, checkpoint, keys in named:
        found = certified_accuracy(checkpoint, **keys)
        try:
            ideal = f"{float(idealized_network(checkpoint).idealized_certified):.3f}"
        except NotDefined:
            ideal = "not defined"
        shares = " | ".join(f"{float(share):.3f}" for share in found.certified_share)
        cost = f"{float(found.proof_cost[0]):.2f} | {float(found.proof_cost[-1]):.2f}"
        lines.append(f"| {name} | {float(found.true_share):.3f} | {ideal} | {shares} | {cost} |")
    return lines


def bounds(named: Iterator[Named]) -> list[str]:
    """Return the ratio of the bounds on the logits to the largest logit, in powers of ten."""
    lines = [f"| network | largest logit | {' | '.join(NORMS)} |", "|---" * (len(NORMS) + 2) + "|"]
    for name, checkpoint, _ in named:
        found = norm_bounds(checkpoint)
        above = " | ".join(f"{float(bound - found.largest_logit):.2f}" for bound in found.logit_bound)
        lines.append(f"| {name} | {10 ** float(found.largest_logit):.3g} | {above} |")
    return lines


def structure(named: Iterator[Named]) -> list[str]:
    """Return results of pruning and subnetworks for networks whose task has frequencies."""
    lines = [
        "| network | mean IPR | half removed: lowest IPR | random | highest IPR | neurons | kept for the accuracy | "
        "in random order |",
        "|---|---|---|---|---|---|---|---|",
    ]
    half = PRUNED_SHARES.index(0.5)
    for name, checkpoint, _ in named:
        try:
            ratio = float(neuron_participation(checkpoint).mean_ipr)
        except NotDefined:
            continue
        accuracy, found = neuron_pruning(checkpoint).pruned_accuracy[:, 2, half], faithful_subnetwork(checkpoint)
        kept = " | ".join(f"{float(accuracy[row]):.3f}" for row in (0, 2, 1))
        sizes = f"{float(found.subnetwork_size[2]):.0f} | {float(found.subnetwork_size_control[2]):.0f}"
        lines.append(f"| {name} | {ratio:.3f} | {kept} | {checkpoint.model.n_neurons} | {sizes} |")
    return lines


def planted(p: int, width: int, noises: Sequence[float]) -> Iterator[Named]:
    """Return networks of three frequencies."""
    for noise in noises:
        checkpoint, keys = three_frequencies(p, width, noise)
        none = torch.tensor([], dtype=torch.int64)
        yield f"planted, noise {noise:g}", checkpoint, {"key_frequencies": keys, "key_irreps": none}


def published(folder: Path) -> Iterator[Named]:
    """Return published networks."""
    for name, path in RELEASED.items():
        with tempfile.TemporaryDirectory() as run:
            trajectory = import_run(path.split("/")[0], folder / path, Path(run) / "run")
            checkpoint = trajectory[trajectory.steps[-1]]
            yield name, checkpoint, keys_of(checkpoint)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--published", type=Path)
    chosen = parser.parse_args(arguments)
    p, width, small = (11, 40, True) if chosen.small else (31, 500, False)
    tables = [
        by_impurity(p, width, (0.0, 0.5) if small else (0.0, 0.1, 0.25, 0.5, 0.75, 0.9), 0.3),
        by_strength(p, width, (0.0, 0.5) if small else (0.0, 0.01, 0.1, 0.3, 1.0)),
        by_noise_of_similarity((0.0, 0.01) if small else (0.0, 0.003, 0.01, 0.02, 0.05), 20 if small else 500),
        proofs(planted(p, 4 * width, (0.0, 0.1) if small else (0.0, 0.01, 0.03, 0.1, 0.3, 1.0))),
        bounds(planted(p, 4 * width, (0.0,))),
    ]
    if chosen.published:
        tables += [made(published(chosen.published)) for made in (structure, proofs, bounds)]
    print("\n\n".join("\n".join(lines) for lines in tables))


if __name__ == "__main__":
    main()
