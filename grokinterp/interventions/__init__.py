"""Interventions on a network: parts of another checkpoint's weights, activations of another input."""

from grokinterp.interventions.graft import graft
from grokinterp.interventions.patch import patch

__all__ = ["graft", "patch"]
