"""Follow a run while it trains: a dashboard in the terminal, and a page that refreshes itself; requires no PyTorch."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

__all__ = ["follow"]

if TYPE_CHECKING:
    from grokinterp.watch.following import follow
else:
    __getattr__, __dir__ = front_door(__name__, {".following": ("follow",)}, __all__)
