"""Numbers, changes, lists and configurations as text, in the same form in reports and in the terminal."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

ABSENT = "not measured"
LONGEST = 400
"""Largest number of characters of a configuration value, since a table can be long."""


class Written(str):
    """A number as text, together with the number: a table shows the text, and its file has the number.

    >>> text = Written("1.23e-4", 0.00012345)
    >>> text, text.value
    ('1.23e-4', 0.00012345)
    """

    value: int | float

    def __new__(cls, text: str, value: int | float = math.nan) -> "Written":
        """Return the text with its number."""
        written = super().__new__(cls, text)
        written.value = value
        return written


def compact(value: float) -> str:
    """Return a number as compact text.

    >>> compact(0.25), compact(-1.5e-05), compact(0.0), compact(2000000.0)
    ('0.25', '−1.5e-5', '0', '2e6')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}".replace("-", "−")
    digits, exponent = f"{value:.2e}".split("e")
    return f"{digits.rstrip('0').rstrip('.').replace('-', '−')}e{int(exponent)}"


def number(value: Any) -> str:
    """Return a number with three significant digits; integers in full, missing and non-finite values in words.

    >>> number(0.00012345), number(31.776), number(123456.0), number(float("nan")), number(None)
    ('1.23e-4', '31.8', '1.23e5', 'not finite', 'not measured')
    >>> number(-0.691)
    '−0.691'
    """
    if value is None:
        return ABSENT
    if isinstance(value, bool | str):
        return str(value)
    return whole(value) if isinstance(value, int) else Written(_rounded(value), value)


def _rounded(value: float) -> str:
    """Return a number that is no integer as text."""
    if not math.isfinite(value):
        return "not finite"
    if value < 0:
        return f"−{_rounded(-value)}"
    if value == 0 or 1e-3 <= value < 1e4:
        return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    digits, exponent = f"{value:.2e}".split("e")
    return f"{digits}e{int(exponent)}"


def whole(value: int) -> str:
    """Return an integer with commas between thousands.

    >>> whole(25000)
    '25,000'
    """
    return Written(f"{value:,}", value)


def percent(value: Any) -> str:
    """Return a share as a percentage.

    >>> percent(0.9731), percent(None)
    ('97.3 %', 'not measured')
    """
    if isinstance(value, float) and math.isfinite(value):
        return Written(f"{100 * value:.3g} %", value)
    return number(value)


def change(start: float, end: float, *, ratio: bool) -> str:
    """Return the change of a value: a factor for losses and norms, a difference for shares and cosines.

    >>> change(2.0, 0.5, ratio=True), change(0.25, 0.75, ratio=False), change(float("nan"), 1.0, ratio=True)
    ('× 0.25', '+0.5', 'unknown')
    """
    if not (math.isfinite(start) and math.isfinite(end)):
        return "unknown"
    if ratio and start > 0 and end > 0:
        return Written(f"× {number(end / start)}", end / start)
    if start == end:
        return Written("0", 0.0)
    return Written(f"{'+' if end > start else '−'}{number(abs(end - start))}", end - start)


def listed(names: Iterable[str]) -> str:
    """Join names with commas and "and".

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a nested configuration by their dotted keys.

    >>> flat({"task": {"p": 53}, "seed": None})
    {'task.p': 53, 'seed': None}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def settings(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the dotted keys and the values of a nested configuration as texts.

    >>> settings({"task": {"p": 53}, "seed": None})
    [('task.p', '53'), ('seed', 'none')]
    """
    return [(key, "none" if value is None else short(str(value), LONGEST)) for key, value in flat(values).items()]


def short(text: str, most: int) -> str:
    """Return the text, truncated with its length if it is longer than ``most``.

    >>> short("0,1,2,3,4", 6)
    '0,1,2,… (9 characters)'
    """
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
