"""A report as a reader of HTML sees it."""

from html.parser import HTMLParser
from pathlib import Path

from grokinterp.report import render
from grokinterp.runs.results import Results
from tests.support.report_data import write_run


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

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def report_of(path: Path, **options) -> str:
    return render(Results.open(write_run(path, **options)))
