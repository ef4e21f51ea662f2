"""What every configuration value goes through."""

from grokinterp.errors import ConfigError

FORBID_UNKNOWN_KEYS = {"extra": "forbid", "allow_inf_nan": False}


def require(holds: bool, key: str, value: object, rule: str) -> None:
    """Raise ConfigError unless the rule holds."""
    if not holds:
        raise ConfigError(key, value, rule)
