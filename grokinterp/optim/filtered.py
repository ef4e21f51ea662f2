"""Filters on any torch optimizer, which stays the object it is."""

from typing import TypeVar

from torch.optim import LBFGS, Optimizer

from grokinterp.errors import ConfigError, short
from grokinterp.optim.filter import GradientFilter
from grokinterp.optim.filtering import Filtering, filtering_of

AnyOptimizer = TypeVar("AnyOptimizer", bound=Optimizer)


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
