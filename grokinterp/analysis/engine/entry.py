"""One line of a chapter's table: an analysis and how it is run over a trajectory."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from grokinterp.analysis.engine.labeled import Analysis, described
from grokinterp.analysis.engine.memory import COPIES
from grokinterp.errors import require, short
from grokinterp.experiment.problem import Problem
from grokinterp.runs.datasets import NAME

CHAPTER_OF = re.compile(r"grokinterp\.analysis\.(\w+)\.")
"""Matches the module of an analysis of this package; the group is its chapter."""


@dataclass(frozen=True)
class Entry:
    """An analysis and how ``analyze`` runs it.

    Args:
        analysis: a plain function of one checkpoint.
        most: the largest number of checkpoints to run on by default; None: every checkpoint.
        single: store float64 in single precision, for maps that are cheap to compute and large to store.
        title: the title in reports (default: the name of the function in words).
        where: condition on the problem for the analysis to run by default (default: always).
        copies: the number of float64 arrays as large as all logits that the analysis computes; it is not run if they
            do not fit into memory.

    Raises:
        ConfigError: the name of the function cannot be the name of a result file.
    """

    analysis: Analysis
    most: int | None = None
    single: bool = False
    title: str | None = None
    where: Callable[[Problem], bool] | None = None
    copies: int = COPIES

    def __post_init__(self) -> None:
        rule = "must be a function whose name has 1-64 letters from a to z, digits or '_' and starts with a letter"
        name = getattr(self.analysis, "__name__", "")
        require(NAME.fullmatch(name) is not None, "analysis", short(name or self.analysis), rule)

    @property
    def name(self) -> str:
        """The name of the function, which is also the name of its result file."""
        return self.analysis.__name__

    @property
    def costly(self) -> bool:
        """Whether the analysis runs on few checkpoints because it is slow; it then runs in a loop, not under vmap."""
        return self.most is not None and not self.single

    @property
    def attributes(self) -> dict[str, str]:
        """The title, explanation and source of the analysis, from its docstring, and its chapter, if any."""
        chapter = CHAPTER_OF.match(self.analysis.__module__)
        return described(self.analysis, title=self.title) | ({"chapter": chapter[1]} if chapter else {})

    def steps(self, saved: tuple[int, ...], every: int | None, landmarks: Sequence[int]) -> tuple[int, ...]:
        """Return the steps to run on: each ``every``-th and the last, or at most ``most`` steps."""
        if every is None:
            return thinned(saved, self.most, landmarks)
        return tuple(sorted({*saved[::every], *saved[-1:]}))


def thinned(steps: tuple[int, ...], most: int | None, landmarks: Sequence[int] = ()) -> tuple[int, ...]:
    """Return at most ``most`` steps: the first, the last, those nearest to the landmarks, then midpoints of the gaps.

    The steps chosen for a smaller ``most`` are a subset of those for a larger ``most``. None keeps all steps.

    >>> thinned((0, 10, 20, 30, 40, 50, 60, 70, 80), 4, [12])
    (0, 10, 40, 80)
    """
    if most is None or len(steps) <= most:
        return steps
    nearest = [min(range(len(steps)), key=lambda i, at=at: abs(steps[i] - at)) for at in landmarks]
    chosen = list(dict.fromkeys([0, len(steps) - 1, *nearest]))[:most]
    while len(chosen) < most:
        left, right = max(pairwise(sorted(chosen)), key=lambda gap: gap[1] - gap[0])
        chosen.append((left + right) // 2)
    return tuple(steps[i] for i in sorted(chosen))
