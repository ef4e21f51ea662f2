"""A small filter of every kind, the optimizers that filters are tried on, and tensors to optimize."""

import torch
from torch import nn
from torch.optim import ASGD, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop, Rprop

from grokinterp.optim import EGD, GradientFilter, GrokfastDual, GrokfastEMA, GrokfastMA, Muon, OrthoGrad

OPTIMIZERS = {
    "SGD": lambda params: SGD(params, lr=0.1),
    "fused SGD": lambda params: SGD(params, lr=0.1, fused=True),  # torch: fused momentum cannot begin later
    "momentum": lambda params: SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda params: Adam(params, lr=0.1, amsgrad=True),
    "AdamW": lambda params: AdamW(params, lr=0.1, foreach=False),
    "foreach AdamW": lambda params: AdamW(params, lr=0.1, foreach=True),
    "fused AdamW": lambda params: AdamW(params, lr=0.1, fused=True),
    "AdamW, lr a tensor": lambda params: AdamW(params, lr=torch.tensor(0.1), fused=True),
    "RMSprop": lambda params: RMSprop(params, lr=0.1, momentum=0.9),
    "Adagrad": lambda params: Adagrad(params, lr=0.1),
    "NAdam": lambda params: NAdam(params, lr=0.1),
    "RAdam": lambda params: RAdam(params, lr=0.1),
    "Adadelta": lambda params: Adadelta(params, lr=0.1),
    "Adamax": lambda params: Adamax(params, lr=0.1),
    "ASGD": lambda params: ASGD(params, lr=0.1),
    "Rprop": lambda params: Rprop(params, lr=0.1),
    "Muon": lambda params: Muon(params, lr=0.1),
}

FILTERS: dict[str, GradientFilter] = {
    "ema": GrokfastEMA(alpha=0.9),
    "ma": GrokfastMA(window=3),
    "ma at once": GrokfastMA(window=3, warm_up=False),
    "dual": GrokfastDual(ma=GrokfastMA(window=3, lamb=1.0)),
    "orthograd": OrthoGrad(),
    "egd": EGD(),
}
"""The table over which the general laws run."""

STACKS: dict[str, tuple[GradientFilter, ...]] = {
    **{name: (filter,) for name, filter in FILTERS.items()},
    "all": (GrokfastEMA(alpha=0.5), GrokfastMA(window=2, lamb=0.5), OrthoGrad(), EGD()),
}
"""Filters as an optimizer applies them, one after another."""

OFF = (
    GrokfastEMA(lamb=0.0),
    GrokfastMA(window=2, lamb=0.0),
    GrokfastDual(ema=GrokfastEMA(lamb=0.0), ma=GrokfastMA(window=3, lamb=0.0)),
)
"""Filters that do nothing."""


def weights(dtype=torch.float32):
    """A matrix, the matrices of two heads, a kernel, a vector of zeros and a single number."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(shape, generator=generator) for shape in ((4, 3), (2, 3, 2), (2, 2, 3, 2), (5,), (1,))]
    return [nn.Parameter(tensor.to(dtype)) for tensor in (*drawn[:3], 0 * drawn[3], drawn[4])]


def give_gradients(params, step):
    """Gradients that depend on the step and the weights; of one parameter at times none, at times zero or parallel."""
    generator = torch.Generator().manual_seed(step)
    for place, parameter in enumerate(params):
        noise = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        kinds = [
            0.3 * parameter.detach() + noise,
            0.3 * parameter.detach() + noise,
            None,
            0 * noise,
            parameter.detach(),
        ]
        which = (step + place) % len(kinds)
        parameter.grad = None if kinds[which] is None else kinds[which].clone()


def bits(tensors):
    return [tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() for tensor in tensors]
