"""Mean logits of every class for every label."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from grokinterp.errors import NotDefined
from grokinterp.runs.checkpoint import Checkpoint

MOST_CLASSES = 2048


class LogitMap(NamedTuple):
    """Mean logit of every class for each label.

    logit_by_label: mean row-centered logit of the examples with the same label [nats]
    """

    logit_by_label: Float[Tensor, "label class"]


def logit_map(checkpoint: Checkpoint) -> LogitMap:
    """Return the row-centered logits averaged over the examples with the same label.

    M[s, c] = mean over the examples labeled s of (z[c] - mean_c z[c]), with ``logits [example, class]``. A network that
    answers correctly has its largest values on the diagonal. Under addition the label is (a + b) mod p. A label
    without examples gives NaN.

    Source: Nanda et al. 2023, §4.1 (logits as a function of a + b - c).

    Raises:
        NotDefined: the task has more than 2,048 classes.
    """
    require_few_classes(checkpoint, "logit_map")
    logits, labels = checkpoint.logits.double(), checkpoint.problem.label
    n_classes = logits.shape[-1]
    total = logits.new_zeros(n_classes, n_classes).index_add(0, labels, logits)
    mean = total / labels.bincount(minlength=n_classes).unsqueeze(-1)
    return LogitMap(mean - mean.mean(-1, keepdim=True))


def require_few_classes(checkpoint: Checkpoint, analysis: str) -> None:
    """Raise NotDefined if a map over all pairs of classes would be too large to store."""
    classes = checkpoint.problem.task.n_classes
    if classes > MOST_CLASSES:
        raise NotDefined(analysis, f"{classes:,} classes exceed the limit of {MOST_CLASSES:,} for a map")
