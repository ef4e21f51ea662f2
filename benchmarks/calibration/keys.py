"""Accuracy of the rule for keys: ``python -m benchmarks.calibration.keys [--small]``, a few minutes on one core."""

import argparse
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.calibration.planted import Planted, accuracy, memorizer, planted, untrained
from grokinterp.analysis.structure.keys import SMALLEST, Keys, find_keys

SHUFFLES = 100
NAMES = ("31", "58", "59", "113", "S4", "S5", "D15", "D20")
RULES = ("one step", "stepwise", "ours")


def found_in(network: Planted) -> Keys:
    """Return the keys found by the rule of the package."""
    grid, held_out = network.grid, network.problem.held_out
    return find_keys(grid.logits(network.logits), grid.element, held_out, grid.characters, grid.table)


def ours(network: Planted) -> set[int]:
    """Return the keys by the rule of the package."""
    return set(found_in(network).is_key.nonzero().flatten().tolist())


def drawn(network: Planted, *, stepwise: bool) -> set[int]:
    """Return characters above every similarity of 100 shuffles; stepwise, repeat after removing those found."""
    grid, generator = network.grid, torch.Generator().manual_seed(0)
    held_out = network.problem.held_out
    element, rows = grid.element[held_out], grid.logits(network.logits)[held_out]
    rows, chi = rows - rows.mean(1, keepdim=True), grid.characters
    count, length, keys = len(rows), rows.norm(), set[int]()

    def products(table: Tensor) -> Tensor:
        return chi @ table.gather(0, grid.table).sum(1) / (count * chi.square().sum(1)).sqrt() / length

    while True:
        table = torch.zeros_like(grid.table, dtype=torch.float64).index_add(0, element, rows)
        orders = torch.stack([torch.randperm(len(table), generator=generator) for _ in range(SHUFFLES)])
        limit = max(SMALLEST, float(torch.stack([products(table[:, order]) for order in orders]).max()))
        new = {i for i, s in enumerate(products(table).tolist()) if s > limit} - keys
        if not new:
            return keys
        keys |= new
        if not stepwise:
            return keys
        for i in new:
            cube = chi[i][grid.quotient[element]]
            rows = rows - (rows * cube).sum() / cube.square().sum() * cube


def judged(networks: Sequence[Planted]) -> dict[str, tuple[int, int]]:
    """Return the numbers of planted and of other characters found by each rule."""
    rules: dict[str, Callable[[Planted], set[int]]] = {
        "one step": lambda of: drawn(of, stepwise=False),
        "stepwise": lambda of: drawn(of, stepwise=True),
        "ours": ours,
    }
    found = {name: [(rule(of), set(of.keys)) for of in networks] for name, rule in rules.items()}
    return {name: (sum(len(f & k) for f, k in of), sum(len(f - k) for f, k in of)) for name, of in found.items()}


def of_planted(names: Sequence[str], draws: int) -> list[str]:
    """Return results for planted characters of amplitudes 1 to 0.1 with distractors, by group and noise."""
    lines = [
        f"| planted, {draws} each | noise | planted keys | {' | '.join(f'{rule}: found + extra' for rule in RULES)} |",
        "|---|---|---|" + "---|" * len(RULES),
    ]
    for name in names:
        for noise in (0.1, 1.0):
            most = 5 if name.isdigit() else 3
            networks = [planted(name, keys=1 + seed % most, noise=noise, seed=seed) for seed in range(draws)]
            found = judged(networks)
            counts = " | ".join("{} + {}".format(*found[rule]) for rule in RULES)
            lines.append(f"| {name} | {noise} | {sum(len(of.keys) for of in networks)} | {counts} |")
    return lines


def without_keys(networks: dict[str, list[Planted]]) -> list[str]:
    """Return results without planted keys: how many networks have a key, its size, and a nearly key character."""
    lines = ["| no key planted | networks | accuracy held out | with a key | Σ s² of keys | with a nearly key |"]
    lines.append("|---|---|---|---|---|---|")
    for what, of in networks.items():
        right = sum(accuracy(one, one.problem.held_out) for one in of) / len(of)
        found = [found_in(one) for one in of]
        share = sum(float(keys.held_out[keys.is_key].square().sum()) for keys in found) / len(of)
        counts = sum(bool(keys.is_key.any()) for keys in found), sum(bool(keys.is_nearly_key.any()) for keys in found)
        lines.append(f"| {what} | {len(of)} | {right:.3f} | {counts[0]} | {share:.4f} | {counts[1]} |")
    return lines


def noise_of(name: str, rank: int, seed: int) -> Planted:
    """Return normal random logits of given rank."""
    network, generator = untrained(name, "MLP", 0), torch.Generator().manual_seed(seed)
    examples, classes = network.logits.shape
    left, right = (torch.randn(size, rank, generator=generator, dtype=torch.float64) for size in (examples, classes))
    return network._replace(logits=left @ right.mT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration.keys", description=__doc__)
    parser.add_argument("--small", action="store_true", help="toy size for the test suite; the numbers are meaningless")
    small = parser.parse_args(arguments).small
    torch.set_num_threads(1)
    print("\n".join(of_planted(("7", "S3") if small else NAMES, 2 if small else 20)), "\n")
    draws, trained = (2, 1) if small else (200, 5)
    print("\n".join(without_keys(no_keys(("7",) if small else ("13", "31", "S4"), draws, trained))))


def no_keys(groups: Sequence[str], draws: int, trained: int) -> dict[str, list[Planted]]:
    """Return noise, untrained networks and memorizers."""
    networks = {}
    for name in groups:
        for rank in (1, 16):
            networks[f"{name}, noise of rank {rank}"] = [noise_of(name, rank, seed) for seed in range(draws)]
        for model in ("MLP", "transformer"):
            networks[f"{name}, untrained {model}"] = [untrained(name, model, seed) for seed in range(draws)]
            steps = 300 if trained > 1 else 3
            some = [memorizer(name, model, seed, steps=steps) for seed in range(trained)]
            networks[f"{name}, {model} that memorized"] = some
    return networks


if __name__ == "__main__":
    main()
