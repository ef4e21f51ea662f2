"""The weights of several runs of one model in a single buffer, with a leading run axis."""

from collections.abc import Iterable, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from grokinterp.models import Model


@final
class FlatWeights:
    """The parameters of several models of one specification, and their gradients, one row per run.

    The parameters of the models become views of the rows, so that each model has the current weights of its run.
    ``leaves`` holds each parameter of all runs as a tensor [run, *shape] that shares the storage.

    Args:
        models: the models with their initial weights, in the order of the runs.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        named = dict(models[0].named_parameters())
        self.names, self.shapes = list(named), [weight.shape for weight in named.values()]
        self.values: Float[Tensor, "run weight"] = torch.stack([flattened(model) for model in models])
        self.gradients = torch.zeros_like(self.values)
        for model, row in zip(models, self.values, strict=True):
            for weight, view in zip(model.parameters(), self.split(row), strict=True):
                weight.data = view
        self.leaves: dict[str, Tensor] = {name: nn.Parameter(view) for name, view in self.by_name(self.values).items()}

    @property
    def places(self) -> range:
        """The positions of the parameters."""
        return range(len(self.names))

    def by_name(self, flat: Float[Tensor, "run weight"]) -> dict[str, Float[Tensor, "run *shape"]]:
        """Return views of all rows, one per parameter."""
        return dict(zip(self.names, self.split(flat), strict=True))

    def split(self, flat: Float[Tensor, "*run weight"]) -> list[Tensor]:
        """Return views of a row, or of all rows, one per parameter in its shape."""
        sizes = [shape.numel() for shape in self.shapes]
        return [
            part.unflatten(-1, shape) if shape else part.squeeze(-1)
            for part, shape in zip(flat.split(sizes, dim=-1), self.shapes, strict=True)
        ]


def flattened(model: Model) -> Float[Tensor, "weight"]:
    """Return a copy of all parameters as a vector."""
    return joined_row([weight.detach() for weight in model.parameters()])


def joined_row(parameters: Iterable[Tensor]) -> Float[Tensor, "weight"]:
    """Join tensors, one in the shape of each parameter, into a vector."""
    return torch.cat([part.reshape(-1) for part in parameters])
