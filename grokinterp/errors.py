"""All errors that a user can cause: a single clear line that names the setting, its value and the rule."""

from collections.abc import Collection


class GrokinterpError(Exception):
    """An error whose text is one line for the user; the command line exits with code 2."""


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


class NotDefined(GrokinterpError):
    """An analysis that is undefined for this task or model; ``why`` names the missing requirement."""

    def __init__(self, analysis: str, why: str) -> None:
        super().__init__(f"{analysis} is not defined here: {why}")
        self.analysis, self.why = analysis, why


def short(value: object, most: int = 80) -> str:
    r"""Return a value as one printable line: unprintable characters become "?", longer text is truncated.

    >>> short("a\x1b[31m\nb"), short("abcdefgh", 6)
    ('a?[31m?b', 'abc...')
    """
    text = "".join(character if character.isprintable() else "?" for character in text_of(value)[: most + 1])
    return text if len(text) <= most else text[: most - 3] + "..."


def text_of(value: object) -> str:
    """Return ``str(value)``, or the type of a value that has no text: too large, too deep, or broken.

    >>> text_of(0.5), text_of(10**5000)
    ('0.5', 'an int without text')
    """
    try:
        return str(value)
    except Exception:  # an integer of 5,000 digits, a list inside itself, a class with its own __str__
        return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__} without text"


def one_line(message: object) -> str:
    """Return text that is safe for a terminal: one line, no control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in str(message)).strip()


def require(holds: bool, key: str, value: object, rule: str) -> None:
    """Raise ConfigError unless the rule holds."""
    if not holds:
        raise ConfigError(key, value, rule)


def require_choice(key: str, value: object, allowed: Collection[str]) -> None:
    """Raise ConfigError unless the value is among the allowed ones.

    >>> require_choice("read_at", "last", ("last", "first"))
    """
    require(value in allowed, key, short(value), f"must be one of {', '.join(allowed)}")
