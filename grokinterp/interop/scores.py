"""Losses and answers of a network on every example, computed in chunks."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.losses import cross_entropy
from grokinterp.models import Model, ReadoutInputs

CELLS = 2**24
"""Number of logits computed at once."""


class Scores(NamedTuple):
    """Cross-entropy in nats, and whether the answer is correct, for every example."""

    losses: Float[Tensor, "example"]
    right: Bool[Tensor, "example"]

    @property
    def accuracy(self) -> float:
        return float(self.right.double().mean())

    def of(self, split: str, examples: Bool[Tensor, "example"]) -> dict[str, float]:
        """Return the mean loss and accuracy of a subset of the examples."""
        losses, right = self.losses[examples], self.right[examples].double()
        return {f"{split}_loss": float(losses.mean()), f"{split}_accuracy": float(right.mean())}


@torch.no_grad()
def score(model: Model, tokens: Int[Tensor, "example position"], labels: Int[Tensor, "example"]) -> Scores:
    """Score a float64 model on all examples."""
    parts = [
        (cross_entropy(logits, labels[chosen]), logits.argmax(1) == labels[chosen])
        for chosen, logits in _logits(model, tokens)
    ]
    losses, right = zip(*parts, strict=True)
    return Scores(torch.cat(losses), torch.cat(right))


@torch.no_grad()
def answers(model: Model, tokens: Int[Tensor, "example position"]) -> Int[Tensor, "example"]:
    """Return the class with the largest logit for every example."""
    return torch.cat([logits.argmax(1) for _, logits in _logits(model, tokens)])


@torch.no_grad()
def largest_difference(
    model: Model, tokens: Int[Tensor, "example position"], expected: Float[Tensor, "example class"]
) -> float:
    """Return the largest difference from the expected logits, relative to the largest expected logit."""
    scale = float(expected.abs().max()) or 1.0
    found = [float((logits - expected[chosen]).abs().max()) for chosen, logits in _logits(model, tokens)]
    return max(found) / scale


def _logits(model: Model, tokens: Int[Tensor, "example position"]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of examples with their logits."""
    inputs = ReadoutInputs.of(tokens)
    rows = max(1, CELLS // (model.W_U.shape[1] + model.kept_per_example))
    for chosen in torch.arange(len(tokens)).split(rows):
        yield chosen, model.readout(inputs.at(chosen)).logits
