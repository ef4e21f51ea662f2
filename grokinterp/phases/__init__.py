"""Phases of a run from its curves: dates of memorization, circuit formation, cleanup and generalization; a verdict."""

from grokinterp.phases.alignment import aligned
from grokinterp.phases.counting import CountingRule, read_rule, read_rules
from grokinterp.phases.curves import Curves, Measures
from grokinterp.phases.dating import find_phases
from grokinterp.phases.detector import SUSTAINED, Detector, SustainedDetector, SustainedRule, grok_step, sustained_step
from grokinterp.phases.grokking_detector import GrokkingDetector, GrokkingStatus
from grokinterp.phases.induction import Induction, induction
from grokinterp.phases.jump import JumpDates, JumpDetector, JumpRule, jump_rule
from grokinterp.phases.learned import learning_order
from grokinterp.phases.phase import EVENT_KINDS, GENERALIZED, NAMES, VERDICTS, Event, History, Phase, Transition, label
from grokinterp.phases.snapshot import NO_HISTORY, Snapshot, snapshot_of

__all__ = [
    "EVENT_KINDS",
    "GENERALIZED",
    "NAMES",
    "NO_HISTORY",
    "SUSTAINED",
    "VERDICTS",
    "CountingRule",
    "Curves",
    "Detector",
    "Event",
    "GrokkingDetector",
    "GrokkingStatus",
    "History",
    "Induction",
    "JumpDates",
    "JumpDetector",
    "JumpRule",
    "Measures",
    "Phase",
    "Snapshot",
    "SustainedDetector",
    "SustainedRule",
    "Transition",
    "aligned",
    "find_phases",
    "grok_step",
    "induction",
    "jump_rule",
    "label",
    "learning_order",
    "read_rule",
    "read_rules",
    "snapshot_of",
    "sustained_step",
]
