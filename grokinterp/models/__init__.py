"""Models with TransformerLens parameter and hook names."""

from grokinterp.models.readout import Readout, ReadoutInputs, readout, readout_by_hooks
from grokinterp.models.transformer import Transformer, TransformerSpec

AnySpec = TransformerSpec
"""Every model a configuration may name, told apart by ``kind``; a new family joins this union."""

__all__ = ["AnySpec", "Readout", "ReadoutInputs", "Transformer", "TransformerSpec", "readout", "readout_by_hooks"]
