"""A count of the softmaxes that a block computes."""

from torch.overrides import TorchFunctionMode

from grokinterp.custom.attention import SOFTMAXES


class Softmaxes(TorchFunctionMode):
    """Counts every softmax and fused attention that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in SOFTMAXES or "attention" in getattr(func, "__name__", ""):
            self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))
