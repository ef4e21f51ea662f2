"""The continuations of a run as text: where a process took over, whether exactly, and from which resume state."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from grokinterp.errors import RunDirectoryError, short, warn
from grokinterp.storage import RunDirectory
from grokinterp.storage.continuations import EXTERNAL, LOST, NEWEST, NONE_YET, OLDER

STATES = {
    NEWEST: "from the newest resume state",
    OLDER: "from an older resume state",
    NONE_YET: "from the start, since no resume state was due yet",
    LOST: "from the start, since the resume states were lost",
    EXTERNAL: "by an external loop",
}


DAMAGED_RECORD = "the record of this continuation is damaged"


class Continuation(NamedTuple):
    """A process that continued a run.

    Attributes:
        step: the step from which it continued.
        resume_state: what it continued from, a key of ``STATES``.
        exact: whether its results are bit-identical to those of an uninterrupted run; None if that is unknown.
        changed: by key, the values in its environment and in the one before it, where they differ.
        skipped: a line for each newer resume state that could not be used.
        settings: by dotted key, the value before and after of each setting that the continuation changed.
    """

    step: int
    resume_state: str
    exact: bool | None
    changed: dict[str, tuple[str, str]]
    skipped: tuple[str, ...]
    settings: dict[str, tuple[str, str]] = {}  # noqa: RUF012 - never changed

    @classmethod
    def of(cls, record: Mapping[str, Any] | None) -> "Continuation | None":
        """Return a stored continuation; None if the record is damaged."""
        try:
            record = dict(record or {})
            pairs, settings = in_words(record["changed"]), in_words(record.get("settings", {}))
            skipped = tuple(short(line, 300) for line in list(record["skipped"]))
            step, state, exact = record["step"], record["resume_state"], record["exact"]
        except (KeyError, TypeError, ValueError):
            return None
        known = type(step) is int and state in STATES and (exact is None or isinstance(exact, bool))
        return cls(step, state, exact, pairs, skipped, settings) if known else None

    @property
    def record(self) -> dict[str, Any]:
        """The continuation as JSON values."""
        both = {"changed": self.changed, "settings": self.settings}
        named = {
            name: {key: {"before": old, "after": new} for key, (old, new) in values.items()}
            for name, values in both.items()
        }
        return self._asdict() | named | {"skipped": list(self.skipped)}

    @property
    def text(self) -> str:
        """The step, the resume state, the reasons why the bits differ, and the settings that changed.

        >>> Continuation(10, "newest", False, {"threads": ("1", "2")}, ()).text
        'step 10, from the newest resume state, not bit-identical: threads 1 became 2'
        >>> Continuation(10, "newest", True, {}, (), {"steps": ("10", "20")}).text
        'step 10, from the newest resume state, bit-identical; changed settings: steps from 10 to 20'
        """
        exact = {True: "bit-identical", False: "not bit-identical", None: "bit-identity unknown"}[self.exact]
        reasons = [f"{key} {old} became {new}" for key, (old, new) in self.changed.items()]
        because = "; ".join([*([", ".join(reasons)] if reasons else []), *self.skipped])
        settings = ", ".join(f"{key} from {old} to {new}" for key, (old, new) in self.settings.items())
        changed = f"; changed settings: {settings}" if settings else ""
        return f"step {self.step}, {STATES[self.resume_state]}, {exact}{f': {because}' if because else ''}{changed}"


def in_words(pairs: Any) -> dict[str, tuple[str, str]]:
    """Return pairs of values before and after, by key, as text. Raises TypeError or ValueError for anything else."""
    return {short(key): (in_word(old), in_word(new)) for key, (old, new) in dict(pairs).items()}


def in_word(value: Any) -> str:
    """Return a value as one short line.

    >>> in_word(None), in_word(30)
    ('none', '30')
    """
    return "none" if value is None else short(value)


def continuations_of(directory: RunDirectory) -> list[Continuation | None]:
    """Return the continuations of a run in order; a damaged record is None, and a warning names it."""
    try:
        found = [Continuation.of(record) for record in directory.continuations.read()]
    except RunDirectoryError as error:
        warn(error)
        return [None]
    if damaged := [str(number) for number, one in enumerate(found, 1) if one is None]:
        warn(f"{directory.continuations.path}: damaged record{'s' * (len(damaged) > 1)} {', '.join(damaged)}")
    return found
