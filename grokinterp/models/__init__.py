"""Models with TransformerLens parameter and hook names; their specifications, which load without torch."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door
from grokinterp.models.recorded_spec import RecordedSpec
from grokinterp.models.specifications import MLPSpec, ModelSpec, RecursiveSpec, TransformerSpec

if TYPE_CHECKING:
    from grokinterp.models.classes import build
    from grokinterp.models.mlp import MLP, solved_addition
    from grokinterp.models.model import Model
    from grokinterp.models.program import ReadoutProgram, in_program
    from grokinterp.models.readout import Answers, Readout, ReadoutInputs
    from grokinterp.models.recorded import NEEDS_MODULE, Answer, RecordedModel
    from grokinterp.models.recorded_inputs import RecordedInputs
    from grokinterp.models.recursive import RecursiveModel
    from grokinterp.models.sites import HeadTail, NeuronTail, PatchSite
    from grokinterp.models.transformer import Transformer

MODELS: dict[str, type[ModelSpec]] = {spec.kind: spec for spec in (TransformerSpec, MLPSpec, RecursiveSpec)}
"""Every model a configuration may name, by its ``kind``; a new one joins this tuple."""

__all__ = [
    "MLP",
    "MODELS",
    "NEEDS_MODULE",
    "Answer",
    "Answers",
    "AnswersProgram",
    "HeadTail",
    "MLPSpec",
    "Model",
    "ModelSpec",
    "NeuronTail",
    "PatchSite",
    "Readout",
    "ReadoutInputs",
    "ReadoutProgram",
    "RecordedInputs",
    "RecordedModel",
    "RecordedSpec",
    "RecursiveModel",
    "RecursiveSpec",
    "Transformer",
    "TransformerSpec",
    "build",
    "in_program",
    "solved_addition",
]

__getattr__, __dir__ = front_door(
    __name__,
    {
        ".classes": ("build",),
        ".mlp": ("MLP", "solved_addition"),
        ".model": ("Model",),
        ".program": ("AnswersProgram", "ReadoutProgram", "in_program"),
        ".readout": ("Answers", "Readout", "ReadoutInputs"),
        ".recorded": ("NEEDS_MODULE", "Answer", "RecordedModel"),
        ".recorded_inputs": ("RecordedInputs",),
        ".recursive": ("RecursiveModel",),
        ".sites": ("HeadTail", "NeuronTail", "PatchSite"),
        ".transformer": ("Transformer",),
    },
    __all__,
)
