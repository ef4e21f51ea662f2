"""Planted pruning, subnetworks, heads, norms and certificates of a network that memorizes and then becomes a clock."""

import numpy as np
import xarray as xr

from tests.support.planted import Data, as_dataset

NEURONS = 24
ORDERS = ("lowest IPR first", "highest IPR first", "random")
SHARES = np.linspace(0, 1, 21)
NORMS = ("L1_inf", "frobenius", "spectral", "path")
RANKS = (0, 4, 8, 16, 32)


def sparse_analyses(at: np.ndarray, g: np.ndarray, m: np.ndarray, *, n_heads: int = 2) -> dict[str, xr.Dataset]:
    """Analyses of sparse structure and bounds; g is 0 before generalization, m before memorization."""
    kept = 1 - SHARES ** np.array([3.0, 0.5, 1.0])[:, None]  # order, share
    by_split = np.stack([m, g, (m + g) / 2], 1)  # step, split
    accuracy = by_split[:, None, :, None] * kept[None, :, None]
    size = 20 - 12 * np.stack([m, g, (m + g) / 2], 1)
    other = np.eye(n_heads) - 0.6 * (1 - np.eye(n_heads))
    products = np.array([6.0, 5.8, 3.5, 6.4]) + 0.5 * m[:, None]
    proven = g[:, None] * np.linspace(0, 1, len(RANKS))
    data: dict[str, Data] = {
        "neuron_participation": {
            "neuron_ipr": (("neuron",), 0.1 + 0.8 * g[:, None] * np.linspace(0, 1, NEURONS)),
            "mean_ipr": ((), 0.1 + 0.4 * g),
        },
        "neuron_pruning": {
            "pruned_accuracy": (("pruning_order", "split", "pruned_share"), accuracy),
            "pruned_loss": (("pruning_order", "split", "pruned_share"), 1e-4 + 4 * (1 - accuracy)),
        },
        "faithful_subnetwork": {
            "subnetwork_size": (("split",), size), "faithful_size": ((), 22 - 12 * g),
            "subnetwork_size_control": (("split",), np.minimum(size + 8, NEURONS)),
        },
        "head_patterns": {
            "attention_entropy": (("layer", "head"), 1.1 - 0.1 * g[:, None, None] * np.arange(n_heads)),
            "head_correlation": (("layer", "head", "other_head"), np.broadcast_to(other, (len(at), 1, *other.shape))),
        },
        "norm_bounds": {
            "norm_product": (("norm",), products), "product_per_margin": (("norm",), products - g[:, None]),
            "logit_bound": (("norm",), products - 0.5), "largest_logit": ((), 1 + 0.5 * m),
        },
        "certified_accuracy": {"certified_share": (("proof_rank",), proven), "true_share": ((), g)},
    }  # fmt: skip
    heads = np.arange(n_heads)
    coords = {
        "split": ["train", "test", "all"], "neuron": np.arange(NEURONS), "layer": [0], "head": heads,
        "other_head": heads, "pruning_order": list(ORDERS), "pruned_share": SHARES, "norm": list(NORMS),
        "proof_rank": list(RANKS),
    }  # fmt: skip
    return {name: as_dataset(at, variables, coords) for name, variables in data.items()}
