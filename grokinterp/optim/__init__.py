"""Filters: what happens to a gradient between the backward pass and the optimizer, as pure functions."""

from grokinterp.optim.filter import GradientFilter, Memory
from grokinterp.optim.grokfast import GrokfastDual, GrokfastEMA, GrokfastMA
from grokinterp.optim.orthograd import OrthoGrad

__all__ = ["GradientFilter", "GrokfastDual", "GrokfastEMA", "GrokfastMA", "Memory", "OrthoGrad"]
