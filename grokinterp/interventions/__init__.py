"""Interventions on a network: a part of another checkpoint's weights, an activation of another input."""

from grokinterp.interventions.graft import graft
from grokinterp.interventions.patch import patch

__all__ = ["graft", "patch"]
