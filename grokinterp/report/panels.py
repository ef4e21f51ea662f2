"""The panels that the slider moves, and the packing of their frames.

Heatmaps are packed as one byte per pixel. Attention of the form A[a, b] = σ(f_a - g_b), as in every one-layer model,
whose score for a token depends on that token alone, is packed as f and g; it is drawn from them to within half a level.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr

from grokinterp.figures.heatmaps import thin
from grokinterp.figures.structure.attention import MOST_HEADS, last_heads
from grokinterp.figures.structure.circles import MOST_CIRCLES
from grokinterp.page.packing import COARSE, Packed, pack, pack_coarsely
from grokinterp.report.plate import View
from grokinterp.report.structure import attention_caption, circle_caption, thinned
from grokinterp.report.vocabulary import order_note


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


def pack_spectrum(dataset: xr.Dataset) -> Packed:
    """Pack the embedding power [frame, frequency]."""
    return pack(dataset["embedding_power"].transpose("step", "frequency").values)


def pack_neurons(dataset: xr.Dataset) -> Packed:
    """Pack the frequency and explained variance of each neuron, [frame, (frequency, FVE), neuron]."""
    fve = dataset["neuron_fve"].values if "neuron_fve" in dataset else np.zeros(dataset["neuron_frequency"].shape)
    return pack(np.stack([dataset["neuron_frequency"].values, fve], axis=1))


def pack_circles(dataset: xr.Dataset) -> Packed:
    """Pack the coordinates [frame, key, (cos, sin), exponent] of the first key frequencies."""
    circle = dataset["embedding_circle"].isel(key=slice(MOST_CIRCLES)).transpose("step", "key", "axis", "exponent")
    return pack(circle.values) | {"keys": [int(k) for k in circle["key"].values]}


def pack_logits(dataset: xr.Dataset) -> Packed:
    """Pack mean centered logits [frame, label, class] in levels from -reach to reach, with the reach of each frame."""
    kept, every = thin(dataset["logit_by_label"], "label", "class")
    values = kept.transpose("step", "label", "class").values.astype(float)
    reach = np.array([_reach(frame) for frame in values])
    levels = (values / reach[:, None, None] + 1) / 2
    return pack_coarsely(levels) | {"reach": [float(f"{value:.4g}") for value in reach], "every": every}


def pack_attention(dataset: xr.Dataset) -> Packed:
    """Pack attention to a, [frame, head, a, b]: as (f, g) where it is σ(f_a - g_b), else in levels from 0 to 1."""
    kept, every = thin(dataset["attention_to_a"].isel(head=slice(MOST_HEADS)), "a", "b")
    values = kept.transpose("step", "head", "a", "b").values
    parts = separate(values)
    found = pack_coarsely(values) if parts is None else pack(parts) | {"separable": True}
    return found | {"every": every}


def pack_attention_by_position(dataset: xr.Dataset) -> Packed:
    """Pack mean attention [frame, row, position], a row for each head of the last layers."""
    rows, values = last_heads(dataset["attention_mean"])
    return pack(values.values) | {"rows": rows}


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
    if np.abs(again - inside).max() > 0.5 / COARSE:
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


def _reach(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0
