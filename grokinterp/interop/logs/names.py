"""The meaning of column names: split, quantity, step, run; inferred from words, not from a list of names.

A name is split into words (at punctuation, at changes of case, between words written together). It is a curve if its
words name exactly one quantity and at most one split. Words that name neither are its qualifiers: ``ema_train_acc`` has
one, ``train_acc`` has none. Columns with the same qualifiers belong together.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

SPLITS = {
    "train": ("train", "training", "trn", "tr"),
    "test": ("test", "testing", "tst", "te", "heldout", "unseen", "generalization", "generalisation"),
    "validation": ("val", "valid", "validation", "validate", "va", "dev", "eval", "evaluation"),
}
WEAK = ("eval", "evaluation")
"""Words that name a split only if no other word does: ``eval/train_acc`` is the training accuracy in eval mode."""

QUANTITIES = {
    "loss": ("loss", "losses", "crossentropy", "nll", "nlls", "ce", "xent", "xe", "logloss", "mse"),
    "accuracy": ("accuracy", "accuracies", "acc", "accs", "top1"),
    "error": ("error", "errors", "err"),
}
LESSER = ("crossentropy", "nll", "nlls", "ce", "xent", "xe", "logloss", "mse")
"""Words for a loss that yield to a column named loss."""

PLAIN = frozenset(
    (
        "the",
        "of",
        "on",
        "in",
        "for",
        "set",
        "data",
        "dataset",
        "split",
        "mean",
        "avg",
        "average",
        "curve",
        "curves",
        "history",
        "hist",
        "value",
        "values",
        "list",
        "per",
        "epoch",
        "epochs",
        "rate",
        "percent",
        "pct",
        "percentage",
        "share",
        "fraction",
        "metric",
        "metrics",
        "result",
        "results",
        "logs",
    )
)
"""Words without influence on the meaning."""

PERCENT = frozenset(("percent", "pct", "percentage"))

STEP_WORDS = (
    "step",
    "steps",
    "iteration",
    "iterations",
    "iter",
    "iters",
    "it",
    "update",
    "updates",
    "epoch",
    "epochs",
    "ep",
)
STEP_COMPANIONS = frozenset(
    (
        "global",
        "trainer",
        "num",
        "n",
        "number",
        "of",
        "no",
        "idx",
        "index",
        "eval",
        "evaluation",
        "val",
        "valid",
        "validation",
        "test",
        "train",
        "training",
        "optimizer",
        "optim",
        "gradient",
        "current",
        "logged",
        "history",
        "metrics",
        "metric",
        "at",
    )
)
RUN_WORDS = frozenset(["run", "runs", "seed", "model", "trial", "replicate", "fold", "experiment", "exp"])
RUN_COMPANIONS = frozenset(["id", "ids", "index", "idx", "number", "no", "num", "name", "uid", "random"])
SIZE_WORDS = frozenset(
    ["test", "set", "data", "dataset", "n", "num", "number", "of", "size", "examples", "samples", "pairs"]
)
INTERVAL_WORDS = frozenset(("every", "interval", "freq", "frequency"))
EVALUATION_WORDS = frozenset(("eval", "evaluate", "evaluation", "log", "logging", "record", "test", "val", "print"))
NORM_WORDS = frozenset(["weight", "weights", "param", "params", "parameter", "parameters"])

WORDS = {word for words in (*SPLITS.values(), *QUANTITIES.values()) for word in words}


class Meaning(NamedTuple):
    """The meaning of a curve's name.

    Attributes:
        split: train, test or validation; None if the name has none.
        quantity: loss, accuracy, or error (one minus the accuracy).
        qualifiers: its other words, in order.
        percent: whether the name marks the numbers as percentages.
        rank: columns of lower rank take precedence among columns with the same meaning.
    """

    split: str | None
    quantity: str
    qualifiers: tuple[str, ...]
    percent: bool
    rank: int


@lru_cache(maxsize=1024)
def words(name: str) -> tuple[str, ...]:
    """Return the words of a name in lower case.

    >>> words("evalAcc"), words("Train Cross-Entropy"), words("testloss"), words("val/acc@1"), words("_step")
    (('eval', 'acc'), ('train', 'crossentropy'), ('test', 'loss'), ('val', 'top1'), ('step',))
    """
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()
    text = re.sub(r"(?<![a-z])((acc|accuracy|top)@?|top[ _-])1(?![0-9a-z])", "top1", text)
    text = text.replace("%", " percent ")
    text = re.sub(r"cross[ _-]?entropy", "crossentropy", text)
    text = re.sub(r"held[ _-]?out", "heldout", text)
    text = re.sub(r"log[ _-]loss", "logloss", text)
    return tuple(part for word in re.split("[^a-z0-9]+", text) if word for part in _parted(word))


def _parted(word: str) -> tuple[str, ...]:
    """Split a word that joins a split and a quantity."""
    if word in WORDS:
        return (word,)
    for cut in range(2, len(word) - 1):
        if word[:cut] in WORDS and word[cut:] in WORDS and _is_split(word[:cut]) != _is_split(word[cut:]):
            return word[:cut], word[cut:]
    return (word,)


def _is_split(word: str) -> bool:
    return any(word in split for split in SPLITS.values())


@lru_cache(maxsize=4096)
def meaning(name: str) -> Meaning | None:
    """Return the meaning of a curve's name, or None unless it has one quantity and at most one split.

    >>> meaning("validation_acc")
    Meaning(split='validation', quantity='accuracy', qualifiers=(), percent=False, rank=0)
    >>> meaning("log_train_loss").qualifiers, meaning("train_test_loss_gap"), meaning("lr")
    (('log',), None, None)
    """
    found = words(name)
    quantities = [quantity for quantity, names in QUANTITIES.items() if any(word in names for word in found)]
    splits = {split for split, names in SPLITS.items() if any(word in names and word not in WEAK for word in found)}
    if not splits and any(word in WEAK for word in found):
        splits = {"validation"}
    if len(quantities) != 1 or len(splits) > 1:
        return None
    return Meaning(
        split=next(iter(splits), None),
        quantity=quantities[0],
        qualifiers=tuple(word for word in found if word not in WORDS and word not in PLAIN),
        percent=any(word in PERCENT for word in found),
        rank=int(any(word in LESSER for word in found)) + 2 * (quantities[0] == "error"),
    )


def side(name: str) -> str | None:
    """Return train or test (which includes validation) if a name has a word for either, else None.

    >>> side("eval_steps"), side("train/step"), side("epoch")
    ('test', 'train', None)
    """
    splits = [word for word in words(name) if _is_split(word)]
    return ("train" if set(splits) <= {*SPLITS["train"]} else "test") if splits else None


def is_step(name: str) -> bool:
    """Return whether a name, or the last part of a path, names a column of steps, epochs, iterations or updates.

    >>> [is_step(name) for name in ("_step", "trainer/global_step", "eval_epochs", "steps_per_second", "epoch_time")]
    [True, True, True, False, False]
    """
    found = set(words(name.rsplit("/", 1)[-1]))
    return bool(found & {*STEP_WORDS}) and found <= {*STEP_WORDS} | STEP_COMPANIONS


def has_step_word(name: str) -> bool:
    """Return whether a name, or the last part of a path, contains a word for steps, such as ``log_steps``."""
    return not {*STEP_WORDS}.isdisjoint(words(name.rsplit("/", 1)[-1]))


def step_preference(name: str) -> tuple[int, int, int]:
    """Return a key for sorting columns of steps: global ones first, then steps, iterations, updates, epochs."""
    found = words(name.rsplit("/", 1)[-1])
    return ("global" not in found, min(STEP_WORDS.index(word) for word in found if word in STEP_WORDS), len(found))


def is_run(name: str) -> bool:
    """Return whether a name, or the last part of a path, names a column that identifies runs.

    >>> [is_run(name) for name in ("modelIndex", "seed", "run_id", "d_model", "run_time")]
    [True, True, True, False, False]
    """
    found = set(words(name.rsplit("/", 1)[-1]))
    return bool(found & RUN_WORDS) and found <= RUN_WORDS | RUN_COMPANIONS


def is_norm(name: str) -> bool:
    """Return whether a name denotes the norm of all weights, or its square.

    >>> [is_norm(name) for name in ("weight_norm", "sum_of_squared_weights", "wn_total", "hidden_parameter_norm")]
    [True, True, False, False]
    """
    found = set(words(name))
    return found == {"sum", "of", "squared", "weights"} or (
        "norm" in found and bool(found & NORM_WORDS) and found <= NORM_WORDS | {"norm", "l2", "total"}
    )


def is_interval(name: str) -> bool:
    """Return whether a name denotes the number of steps between two evaluations.

    >>> [is_interval(name) for name in ("eval_every", "config/log_interval", "save_every", "every")]
    [True, True, False, False]
    """
    found = set(words(name.rsplit("/", 1)[-1]))
    return not found.isdisjoint(INTERVAL_WORDS) and not found.isdisjoint(EVALUATION_WORDS)


def is_test_size(name: str) -> bool:
    """Return whether a name denotes the number of test examples.

    >>> [is_test_size(name) for name in ("n_test", "config/test_set_size", "num test pairs", "test", "n_test_steps")]
    [True, True, True, False, False]
    """
    found = set(words(name.rsplit("/", 1)[-1]))
    return {"test"} < found <= SIZE_WORDS and bool(found & {"n", "num", "number", "size", "examples", "pairs"})


def without_roles(path_words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a file name without splits, quantities and steps; files of a run share them.

    >>> without_roles(words("run3_train_acc")) == without_roles(words("run3_test_loss"))
    True
    """
    return tuple(word for word in path_words if word not in WORDS and word not in PLAIN and word not in STEP_WORDS)
