"""The checkpoint slider: its panels, and selected checkpoints packed compactly into the page.

Heatmaps are packed as one byte per pixel. Attention of the form A[a, b] = σ(f_a - g_b), as in every one-layer model,
whose score for a token depends on that token alone, is packed as f and g; it is drawn from them to within half a level.
"""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import seaborn as sns  # noqa: F401  (registers the color map vlag)
import xarray as xr

from grokinterp.figures import key_frequencies
from grokinterp.figures.circuit.verdict import verdicts
from grokinterp.figures.heatmaps import thin
from grokinterp.figures.structure.attention import MOST_HEADS, last_heads
from grokinterp.figures.structure.circles import MOST_CIRCLES
from grokinterp.figures.style import DIVERGING, SEQUENTIAL
from grokinterp.numbers import number
from grokinterp.phases import Phase
from grokinterp.report.phase_table import MEASURES, series
from grokinterp.report.plate import View, not_shown
from grokinterp.report.structure import attention_caption, circle_caption, thinned
from grokinterp.report.vocabulary import by_exponent, order_note

MOST_FRAMES = 400
"""Maximum number of frames; a slider is about as many pixels wide."""

LEVELS = 255
READOUTS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "restricted_loss", "excluded_loss")
READ = ("performance", "progress_measures", "logit_spectrum", "circuit_verdict")
"""Analyses that provide the numbers and curves of the slider."""

Packed = dict[str, Any]


class Panel(NamedTuple):
    """A figure that the slider moves.

    Attributes:
        name: the variable that the script draws on it.
        analyses: the analyses whose results it shows.
        title, caption: as for a plate.
        pack: returns its packed frames.
        css: its width class.
    """

    name: str
    analyses: tuple[str, ...]
    title: str
    caption: str | Callable[[xr.Dataset, View], str]
    pack: Callable[[xr.Dataset], Packed]
    css: str = "half"

    def with_text(self, data: xr.Dataset, view: View) -> "Panel":
        """Return the panel with its caption as text."""
        text = self.caption if isinstance(self.caption, str) else self.caption(data, view)
        shown = data[[self.name]] if self.name in data else data
        return self._replace(caption=f"{text}{order_note(shown, view.vocabulary)}")


class Explorer(NamedTuple):
    """The slider as plain values for the template; ``frames`` is None without checkpoints and without metrics.

    Attributes:
        frames: the data that the script draws.
        n_steps: number of checkpoints with results for all panels.
        panels: the panels in page order.
        missing: a sentence on panels that are not shown.
    """

    frames: Packed | None
    n_steps: int
    panels: list[Panel]
    missing: str


def explorer(view: View, *, budget: int) -> Explorer:
    """Return the slider of a run, packed into at most about ``budget`` bytes."""
    data, total = explored(view), view.results.dataset.sizes["step"]
    packed = frames(data, view, budget=budget, total=total) or bare(view)
    panels = [panel.with_text(data, view) for panel in available(data)] if packed and packed["panels"] else []
    missing = not_shown([name for panel in PANELS for name in panel.analyses], view)
    return Explorer(packed, data.sizes["step"], panels, missing)


def explored(view: View) -> xr.Dataset:
    """Return the results that the slider shows, over their common steps."""
    names = (*READ, *(name for panel in PANELS for name in panel.analyses))
    return by_exponent(view.results.joined(*names), view.vocabulary)


def bare(view: View) -> Packed | None:
    """Return a slider over the evaluations for the lead figure alone; None without evaluations."""
    metrics = view.results.metrics
    if not metrics.sizes["step"]:
        return None
    chosen = metrics.isel(step=choose(metrics["step"].values, [phase.start for phase in view.phases], MOST_FRAMES))
    return packed(chosen, view, panels=[]) | {"total": metrics.sizes["step"]}


def frames(dataset: xr.Dataset, view: View, *, budget: int = 3_000_000, total: int | None = None) -> Packed | None:
    """Return everything that the slider shows as JSON values; None without checkpoints or without panels.

    Args:
        dataset: analyses over the checkpoints.
        view: provides the phases, near whose boundaries checkpoints are denser, and the vocabulary of the axes.
        budget: maximum size of the packed frames in the page, in bytes; it limits the number of checkpoints.
        total: number of analyzed checkpoints, if the dataset contains only some of them.
    """
    if not dataset.sizes["step"] or not available(dataset):
        return None
    steps = dataset["step"].values
    fixed, per_frame = sizes(dataset, view)
    room = min(int((budget - fixed) // max(per_frame, 1)), MOST_FRAMES)
    chosen = dataset.isel(step=choose(steps, [phase.start for phase in view.phases], max(room, 2)))
    return packed(chosen, view) | {"total": len(steps) if total is None else total}


def packed(chosen: xr.Dataset, view: View, panels: Sequence[Panel] | None = None) -> Packed:
    """Return the frames of the selected checkpoints, for the available panels or some of them."""
    vocabulary = view.vocabulary
    shown = available(chosen) if panels is None else panels
    axis = "" if vocabulary.generator is None else f", as exponent of {vocabulary.generator}"
    return {
        "steps": chosen["step"].values.tolist(),
        "phases": [_phase_of(int(step), view.phases) for step in chosen["step"].values],
        "keys": key_frequencies(chosen),
        "readouts": _readouts(chosen),
        "words": {
            "label": vocabulary.label,
            "class": f"class{axis}",
            "token": "token" if vocabulary.generator is None else "exponent",
            "a": f"operand a{axis}",
            "b": f"operand b{axis}",
            "logit": f"mean centered logit [{vocabulary.logit_unit}]",
        },
        "panels": {panel.name: panel.pack(chosen) for panel in shown},
        "maps": {"sequential": _color_table(SEQUENTIAL), "diverging": _color_table(DIVERGING)},
    }


def sizes(dataset: xr.Dataset, view: View) -> tuple[int, float]:
    """Return the size independent of the frames and the size per frame, in bytes, measured on a sample of the steps."""
    sample = sorted({0, dataset.sizes["step"] // 2, dataset.sizes["step"] - 1})
    one, some = (len(json.dumps(packed(dataset.isel(step=at), view))) for at in (sample[-1:], sample))
    per_frame = (some - one) / (len(sample) - 1) if len(sample) > 1 else float(one)
    return int(one - per_frame), per_frame


def choose(steps: np.ndarray, boundaries: Sequence[int], most: int) -> list[int]:
    """Return indices of at most ``most`` steps: first, last, and evenly between, four times denser near boundaries.

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
    """Pack the embedding power [frame, frequency]."""
    return _numbers(dataset["embedding_power"].transpose("step", "frequency").values)


def pack_neurons(dataset: xr.Dataset) -> Packed:
    """Pack the frequency and explained variance of each neuron, [frame, (frequency, FVE), neuron]."""
    fve = dataset["neuron_fve"].values if "neuron_fve" in dataset else np.zeros(dataset["neuron_frequency"].shape)
    return _numbers(np.stack([dataset["neuron_frequency"].values, fve], axis=1))


def pack_circles(dataset: xr.Dataset) -> Packed:
    """Pack the coordinates [frame, key, (cos, sin), exponent] of the first key frequencies."""
    circle = dataset["embedding_circle"].isel(key=slice(MOST_CIRCLES)).transpose("step", "key", "axis", "exponent")
    return _numbers(circle.values) | {"keys": [int(k) for k in circle["key"].values]}


def pack_logits(dataset: xr.Dataset) -> Packed:
    """Pack mean centered logits [frame, label, class] in levels from -reach to reach, with the reach of each frame."""
    kept, every = thin(dataset["logit_by_label"], "label", "class")
    values = kept.transpose("step", "label", "class").values.astype(float)
    reach = np.array([_reach(frame) for frame in values])
    levels = (values / reach[:, None, None] + 1) / 2
    return _levels(levels) | {"reach": [float(f"{value:.4g}") for value in reach], "every": every}


def pack_attention(dataset: xr.Dataset) -> Packed:
    """Pack attention to a, [frame, head, a, b]: as (f, g) where it is σ(f_a - g_b), else in levels from 0 to 1."""
    kept, every = thin(dataset["attention_to_a"].isel(head=slice(MOST_HEADS)), "a", "b")
    values = kept.transpose("step", "head", "a", "b").values
    parts = separate(values)
    packed = _levels(values) if parts is None else _numbers(parts) | {"separable": True}
    return packed | {"every": every}


def pack_attention_by_position(dataset: xr.Dataset) -> Packed:
    """Pack mean attention [frame, row, position], a row for each head of the last layers."""
    rows, values = last_heads(dataset["attention_mean"])
    return _numbers(values.values) | {"rows": rows}


def separate(attention: np.ndarray) -> np.ndarray | None:
    """Return f and g [..., 2, operand] with attention [..., a, b] = σ(f_a - g_b) to within half a level, else None.

    An operand for which a ∘ b is never defined, such as b = 0 in a division, has the score NaN.

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


def available(dataset: xr.Dataset) -> list[Panel]:
    """Return the panels with data; the mean attention is shown only without attention by pairs."""
    by_position = {"attention_mean"} if "attention_to_a" in dataset else set()
    return [panel for panel in PANELS if panel.name in dataset and panel.name not in by_position]


PANELS = (
    Panel(
        "embedding_power", ("embedding_spectrum",), "Embedding spectrum",
        "Squared norm of the embedding's cosine and sine component at each frequency; key frequencies in orange.",
        pack_spectrum,
    ),
    Panel(
        "neuron_frequency", ("neuron_frequencies",), "Neuron frequencies",
        "Above: specialized neurons per frequency (more than 85 % of the variance explained). "
        "Below: every neuron at its frequency.",
        pack_neurons,
    ),
    Panel(
        "logit_by_label", ("logit_map",), "Logits by label",
        lambda data, _: (
            "Mean centered logit of every class for every label; the correct answers are on the diagonal."
            + thinned(data, "label", "label and class")
        ),
        pack_logits,
    ),
    Panel("embedding_circle", ("embedding_circles",), "Embedding circles", circle_caption, pack_circles, "wide"),
    Panel("attention_to_a", ("attention_map",), "Attention", attention_caption, pack_attention, "wide"),
    Panel(
        "attention_mean", ("attention_pattern",), "Attention", attention_caption, pack_attention_by_position, "wide",
    ),
)  # fmt: skip


def _numbers(values: np.ndarray) -> Packed:
    """Pack numbers as 16-bit levels between their extremes, low + (level + 32767) * step; -32768 is not finite."""
    finite = values[np.isfinite(values)].astype(float)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    step = (high - low) / 65534 or 1.0
    levels = np.where(np.isfinite(values), np.round((np.nan_to_num(values) - low) / step) - 32767, -32768)
    data = base64.b64encode(levels.astype("<i2").tobytes()).decode("ascii")
    return {"type": "int16", "shape": list(values.shape), "low": low, "step": step, "data": data}


def _levels(shares: np.ndarray) -> Packed:
    """Pack numbers from 0 to 1 as bytes 0 to 254; 255 is not finite."""
    levels = np.where(np.isfinite(shares), np.clip(shares, 0, 1) * (LEVELS - 1), LEVELS).round().astype(np.uint8)
    return {"type": "uint8", "shape": list(shares.shape), "data": base64.b64encode(levels.tobytes()).decode("ascii")}


def _reach(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0


def _readouts(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """Return the label and the formatted values of a few measures at every selected step."""
    found = [(measure, series(dataset, measure)) for measure in MEASURES if measure.name in READOUTS]
    written = [
        {"label": measure.label.split(",")[0], "values": [number(float(value)) for value in values.values]}
        for measure, values in found
        if values is not None
    ]
    circuit = [{"label": "circuit", "values": verdicts(dataset)}] if "is_circuit" in dataset else []
    return [*written, *circuit]


def _phase_of(step: int, phases: Sequence[Phase]) -> str:
    return next((phase.name for phase in phases if step in phase), "")


def _color_table(name: str) -> str:
    """Return 256 colors as one hexadecimal string."""
    return (mpl.colormaps[name](np.arange(256), bytes=True)[:, :3]).tobytes().hex()
