"""The losses used in the grokking literature, per example, and as modules for any training loop."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door
from grokinterp.losses.examples import (
    CrossEntropyForm,
    LossForm,
    close_answers,
    cross_entropy,
    exact,
    exact_losses,
    example_losses,
    mean_of_answers,
    right_answers,
    squared_error,
)
from grokinterp.maths.stablemax import log_stablemax, stablemax

if TYPE_CHECKING:
    from grokinterp.losses.modules import (
        ClassificationLoss,
        LogSoftmaxCrossEntropyLoss,
        OneHotMSELoss,
        SoftplusCrossEntropyLoss,
        StableCrossEntropyLoss,
        get_stable_loss_function,
    )

__all__ = [
    "ClassificationLoss",
    "CrossEntropyForm",
    "LogSoftmaxCrossEntropyLoss",
    "LossForm",
    "OneHotMSELoss",
    "SoftplusCrossEntropyLoss",
    "StableCrossEntropyLoss",
    "close_answers",
    "cross_entropy",
    "exact",
    "exact_losses",
    "example_losses",
    "get_stable_loss_function",
    "log_stablemax",
    "mean_of_answers",
    "right_answers",
    "squared_error",
    "stablemax",
]

__getattr__, __dir__ = front_door(
    __name__,
    {
        ".modules": (
            "ClassificationLoss",
            "LogSoftmaxCrossEntropyLoss",
            "OneHotMSELoss",
            "SoftplusCrossEntropyLoss",
            "StableCrossEntropyLoss",
            "get_stable_loss_function",
        )
    },
    __all__,
)
