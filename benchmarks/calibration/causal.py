"""Causal score of memorizers and of planted generalizers: ``python -m benchmarks.calibration.causal [--small]``.

The former score, necessity on the training pairs and sufficiency on all pairs, is shown for comparison. Keys are found
by the rule or, if it finds none or all, are all characters but the least similar.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from benchmarks.calibration.keys import found_in, ours
from benchmarks.calibration.planted import Planted, accuracy, memorizer, problem_of
from grokinterp.analysis.circuit.causal import Pieces, causal_evidence, cyclic_pieces, group_pieces, scaled_losses
from grokinterp.analysis.structure.cyclic_answers import cyclic_order
from grokinterp.models import MLP, MLPSpec, Readout
from grokinterp.runs.checkpoint import Checkpoint


def checkpoint_of(network: Planted) -> Checkpoint:
    """Return a checkpoint with these outputs."""
    n = network.problem.task.n_classes
    found = Checkpoint(0, MLP(MLPSpec(hidden=(1,)), d_vocab=n, d_vocab_out=n, n_ctx=2), network.problem)
    none = network.logits.new_zeros(len(network.logits), 1)
    found.__dict__["readout"] = Readout(None, none, none, network.logits)
    return found


def keys_of(network: Planted) -> Tensor:
    """Return the keys, or all characters but the least similar if none or every character is key."""
    keys, similarity = ours(network), found_in(network).similarity
    some = sorted(keys) if 0 < len(keys) < len(similarity) else similarity.argsort().tolist()[1:]
    return torch.tensor(some, dtype=torch.int64)


def former(checkpoint: Checkpoint, keys: Tensor) -> float:
    """Return the former score: necessity on the training pairs and sufficiency on all pairs."""
    cyclic = cyclic_order(checkpoint.problem.task)
    pieces = cyclic_pieces(checkpoint, keys + 1) if cyclic else group_pieces(checkpoint, keys)
    is_train = checkpoint.problem.is_train

    def of(pairs: Tensor) -> tuple[Tensor, Tensor]:
        return scaled_losses(Pieces(pieces.logits, pieces.products, pairs, pieces.kept), "softplus")

    without, alone = of(is_train)[0], of(torch.ones_like(is_train))[1]
    necessity, sufficiency = without[1:] - without[0], 1 - alone
    above = torch.minimum(necessity[0] - necessity[1:].mean(), sufficiency[0] - sufficiency[1:].mean())
    return float(above.clamp(min=0))


def partly(name: str, share: float, seed: int) -> Planted:
    """Return logits that memorize the training pairs (10) and contain a share of three planted keys, with noise."""
    generator, problem = torch.Generator().manual_seed(seed), problem_of(name, seed=seed)
    keys = (0, 4, 11) if name.isdigit() else (1, 2, 3)
    network = Planted(problem, torch.zeros(0), keys)
    chi, cube = network.grid.characters, network.grid.quotient[network.grid.element]
    signal = sum((chi[key].max() * chi[key] for key in keys if key < len(chi)), torch.zeros_like(chi[0]))[cube]
    memory = 10 * problem.is_train[:, None] * one_hot(problem.label, problem.task.n_classes).double()
    noise = torch.randn(signal.shape, generator=generator, dtype=torch.float64)
    return network._replace(logits=10 * share * signal / signal.std() + memory + noise)


def rows(networks: dict[str, Callable[[int], Planted]], seeds: int) -> Iterator[str]:
    """Return a row per kind of network: means over the seeds, and the largest score."""
    yield "| network | accuracy held out | former score | score | largest |\n|---|---|---|---|---|"
    for name, make in networks.items():
        right, before, after = [], [], []
        for seed in range(seeds):
            network = make(seed)
            checkpoint, keys = checkpoint_of(network), keys_of(network)
            found = causal_evidence(checkpoint, key_frequencies=keys + 1, key_irreps=keys)
            right.append(accuracy(network, network.problem.held_out))
            before.append(former(checkpoint, keys))
            after.append(float(found.causal_score))
        means = " | ".join(f"{sum(of) / seeds:.3f}" for of in (right, before, after))
        yield f"| {name} | {means} | {max(after):.3f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration.causal", description=__doc__)
    parser.add_argument("--small", action="store_true", help="toy size for the test suite; the numbers are meaningless")
    small = parser.parse_args(arguments).small
    torch.set_num_threads(1)
    networks: dict[str, Callable[[int], Planted]] = {}
    for name in ("7", "D5") if small else ("31", "S4", "D15"):
        for model in ("MLP", "transformer"):
            networks[f"{name}, {model} that memorized"] = lambda seed, name=name, model=model: memorizer(
                name, model, seed, steps=3 if small else 300
            )
        for share in (0.0, 0.1, 0.2, 0.5, 1.0):
            networks[f"{name}, memory and {share} of a planted answer"] = lambda seed, name=name, share=share: partly(
                name, share, seed
            )
    for line in rows(networks, 1 if small else 3):
        print(line, flush=True)


if __name__ == "__main__":
    main()
