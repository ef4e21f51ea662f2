"""What every configuration value goes through."""

from grokinterp.errors import ConfigError

FORBID_UNKNOWN_KEYS = {"extra": "forbid", "allow_inf_nan": False}


def require(holds: bool, key: str, value: object, rule: str) -> None:
    """Raise ConfigError unless the rule holds."""
    if not holds:
        raise ConfigError(key, value, rule)


def short(value: object) -> str:
    """A value on one line of at most 80 characters that a terminal can be shown."""
    text = "".join(character if character.isprintable() else "?" for character in str(value)[:81])
    return text if len(text) <= 80 else text[:77] + "..."
