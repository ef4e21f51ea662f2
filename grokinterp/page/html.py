"""Render pages that open offline and run only our own scripts: escaping templates and a policy of hashes."""

import base64
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from grokinterp.numbers import Written
from grokinterp.storage.files import MAX_DOCUMENT_BYTES, read_regular

STYLE = Path(__file__).parent / "templates" / "page.css"
"""The style sheet that all pages share."""

SCRIPTS = tuple(STYLE.with_name(f"{name}.js") for name in ("note", "readings", "files", "figures", "contents"))
"""The scripts for the values, the larger view, and the files of all figures, and for the contents."""

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def policy(*, style: str, script: str | None) -> str:
    """Return a content security policy that allows only this style sheet, this script, and embedded images.

    >>> policy(style="", script=None)
    "default-src 'none'; img-src data:; style-src 'sha256-47DEQpj8...='; base-uri 'none'; form-action 'none'"
    """
    scripts = "" if script is None else f"script-src '{_hash(script)}'; "
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; {scripts}base-uri 'none'; form-action 'none'"
    )


def for_script(value: Any) -> Markup:
    r"""Return JSON that is safe inside a script element: no ``<``, ``>``, ``&``, or line separator.

    Raises:
        ValueError: the value contains a NaN or an infinity.

    >>> for_script({"a": "</script>"})
    Markup('{"a":"\\u003c/script\\u003e"}')
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def for_attribute(value: Any) -> str:
    """Return compact JSON, which the template escapes. Raises ValueError for a NaN or an infinity."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def asset(path: Path) -> str:
    """Return the text of a packaged file that is inserted verbatim into an element; it must not contain an end tag."""
    text = read_regular(path, limit=MAX_DOCUMENT_BYTES).decode("utf-8")
    assert "</" not in text, f"{path.name} contains an end tag"
    return text


def script(*more: Path) -> str:
    """Return the script that all pages with figures share, followed by further ones of a page."""
    return "".join(asset(path) for path in (*SCRIPTS, *more))


def environment(package: str) -> Environment:
    """Return the template environment of a package, including the shared templates; it escapes all values."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("grokinterp.page")]),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["for_script"] = for_script
    made.filters["for_attribute"] = for_attribute
    made.filters["in_full"] = in_full
    return made


def shown(value: Any) -> Any:
    r"""Return a value with "?" for control characters and those that reverse the writing direction; markup is kept.

    >>> shown("a\x1b[31m\u202eb"), shown(3)
    ('a?[31m?b', 3)
    """
    return CONTROLS.sub("?", value) if type(value) is str else value


def in_full(cell: Any) -> str:
    """Return the attribute of a table's cell with its number in full; "" if the cell is not a finite number.

    >>> from grokinterp.numbers import percent
    >>> in_full(percent(1 / 3)), in_full("clock")
    (Markup(' data-value="0.3333333333333333"'), '')
    """
    known = isinstance(cell, Written) and math.isfinite(cell.value)
    return Markup(f' data-value="{cell.value}"') if known else ""


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
