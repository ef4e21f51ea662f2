"""The parameters and buffers of a recorded module, with the module or without it."""

import torch
from torch import Tensor, nn

from grokinterp.errors import ConfigError, short
from grokinterp.models.recorded_spec import RecordedSpec


class Weights(nn.Module):
    """Parameters and buffers of a missing module by name, all zero."""

    def __init__(self, spec: RecordedSpec) -> None:
        super().__init__()
        # names with dots, which register_parameter would refuse
        self._parameters.update({name: nn.Parameter(torch.zeros(shape)) for name, shape in spec.parameters.items()})
        self._buffers.update({name: torch.zeros(shape) for name, shape in spec.buffers.items()})


def state_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return every parameter once, and every buffer in the state of the module, by name."""
    kept = module.state_dict().keys()
    buffers = {name: value for name, value in module.named_buffers() if name in kept}
    return dict(module.named_parameters()) | buffers


def require_fit(spec: RecordedSpec, module: nn.Module) -> None:
    """Raise ConfigError unless the module matches the recorded specification."""
    if isinstance(module, Weights):
        return
    there = {name: tuple(value.shape) for name, value in state_tensors(module).items()}
    wanted = spec.parameters | spec.buffers
    for name in (*wanted, *there):
        if there.get(name) != wanted.get(name):
            found = f"has {short(name)} {list(there[name])}" if name in there else f"has no {short(name)}"
            recorded = f"the recorded one has it as {list(wanted[name])}" if name in wanted else "it was not recorded"
            raise ConfigError("module", type(module).__name__, f"{found}; {recorded}")
    parts = dict(module.named_modules())
    for name in [*spec.hooks.keys() - spec.places.keys(), *(place.module for place in spec.places.values())]:
        if name not in parts:
            raise ConfigError("module", type(module).__name__, f"has no submodule {short(name)}, which was recorded")
