"""Pages that open offline and can run nothing that is not ours: templates that escape, and a policy of hashes."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

STYLE = Path(__file__).parent / "templates" / "page.css"
"""The look that all pages share."""


def policy(*, style: str, script: str | None) -> str:
    """A content security policy that allows this style sheet, this script, and images inside the page; nothing else.

    >>> policy(style="", script=None)
    "default-src 'none'; img-src data:; style-src 'sha256-47DEQpj8...='; base-uri 'none'; form-action 'none'"
    """
    scripts = "" if script is None else f"script-src '{_hash(script)}'; "
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; {scripts}base-uri 'none'; form-action 'none'"
    )


def for_script(value: Any) -> Markup:
    r"""JSON that is safe inside a script element: no ``<``, ``>``, ``&`` or line separator; NaN is an error.

    >>> for_script({"a": "</script>"})
    Markup('{"a":"\\u003c/script\\u003e"}')
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def asset(path: Path) -> str:
    """A file of ours, placed verbatim in an element whose end tag it must not hold."""
    text = path.read_text(encoding="utf-8")
    assert "</" not in text, f"{path.name} holds an end tag"
    return text


def environment(package: str) -> Environment:
    """The templates of a package, beside those that all pages share; whatever they show is escaped."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("grokinterp.page")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["for_script"] = for_script
    return made


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
