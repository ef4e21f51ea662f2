"""Reproduce published numbers: claims about released networks, and our measurements of the same networks."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door
from grokinterp.reproduction.claims import CLAIMS, Claim
from grokinterp.reproduction.networks import networks

if TYPE_CHECKING:
    from grokinterp.reproduction.comparison import Comparison, table, verify
    from grokinterp.reproduction.releases import claims_of

__all__ = ["CLAIMS", "Claim", "Comparison", "claims_of", "networks", "table", "verify"]

__getattr__, __dir__ = front_door(
    __name__, {".comparison": ("Comparison", "table", "verify"), ".releases": ("claims_of",)}, __all__
)
