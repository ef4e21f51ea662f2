"""Show all runs of a folder on one page of cards with filters; requires no PyTorch."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

__all__ = ["write_gallery"]

if TYPE_CHECKING:
    from grokinterp.report.gallery.write import write_gallery
else:
    __getattr__, __dir__ = front_door(__name__, {".write": ("write_gallery",)}, __all__)
