"""Models with TransformerLens parameter and hook names."""

from grokinterp.models.model import Model, ModelSpec
from grokinterp.models.readout import Readout, ReadoutInputs
from grokinterp.models.transformer import Transformer, TransformerSpec

MODELS: dict[str, type[ModelSpec]] = {spec.kind: spec for spec in (TransformerSpec,)}
"""Every model a configuration may name, by its ``kind``; a new one joins this tuple."""

__all__ = [
    "MODELS",
    "Model",
    "ModelSpec",
    "Readout",
    "ReadoutInputs",
    "Transformer",
    "TransformerSpec",
]
