"""Replace softmax with StableMax in the attention of any model, and report which modules were replaced."""

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
from grokinterp.models.layers import replace_attention_fn

SOFTMAXES = {functional.softmax, torch.softmax, Tensor.softmax, torch.special.softmax}
FUSED = "scaled_dot_product_attention"
NAMED = "its name"
ASKING = "ALL_ATTENTION_FUNCTIONS"


class Replacement(NamedTuple):
    """The modules whose attention function was replaced, and modules that look like attention but were left unchanged.

    Attributes:
        replaced: names of the modules; "" is the model itself.
        kept: names of the modules, each with the reason.
    """

    replaced: tuple[str, ...]
    kept: tuple[str, ...]

    def __str__(self) -> str:
        if not self.replaced and not self.kept:
            return "No attention was found; nothing was replaced."
        plural = "module" if len(self.replaced) == 1 else "modules"
        done = f"Replaced the attention softmax in {len(self.replaced)} {plural}: {_listed(self.replaced)}."
        left = f"Similar to attention, but NOT replaced: {_listed(self.kept)}."
        parts = [done if self.replaced else "Replaced no attention softmax.", left if self.kept else ""]
        return " ".join(parts).strip()


def replace_attention(model: nn.Module, *, function: AttentionFunction = stablemax) -> Replacement:
    """Replace softmax with StableMax in a model's attention, in place, and report which modules were replaced.

    Replaced modules keep their parameters and parameter names. These modules are replaced:

    * ``torch.nn.MultiheadAttention``, also inside torch's Transformer layers, whose fused path for inference is then
      disabled;
    * ``torch.nn.Softmax`` inside a module that is named attention and makes no fused attention call (there, the softmax
      is a gate);
    * Hugging Face models whose attention uses their ``AttentionInterface``;
    * the transformer of this package.

    These modules are left unchanged and reported: subclasses of the above with their own ``forward``, modules with
    ``scaled_dot_product_attention`` in the code of their class or its bases, and other modules named attention in which
    nothing was replaced.

    Args:
        model: any module; it is modified in place.
        function: maps scores and a dimension to weights along that dimension.

    Source: Prieto et al. 2025, §4.1 (StableMax).
    """
    replaced = {name for name, module in model.named_modules() if _replaced(name, module, model, function)}
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # nested tensors require the fused path
    replaced |= set(_in_transformers(model, function))
    return Replacement(tuple(sorted(replaced)), tuple(_kept(model, replaced)))


def _replaced(name: str, module: nn.Module, model: nn.Module, function: AttentionFunction) -> bool:
    """Replace the softmax of one module if its type is supported, and return whether it was replaced."""
    if isinstance(module, nn.MultiheadAttention) and type(module) in (nn.MultiheadAttention, MultiheadAttention):
        module.__class__ = MultiheadAttention
    elif isinstance(module, nn.Softmax) and type(module) in (nn.Softmax, StableMax) and _in_attention(name, model):
        module.__class__ = StableMax
    else:
        return replace_attention_fn(module, function)
    module.attention_function = function  # ty: ignore[invalid-assignment]
    return True


def _in_attention(name: str, model: nn.Module) -> bool:
    """Return whether the parent of a submodule is named attention and makes no fused attention call."""
    parent = name.rpartition(".")[0]
    around = model.get_submodule(parent)
    return bool(name) and _called_attention(parent.rpartition(".")[2], around) and FUSED not in _names_used(around)


def _called_attention(name: str, module: nn.Module) -> bool:
    called = f"{name} {type(module).__name__}".lower()
    return "attention" in called or "attn" in called


def _kept(model: nn.Module, replaced: set[str]) -> Iterator[str]:
    """Yield the modules that look like attention, with the reason; a mere name counts only for the innermost ones."""
    found = {name: why for name, module in model.named_modules() if (why := _suspicion(module))}
    for name, why in found.items():
        prefix = f"{name}." if name else ""
        explained = any(other.startswith(prefix) for other in {*replaced, *found} - {name})
        around = any(name.startswith(f"{other}." if other else "") for other in replaced)
        if name not in replaced and not (why == NAMED and (explained or around)):
            yield f"{name or 'the model'} ({type(model.get_submodule(name)).__name__}: {why})"


def _suspicion(module: nn.Module) -> str:
    """Return why a module looks like attention, or "" if it does not."""
    if isinstance(module, nn.MultiheadAttention):
        return "a subclass with its own code"
    if type(module).__module__.startswith("torch.nn."):
        return ""
    return FUSED if FUSED in _names_used(module) else NAMED if _called_attention("", module) else ""


def _names_used(module: nn.Module) -> set[str]:
    """Return the global names and attributes that the functions of a module's class and its bases mention."""
    return {name for kind in _own_classes(module) for name in _names_in_class(kind)}


def _own_classes(module: nn.Module) -> list[type]:
    """Return a module's class and its bases, except those of torch and the common base of Hugging Face models."""
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
    """Yield the names in a function and in the functions and lambdas defined inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in_code(constant)


def _listed(names: tuple[str, ...]) -> str:
    shown = [name or "the model itself" for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


# --- Hugging Face -----------------------------------------------------------------------------------------------------


def _in_transformers(model: nn.Module, function: AttentionFunction) -> list[str]:
    """Make the Hugging Face models inside a model use the function, and return the names of modules that do."""
    found = []
    for name, part in model.named_modules():
        if callable(getattr(part, "set_attn_implementation", None)) and hasattr(part, "config"):
            inside = [f"{name}.{inner}".strip(".") for inner in _through_interface(part)]
            if inside and not set(inside) & set(found) and _set_implementation(part, function):
                found += inside
    return found


def _through_interface(part: nn.Module) -> list[str]:
    """Return the modules that use the attention interface, if the eager formula of all of them is known."""
    asking = [(name, inner) for name, inner in part.named_modules() if ASKING in _names_used(inner)]
    return [name for name, _ in asking] if all(_eager(inner) for _, inner in asking) else []


def _eager(module: nn.Module) -> Callable[..., Any] | None:
    """Return the eager formula defined next to the class or base class that uses the attention interface."""
    asking = (kind for kind in _own_classes(module) if ASKING in set(_names_in_class(kind)))
    return getattr(sys.modules.get(next(asking, type(module)).__module__), "eager_attention_forward", None)


def _set_implementation(part: Any, function: AttentionFunction) -> bool:
    """Register the function with transformers and select it in the model; return whether it is selected."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    name = f"grokinterp_{getattr(function, '__name__', 'function')}"
    if function is not stablemax:
        name += f"_{id(function):x}"  # functions may share a name; registered ones stay alive, so ids are unique

    def attend(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the model's own formula with its softmax replaced."""
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
    """Replace every softmax with the function inside the ``with`` block."""

    def __init__(self, function: AttentionFunction) -> None:
        super().__init__()
        self.function = function

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in SOFTMAXES:
            return func(*args, **(kwargs or {}))
        given = dict(zip(("input", "dim"), args, strict=False)) | (kwargs or {})
        scores, dtype = given["input"], given.get("dtype") or given["input"].dtype
        return function_in_single(self.function, scores, given["dim"]).to(dtype)
