"""Filters: what happens to a gradient between the backward pass and the optimizer, on any optimizer; and optimizers."""

from grokinterp.optim.averaging import ModelEMA
from grokinterp.optim.curriculum import Curriculum
from grokinterp.optim.egd import EGD
from grokinterp.optim.filter import GradientFilter, Memory
from grokinterp.optim.filtering import Filtering, filtered, filters_of
from grokinterp.optim.grokfast import GrokfastDual, GrokfastEMA, GrokfastMA
from grokinterp.optim.muon import Muon
from grokinterp.optim.orthoadamw import OrthoAdamW
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

FILTERS: dict[str, type[GradientFilter]] = {
    filter.kind: filter for filter in (GrokfastEMA, GrokfastMA, GrokfastDual, OrthoGrad, EGD)
}
"""The filters there are, by kind."""

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
