"""The logits as a map of the label by the class."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from grokinterp.errors import NotDefined
from grokinterp.runs.checkpoint import Checkpoint

MOST_CLASSES = 2048


class LogitMap(NamedTuple):
    """The class that the network favors for each correct answer.

    logit_by_label: mean row-centered logit of the examples with the same label [nats]
    """

    logit_by_label: Float[Tensor, "label class"]


def logit_map(checkpoint: Checkpoint) -> LogitMap:
    """Return the row-centered logits averaged over the examples with the same label.

    M[s, c] = mean over the examples labeled s of (z[c] - mean_c z[c]), with ``logits [example, class]``.
    Under addition the label is (a + b) mod p. A label without an example gives NaN.

    Source: Nanda et al. 2023, §4.1 (logits as a function of a + b - c).

    Raises:
        NotDefined: more than 2,048 classes.
    """
    require_few_classes(checkpoint, "logit_map")
    logits, labels = checkpoint.logits.double(), checkpoint.problem.labels
    n_classes = logits.shape[-1]
    total = logits.new_zeros(n_classes, n_classes).index_add(0, labels, logits)
    mean = total / labels.bincount(minlength=n_classes).unsqueeze(-1)
    return LogitMap(mean - mean.mean(-1, keepdim=True))


def require_few_classes(checkpoint: Checkpoint, analysis: str) -> None:
    """Raise NotDefined where a map of every class by every class would be too large to store."""
    classes = checkpoint.problem.task.n_classes
    if classes > MOST_CLASSES:
        raise NotDefined(analysis, f"{classes:,} classes are more than the {MOST_CLASSES:,} that a map can show")
