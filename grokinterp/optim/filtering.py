"""Filters on any torch optimizer, which stays the object it is, and how their memory is saved."""

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
"""Where a torch optimizer keeps its hooks, and the method of ``Filtering`` that is the hook."""


class Filtering:
    """The filters of one optimizer and their memory of its parameters.

    Source: the hooks of torch.optim.Optimizer; torch.amp.GradScaler for ``grad_scale`` and ``found_inf``.

    Args:
        optimizer: whose gradients are filtered.
        given: the filters in their order.
        lr_normalize: whether to divide the learning rate by their gain.
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
        """By what all filters together multiply a gradient that never changes."""
        return prod((filter.gain for filter in self.filters), start=1.0)

    def boost(self, factor: float | int) -> None:
        """Multiply every λ by ``factor`` from now on; saved with the memory.

        Raises:
            ConfigError: a λ would become negative or infinite.
        """
        self._set_factor(self.factor * factor)

    def attach(self) -> None:
        """Register the hooks.

        Raises:
            ConfigError: a complex parameter.
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
        """What a copied or pickled optimizer consists of; torch leaves the hooks behind, here they come along."""
        hooks = {place: OrderedDict(filters=getattr(self, method)) for place, method in HOOKS.items()}
        return {**type(self.optimizer).__getstate__(self.optimizer), **hooks, "__getstate__": self.copied}

    # A step.

    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Filter the gradients that are there, or those that the closure makes, once it has made them."""
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            return self.filter_gradients()
        closure = self.then_filter(closure)
        if "closure" in kwargs:
            return args, {**kwargs, "closure": closure}
        return (args[0], closure, *args[2:]), kwargs

    def then_filter(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure, and after it the filters."""

        def evaluate() -> Any:
            loss = closure()
            self.filter_gradients()
            return loss

        return evaluate

    def after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Give the optimizer back the learning rates and the gradient scale that are its own."""
        for group, lr in self.set_aside:
            group["lr"] = lr
        if self.scale is not None:
            self.optimizer.__dict__["grad_scale"] = self.scale
        self.set_aside, self.scale, self.passed = [], None, None

    @torch.no_grad()
    def filter_gradients(self) -> None:
        """Overwrite every gradient by what the filters make of it; one that is None has no part in it.

        The step of a subclass that calls the step of its parent comes here twice: gradients that have passed and were
        not touched since do not pass again before the step ends. Where ``found_inf`` says that the update will not be
        applied, the filters do not see the gradients.
        """
        found = [(name, parameter) for name, parameter in named(self.optimizer) if parameter.grad is not None]
        for name, parameter in found:
            require_real_and_dense(name, parameter)
        if self.passed is not None and self.passed == versions(found):
            return
        self.after_step(self.optimizer, (), {})  # what a step that failed has left
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
        """Fused optimizers divide by ``grad_scale`` themselves; gradients that have passed are divided already."""
        self.scale = getattr(self.optimizer, "grad_scale", None)
        if self.scale is not None:
            self.optimizer.__dict__["grad_scale"] = None

    def _divide_learning_rates(self) -> None:
        if self.lr_normalize and self.gain != 1:
            self.set_aside = [(group, group["lr"]) for group in self.optimizer.param_groups]
            for group in self.optimizer.param_groups:
                group["lr"] = group["lr"] / self.gain

    def _require_no_capture(self) -> None:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            kinds = ", ".join(filter.kind for filter in self.filters)
            raise ConfigError("filters", kinds, "a CUDA graph cannot hold them: take the step outside of it")

    # The state.

    def save(self, optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
        """Add the filters, their boosts and their memory by the parameters' indices to a state dict."""
        memory = {index: self.memory[one] for index, one in indexed(optimizer, state_dict) if one in self.memory}
        state_dict["filters"] = {"given": self._named(), "boost": self.factor, "memory": memory}

    def check(self, optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
        """Take the filters' part from a state dict that is about to be loaded.

        Raises:
            ConfigError: there is none, or it is of other filters, or of other parameters.
        """
        saved = state_dict.pop("filters", None)
        if saved is None:
            if any(filter.has_memory for filter in self.given):
                raise ConfigError("filters", None, "the state was saved without filters: load it before filtered(…)")
            self.arriving = 1.0, {}
            return
        of = saved.get("given") if isinstance(saved, Mapping) else saved
        if of != self._named():
            raise ConfigError("filters", short(of), f"the state is of other filters than {short(self._named())}")
        parameters = dict(indexed(optimizer, state_dict))
        kept = {parameters[index]: memory for index, memory in saved["memory"].items() if index in parameters}
        self.arriving = saved["boost"], {one: moved(memory, one) for one, memory in kept.items()}

    def load(self, optimizer: Optimizer) -> None:
        """Put in place what ``check`` took, now that the rest is loaded."""
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
    """The one whose hook an optimizer has."""
    owners = (getattr(hook, "__self__", None) for hook in optimizer._optimizer_step_pre_hooks.values())
    return next((owner for owner in owners if isinstance(owner, Filtering)), None)


def named(optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Every parameter, with its name where the optimizer was given names, else its place."""
    for i, group in enumerate(optimizer.param_groups):
        places = [f"param_groups[{i}].params[{j}]" for j in range(len(group["params"]))]
        yield from zip(group.get("param_names", places), group["params"], strict=True)


def indexed(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> Iterator[tuple[int, Tensor]]:
    """Every parameter, with the number it has in a state dict."""
    for group, saved in zip(optimizer.param_groups, state_dict["param_groups"], strict=False):
        yield from zip(saved["params"], group["params"], strict=False)


def versions(found: list[tuple[str, Tensor]]) -> list[tuple[int, int]]:
    """What tells whether gradients were changed or exchanged."""
    return [(id(parameter.grad), parameter.grad._version) for _, parameter in found if parameter.grad is not None]


def require_real_and_dense(name: str, parameter: Tensor) -> None:
    """Raise ConfigError where a parameter or its gradient is complex, or the gradient sparse."""
    if parameter.is_complex():
        raise ConfigError(name, "complex", "filters take real parameters only")
    if parameter.grad is not None and parameter.grad.layout is not torch.strided:
        raise ConfigError(name, "sparse gradient", "filters take dense gradients only (sparse=False)")


def moved(memory: Memory, parameter: Tensor) -> Memory:
    """A memory on the parameter's device, in the precision that its gradients are filtered in.

    Raises:
        ConfigError: it is of a parameter of another shape.
    """
    if isinstance(memory, list | tuple):
        return type(memory)(moved(part, parameter) for part in memory)
    if not isinstance(memory, Tensor):
        return memory
    if memory.shape != parameter.shape:
        rule = f"the state is of other parameters: here the shape is {tuple(parameter.shape)}"
        raise ConfigError("filters", tuple(memory.shape), rule)
    return memory.to(parameter.device, torch.promote_types(parameter.dtype, torch.float32))


def filtered(optimizer: AnyOptimizer, *filters: GradientFilter, lr_normalize: bool = False) -> AnyOptimizer:
    """The same optimizer, whose every step first passes the gradients through the filters, in the order given.

    The class, schedulers, parameter groups, closures and ``GradScaler`` stay as they are. ``.grad`` is overwritten with
    the filtered gradient. What the filters remember travels in ``optimizer.state_dict()["filters"]``, and with a copied
    or pickled optimizer. float16 and bfloat16 gradients are filtered in float32, and remembered so: (1 - α) g would be
    rounded away in a moving average of 8 or 11 bits.

    A filter that amplifies makes the steps of plain descent ``gain`` times as long (1 + λ). ``lr_normalize``
    divides the learning rate by the gain for the duration of each step, in all parameter groups; schedulers
    see and set the rate that is divided. Decoupled weight decay, which takes lr · weight_decay of the weights,
    is divided along with it: multiply ``weight_decay`` by the gain to keep it. An optimizer that divides by the
    gradient's size (Adam, RMSprop, Muon, Rprop) takes no longer steps for a longer gradient, and shorter ones
    with lr_normalize.

    >>> import torch
    >>> from grokinterp.optim import GrokfastEMA
    >>> weight = torch.nn.Parameter(torch.zeros(()))
    >>> optimizer = filtered(torch.optim.SGD([weight], lr=1.0), GrokfastEMA(lamb=2.0))
    >>> weight.grad = torch.tensor(1.0)
    >>> optimizer.step()
    >>> weight.item()
    -3.0

    Args:
        optimizer: of real parameters with dense gradients.
        filters: what happens to the gradients.
        lr_normalize: whether to divide the learning rate by the filters' gain.

    Raises:
        ConfigError: filters on filters, on LBFGS, or on complex parameters, or something that is no filter; in
            ``step``, a sparse or complex gradient, also that of a complex parameter which ``add_param_group``
            added; in ``load_state_dict``, a state of no or of other filters.
    """
    if not isinstance(optimizer, Optimizer):
        raise ConfigError("optimizer", short(optimizer), "must be a torch.optim.Optimizer")
    for filter in filters:
        if not isinstance(filter, GradientFilter):
            raise ConfigError("filters", short(filter), "must each be a filter, such as GrokfastEMA()")
    if isinstance(optimizer, LBFGS):
        raise ConfigError("optimizer", "LBFGS", "takes many gradients in a step, of which filters make no sense")
    if filtering_of(optimizer) is not None:
        raise ConfigError("optimizer", type(optimizer).__name__, "has filters already: give all filters in one call")
    Filtering(optimizer, filters, lr_normalize=lr_normalize).attach()
    return optimizer


def filters_of(optimizer: Optimizer) -> Filtering:
    """The filters of an optimizer, with what they remember.

    Raises:
        ConfigError: it has none.
    """
    filtering = filtering_of(optimizer)
    if filtering is None:
        raise ConfigError("optimizer", type(optimizer).__name__, "has no filters: filtered(optimizer, …) gives it some")
    return filtering
