"""Figures of a run: a dataset goes in, a matplotlib Figure comes out; nothing is measured, nothing global is kept."""

from grokinterp.figures.health import (
    alignment,
    alignment_by_parameter,
    class_cosine,
    effective_rank,
    logit_magnitude,
    logit_margin,
    singular_values,
    softmax_collapse,
)
from grokinterp.figures.structure import attention, attention_by_position, circles, spectra
from grokinterp.figures.style import to_png, to_svg
from grokinterp.figures.timeline import key_frequencies, timeline

__all__ = [
    "alignment",
    "alignment_by_parameter",
    "attention",
    "attention_by_position",
    "circles",
    "class_cosine",
    "effective_rank",
    "key_frequencies",
    "logit_magnitude",
    "logit_margin",
    "singular_values",
    "softmax_collapse",
    "spectra",
    "timeline",
    "to_png",
    "to_svg",
]
