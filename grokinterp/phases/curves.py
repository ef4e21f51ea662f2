"""Inputs of phase dating: training curves at evaluations, and progress measures at the sparser checkpoints."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from grokinterp.errors import ConfigError, short

if TYPE_CHECKING:
    import xarray

Series = Sequence[Any] | np.ndarray  # of numbers


class _Table:
    """Columns over steps, sorted by step; of several rows with the same step, the last given counts."""

    columns: ClassVar[tuple[str, ...]]

    def _fill(self, steps: Series, columns: dict[str, Series | None]) -> None:
        given = _whole_numbers(steps)
        rows = len(given) - 1 - np.unique(given[::-1], return_index=True)[1]
        self.steps: np.ndarray = given[rows]
        for name, values in columns.items():
            setattr(self, name, _column(name, values, rows, len(given)))


def _whole_numbers(steps: Series) -> np.ndarray:
    numbers = _numbers("steps", steps)
    if numbers.ndim != 1 or not numbers.size:
        raise ConfigError("steps", f"shape {numbers.shape}", "must be one axis with at least one evaluation")
    wrong = ~np.isfinite(numbers) | (numbers != np.round(numbers)) | (np.abs(numbers) > 2**53)
    if wrong.any():
        raise ConfigError("steps", numbers[wrong][0], "must be whole numbers")
    return numbers.astype(np.int64)


def _numbers(name: str, values: Series) -> np.ndarray:
    """Return values as an array. Raises ConfigError if they are not numbers."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(name, short(values), "must be numbers") from None


def _column(name: str, values: Series | None, rows: np.ndarray, length: int) -> np.ndarray | None:
    """Return the column sorted by step, or None if it was not given or is all NaN."""
    if values is None:
        return None
    column = _numbers(name, values)
    if column.shape != (length,):
        raise ConfigError(name, f"shape {column.shape}", f"must have one value per step, ({length},)")
    return None if np.isnan(column).all() else column[rows]


def _found(dataset: "xarray.Dataset", names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: dataset[name].values for name in names if name in dataset}


class Curves(_Table):
    """Training curves at the evaluations of a run, in any row order.

    NaN means "not recorded". Each split needs its accuracy or its loss: if either accuracy is absent, the losses are
    used instead, see ``read_signals``. ``weight_norm`` is the sum of squares of all parameters. ``n_test``, the number
    of test examples if known, sets the tolerance of the threshold for generalization. ``chance``, the accuracy of
    random guessing if known, sets the level below which a network fails.

    >>> Curves(steps=[10, 0], train_loss=[1.0, 3.0], test_loss=[2.0, 3.5]).train_loss
    array([3., 1.])

    Raises:
        ConfigError: if there are no evaluations, a step is not a whole number, a column has another length, or the
            number of test examples is below 1.
    """

    columns = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "weight_norm")
    train_loss: np.ndarray | None
    test_loss: np.ndarray | None
    train_accuracy: np.ndarray | None
    test_accuracy: np.ndarray | None
    weight_norm: np.ndarray | None
    n_test: int | None
    chance: float | None

    def __init__(
        self,
        *,
        steps: Series,
        train_loss: Series | None = None,
        test_loss: Series | None = None,
        train_accuracy: Series | None = None,
        test_accuracy: Series | None = None,
        weight_norm: Series | None = None,
        n_test: int | None = None,
        chance: float | None = None,
    ) -> None:
        if n_test is not None and not (isinstance(n_test, Integral) and n_test >= 1):
            raise ConfigError("n_test", short(n_test), "must be at least 1")
        if chance is not None and not (isinstance(chance, Real) and 0 <= chance <= 1):
            raise ConfigError("chance", short(chance), "must be in [0, 1]")
        self.n_test, self.chance = n_test, chance
        columns = (train_loss, test_loss, train_accuracy, test_accuracy, weight_norm)
        self._fill(steps, dict(zip(self.columns, columns, strict=True)))

    def at(self, rows: np.ndarray) -> "Curves":
        """Return the curves at the given evaluations."""
        columns = {name: column[rows] for name in self.columns if (column := getattr(self, name)) is not None}
        return Curves(steps=self.steps[rows], n_test=self.n_test, chance=self.chance, **columns)

    def evaluated(self) -> "Curves":
        """Return the curves at the evaluations that measured both splits, including a loss that diverged to NaN.

        >>> Curves(steps=[0, 1, 2], train_accuracy=[0, 0.5, 1], test_accuracy=[0, float("nan"), 1]).evaluated().steps
        array([0, 2])
        """
        pair = self.train_accuracy, self.test_accuracy
        by_loss = any(column is None for column in pair)
        pair = (self.train_loss, self.test_loss) if by_loss else pair
        missing = np.zeros(len(self.steps), dtype=bool)
        for column in pair:
            missing |= False if column is None else np.isnan(column)
        if by_loss and not missing.all():
            missing[np.flatnonzero(~missing)[-1] :] = False
        return self if missing.all() or not missing.any() else self.at(np.flatnonzero(~missing))

    @classmethod
    def from_dataset(cls, metrics: "xarray.Dataset", *, answer: int | None = None) -> "Curves":
        """Read the curves from a run's metrics over ``step``, and ``n_test`` and ``chance`` from their attributes.

        If there are several answers, the curves are those of all together, or of a given ``answer``.

        With label noise, the training accuracy is the accuracy on the correctly labeled examples: a network that
        generalizes need not have memorized the wrong labels.
        """
        if answer is not None:
            of = {name: f"{name}_of_answer" for name in cls.columns if f"{name}_of_answer" in metrics}
            metrics = metrics.drop_vars([*of, "clean_accuracy"], errors="ignore").sel(answer=answer)
            metrics = metrics.rename({theirs: ours for ours, theirs in of.items()})
        found = _found(metrics, (*cls.columns, "clean_accuracy"))
        n_test, chance = metrics.attrs.get("n_test"), metrics.attrs.get("chance")
        return cls.from_columns(
            metrics["step"].values, found, n_test=None if n_test is None else int(n_test), chance=chance
        )

    @classmethod
    def from_columns(
        cls, steps: Series, columns: Mapping[str, Series], *, n_test: int | None = None, chance: float | None = None
    ) -> "Curves":
        """Return the curves among named columns, as ``from_dataset`` does; other columns are ignored."""
        found = {name: columns[name] for name in cls.columns if name in columns}
        if "clean_accuracy" in columns:
            found["train_accuracy"] = columns["clean_accuracy"]
        return cls(steps=steps, n_test=n_test, chance=chance, **found)


class Measures(_Table):
    """Progress measures at checkpoints: restricted loss on all pairs, excluded loss (all keys) on the training pairs.

    Source: Nanda et al. 2023, §4.2.
    """

    columns = ("restricted_loss", "excluded_loss")
    restricted_loss: np.ndarray | None
    excluded_loss: np.ndarray | None

    def __init__(
        self, *, steps: Series, restricted_loss: Series | None = None, excluded_loss: Series | None = None
    ) -> None:
        self._fill(steps, {"restricted_loss": restricted_loss, "excluded_loss": excluded_loss})

    @classmethod
    def from_dataset(cls, dataset: "xarray.Dataset") -> "Measures":
        """Read the progress measures from the variables of an analysis over ``step``."""
        return cls(steps=dataset["step"].values, **_found(dataset, cls.columns))
