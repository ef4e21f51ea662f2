"""The optimizer that an experiment asks for."""

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from grokinterp.experiment import Optimization
from grokinterp.optim import Muon, filtered


def optimizer_of(optimization: Optimization, parameters: list[Tensor], lr: Tensor) -> Optimizer:
    """The optimizer with its filters; its learning rate is the tensor ``lr``, which the loop fills at every step."""
    o, on_gpu = optimization, lr.device.type == "cuda"
    optimizer: Optimizer
    if o.optimizer in ("adamw", "adam"):
        kind = AdamW if o.optimizer == "adamw" else Adam
        optimizer = kind(
            parameters, lr=lr, betas=o.betas, eps=o.eps, weight_decay=o.weight_decay, fused=True, capturable=on_gpu
        )
    elif o.optimizer == "sgd":
        optimizer = SGD(parameters, lr=lr, momentum=o.momentum, weight_decay=o.weight_decay, fused=True)
    else:
        optimizer = Muon(parameters, lr=lr, momentum=o.momentum, weight_decay=o.weight_decay, betas=o.betas, eps=o.eps)
    return filtered(optimizer, *o.filters) if o.filters else optimizer
