"""Planted circuits, insides and landscapes of a run, for the deeper sections of a report."""

import numpy as np
import xarray as xr

from tests.support.planted import KEYS, LAST, Data, as_dataset, sigmoid
from tests.support.sparse_data import sparse_analyses

MAPS = ("logit_map", "attention_map")
SOME = (
    "class_similarity", "class_matrix", "linear_probes", "frequency_probes", "activation_statistics",
    "logit_attribution", "integrated_gradients", "idealized_network", "irrep_fve", "isolated_circles", "coset_scores",
    "phase_alignment",
)  # fmt: skip
FEW = (
    "head_ablation", "neuron_ablation", "activation_patching", "grafts", "gradient_noise",
    "local_learning_coefficient", "hessian_eigenvalues", "sharpness", "loss_line",
)  # fmt: skip
MOST = dict.fromkeys(MAPS, 200) | dict.fromkeys(SOME, 32) | dict.fromkeys(FEW, 9)
"""Analyses that run on few checkpoints, and on how many at most."""

CIRCUITS = ("clock", "pizza", "mixed", "additive", "irrep-based", "memorizer", "none")
HOOKS = tuple(f"blocks.0.{name}" for name in ("hook_attn_out", "hook_resid_mid", "mlp.hook_post", "hook_resid_post"))
PARTS = ("embed", "pos_embed", "blocks.0.attn", "blocks.0.mlp", "unembed")
SITES = ("blocks.0.hook_resid_pre", "blocks.0.hook_attn_out", "blocks.0.hook_mlp_out", "blocks.0.hook_resid_post")


def thinned(dataset: xr.Dataset, most: int | None) -> xr.Dataset:
    """At most so many of the checkpoints, marked as thinned."""
    n = dataset.sizes["step"]
    if most is None or n <= most:
        return dataset
    kept = np.linspace(0, n - 1, most).round().astype(int)
    return dataset.isel(step=kept).assign_attrs(thinned=f"{most} of {n} checkpoints")


def deep_analyses(at: np.ndarray, p: int, *, n_heads: int = 2, groks: bool = True) -> dict[str, xr.Dataset]:
    """Circuit, causal evidence, inside and landscape of a network that memorizes and then becomes a clock."""
    random = np.random.default_rng(1)
    n = len(at)
    g = sigmoid((at - 1200) / 200) if groks else np.zeros(n)
    m = sigmoid((at - 100) / 12)

    def wave(*shape: int, size: float = 0.03) -> np.ndarray:
        return size * random.normal(size=(n, *shape))

    def up(size: int, *, low: float = 0.02, high: float = 0.97) -> np.ndarray:
        return np.clip(low + (high - low) * g[:, None] * np.linspace(0.6, 1, size) + wave(size, size=0.01), 0, 1)

    verdict = np.where(g > 0.7, 0, np.where(g > 0.3, 2, np.where(m > 0.8, 5, 6)))
    classes = np.arange(p)
    cosine = sum(np.cos(2 * np.pi * key * (classes[:, None] - classes) / p) for key in KEYS) / len(KEYS)
    irreps = ["trivial", *(f"rho_{k}" for k in range(1, p // 2 + 1))]
    is_key = np.isin(np.arange(len(irreps)), KEYS)
    shares = np.exp(wave(len(PARTS), size=0.2) + np.linspace(0, 1, len(PARTS)) * (1 - g[:, None]))
    fraction = np.linspace(0, 1, 11)
    way = 1e-6 + 3 * (1 - g[:, None]) * (1 - fraction) * (1 + 4 * fraction)
    diverged = np.zeros(n, dtype=bool)
    diverged[: n // 8] = True
    graft = 1e-4 + 4 * (1 - g[:, None]) * np.linspace(0.2, 1, len(PARTS))
    data: dict[str, Data] = {
        "circuit_verdict": {
            "gradient_symmetricity": ((), 0.9 - 0.6 * g), "gradient_symmetricity_error": ((), 0.01 + 0 * g),
            "distance_irrelevance": ((), 0.2 + 0.7 * g),
            "distance_irrelevance_runner_up": ((), 0.2 + 0.6 * g), "circularity": ((), 0.05 + 0.9 * g),
            "clock_fve": ((), 0.9 * g), "pizza_fve": ((), 0.3 * g),
            "pizza_preference": ((), 0.2 - 0.3 * g), "circuit_fve": ((), 0.9 * g),
            "is_circuit": (("circuit",), verdict[:, None] == np.arange(len(CIRCUITS))),
            "is_close_to": (("circuit",), np.zeros((n, len(CIRCUITS)), dtype=bool)),
        },
        "causal_evidence": {
            "necessity": ((), g), "sufficiency": ((), 0.95 * g), "necessity_control": ((), 0.04 * m),
            "sufficiency_control": ((), 0.02 * m), "causal_score": ((), 0.9 * g),
        },
        "irrep_spectrum": {
            "irrep_similarity": (("irrep",), 0.02 + 0.6 * g[:, None] * is_key),
            "irrep_threshold": (("irrep",), 0.05 + 0 * g[:, None] * is_key),
            "is_key_irrep": (("irrep",), np.broadcast_to(is_key, (n, len(irreps))).copy()),
            "irreps_explained": ((), 0.03 + 0.94 * g),
        },
        "answer_spectrum": {
            "answer_similarity": (("answer_irrep",), 0.02 + 0.6 * g[:, None] * is_key),
            "answer_threshold": (("answer_irrep",), 0.05 + 0 * g[:, None] * is_key),
            "is_key_answer": (("answer_irrep",), np.broadcast_to(is_key, (n, len(irreps))).copy()),
            "answer_fve": ((), 0.03 + 0.94 * g),
        },
        "operand_spectrum": {"operand_power": (("operand", "residue_frequency"), up(2 * (p // 2)).reshape(n, 2, -1))},
        "coset_scores": {
            "coset_order_left": (("neuron",), np.tile([1, 2, 6], (n, 8))),
            "coset_order_right": (("neuron",), np.tile([1, 1, 2, 2], (n, 6))),
        },
        "irrep_fve": {"hidden_fve": ((), 0.9 * g)},
        "idealized_network": {
            "idealized_accuracy": ((), 0.1 + 0.9 * g), "idealized_agreement": ((), 0.2 + 0.78 * g),
            "idealized_fve": ((), 0.95 * g), "idealized_certified": ((), 0.6 * g),
        },
        "isolated_circles": {
            "circle_accuracy": (("circle",), up(6)),
            "circle_frequency": (("circle",), np.tile(np.arange(1, 7), (n, 1))),
            "circle_clock_fve": (("circle",), up(6)), "circle_pizza_fve": (("circle",), up(6) - 0.5),
        },
        "mode_families": {
            "neuron_mode_share": (("mode_family",), np.outer(g, [0.4, 0.4, 0.1, 0.1, -1.0]) + np.eye(5)[4]),
            "logit_mode_share": (("mode_family",), np.outer(g, [0.9, 0, 0.05, 0.05, -1.0]) + np.eye(5)[4]),
        },
        "key_directions": {"direction_fve": (("key", "axis"), up(4).reshape(n, 2, 2))},
        "phase_alignment": {
            "phase_alignment": ((), 0.05 + 0.9 * g), "phase_alignment_control": ((), 0.05 + 0 * g),
            "phase_alignment_angle": ((), 0.1 * (1 - g)),
        },
        "class_similarity": {"class_separation_at": (("hook",), up(len(HOOKS)))},
        "class_matrix": {
            "class_cosine_matrix": (("class", "other_class"), g[:, None, None] * cosine),
            "centroid_cosine": (("class", "other_class"), cosine + wave(p, p, size=0.2) * (1 - g[:, None, None])),
        },
        "linear_probes": {
            "class_probe_accuracy": (("hook",), up(len(HOOKS))),
            "class_probe_unseen_accuracy": (("hook",), up(len(HOOKS)) ** 2),
            "class_probe_chance": ((), np.full(n, 1 / p)),
        },
        "frequency_probes": {"frequency_probe_r2": (("hook", "key", "axis"), up(16).reshape(n, 4, 2, 2))},
        "activation_statistics": {
            "activation_effective_rank": (("hook",), 12 - 6 * up(len(HOOKS))),
            "dead_share": (("hook",), up(len(HOOKS))),
        },
        "logit_attribution": {"component_logit": (("component",), 9 * up(n_heads + 5) - 2)},
        "integrated_gradients": {"position_attribution": (("position",), 5 * up(3) - 1)},
        "head_ablation": {"head_ablation_loss": (("layer", "head"), up(n_heads)[:, None])},
        "neuron_ablation": {"neuron_ablation_loss": (("neuron",), up(24) ** 4)},
        "activation_patching": {"patching_effect": (("patch_site", "position"), up(12).reshape(n, 4, 3) - 0.2)},
        "grafts": {"graft_loss": (("part",), graft), "graft_back_loss": (("part",), graft[:, ::-1] * 2)},
        "gradient_flow": {
            "gradient_share_of_layer": (("part",), shares / shares.sum(1, keepdims=True)),
            "update_radial": ((), -0.02 * g), "update_tangential": ((), 0.05 * np.exp(-at / 2000)),
            "weight_decay_share": ((), 0.1 + 0.6 * g),
        },
        "gradient_noise": {"gradient_snr_total": ((), np.exp(-4 * g))},
        "weight_path": {
            "distance_from_initial": ((), 20 * np.sqrt(at / LAST)), "distance_to_final": ((), 20 * (1 - at / LAST)),
            "cosine_to_initial": ((), 1 - 0.8 * m), "successive_update_cosine": ((), wave()),
        },
        "local_learning_coefficient": {
            "llc": ((), np.where(diverged, np.nan, 400 - 250 * g)), "llc_spread": ((), 12 + 0 * g),
            "llc_diverged": ((), diverged), "llc_converged": ((), ~diverged & (g < 0.9)),
            "llc_rhat": ((), 1.02 + 0 * g), "llc_equilibrium": ((), 0.87 + 0 * g), "llc_step_error": ((), 9 + 0 * g),
            "llc_trace": (("chain", "stretch"), (400 - 250 * g)[:, None, None] * np.ones((2, 1)) * up(50)[0]),
            "llc_inverse_temperature": ((), 227 + 0 * g), "llc_localization": ((), 100 + 0 * g),
            "llc_step_size": ((), 1e-4 + 0 * g), "llc_burn_in": ((), np.full(n, 150)),
            "llc_draws": ((), np.full(n, 100)), "llc_batch_size": ((), np.full(n, 128)),
        },
        "hessian_eigenvalues": {
            "hessian_eigenvalue": (("rank_of_hessian",), np.outer(30 - 20 * g, [1, 0.6, 0.5, 0.4, 0.3])),
            "hessian_eigenvalue_smallest": ((), -1 + 0.9 * g),
        },
        "sharpness": {"sharpness": ((), 0.5 - 0.45 * g)},
        "loss_line": {"line_train_loss": (("fraction",), way / 50), "line_test_loss": (("fraction",), way),
                      "line_barrier": ((), 0.02 * (1 - g))},
    }  # fmt: skip
    components = ["embed", "pos_embed", *(f"L0H{head}" for head in range(n_heads)), "0_mlp_out", "bias", "unembed_bias"]
    coords = {
        "circuit": list(CIRCUITS), "mode_family": ["(k, k)", "(k, -k)", "a only", "b only", "generic"],
        "operand": ["left", "right"], "residue_frequency": np.arange(1, p // 2 + 1),
        "irrep": irreps, "answer_irrep": irreps, "hook": list(HOOKS), "class": classes, "other_class": classes,
        "key": list(KEYS), "axis": ["cos", "sin"], "component": components, "position": [0, 1, 2], "layer": [0],
        "head": np.arange(n_heads), "neuron": np.arange(24), "patch_site": list(SITES), "part": list(PARTS),
        "circle": np.arange(1, 7), "rank_of_hessian": np.arange(1, 6), "fraction": fraction,
        "chain": [0, 1], "stretch": (np.arange(50) + 0.5) / 50,
    }  # fmt: skip
    deep = {name: as_dataset(at, variables, coords) for name, variables in data.items()}
    return deep | sparse_analyses(at, g, m, n_heads=n_heads)
