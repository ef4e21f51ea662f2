"""What the checkpoint slider moves: chosen checkpoints, packed small enough to travel inside the page.

Heatmaps become one byte a pixel. Attention that is A[a, b] = σ(f_a - g_b), as in every one-layer model, whose score for
a token depends on that token alone, is packed as f and g; it is drawn from them to within half a level.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns  # noqa: F401  (registers the color map vlag)
import xarray as xr

from grokinterp.figures import key_frequencies
from grokinterp.figures.circuit import verdicts
from grokinterp.figures.structure import MOST_CIRCLES, MOST_HEADS, last_heads, thin
from grokinterp.figures.style import DIVERGING, PHASE_COLORS, SEQUENTIAL
from grokinterp.numbers import number
from grokinterp.phases import Phase
from grokinterp.report.phase_table import MEASURES, series
from grokinterp.report.vocabulary import Words

MOST_FRAMES = 400
"""A slider is about as many pixels wide."""

LEVELS = 255
READOUTS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "restricted_loss", "excluded_loss")

CURVES = {
    "train_loss": "train", "test_loss": "test", "restricted_loss": "restricted", "excluded_loss": "excluded",
}  # fmt: skip

Packed = dict[str, Any]


def frames(
    dataset: xr.Dataset,
    phases: Sequence[Phase],
    words: Words | None = None,
    *,
    budget: int = 3_000_000,
    total: int | None = None,
) -> Packed | None:
    """Everything the slider shows, as JSON values; None without checkpoints or without any of its panels.

    Args:
        dataset: analyses over the checkpoints.
        phases: the checkpoints near their boundaries are shown more densely.
        words: what axes are called.
        budget: characters that the packed frames may take in the page; it decides how many checkpoints there are.
        total: analyzed checkpoints, where the dataset has only those with maps.
    """
    words = words or Words()
    if not dataset.sizes["step"] or not packers(dataset):
        return None
    steps = dataset["step"].values
    room = min(int(budget // max(_characters_per_frame(dataset), 1)), MOST_FRAMES)
    chosen = dataset.isel(step=choose(steps, [phase.start for phase in phases], max(room, 2)))
    return {
        "steps": chosen["step"].values.tolist(),
        "total": len(steps) if total is None else total,
        "phases": [_phase_of(int(step), phases) for step in chosen["step"].values],
        "colors": PHASE_COLORS,
        "keys": key_frequencies(dataset),
        "readouts": _readouts(chosen),
        "words": {
            "label": words.label,
            "loss": f"{words.loss} [{words.unit}]",
            "logit": f"mean centered logit [{words.logit_unit}]",
        },
        "curves": _curves(chosen),
        "panels": {name: pack(chosen) for name, pack in packers(chosen).items()},
        "maps": {"sequential": _color_table(SEQUENTIAL), "diverging": _color_table(DIVERGING)},
    }


def choose(steps: np.ndarray, boundaries: Sequence[int], most: int) -> list[int]:
    """Indices of at most ``most`` steps: first, last, and evenly between, four times denser near the boundaries.

    >>> choose(np.arange(0, 1000, 10), [], 5)
    [0, 25, 50, 74, 99]
    """
    n = len(steps)
    if n <= most:
        return list(range(n))
    index = np.arange(n)
    weight = np.ones(n)
    for boundary in boundaries:
        weight += 3 * np.exp(-0.5 * ((index - np.searchsorted(steps, boundary)) / max(n / 30, 1)) ** 2)
    mass = np.concatenate([[0], np.cumsum((weight[1:] + weight[:-1]) / 2)])
    return np.unique(np.interp(np.linspace(0, mass[-1], most), mass, index).round().astype(int)).tolist()


def pack_spectrum(dataset: xr.Dataset) -> Packed:
    """Embedding power [frame, frequency]."""
    return _numbers(dataset["embedding_power"].transpose("step", "frequency").values)


def pack_neurons(dataset: xr.Dataset) -> Packed:
    """Frequency and variance explained of each neuron, [frame, (frequency, FVE), neuron]."""
    fve = dataset["neuron_fve"].values if "neuron_fve" in dataset else np.zeros(dataset["neuron_frequency"].shape)
    return _numbers(np.stack([dataset["neuron_frequency"].values, fve], axis=1))


def pack_circles(dataset: xr.Dataset) -> Packed:
    """Coordinates [frame, key, (cos, sin), exponent] of the first key frequencies."""
    circle = dataset["embedding_circle"].isel(key=slice(MOST_CIRCLES)).transpose("step", "key", "axis", "exponent")
    return _numbers(circle.values) | {"keys": [int(k) for k in circle["key"].values]}


def pack_logits(dataset: xr.Dataset) -> Packed:
    """Mean centered logits [frame, label, class] in levels from -reach to reach, with the reach of each frame."""
    kept, every = thin(dataset["logit_by_label"], "label", "class")
    values = kept.transpose("step", "label", "class").values.astype(float)
    reach = np.array([_reach(frame) for frame in values])
    levels = (values / reach[:, None, None] + 1) / 2
    return _levels(levels) | {"reach": [float(f"{value:.4g}") for value in reach], "every": every}


def pack_attention(dataset: xr.Dataset) -> Packed:
    """Attention to a, [frame, head, a, b]: as (f, g) where it is σ(f_a - g_b), else in levels from 0 to 1."""
    kept, every = thin(dataset["attention_to_a"].isel(head=slice(MOST_HEADS)), "a", "b")
    values = kept.transpose("step", "head", "a", "b").values
    parts = separate(values)
    packed = _levels(values) if parts is None else _numbers(parts) | {"separable": True}
    return packed | {"every": every}


def pack_attention_by_position(dataset: xr.Dataset) -> Packed:
    """Mean attention [frame, row, position], a row for each head of the last layers."""
    rows, values = last_heads(dataset["attention_mean"])
    return _numbers(values.values) | {"rows": rows}


def separate(attention: np.ndarray) -> np.ndarray | None:
    """Scores f and g [..., 2, operand] with attention [..., a, b] = σ(f_a - g_b) to within half a level, None without.

    An operand for which a ∘ b is never defined, such as b = 0 in a division, has no score: NaN.

    >>> a = 1 / (1 + np.exp(np.array([0.0, 1.0])[None, :] - np.array([2.0, 3.0])[:, None]))
    >>> separate(a).shape, separate(np.array([[0.1, 0.9], [0.9, 0.1]]))
    ((2, 2), None)
    """
    known: np.ndarray = np.logical_or.reduce(np.isfinite(attention).reshape(-1, *attention.shape[-2:]))
    rows, columns = (np.flatnonzero(np.logical_or.reduce(known, axis)) for axis in (1, 0))
    inside = attention[..., rows[:, None], columns].astype(float)
    if known.shape[0] != known.shape[1] or not inside.size or not np.isfinite(inside).all():
        return None
    clipped = np.clip(inside, 1e-12, 1 - 1e-12)
    score = np.log(clipped) - np.log1p(-clipped)
    f = score.mean(-1)
    g = f.mean(-1, keepdims=True) - score.mean(-2)
    again = 1 / (1 + np.exp(np.clip(g[..., None, :] - f[..., :, None], -700, 700)))
    if np.abs(again - inside).max() > 0.5 / LEVELS:
        return None
    parts = np.full((*attention.shape[:-2], 2, len(known)), np.nan)
    parts[..., 0, rows], parts[..., 1, columns] = f, g
    return parts


PANELS = {
    "embedding_power": pack_spectrum,
    "neuron_frequency": pack_neurons,
    "embedding_circle": pack_circles,
    "logit_by_label": pack_logits,
    "attention_to_a": pack_attention,
    "attention_mean": pack_attention_by_position,
}


def packers(dataset: xr.Dataset) -> dict[str, Callable[[xr.Dataset], Packed]]:
    """Those of the variables that the dataset has; the mean attention only where there is none by pairs."""
    shadowed = {"attention_mean"} if "attention_to_a" in dataset else set()
    return {name: pack for name, pack in PANELS.items() if name in dataset and name not in shadowed}


def _characters_per_frame(dataset: xr.Dataset) -> float:
    """Of the panels the dataset has, packed from a sample of its steps."""
    sample = dataset.isel(step=sorted({0, dataset.sizes["step"] // 2, dataset.sizes["step"] - 1}))
    return sum(len(pack(sample)["data"]) / sample.sizes["step"] for pack in packers(dataset).values())


def _numbers(values: np.ndarray) -> Packed:
    """Numbers as 16-bit steps between their extremes, value = low + (level + 32767) * step; -32768 is not finite."""
    finite = values[np.isfinite(values)].astype(float)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    step = (high - low) / 65534 or 1.0
    levels = np.where(np.isfinite(values), np.round((np.nan_to_num(values) - low) / step) - 32767, -32768)
    data = base64.b64encode(levels.astype("<i2").tobytes()).decode("ascii")
    return {"type": "int16", "shape": list(values.shape), "low": low, "step": step, "data": data}


def _levels(shares: np.ndarray) -> Packed:
    """Numbers from 0 to 1 as bytes 0 to 254; 255 stands for what is not finite."""
    levels = np.where(np.isfinite(shares), np.clip(shares, 0, 1) * (LEVELS - 1), LEVELS).round().astype(np.uint8)
    return {"type": "uint8", "shape": list(shares.shape), "data": base64.b64encode(levels.tobytes()).decode("ascii")}


def _reach(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0


def _readouts(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """Label and written value of a few measures at every chosen step."""
    found = [(measure, series(dataset, measure)) for measure in MEASURES if measure.name in READOUTS]
    written = [
        {"label": measure.label.split(",")[0], "values": [number(float(value)) for value in values.values]}
        for measure, values in found
        if values is not None
    ]
    circuit = [{"label": "circuit", "values": verdicts(dataset)}] if "is_circuit" in dataset else []
    return [*written, *circuit]


def _curves(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """The losses at every chosen step, null where they have no place on a logarithmic axis."""
    return [
        {
            "label": label,
            "values": [float(f"{x:.4g}") if np.isfinite(x) and x > 0 else None for x in dataset[name].values],
        }
        for name, label in CURVES.items()
        if name in dataset
    ]


def _phase_of(step: int, phases: Sequence[Phase]) -> str:
    return next((phase.name for phase in phases if step in phase), "")


def _color_table(name: str) -> str:
    """256 colors as one hexadecimal string."""
    return (mpl.colormaps[name](np.arange(256), bytes=True)[:, :3]).tobytes().hex()
