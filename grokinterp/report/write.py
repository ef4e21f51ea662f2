"""From a run directory to one HTML file that opens offline and runs nothing but its own script."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from grokinterp.report.content import content
from grokinterp.results import Results
from grokinterp.storage import write_atomic

ASSETS = Path(__file__).parent / "templates"


def write_report(run_dir: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of an analyzed run; returns where it is.

    Args:
        run_dir: a run directory with whatever analyses have been run; what is missing is named in the report.
        out: the file, by default ``reports/<name of the run directory>.html``.

    Raises:
        RunDirectoryError: no run directory, or a damaged one.
        GrokinterpError: the file cannot be written.
    """
    path = Path("reports") / f"{Path(run_dir).resolve().name}.html" if out is None else Path(out)
    page = render(Results.open(run_dir))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page.encode("utf-8"), replace=True)
    return path


def render(results: Results) -> str:
    """The page: the same results give the same bytes."""
    style, script = (_asset(name) for name in ("report.css", "explorer.js"))
    return _environment().get_template("report.html").render(
        **content(results), style=Markup(style), script=Markup(script), policy=policy(style=style, script=script)
    )  # fmt: skip


def policy(*, style: str, script: str) -> str:
    """A content security policy that allows this style sheet, this script, and images inside the page; nothing else.

    >>> policy(style="", script="")[:61]
    "default-src 'none'; img-src data:; style-src 'sha256-47DEQpj8"
    """
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
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


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"


def _asset(name: str) -> str:
    """A file of ours, placed verbatim in an element whose end tag it must not hold."""
    text = (ASSETS / name).read_text(encoding="utf-8")
    assert "</" not in text, f"{name} holds an end tag"
    return text


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("grokinterp.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["for_script"] = for_script
    return environment
