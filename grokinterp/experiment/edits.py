"""Edits of the weights with which a branch of a run starts, as data that loads without torch."""

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, Literal

from grokinterp.errors import require, short
from grokinterp.specification import Specification
from grokinterp.storage.steps import LARGEST_STEP

MOST_EDITS = 64
"""Largest number of edits of a branch."""


class Edit(Specification, ABC):
    """A change of the weights of a checkpoint."""

    about: ClassVar[str]
    """One-line description of the edit."""

    kind: str


@dataclass(frozen=True, kw_only=True)
class Graft(Edit):
    """Replace a part of the model by the same part of another checkpoint (``interventions.graft``).

    ``part`` is one of ``Model.parts``. ``run`` is the directory of the donor's run (None: the parent of the branch) and
    ``step`` its checkpoint. ``run_id`` and ``digest`` identify the donor; they are filled in when the branch is
    created.

    Raises:
        ConfigError: if the step is out of range.
    """

    about: ClassVar[str] = "replaces a part by that of another checkpoint, of the parent or of another run"

    kind: Literal["graft"] = "graft"
    part: str = "embed"
    step: int = 0
    run: str | None = None
    run_id: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        require_step("step", self.step)


@dataclass(frozen=True, kw_only=True)
class AblateFrequencies(Edit):
    """Remove frequencies of a cyclic group from the embedding or the unembedding, or all others.

    See ``interventions.ablate_frequencies``.

    Raises:
        ConfigError: if there are no frequencies.
    """

    about: ClassVar[str] = "removes frequencies from the embedding or unembedding; keep=true removes all others"

    kind: Literal["ablate_frequencies"] = "ablate_frequencies"
    frequencies: tuple[int, ...] = (1,)
    where: Literal["embedding", "unembedding"] = "embedding"
    keep: bool = False

    def __post_init__(self) -> None:
        require(bool(self.frequencies), "frequencies", "none", "must name at least one frequency")


@dataclass(frozen=True, kw_only=True)
class Scale(Edit):
    """Multiply the weights of a part, or all weights, by a factor (``interventions.scaled``).

    Raises:
        ConfigError: if the factor is outside (0, 1000].
    """

    about: ClassVar[str] = "multiplies the weights of a part, or all weights (part=none), by a factor"

    kind: Literal["scale"] = "scale"
    factor: float = 1.0
    part: str | None = None

    def __post_init__(self) -> None:
        require(0 < self.factor <= 1000, "factor", self.factor, "must be positive and at most 1000")


@dataclass(frozen=True, kw_only=True)
class Redraw(Edit):
    """Replace a part of the model by one drawn from the initial distribution of the parent.

    Raises:
        ConfigError: if the seed is out of range.
    """

    about: ClassVar[str] = "draws a part again from its initial distribution"

    kind: Literal["redraw"] = "redraw"
    part: str = "embed"
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, "seed", self.seed, "must be from 0 to 2^63 - 1")


EDITS: dict[str, type[Edit]] = {edit.kind: edit for edit in (Graft, AblateFrequencies, Scale, Redraw)}
"""The edits, by kind."""


def require_step(key: str, value: int) -> None:
    """Raise ConfigError unless a value can be a step."""
    require(0 <= value <= LARGEST_STEP, key, short(value), "must be an integer from 0 to 10^8")
