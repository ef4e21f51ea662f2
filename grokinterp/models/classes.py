"""The class of every specification, which builds the model."""

from collections.abc import Callable

import torch

from grokinterp.errors import ConfigError
from grokinterp.models.mlp import MLP
from grokinterp.models.model import Model
from grokinterp.models.recorded import RecordedModel, Weights
from grokinterp.models.recorded_spec import RecordedSpec
from grokinterp.models.recursive import RecursiveModel
from grokinterp.models.specifications import MLPSpec, ModelSpec, RecursiveSpec, TransformerSpec
from grokinterp.models.transformer import Transformer

CLASSES: dict[type[ModelSpec], Callable[..., Model]] = {
    TransformerSpec: Transformer,
    MLPSpec: MLP,
    RecursiveSpec: RecursiveModel,
}
"""The model class of every specification whose weights can be drawn; a new model joins this table."""


def build(
    spec: ModelSpec, *, d_vocab: int, d_vocab_out: int, n_ctx: int, generator: torch.Generator | None = None
) -> Model:
    """Return the specified model for a task of these sizes.

    Args:
        spec: the choices that make the model. A recorded one gives the weights without their module: every measure
            that needs more says so.
        d_vocab: input tokens, "=" included.
        d_vocab_out: classes.
        n_ctx: positions.
        generator: draws the initial weights; without one they are zero, to be loaded.

    Raises:
        ConfigError: choices that do not fit the sizes, or a generator for a recorded model.
    """
    if isinstance(spec, RecordedSpec):
        if generator is not None:
            raise ConfigError("kind", "recorded", "is trained by another loop; there is nothing to draw")
        return RecordedModel(spec, Weights(spec))
    return CLASSES[type(spec)](spec, d_vocab=d_vocab, d_vocab_out=d_vocab_out, n_ctx=n_ctx, generator=generator)
