"""Models with TransformerLens parameter and hook names."""

from grokinterp.models.mlp import MLP, MLPSpec, solved_addition
from grokinterp.models.model import Model, ModelSpec, ReadoutProgram
from grokinterp.models.readout import Readout, ReadoutInputs
from grokinterp.models.recursive import RecursiveModel, RecursiveSpec
from grokinterp.models.transformer import Transformer, TransformerSpec

MODELS: dict[str, type[ModelSpec]] = {spec.kind: spec for spec in (TransformerSpec, MLPSpec, RecursiveSpec)}
"""Every model a configuration may name, by its ``kind``; a new one joins this tuple."""

__all__ = [
    "MLP",
    "MODELS",
    "MLPSpec",
    "Model",
    "ModelSpec",
    "Readout",
    "ReadoutInputs",
    "ReadoutProgram",
    "RecursiveModel",
    "RecursiveSpec",
    "Transformer",
    "TransformerSpec",
    "solved_addition",
]
