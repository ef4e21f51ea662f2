"""Models with TransformerLens parameter and hook names."""

from grokinterp.models.mlp import MLP, MLPSpec, solved_addition
from grokinterp.models.model import Model, ModelSpec, ReadoutProgram, in_program
from grokinterp.models.readout import Readout, ReadoutInputs
from grokinterp.models.recorded import NEEDS_MODULE, Answer, RecordedModel
from grokinterp.models.recorded_inputs import ProbeInputs
from grokinterp.models.recorded_spec import RecordedSpec
from grokinterp.models.recursive import RecursiveModel, RecursiveSpec
from grokinterp.models.transformer import Transformer, TransformerSpec

MODELS: dict[str, type[ModelSpec]] = {spec.kind: spec for spec in (TransformerSpec, MLPSpec, RecursiveSpec)}
"""Every model a configuration may name, by its ``kind``; a new one joins this tuple."""

__all__ = [
    "MLP",
    "MODELS",
    "NEEDS_MODULE",
    "Answer",
    "MLPSpec",
    "Model",
    "ModelSpec",
    "ProbeInputs",
    "Readout",
    "ReadoutInputs",
    "ReadoutProgram",
    "RecordedModel",
    "RecordedSpec",
    "RecursiveModel",
    "RecursiveSpec",
    "Transformer",
    "TransformerSpec",
    "in_program",
    "solved_addition",
]
