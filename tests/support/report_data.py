"""A run directory with planted curves and structure, written with numpy alone, for reports."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from grokinterp.runs.datasets import write_analysis, write_not_defined
from grokinterp.storage import RunDirectory
from tests.support.deep_data import MOST, deep_analyses, thinned
from tests.support.planted import KEYS, LAST, Data, as_dataset, sigmoid

MATRICES = ("W_E", "W_U", "W_in", "W_out", "W_L", "QK.0", "QK.1", "OV.0", "OV.1")
PARAMETERS = ("embed.W_E", "blocks.0.attn.W_Q", "blocks.0.mlp.W_in", "unembed.W_U")
MEMORIZED, GROKKED = 150, 1900


def experiment(name: str = "planted", p: int = 13) -> dict:
    return {
        "name": name,
        "task": {"kind": "modular_addition", "p": p},
        "model": {
            "kind": "transformer", "n_layers": 1, "d_model": 16, "n_heads": 2, "d_head": None, "read_at": "equals",
            "biases": False,
        },
        "split": {"fraction": 0.5, "pairs": "ordered", "seed": None},
        "optimization": {"lr": 1e-3, "weight_decay": 1.0, "betas": [0.9, 0.98], "loss": "softplus"},
        "steps": LAST,
        "evaluate_every": 10,
        "seed": 0,
    }  # fmt: skip


class Kind(NamedTuple):
    """Differences from the planted run: changed tables of its configuration, sizes, missing parts."""

    changes: dict[str, dict[str, Any]]
    not_defined: dict[str, str] = {}  # noqa: RUF012  (never changed)
    sizes: dict[str, Any] = {}  # noqa: RUF012
    metrics: tuple[str, ...] = ()


SPECTRAL = (
    "embedding_spectrum", "embedding_circles", "neuron_logit_spectrum", "neuron_frequencies", "logit_spectrum",
    "progress_measures", "attention_periodicity",
)  # fmt: skip
ATTENTION = ("attention_map", "attention_pattern", "attention_periodicity")
OF_SOME = ("validation_loss", "validation_accuracy", "noisy_accuracy", "restored_accuracy")
NOT_CYCLIC = "the group of group_composition, S5, is not cyclic of order 3 or more"
NOT_A_GROUP = "composition is not a product in a group"
NO_ATTENTION = "the model mlp has no attention"
ADDITION = {"kind": "modular_addition", "p": 13}

KINDS = {
    "group by MLP": Kind(
        {
            "task": {"kind": "group_composition", "group": "S5", "convention": "left_first"},
            "model": {"kind": "mlp", "d_embed": 256, "embedding": "separate", "combine": "sum", "hidden": [128]},
        },
        dict.fromkeys(SPECTRAL, NOT_CYCLIC) | dict.fromkeys(ATTENTION, NO_ATTENTION),
        {"p": 120, "matrices": ("W_E", "W_U", "layers.0.W_in", "W_L")},
    ),
    "division": Kind({"task": {"kind": "modular_division", "p": 13}}, sizes={"order": 12}),
    "three operands": Kind(
        {"task": {"kind": "composition", "outer": ADDITION, "inner": ADDITION}},
        dict.fromkeys(SPECTRAL, NOT_A_GROUP) | {"attention_map": "composition does not have two operands"},
    ),
    "pooled": Kind({"model": {"kind": "transformer", "n_layers": 2, "read_at": "mean", "act_fn": "gelu"}}),
    "squared error": Kind({"optimization": {"lr": 1e-3, "weight_decay": 0.0, "loss": "mse"}}),
    "StableMax": Kind({"optimization": {"loss": "stablemax"}}),
    "label noise": Kind({"split": {"fraction": 0.5, "validation": 0.1, "label_noise": 0.2}}, metrics=OF_SOME),
}
"""Runs that differ from modular addition by a transformer that reads at "=", by name."""


def write_kind(path: Path, kind: str, **options: Any) -> Path:
    """A run directory of one of the KINDS."""
    chosen = KINDS[kind]
    sizes = chosen.sizes | options
    write_run(path, without=tuple(chosen.not_defined), metrics=chosen.metrics, changes=chosen.changes, **sizes)
    write_not_defined(path, chosen.not_defined)
    return path


def curves(steps: np.ndarray, *, groks: bool = True) -> dict[str, np.ndarray]:
    """Memorization near step 150; if it groks, generalization near step 1900."""
    learned = sigmoid((steps - 100) / 12)
    general = sigmoid((steps - 1800) / 40) if groks else np.zeros(len(steps))
    return {
        "train_loss": 2.6 * (1 - learned) + 1e-3 * (1 - general) + 1e-6,
        "test_loss": 2.6 + 6 * learned * (1 - general) - 2.6 * general + 1e-5,
        "train_accuracy": 0.08 + 0.92 * learned,
        "test_accuracy": np.clip(0.05 + 0.95 * general, 0, 1),
        "gradient_norm": 0.1 * np.exp(-steps / 2000),
        "learning_rate": np.full(len(steps), 1e-3),
        "weight_norm": 900.0 + 300 * learned - 800 * general,
        "logit_mean_abs": 2 + 8 * learned,
        "logit_max_abs": 5 + 20 * learned,
        "logit_margin": 15 * learned - 1,
        "validation_loss": 2.6 + 5 * learned * (1 - general) - 2.6 * general + 1e-5,
        "validation_accuracy": np.clip(0.06 + 0.94 * general, 0, 1),
        "noisy_accuracy": 0.9 * learned * (1 - general),
        "restored_accuracy": 0.08 + 0.7 * general,
    }


def write_run(
    path: Path,
    *,
    p: int = 13,
    steps: int = 25,
    evaluations: int = 301,
    groks: bool = True,
    name: str = "planted",
    without: tuple[str, ...] = (),
    nan_from: int | None = None,
    skipped: dict[str, str] | None = None,
    status: str = "finished",
    separable: bool = True,
    order: int | None = None,
    n_heads: int | None = None,
    matrices: tuple[str, ...] = MATRICES,
    metrics: tuple[str, ...] = (),
    changes: dict[str, dict[str, Any]] | None = None,
    deep: bool = False,
) -> Path:
    """A run directory with ``steps`` analyzed checkpoints; ``without`` names analyses that were not run.

    ``deep`` adds measures of the network's circuit, inside and landscape, mostly at few checkpoints.

    ``order`` is that of the cyclic group, ``p`` by default; with p - 1 nothing is divided by 0. ``metrics`` are
    columns that only some runs have.
    """
    made = {"grokinterp": "0.1.0", "torch": "2.13", "device": "cpu"}
    run = RunDirectory.create(path, experiment(name, p) | (changes or {}), made)
    run.write_status({"status": status, "step": LAST if evaluations > 1 else 0})
    if evaluations:
        at = np.unique(np.linspace(0, LAST, evaluations).round().astype(int))
        left_out = set(OF_SOME) - set(metrics)
        columns = {key: values for key, values in curves(at, groks=groks).items() if key not in left_out}
        write_metrics(path, at, columns, nan_from)
    if steps:
        at = np.unique(np.linspace(0, max(LAST, steps), steps).round().astype(int))
        sizes = {"order": order, "n_heads": n_heads or (4 if p > 100 else 2), "matrices": matrices}
        made = analyses(at, p, groks=groks, separable=separable, **sizes)
        made |= deep_analyses(at, p, n_heads=sizes["n_heads"], groks=groks) if deep else {}
        for analysis, dataset in made.items():
            if analysis not in without:
                dataset = thinned(dataset, MOST.get(analysis))
                if nan_from is not None:
                    numbers = [v for v in dataset.data_vars if dataset[v].dtype.kind == "f"]
                    dataset = dataset.assign({v: dataset[v].where(dataset.step < nan_from) for v in numbers})
                dataset.attrs |= {"skipped": json.dumps(skipped or {}), "leaked_share": 0.47}
                write_analysis(path, analysis, dataset)
    return path


def write_metrics(path: Path, at: np.ndarray, columns: dict[str, np.ndarray], nan_from: int | None) -> None:
    rows = []
    for i, step in enumerate(at):
        values = {name: float(column[i]) for name, column in columns.items()}
        if nan_from is not None and step >= nan_from:
            values = dict.fromkeys(values)
        rows.append({"step": int(step), **values, "weight_norm_of": dict.fromkeys(PARAMETERS, values["weight_norm"])})
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def analyses(
    at: np.ndarray,
    p: int,
    *,
    order: int | None = None,
    n_heads: int = 2,
    matrices: tuple[str, ...] = MATRICES,
    groks: bool = True,
    separable: bool = True,
) -> dict[str, xr.Dataset]:
    """Analyses of a network that moves from noise to the frequencies KEYS as it generalizes."""
    random = np.random.default_rng(0)
    order = order or p
    n, f = len(at), order // 2
    c = curves(at, groks=groks)
    g = sigmoid((at - 1200) / 200) if groks else np.zeros(n)
    k = np.arange(1, f + 1)
    is_key = np.isin(k, KEYS)
    tokens, exponents = np.arange(p), np.arange(order)
    noise = random.normal(size=(n, 200))
    splits = np.stack([c["logit_max_abs"]] * 3, 1)
    sums = tokens[:, None] - tokens[None, :]
    clean = sum(np.cos(2 * np.pi * key * sums / p) for key in KEYS)
    score = np.cos(2 * np.pi * 3 * tokens / p)
    logit = 2 * (score[:, None] - score[None, :]) if separable else 2 * np.outer(score, score)
    heads = np.stack([sigmoid(g[:, None, None] * logit), 1 - sigmoid(g[:, None, None] * logit)] * (n_heads // 2), 1)
    if order < p:
        heads[..., 0] = np.nan
    angle = 2 * np.pi * np.array(KEYS)[:, None] * exponents / order
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    wobble = random.normal(size=(1, len(KEYS), order, 2))
    frequency = np.where(np.arange(24) % 2, KEYS[0], KEYS[1])
    circle = (0.2 + g)[:, None, None, None] * circle + 0.2 * (1 - g)[:, None, None, None] * wobble
    neurons = np.where(g[:, None] > 0.5, frequency, 1 + np.arange(24) % f)
    fve = np.clip(0.3 + 0.65 * g[:, None] + 0.02 * noise[:, :24], 0, 1)
    logits = (1 + 9 * g)[:, None, None] * clean + 0.5 * random.normal(size=(1, p, p))
    shares = np.stack([0.6 * c["train_accuracy"], 0.1 * g], 1)
    ranks = 12 - 6 * g[:, None] + np.arange(len(matrices)) % 3
    shift = np.outer(np.arange(n_heads) % 2 * 2 - 1, [0.3, -0.1, -0.2])  # from the operands to each other
    mean = 1 / 3 + g[:, None, None, None] * shift
    data: dict[str, Data] = {
        "performance": {name: ((), c[name]) for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy")},
        "logit_statistics": {
            name: (("split",), splits * scale)
            for name, scale in {
                "logit_max_abs": 1,
                "logit_mean_abs": 0.3,
                "logit_margin": 0.5,
                "logit_scale": 0.4,
            }.items()
        },
        "softmax_collapse": {
            name: (("precision",), shares * scale)
            for name, scale in {"collapsed_share": 1, "zero_loss_share": 0.9, "zero_gradient_share": 0.2}.items()
        },
        "logit_map": {"logit_by_label": (("label", "class"), logits)},
        "embedding_spectrum": {
            "embedding_power": (("frequency",), 1 - 0.9 * g[:, None] + 8 * g[:, None] * is_key),
            "gini_embedding": ((), 0.1 + 0.5 * g),
        },
        "weight_norms": {"weight_norm": ((), c["weight_norm"])},
        "neuron_logit_spectrum": {"gini_neuron_logit": ((), 0.1 + 0.6 * g)},
        "embedding_circles": {"embedding_circle": (("key", "exponent", "axis"), circle)},
        "neuron_frequencies": {
            "neuron_frequency": (("neuron",), neurons),
            "neuron_fve": (("neuron",), fve),
            "specialized_share": ((), (fve > 0.85).mean(1)),
            "neurons_per_frequency": (("frequency",), (neurons[:, :, None] == k).sum(1)),
        },
        "logit_spectrum": {
            "is_key": (("frequency",), np.broadcast_to(is_key, (n, f)).copy()),
            "logit_fve": ((), 0.05 + 0.9 * g),
        },
        "progress_measures": {
            "restricted_loss": ((), 2.6 * (1 - g) + 1e-3),
            "excluded_loss": ((), c["train_loss"] + 9 * g),
            "excluded_loss_of": (("frequency",), c["train_loss"][:, None] + 6 * g[:, None] * is_key),
            "trig_loss": (("split",), np.repeat(2.6 * (1 - g)[:, None] + 1e-3, 3, 1)),
            "restricted_loss_control": ((), np.full(n, 2.6)),
            "excluded_loss_control": ((), c["train_loss"]),
        },
        "attention_pattern": {"attention_mean": (("layer", "head", "position"), mean)},
        "attention_map": {"attention_to_a": (("head", "a", "b"), heads)},
        "attention_periodicity": {
            "attention_frequency": (("head",), np.full((n, n_heads), 3)),
            "attention_fve": (("head",), np.stack([g] * n_heads, 1)),
        },
        "class_cosine": {"class_cosine_within_mean": ((), 0.3 + 0.6 * g), "class_cosine_between": ((), 0.3 - 0.3 * g)},
        "gradient_weight_alignment": {
            "gradient_weight_cosine": (("parameter",), 0.5 * noise[:, :4].clip(-1, 1)),
            "update_weight_cosine": (("parameter",), -0.5 * noise[:, :4].clip(-1, 1)),
            "gradient_weight_cosine_total": ((), -0.6 + 0.4 * g),
            "update_weight_cosine_total": ((), 0.2 - 0.3 * g),
        },
        "singular_values": {
            "singular_value": (("matrix", "rank"), np.sort(random.random((n, len(matrices), 16)))[..., ::-1].copy()),
            "effective_rank": (("matrix",), ranks),
        },
    }
    coords = {
        "split": ["train", "test", "all"], "precision": ["float32", "float64"], "frequency": k, "key": list(KEYS),
        "class": tokens, "label": tokens, "a": tokens, "b": tokens, "exponent": exponents, "axis": ["cos", "sin"],
        "head": np.arange(n_heads), "neuron": np.arange(24), "parameter": list(PARAMETERS), "matrix": list(matrices),
        "layer": [0], "position": [0, 1, 2],
    }  # fmt: skip
    return {name: as_dataset(at, variables, coords) for name, variables in data.items()}
