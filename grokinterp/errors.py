"""All errors that a user can cause: a single clear line that names the setting, its value and the rule."""

import copyreg
import warnings
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager
from typing import Any


class GrokinterpError(Exception):
    """An error whose text is one printable line for the user; the command line exits with code 2."""

    def __str__(self) -> str:
        return one_line(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how the error is copied to another process, with its text and attributes."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # ty: ignore[missing-attribute]


class ConfigError(GrokinterpError, ValueError):
    """A configuration value that breaks a rule.

    >>> str(ConfigError("task.p", 1, "must be an integer >= 3"))
    'task.p=1: must be an integer >= 3'
    """

    def __init__(self, key: str, value: object, rule: str) -> None:
        super().__init__(f"{key}={text_of(value)}: {rule}")
        self.key, self.value, self.rule = key, value, rule


class CheckpointError(GrokinterpError):
    """A checkpoint file that is damaged, foreign or does not match its name."""

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"checkpoint {path}: {why}")
        self.path, self.why = path, why


class RunDirectoryError(GrokinterpError):
    """A run directory that cannot be created, opened, locked or written."""

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"run directory {path}: {why}")
        self.path, self.why = path, why


class RunInUse(RunDirectoryError):
    """A run directory that another process is using at this moment."""


class WriteError(GrokinterpError):
    """A file or directory that cannot be written: read-only or full storage, no permission, a broken device."""


class NotDefined(GrokinterpError):
    """An analysis that is undefined for this task or model; ``why`` names the missing requirement."""

    def __init__(self, analysis: str, why: str) -> None:
        super().__init__(f"{analysis} is not defined here: {why}")
        self.analysis, self.why = analysis, why


def printable(text: str) -> str:
    r"""Return text that is safe to print: spaces for line breaks and tabs, and "?" for other control characters.

    Control characters include those that reverse the writing direction, and all others without a glyph.

    >>> printable("a\x1b[31m\nb\u202ec")
    'a?[31m b?c'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text)


def short(value: object, most: int = 80) -> str:
    r"""Return a value as one printable line; longer text is truncated.

    >>> short("a\x1b[31m\nb"), short("abcdefgh", 6)
    ('a?[31m b', 'abc...')
    """
    text = printable(text_of(value)[: most + 1])
    return text if len(text) <= most else text[: most - 3] + "..."


MOST_COMPARED = 80
"""Largest number of characters of an unknown name that is compared with known names."""

MOST_BITS = 256
"""Size of the largest integers that are printed, in bits."""


def text_of(value: object) -> str:
    """Return ``str(value)``, or the type of a value that is too large or too deeply nested for it, or broken.

    >>> text_of(0.5), text_of(10**5000)
    ('0.5', 'an integer of 16610 bits')
    """
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return f"an integer of {value.bit_length()} bits"
    try:
        return str(value)
    except Exception:  # an integer of 5,000 digits, a list inside itself, a class with its own __str__
        return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__} without text"


def one_line(message: object) -> str:
    """Return a message as one printable line."""
    return printable(text_of(message)).strip()


def warn(message: object, *, stacklevel: int = 1) -> None:
    """Warn in one printable line; ``stacklevel`` 1 is the caller of this function."""
    warnings.warn(one_line(message), stacklevel=stacklevel + 1)  # noqa: TID251 - only here


def require(holds: bool, key: str, value: object, rule: str) -> None:
    """Raise ConfigError unless the rule holds."""
    if not holds:
        raise ConfigError(key, value, rule)


@contextmanager
def errors_named(key: str) -> Generator[None]:
    """Add a dotted key before that of a ConfigError that the block raises."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{key}.{error.key}", error.value, error.rule) from None


def require_choice(key: str, value: object, allowed: Collection[str]) -> None:
    """Raise ConfigError unless the value is among the allowed ones.

    >>> require_choice("read_at", "last", ("last", "first"))
    """
    require(isinstance(value, str) and value in allowed, key, short(value), choice_rule(value, allowed))


def choice_rule(value: object, allowed: Iterable[str]) -> str:
    """Return the rule that a value which is not among the allowed ones breaks, with the nearest of them.

    >>> choice_rule("lats", ("last", "first"))
    'must be one of last, first; did you mean last?'
    """
    names = list(allowed)
    return f"must be one of {', '.join(names)}{suggestion(value, names)}"


def suggestion(value: object, allowed: Iterable[str], *, prefix: str = "") -> str:
    """Return a question that names the known name nearest to an unknown one, after a prefix; empty if none is near.

    Capital letters do not matter, and names of the same letters in another order are near whatever their length.

    >>> suggestion("sead", ["seed", "steps"]), suggestion("mpl", ["mlp"]), suggestion("nesterov", ["seed", "steps"])
    ('; did you mean seed?', '; did you mean mlp?', '')
    """
    import difflib

    text, names = text_of(value).lower()[:MOST_COMPARED], {name.lower(): name for name in allowed}
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.7)
    near = near or [name for name in names if sorted(name) == sorted(text)]
    return f"; did you mean {prefix}{names[near[0]]}?" if near else ""
