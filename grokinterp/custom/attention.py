"""StableMax in the attention of anyone's model, and what of it was replaced."""

import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from grokinterp.custom.multihead import AttentionFunction, MultiheadAttention, StableMax, function_in_single
from grokinterp.maths.stablemax import stablemax
from grokinterp.models.layers import Attention

SOFTMAXES = {functional.softmax, torch.softmax, Tensor.softmax, torch.special.softmax}
FUSED = "scaled_dot_product_attention"
NAMED = "its name"
ASKING = "ALL_ATTENTION_FUNCTIONS"


class Replacement(NamedTuple):
    """Which modules of a model attend by another function now, and which look like attention but were left alone.

    Attributes:
        replaced: names of the modules; "" is the model itself.
        kept: names of the modules, each with the reason.
    """

    replaced: tuple[str, ...]
    kept: tuple[str, ...]

    def __str__(self) -> str:
        if not self.replaced and not self.kept:
            return "No attention was found, and nothing was replaced."
        done = f"Replaced the softmax of attention in {len(self.replaced)} modules: {_listed(self.replaced)}."
        left = f"Looks like attention, and was NOT replaced: {_listed(self.kept)}."
        parts = [done if self.replaced else "Replaced the softmax of attention nowhere.", left if self.kept else ""]
        return " ".join(parts).strip()


def replace_attention(model: nn.Module, *, function: AttentionFunction = stablemax) -> Replacement:
    """Put StableMax in the place of the softmax in a model's attention, and say where.

    Replaced, in place, with the same parameters under the same names: ``torch.nn.MultiheadAttention``, on its
    own and inside the Transformer layers of torch, whose fused path without gradients is taken no more;
    ``torch.nn.Softmax`` inside a module that is called attention and calls no fused attention itself (the softmax
    is a gate there); Hugging Face models whose attention goes through their ``AttentionInterface``; the
    transformer of this package. Kept, and named: subclasses of these with a forward of their own, whatever has
    ``scaled_dot_product_attention`` in the code of its class or of its bases, and everything else that is called
    attention and has nothing replaced inside.

    Args:
        model: any module; it is changed.
        function: weights of scores along a dimension, by default ``stablemax``.

    Source: Prieto et al. 2025, §4.1 (StableMax).
    """
    replaced = {name for name, module in model.named_modules() if _replaced(name, module, model, function)}
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # nested tensors are for the fused path alone
    replaced |= set(_in_transformers(model, function))
    return Replacement(tuple(sorted(replaced)), tuple(_kept(model, replaced)))


def _replaced(name: str, module: nn.Module, model: nn.Module, function: AttentionFunction) -> bool:
    """Replace the softmax of one module, where that is known how."""
    if isinstance(module, nn.MultiheadAttention) and type(module) in (nn.MultiheadAttention, MultiheadAttention):
        module.__class__ = MultiheadAttention
    elif isinstance(module, nn.Softmax) and type(module) in (nn.Softmax, StableMax) and _in_attention(name, model):
        module.__class__ = StableMax
    elif isinstance(module, Attention):
        module.attention_fn = function  # ty: ignore[invalid-assignment]
        return True
    else:
        return False
    module.attention_function = function  # ty: ignore[invalid-assignment]
    return True


def _in_attention(name: str, model: nn.Module) -> bool:
    """Whether the module right around a submodule is called attention, and its scores are not in a fused call."""
    parent = name.rpartition(".")[0]
    around = model.get_submodule(parent)
    return bool(name) and _called_attention(parent.rpartition(".")[2], around) and FUSED not in _names_used(around)


def _called_attention(name: str, module: nn.Module) -> bool:
    called = f"{name} {type(module).__name__}".lower()
    return "attention" in called or "attn" in called


def _kept(model: nn.Module, replaced: set[str]) -> Iterator[str]:
    """The modules that look like attention, and why they do; a mere name counts for the innermost of them alone."""
    found = {name: why for name, module in model.named_modules() if (why := _suspicion(module))}
    for name, why in found.items():
        prefix = f"{name}." if name else ""
        explained = any(other.startswith(prefix) for other in {*replaced, *found} - {name})
        around = any(name.startswith(f"{other}." if other else "") for other in replaced)
        if name not in replaced and not (why == NAMED and (explained or around)):
            yield f"{name or 'the model'} ({type(model.get_submodule(name)).__name__}: {why})"


def _suspicion(module: nn.Module) -> str:
    """Why a module looks like attention, '' where it does not."""
    if isinstance(module, nn.MultiheadAttention):
        return "a subclass with code of its own"
    if type(module).__module__.startswith("torch.nn."):
        return ""
    return FUSED if FUSED in _names_used(module) else NAMED if _called_attention("", module) else ""


def _names_used(module: nn.Module) -> set[str]:
    """Global names and attributes that the functions of a module's class mention, and of its bases."""
    return {name for kind in _own_classes(module) for name in _names_in_class(kind)}


def _own_classes(module: nn.Module) -> list[type]:
    """A module's class and its bases, without those of torch and the one that all of Hugging Face's models have."""
    foreign = {"torch", "builtins"}
    classes = [kind for kind in type(module).__mro__ if kind.__module__.partition(".")[0] not in foreign]
    return [kind for kind in classes if kind.__module__ != "transformers.modeling_utils"]


def _names_in_class(kind: type) -> Iterator[str]:
    for value in vars(kind).values():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
        if isinstance(code, CodeType):
            yield from _names_in_code(code)


def _names_in_code(code: CodeType) -> Iterator[str]:
    """Names in a function, and in the functions and lambdas that are made in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in_code(constant)


def _listed(names: tuple[str, ...]) -> str:
    shown = [name or "the model itself" for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


# --- Hugging Face -----------------------------------------------------------------------------------------------------


def _in_transformers(model: nn.Module, function: AttentionFunction) -> list[str]:
    """Have Hugging Face models inside use the function; names of the modules that do."""
    found = []
    for name, part in model.named_modules():
        if callable(getattr(part, "set_attn_implementation", None)) and hasattr(part, "config"):
            inside = [f"{name}.{inner}".strip(".") for inner in _through_interface(part)]
            if inside and not set(inside) & set(found) and _set_implementation(part, function):
                found += inside
    return found


def _through_interface(part: nn.Module) -> list[str]:
    """Modules that ask the interface, if the formula of all of them is known: the eager one beside their class."""
    asking = [(name, inner) for name, inner in part.named_modules() if ASKING in _names_used(inner)]
    return [name for name, _ in asking] if all(_eager(inner) for _, inner in asking) else []


def _eager(module: nn.Module) -> Callable[..., Any] | None:
    """The formula beside the class, or the base, that asks the interface."""
    asking = (kind for kind in _own_classes(module) if ASKING in set(_names_in_class(kind)))
    return getattr(sys.modules.get(next(asking, type(module)).__module__), "eager_attention_forward", None)


def _set_implementation(part: Any, function: AttentionFunction) -> bool:
    """Register the function with transformers under a name, and ask the model to use it; whether it does."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    name = f"grokinterp_{getattr(function, '__name__', 'function')}"
    if function is not stablemax:
        name += f"_{id(function):x}"  # two functions may have one name; a registered one lives on, and so does its id

    def attend(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """The model's own formula, with its softmax swapped."""
        eager = _eager(module)
        if eager is None:
            raise RuntimeError(f"{type(module).__name__} has no eager_attention_forward")
        with Swapped(function):
            return eager(module, *args, **kwargs)

    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, eager_mask)
    part.set_attn_implementation(name)
    return part.config._attn_implementation == name


class Swapped(TorchFunctionMode):
    """Inside the ``with`` block, every softmax is the function."""

    def __init__(self, function: AttentionFunction) -> None:
        super().__init__()
        self.function = function

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in SOFTMAXES:
            return func(*args, **(kwargs or {}))
        given = dict(zip(("input", "dim"), args, strict=False)) | (kwargs or {})
        scores, dtype = given["input"], given.get("dtype") or given["input"].dtype
        return function_in_single(self.function, scores, given["dim"]).to(dtype)
