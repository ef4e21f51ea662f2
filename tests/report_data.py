"""A run directory with planted curves and structure, written with numpy alone: what a report reads."""

import json
from pathlib import Path

import numpy as np
import xarray as xr

from grokinterp.storage import RunDirectory
from grokinterp.tables import write_analysis

KEYS = (3, 5)
MATRICES = ("W_E", "W_U", "W_in", "W_out", "W_L", "QK.0", "QK.1", "OV.0", "OV.1")
PARAMETERS = ("embed.W_E", "blocks.0.attn.W_Q", "blocks.0.mlp.W_in", "unembed.W_U")
LAST = 3000
MEMORIZED, GROKKED = 150, 1900

Data = dict[str, tuple[tuple[str, ...], np.ndarray]]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def experiment(name: str = "planted", p: int = 13) -> dict:
    return {
        "name": name,
        "task": {"kind": "modular_addition", "p": p},
        "model": {"kind": "transformer", "n_layers": 1, "d_model": 16, "n_heads": 2, "normalization": None},
        "split": {"fraction": 0.5, "pairs": "ordered", "seed": None},
        "optimization": {"lr": 1e-3, "weight_decay": 1.0, "betas": [0.9, 0.98], "loss": "softplus"},
        "steps": LAST,
        "evaluate_every": 10,
        "seed": 0,
    }


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
) -> Path:
    """A run directory with ``steps`` analyzed checkpoints; ``without`` names analyses that were not run."""
    run = RunDirectory.create(path, experiment(name, p), {"grokinterp": "0.1.0", "torch": "2.13", "device": "cpu"})
    run.write_status({"status": status, "step": LAST})
    if evaluations:
        at = np.unique(np.linspace(0, LAST, evaluations).round().astype(int))
        write_metrics(path, at, curves(at, groks=groks), nan_from)
    if steps:
        at = np.unique(np.linspace(0, max(LAST, steps), steps).round().astype(int))
        for analysis, dataset in analyses(at, p, groks=groks, separable=separable).items():
            if analysis not in without:
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


def analyses(at: np.ndarray, p: int, *, groks: bool = True, separable: bool = True) -> dict[str, xr.Dataset]:
    """Analyses of a network that moves from noise to the frequencies KEYS as it generalizes."""
    random = np.random.default_rng(0)
    n, f, n_heads = len(at), p // 2, 4 if p > 100 else 2
    c = curves(at, groks=groks)
    g = sigmoid((at - 1200) / 200) if groks else np.zeros(n)
    k = np.arange(1, f + 1)
    is_key = np.isin(k, KEYS)
    tokens = np.arange(p)
    noise = random.normal(size=(n, 200))
    splits = np.stack([c["logit_max_abs"]] * 3, 1)
    sums = tokens[:, None] - tokens[None, :]
    clean = sum(np.cos(2 * np.pi * key * sums / p) for key in KEYS)
    score = np.cos(2 * np.pi * 3 * tokens / p)
    logit = 2 * (score[:, None] - score[None, :]) if separable else 2 * np.outer(score, score)
    heads = np.stack([sigmoid(g[:, None, None] * logit), 1 - sigmoid(g[:, None, None] * logit)] * (n_heads // 2), 1)
    angle = 2 * np.pi * np.array(KEYS)[:, None] * tokens / p
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    wobble = random.normal(size=(1, len(KEYS), p, 2))
    frequency = np.where(np.arange(24) % 2, KEYS[0], KEYS[1])
    circle = (0.2 + g)[:, None, None, None] * circle + 0.2 * (1 - g)[:, None, None, None] * wobble
    neurons = np.where(g[:, None] > 0.5, frequency, 1 + np.arange(24) % f)
    fve = np.clip(0.3 + 0.65 * g[:, None] + 0.02 * noise[:, :24], 0, 1)
    logits = (1 + 9 * g)[:, None, None] * clean + 0.5 * random.normal(size=(1, p, p))
    shares = np.stack([0.6 * c["train_accuracy"], 0.1 * g], 1)
    ranks = 12 - 6 * g[:, None] + np.arange(9) % 3
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
            "singular_value": (("matrix", "rank"), np.sort(random.random((n, 9, 16)))[..., ::-1].copy()),
            "effective_rank": (("matrix",), ranks),
        },
    }
    coords = {
        "split": ["train", "test", "all"], "precision": ["float32", "float64"], "frequency": k, "key": list(KEYS),
        "class": tokens, "label": tokens, "a": tokens, "b": tokens, "exponent": tokens, "axis": ["cos", "sin"],
        "head": np.arange(n_heads), "neuron": np.arange(24), "parameter": list(PARAMETERS), "matrix": list(MATRICES),
    }  # fmt: skip
    return {name: _dataset(at, variables, coords) for name, variables in data.items()}


def _dataset(at: np.ndarray, variables: Data, coords: dict) -> xr.Dataset:
    arrays = {name: (("step", *dims), values) for name, (dims, values) in variables.items()}
    used = {dim for dims, _ in variables.values() for dim in dims}
    return xr.Dataset(arrays, {"step": at} | {dim: coords[dim] for dim in coords if dim in used})
