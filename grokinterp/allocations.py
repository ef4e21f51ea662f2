"""Count the bytes of the tensors that a computation holds at a time, even of a computation without storage."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final, no_type_check

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@final
class Allocations(TorchDispatchMode):
    """Count the bytes of the tensors that the block creates: ``held`` is their present number, ``peak`` the largest.

    On the meta device, a computation allocates nothing, so that its memory can be counted before it runs. Views and
    in-place results add nothing, and tensors that exist before the block do not count. ``logsumexp`` counts the
    exponentials as well, a temporary copy of its operand that PyTorch allocates internally.

    >>> import torch
    >>> with torch.device("meta"), Allocations() as allocations:
    ...     x = torch.zeros(1000) + 1
    >>> allocations.held, allocations.peak
    (4000, 8000)
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self._known: dict[int, Any] = {}

    @no_type_check  # a check of shapes at every operation would be slow
    def __torch_dispatch__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for value in args:
            if isinstance(value, Tensor):
                self._note(value, held=False)  # it existed before the block, or is already counted
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self._note(value, held=True)
        within = args[0].numel() * args[0].element_size() if "logsumexp" in str(func) else 0
        self.peak = max(self.peak, self.held + within)
        return result

    @no_type_check
    def _note(self, value: Tensor, *, held: bool) -> None:
        """Count the storage of a tensor until it is freed, if it is new and ``held``."""
        if value.layout != torch.strided:
            return  # the parts of sparse tensors are counted
        storage = value.untyped_storage()
        key, size = storage._cdata, storage.nbytes() if held else 0
        if key in self._known:
            return
        self.held += size

        def release(_):
            self.held -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, release)
