"""When did a run memorize, form its circuits, clean up and generalize: dates, events and a verdict, from its curves."""

from grokinterp.phases.curves import Curves, Measures
from grokinterp.phases.dating import find_phases
from grokinterp.phases.detector import Detector, GrokkingDetector, SustainedRule, grok_step
from grokinterp.phases.jump import JumpDates, JumpDetector, JumpRule, jump_rule
from grokinterp.phases.phase import EVENT_KINDS, NAMES, VERDICTS, Event, History, Phase, label
from grokinterp.phases.snapshot import Snapshot, snapshot_of

__all__ = [
    "EVENT_KINDS",
    "NAMES",
    "VERDICTS",
    "Curves",
    "Detector",
    "Event",
    "GrokkingDetector",
    "History",
    "JumpDates",
    "JumpDetector",
    "JumpRule",
    "Measures",
    "Phase",
    "Snapshot",
    "SustainedRule",
    "find_phases",
    "grok_step",
    "jump_rule",
    "label",
    "snapshot_of",
]
