"""Figures of a run: functions from datasets to a matplotlib Figure that measure nothing and change no global state."""

from types import FunctionType

from grokinterp.figures.answers import *
from grokinterp.figures.circuit.evidence import *
from grokinterp.figures.circuit.modes import *
from grokinterp.figures.circuit.verdict import *
from grokinterp.figures.groups import *
from grokinterp.figures.health import *
from grokinterp.figures.inside import *
from grokinterp.figures.landscape.learning_coefficient import *
from grokinterp.figures.landscape.loss import *
from grokinterp.figures.landscape.matrices import *
from grokinterp.figures.landscape.paths import *
from grokinterp.figures.landscape.ranks import *
from grokinterp.figures.landscape.weights import *
from grokinterp.figures.operations import *
from grokinterp.figures.settings import training_settings
from grokinterp.figures.structure.answers import *
from grokinterp.figures.structure.attention import *
from grokinterp.figures.structure.circles import *
from grokinterp.figures.structure.neurons import *
from grokinterp.figures.structure.order import *
from grokinterp.figures.structure.pairs import *
from grokinterp.figures.structure.spectra import *
from grokinterp.figures.structure.waves import *
from grokinterp.figures.style import save, to_pdf, to_png, to_svg
from grokinterp.figures.timeline import key_frequencies, timeline

__all__ = sorted(name for name, value in globals().items() if isinstance(value, FunctionType))
