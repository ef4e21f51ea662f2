"""Filters for any torch optimizer, which remains the same object, and the saving of their memory."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from grokinterp.errors import ConfigError, short
from grokinterp.optim.filter import GradientFilter, Memory

AnyOptimizer = TypeVar("AnyOptimizer", bound=Optimizer)

HOOKS = {
    "_optimizer_step_pre_hooks": "before_step",
    "_optimizer_step_post_hooks": "after_step",
    "_optimizer_state_dict_post_hooks": "save",
    "_optimizer_load_state_dict_pre_hooks": "check",
    "_optimizer_load_state_dict_post_hooks": "load",
}
"""The attributes in which a torch optimizer keeps its hooks, and the methods of ``Filtering`` used as hooks."""


class Filtering:
    """The filters of an optimizer and their memory of its parameters.

    Source: the hooks of torch.optim.Optimizer; torch.amp.GradScaler for ``grad_scale`` and ``found_inf``.

    Args:
        optimizer: the optimizer whose gradients are filtered.
        given: the filters in order.
        lr_normalize: whether to divide the learning rate by the gain of the filters.
    """

    def __init__(self, optimizer: Optimizer, given: tuple[GradientFilter, ...], *, lr_normalize: bool) -> None:
        self.optimizer, self.given, self.lr_normalize = optimizer, given, lr_normalize
        self.factor = 1.0
        self.filters = given
        self.memory: dict[Tensor, list[Memory]] = {}
        self.arriving: tuple[float, dict[Tensor, list[Memory]]] | None = None
        self.set_aside: list[tuple[dict[str, Any], Any]] = []
        self.scale: Tensor | None = None
        self.passed: list[tuple[int, int]] | None = None

    @property
    def gain(self) -> float:
        """The factor by which all filters together multiply a constant gradient."""
        return prod((filter.gain for filter in self.filters), start=1.0)

    def boost(self, factor: float | int) -> None:
        """Multiply every λ by ``factor`` from now on; the boost is saved with the memory.

        Raises:
            ConfigError: if a λ would become negative or infinite.
        """
        self._set_factor(self.factor * factor)

    def attach(self) -> None:
        """Register the hooks.

        Raises:
            ConfigError: if a parameter is complex.
        """
        for name, parameter in named(self.optimizer):
            require_real_and_dense(name, parameter)
        self.optimizer.register_step_pre_hook(self.before_step)
        self.optimizer.register_step_post_hook(self.after_step)
        self.optimizer.register_state_dict_post_hook(self.save)
        self.optimizer.register_load_state_dict_pre_hook(self.check)
        self.optimizer.register_load_state_dict_post_hook(self.load)
        self.optimizer.__dict__["__getstate__"] = self.copied

    def copied(self) -> dict[str, Any]:
        """Return the state of a copied or pickled optimizer, with the hooks, which torch omits."""
        hooks = {place: OrderedDict(filters=getattr(self, method)) for place, method in HOOKS.items()}
        return {**type(self.optimizer).__getstate__(self.optimizer), **hooks, "__getstate__": self.copied}

    # A step.

    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Filter the existing gradients, or the gradients of the closure once it has computed them."""
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            return self.filter_gradients()
        closure = self.then_filter(closure)
        if "closure" in kwargs:
            return args, {**kwargs, "closure": closure}
        return (args[0], closure, *args[2:]), kwargs

    def then_filter(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """Return a closure that computes the gradients and then filters them."""

        def evaluate() -> Any:
            loss = closure()
            self.filter_gradients()
            return loss

        return evaluate

    def after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Restore the learning rates and the gradient scale of the optimizer."""
        for group, lr in self.set_aside:
            group["lr"] = lr
        if self.scale is not None:
            self.optimizer.__dict__["grad_scale"] = self.scale
        self.set_aside, self.scale, self.passed = [], None, None

    @torch.no_grad()
    def filter_gradients(self) -> None:
        """Overwrite every gradient with its filtered value; parameters without a gradient are skipped.

        The step of a subclass that calls the step of its parent runs this twice: gradients that were filtered and not
        changed since are not filtered again before the step ends. If ``found_inf`` marks the update as skipped, the
        filters do not see the gradients.
        """
        found = [(name, parameter) for name, parameter in named(self.optimizer) if parameter.grad is not None]
        for name, parameter in found:
            require_real_and_dense(name, parameter)
        if self.passed is not None and self.passed == versions(found):
            return
        self.after_step(self.optimizer, (), {})  # left by a failed step
        self._require_no_capture()
        if bool(getattr(self.optimizer, "found_inf", None)):
            return
        self._take_scale()
        for _, parameter in found:
            self._pass(parameter)
        self._divide_learning_rates()
        self.passed = versions(found)

    def _pass(self, parameter: Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None
        wide = torch.promote_types(gradient.dtype, torch.float32)
        value, weight = gradient.detach().to(wide), parameter.detach().to(wide)
        if self.scale is not None:
            value = value / self.scale.to(value.device)
        kept = []
        for filter, memory in zip(self.filters, self.memory.get(parameter, [None] * len(self.filters)), strict=True):
            value, memory = filter(value, weight, memory)
            kept.append(memory)
        self.memory[parameter] = kept
        gradient.copy_(value)

    def _take_scale(self) -> None:
        """Set aside ``grad_scale``, by which fused optimizers divide, since filtered gradients are already divided."""
        self.scale = getattr(self.optimizer, "grad_scale", None)
        if self.scale is not None:
            self.optimizer.__dict__["grad_scale"] = None

    def _divide_learning_rates(self) -> None:
        """Divide the learning rates of all parameter groups by the gain until the end of the step.

        ``Optimization.learning_rate`` divides too, for the runs of ``train``, which use the optimizer without
        ``lr_normalize``: there, the warm-up and the schedule are multiplied into the rate before the division, and
        another order would round differently. This method serves optimizers of other loops, whose schedulers must see
        the undivided rate.
        """
        if self.lr_normalize and self.gain != 1:
            self.set_aside = [(group, group["lr"]) for group in self.optimizer.param_groups]
            for group in self.optimizer.param_groups:
                group["lr"] = group["lr"] / self.gain

    def _require_no_capture(self) -> None:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            kinds = ", ".join(filter.kind for filter in self.filters)
            raise ConfigError("filters", kinds, "cannot run in a CUDA graph: call step outside of it")

    # The state.

    def save(self, optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
        """Add the filters, their boosts and their memory by parameter index to a state dict."""
        memory = {index: self.memory[one] for index, one in indexed(optimizer, state_dict) if one in self.memory}
        state_dict["filters"] = {"given": self._named(), "boost": self.factor, "memory": memory}

    def check(self, optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
        """Extract the filters' part of a state dict before it is loaded.

        Raises:
            ConfigError: if it is missing while a filter has memory, or belongs to other filters or other parameters.
        """
        saved = state_dict.pop("filters", None)
        if saved is None:
            if any(filter.has_memory for filter in self.given):
                raise ConfigError("filters", None, "the state was saved without filters: load it before filtered(…)")
            self.arriving = 1.0, {}
            return
        of = saved.get("given") if isinstance(saved, Mapping) else saved
        if of != self._named():
            raise ConfigError("filters", short(of), f"the state belongs to other filters than {short(self._named())}")
        parameters = dict(indexed(optimizer, state_dict))
        kept = {parameters[index]: memory for index, memory in saved["memory"].items() if index in parameters}
        self.arriving = saved["boost"], {one: moved(memory, one) for one, memory in kept.items()}

    def load(self, optimizer: Optimizer) -> None:
        """Restore the part extracted by ``check`` after the rest is loaded."""
        if self.arriving is not None:
            factor, self.memory = self.arriving
            self._set_factor(factor)
            self.arriving = None

    def _named(self) -> list[dict[str, Any]]:
        return [asdict(filter) for filter in self.given]  # ty: ignore[invalid-argument-type]

    def _set_factor(self, factor: float | int) -> None:
        self.filters = tuple(filter.boosted(factor) for filter in self.given)
        self.factor = float(factor)


def filtering_of(optimizer: Optimizer) -> Filtering | None:
    """Return the ``Filtering`` whose hook the optimizer has, or None."""
    owners = (getattr(hook, "__self__", None) for hook in optimizer._optimizer_step_pre_hooks.values())
    return next((owner for owner in owners if isinstance(owner, Filtering)), None)


def named(optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Yield every parameter with its name if the optimizer has names, else its position."""
    for i, group in enumerate(optimizer.param_groups):
        places = [f"param_groups[{i}].params[{j}]" for j in range(len(group["params"]))]
        yield from zip(group.get("param_names", places), group["params"], strict=True)


def indexed(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> Iterator[tuple[int, Tensor]]:
    """Yield every parameter with its index in a state dict."""
    for group, saved in zip(optimizer.param_groups, state_dict["param_groups"], strict=False):
        yield from zip(saved["params"], group["params"], strict=False)


def versions(found: list[tuple[str, Tensor]]) -> list[tuple[int, int]]:
    """Return the identity and version of each gradient, which reveal whether it was changed or replaced."""
    return [(id(parameter.grad), parameter.grad._version) for _, parameter in found if parameter.grad is not None]


def require_real_and_dense(name: str, parameter: Tensor) -> None:
    """Raise ConfigError if a parameter or its gradient is complex, or the gradient is sparse."""
    if parameter.is_complex():
        raise ConfigError(name, "complex", "filters take real parameters only")
    if parameter.grad is not None and parameter.grad.layout is not torch.strided:
        raise ConfigError(name, "sparse gradient", "filters take dense gradients only (sparse=False)")


def moved(memory: Memory, parameter: Tensor) -> Memory:
    """Move a memory to the parameter's device, in the precision in which its gradients are filtered.

    Raises:
        ConfigError: if it belongs to a parameter of another shape.
    """
    if isinstance(memory, list | tuple):
        return type(memory)(moved(part, parameter) for part in memory)
    if not isinstance(memory, Tensor):
        return memory
    if memory.shape != parameter.shape:
        rule = f"the state belongs to other parameters: the shape here is {tuple(parameter.shape)}"
        raise ConfigError("filters", tuple(memory.shape), rule)
    return memory.to(parameter.device, torch.promote_types(parameter.dtype, torch.float32))


def filtered(optimizer: AnyOptimizer, *filters: GradientFilter, lr_normalize: bool = False) -> AnyOptimizer:
    """Return the same optimizer, whose every step first applies the filters to the gradients, in the given order.

    The class, schedulers, parameter groups, closures and ``GradScaler`` work as before. ``.grad`` is overwritten with
    the filtered gradient. The memory of the filters is in ``optimizer.state_dict()["filters"]``, and in a copied or
    pickled optimizer. float16 and bfloat16 gradients are filtered and remembered in float32, since (1 - α) g would be
    rounded away in a moving average with 8 or 11 bits.

    A filter that amplifies makes the steps of plain gradient descent ``gain`` times as long (1 + λ). ``lr_normalize``
    divides the learning rate by the gain during each step, in all parameter groups; schedulers see and set the
    undivided rate. Decoupled weight decay, which removes lr · weight_decay of the weights, is divided as well: multiply
    ``weight_decay`` by the gain to keep it. An optimizer that divides by the size of the gradient (Adam, RMSprop, Muon,
    Rprop) does not take longer steps for a longer gradient, but takes shorter steps with lr_normalize.

    >>> import torch
    >>> from grokinterp.optim import GrokfastEMA
    >>> weight = torch.nn.Parameter(torch.zeros(()))
    >>> optimizer = filtered(torch.optim.SGD([weight], lr=1.0), GrokfastEMA(lamb=2.0))
    >>> weight.grad = torch.tensor(1.0)
    >>> optimizer.step()
    >>> weight.item()
    -3.0

    Args:
        optimizer: an optimizer of real parameters with dense gradients.
        filters: the filters, in order.
        lr_normalize: whether to divide the learning rate by the gain of the filters.

    Raises:
        ConfigError: for an optimizer that has filters, LBFGS, complex parameters, or an object that is not a filter; in
            ``step``, for a sparse or complex gradient, including gradients of parameters added by ``add_param_group``;
            in ``load_state_dict``, for a state without these filters.
    """
    if not isinstance(optimizer, Optimizer):
        raise ConfigError("optimizer", short(optimizer), "must be a torch.optim.Optimizer")
    for filter in filters:
        if not isinstance(filter, GradientFilter):
            raise ConfigError("filters", short(filter), "must each be a filter, such as GrokfastEMA()")
    if isinstance(optimizer, LBFGS):
        raise ConfigError("optimizer", "LBFGS", "evaluates several gradients per step, for which filters are undefined")
    if filtering_of(optimizer) is not None:
        raise ConfigError("optimizer", type(optimizer).__name__, "already has filters: pass all filters at once")
    Filtering(optimizer, filters, lr_normalize=lr_normalize).attach()
    return optimizer


def filters_of(optimizer: Optimizer) -> Filtering:
    """Return the filters of an optimizer, with their memory.

    Raises:
        ConfigError: if it has none.
    """
    filtering = filtering_of(optimizer)
    if filtering is None:
        raise ConfigError("optimizer", type(optimizer).__name__, "has no filters: add them by filtered(optimizer, …)")
    return filtering
