"""Interventions on a network: changes of its weights, and activations of another input."""

from grokinterp.interventions.ablate import ablate_frequencies
from grokinterp.interventions.graft import graft
from grokinterp.interventions.patch import patch
from grokinterp.interventions.scale import scaled

__all__ = ["ablate_frequencies", "graft", "patch", "scaled"]
