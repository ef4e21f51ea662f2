"""Compare runs on one page: seeds as bands, methods, and tasks; requires no PyTorch."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

__all__ = ["write_comparison"]

if TYPE_CHECKING:
    from grokinterp.report.comparison.write import write_comparison
else:
    __getattr__, __dir__ = front_door(__name__, {".write": ("write_comparison",)}, __all__)
