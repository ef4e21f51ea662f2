"""A report as a reader of HTML sees it."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

from matplotlib.figure import Figure

from grokinterp.report import render
from grokinterp.report.chapters import CHAPTERS, Chapter
from grokinterp.report.plate import Plate
from grokinterp.runs.results import Results
from tests.support.report_data import write_run

PAYLOADS = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>",
    "\" onmouseover=\"alert(1)",
    "' onfocus='alert(1)' autofocus='", "javascript:alert(1)", "<a href=javascript:alert(1)>x</a>",
    "<iframe src=//example.org></iframe>", "<link rel=stylesheet href=//example.org>", "<base href=//example.org>",
    "<meta http-equiv=refresh content=0>", "<!--", "-->", "]]>", "<![CDATA[", "{{ 7 * 7 }}", "{% for x in y %}",
    "${7*7}", "&lt;script&gt;", "&#60;script&#62;", "\u2028alert(1)\u2029", "\u202egnp.exe",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "<object data=x>", "<form action=//example.org><button>", "<textarea>", "<style>*{display:none}</style>",
]  # fmt: skip
"""Texts that must be shown and never run, wherever a run directory has a text."""


class Page(HTMLParser):
    """Elements with their attributes, the text that is shown, and the content of style and script elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, str]] = []
        self.text = ""
        self._tag = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._tag = tag

    def handle_endtag(self, tag):
        self._tag = ""

    def handle_data(self, data):
        if self._tag in ("script", "style"):
            self.inside.append((self._tag, data))
        else:
            self.text += data

    @property
    def figures(self) -> list[str | None]:
        """The texts of the drawn figures for readers who do not see them."""
        return [svg["aria-label"] for svg in self.all("svg") if svg.get("class") == "drawn"]

    @property
    def scripts(self) -> list[str]:
        """The sources that a policy names to allow the scripts of the page, which are inside it."""
        assert not any("src" in attributes for attributes in self.all("script"))
        code = (text for tag, text in self.inside if tag == "script" and not text.startswith(("{", "[")))
        return [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in code]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def chapters_of(names: Iterable[str]) -> list[Chapter]:
    """The chapters of a page with the plates of these analyses alone."""
    known = set(names)
    return with_plates(lambda plates: tuple(plate for plate in plates if known.issuperset(plate.analyses)))


def with_plates(change: Callable[[Sequence[Plate]], tuple[Plate, ...]]) -> list[Chapter]:
    """The chapters with other plates."""
    return [
        chapter._replace(checkpoint_plates=change(chapter.checkpoint_plates), plates=change(chapter.plates))
        for chapter in CHAPTERS
    ]


UNDRAWN = with_plates(lambda plates: tuple(replace(plate, draw=lambda data, view: Figure()) for plate in plates))
"""The chapters with their captions under empty figures: drawing takes most of the time of a page."""


def report_of(path: Path, **options) -> str:
    return render(Results.open(write_run(path, **options)))
