"""Train, record and stabilize any ``nn.Module``."""

from grokinterp.custom.attention import Replacement, replace_attention
from grokinterp.custom.optimizer import configure_for_grokking
from grokinterp.custom.recorder import Recorder
from grokinterp.custom.scores import Scores, StepScores
from grokinterp.custom.trainer import DivergedError, GrokkingAwareTrainer
from grokinterp.custom.until_grokking import GrokkingResult, train_until_grokking

__all__ = [
    "DivergedError",
    "GrokkingAwareTrainer",
    "GrokkingResult",
    "Recorder",
    "Replacement",
    "Scores",
    "StepScores",
    "configure_for_grokking",
    "replace_attention",
    "train_until_grokking",
]
