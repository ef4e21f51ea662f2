"""The model class of every specification."""

from collections.abc import Callable

import torch

from grokinterp.errors import ConfigError
from grokinterp.models.mlp import MLP
from grokinterp.models.model import Model
from grokinterp.models.recorded import RecordedModel
from grokinterp.models.recorded_spec import as_recorded
from grokinterp.models.recorded_state import Weights
from grokinterp.models.recursive import RecursiveModel
from grokinterp.models.specifications import MLPSpec, ModelSpec, RecursiveSpec, TransformerSpec
from grokinterp.models.transformer import Transformer

CLASSES: dict[type[ModelSpec], Callable[..., Model]] = {
    TransformerSpec: Transformer,
    MLPSpec: MLP,
    RecursiveSpec: RecursiveModel,
}
"""The model class of every specification whose weights can be drawn; add new models here."""


def build(
    spec: ModelSpec,
    *,
    d_vocab: int,
    d_vocab_out: int,
    n_ctx: int,
    n_answers: int = 1,
    generator: torch.Generator | None = None,
) -> Model:
    """Return the specified model for a task of these sizes.

    Args:
        spec: the specification of the model. A recorded specification gives the weights without their module, and
            measures that need the module raise NotDefined.
        d_vocab: number of input tokens, including "=".
        d_vocab_out: number of classes.
        n_ctx: number of positions.
        n_answers: number of answers per sequence, read at its last positions.
        generator: random generator for the initial weights; without a generator they are zero, to be loaded.

    Raises:
        ConfigError: the specification does not fit the sizes or several answers, or a recorded model has a generator.
    """
    if spec.is_recorded:
        if generator is not None:
            raise ConfigError("kind", "recorded", "is trained by another loop; its initial weights cannot be drawn")
        return RecordedModel(as_recorded(spec), Weights(as_recorded(spec)))
    if n_answers > 1:
        spec.require_sequences()
    model = CLASSES[type(spec)](spec, d_vocab=d_vocab, d_vocab_out=d_vocab_out, n_ctx=n_ctx, generator=generator)
    model.n_answers = n_answers
    return model
