"""Gradient filters for any optimizer, applied between the backward pass and the update; optimizers and schedules."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door
from grokinterp.optim.curriculum import Curriculum
from grokinterp.optim.egd import EGD
from grokinterp.optim.filter import GradientFilter, Memory
from grokinterp.optim.grokfast import GrokfastDual, GrokfastEMA, GrokfastMA
from grokinterp.optim.orthograd import OrthoGrad
from grokinterp.optim.schedules import (
    BATCH_SCHEDULES,
    LR_SCHEDULES,
    WEIGHT_DECAY_SCHEDULES,
    Constant,
    Cosine,
    Cyclic,
    Evaluation,
    Gap,
    Increasing,
    Mastery,
    Plateau,
    Schedule,
    as_lambda,
)

if TYPE_CHECKING:
    from grokinterp.optim.averaging import ModelEMA
    from grokinterp.optim.filtering import Filtering, filtered, filters_of
    from grokinterp.optim.muon import Muon
    from grokinterp.optim.orthoadamw import OrthoAdamW

FILTERS: dict[str, type[GradientFilter]] = {
    filter.kind: filter for filter in (GrokfastEMA, GrokfastMA, GrokfastDual, OrthoGrad, EGD)
}
"""All filters by kind."""

__all__ = [
    "BATCH_SCHEDULES",
    "EGD",
    "FILTERS",
    "LR_SCHEDULES",
    "WEIGHT_DECAY_SCHEDULES",
    "Constant",
    "Cosine",
    "Curriculum",
    "Cyclic",
    "Evaluation",
    "Filtering",
    "Gap",
    "GradientFilter",
    "GrokfastDual",
    "GrokfastEMA",
    "GrokfastMA",
    "Increasing",
    "Mastery",
    "Memory",
    "ModelEMA",
    "Muon",
    "OrthoAdamW",
    "OrthoGrad",
    "Plateau",
    "Schedule",
    "as_lambda",
    "filtered",
    "filters_of",
]

__getattr__, __dir__ = front_door(
    __name__,
    {
        ".averaging": ("ModelEMA",),
        ".filtering": ("Filtering", "filtered", "filters_of"),
        ".muon": ("Muon",),
        ".orthoadamw": ("OrthoAdamW",),
    },
    __all__,
)
