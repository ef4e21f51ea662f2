"""What the checkpoint slider moves: chosen checkpoints, packed small enough to travel inside the page.

Heatmaps become one byte a pixel. Attention that is A[a, b] = σ(f_a - g_b), as in every one-layer model, whose score for
a token depends on that token alone, is packed as f and g; it is drawn from them to within half a level.
"""

import base64
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns  # noqa: F401  (registers the color map vlag)
import xarray as xr

from grokinterp.figures import key_frequencies
from grokinterp.figures.structure import MOST_CIRCLES, MOST_HEADS
from grokinterp.figures.style import DIVERGING, PHASE_COLORS, SEQUENTIAL
from grokinterp.phases import Phase
from grokinterp.report.measures import MEASURES, series
from grokinterp.report.numbers import number

MOST_FRAMES = 400
"""A slider is about as many pixels wide."""

LEVELS = 255
READOUTS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "restricted_loss", "excluded_loss")

CURVES = {
    "train_loss": "train", "test_loss": "test", "restricted_loss": "restricted", "excluded_loss": "excluded",
}  # fmt: skip

Packed = dict[str, Any]


def frames(dataset: xr.Dataset, phases: Sequence[Phase], *, budget: int = 3_000_000) -> Packed | None:
    """Everything the slider shows, as JSON values; None without checkpoints or without any of its panels.

    Args:
        dataset: analyses over the checkpoints.
        phases: the checkpoints near their boundaries are shown more densely.
        budget: characters that the packed frames may take in the page; it decides how many checkpoints there are.
    """
    if not dataset.sizes["step"] or not any(name in dataset for name in PANELS):
        return None
    steps = dataset["step"].values
    room = min(int(budget // max(_characters_per_frame(dataset), 1)), MOST_FRAMES)
    chosen = dataset.isel(step=choose(steps, [phase.start for phase in phases], max(room, 2)))
    return {
        "steps": chosen["step"].values.tolist(),
        "total": len(steps),
        "phases": [_phase_of(int(step), phases) for step in chosen["step"].values],
        "colors": PHASE_COLORS,
        "keys": key_frequencies(dataset),
        "readouts": _readouts(chosen),
        "curves": _curves(chosen),
        "panels": {name: pack(chosen) for name, pack in PANELS.items() if name in chosen},
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
    """Coordinates [frame, key, (cos, sin), token] of the strongest key frequencies."""
    circle = dataset["embedding_circle"].isel(key=slice(MOST_CIRCLES)).transpose("step", "key", "axis", "exponent")
    return _numbers(circle.values) | {"keys": [int(k) for k in circle["key"].values]}


def pack_logits(dataset: xr.Dataset) -> Packed:
    """Mean centered logits [frame, sum, class] in levels from -reach to reach, with the reach of each frame."""
    values = dataset["logit_by_label"].transpose("step", "sum", "class").values.astype(float)
    reach = np.array([_reach(frame) for frame in values])
    levels = (values / reach[:, None, None] + 1) / 2
    return _levels(levels) | {"reach": [float(f"{value:.4g}") for value in reach]}


def pack_attention(dataset: xr.Dataset) -> Packed:
    """Attention to a, [frame, head, a, b]: as (f, g) where it is σ(f_a - g_b), else in levels from 0 to 1."""
    values = dataset["attention_to_a"].isel(head=slice(MOST_HEADS)).transpose("step", "head", "a", "b").values
    parts = separate(values)
    return _levels(values) if parts is None else _numbers(parts) | {"separable": True}


def separate(attention: np.ndarray) -> np.ndarray | None:
    """Scores f and g [..., 2, residue] with attention [..., a, b] = σ(f_a - g_b) to within half a level, None without.

    >>> a = 1 / (1 + np.exp(np.array([0.0, 1.0])[None, :] - np.array([2.0, 3.0])[:, None]))
    >>> separate(a).shape, separate(np.array([[0.1, 0.9], [0.9, 0.1]]))
    ((2, 2), None)
    """
    if attention.shape[-1] != attention.shape[-2] or not np.isfinite(attention).all():
        return None
    clipped = np.clip(attention.astype(float), 1e-12, 1 - 1e-12)
    score = np.log(clipped) - np.log1p(-clipped)
    f = score.mean(-1)
    g = f.mean(-1, keepdims=True) - score.mean(-2)
    again = 1 / (1 + np.exp(np.clip(g[..., None, :] - f[..., :, None], -700, 700)))
    return np.stack([f, g], axis=-2) if np.abs(again - attention).max() <= 0.5 / LEVELS else None


PANELS = {
    "embedding_power": pack_spectrum,
    "neuron_frequency": pack_neurons,
    "embedding_circle": pack_circles,
    "logit_by_label": pack_logits,
    "attention_to_a": pack_attention,
}


def _characters_per_frame(dataset: xr.Dataset) -> float:
    """Of the panels the dataset has, packed from a sample of its steps."""
    sample = dataset.isel(step=sorted({0, dataset.sizes["step"] // 2, dataset.sizes["step"] - 1}))
    return sum(len(pack(sample)["data"]) / sample.sizes["step"] for name, pack in PANELS.items() if name in dataset)


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
    return [
        {"label": measure.label.split(",")[0], "values": [number(float(value)) for value in values.values]}
        for measure, values in found
        if values is not None
    ]


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
