"""Hooks of mkdocs: pages that are added join the navigation, references are written from the code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manual import names, reference
from manual.links import ROOT, published, repository

MARK = re.compile(r"^<!-- (commands|settings|public names) -->$", re.MULTILINE)
"""The place in a page where a reference is written."""

GUIDES = "Guides"
"""The section of the navigation that pages join by themselves."""


def on_config(config: Any) -> Any:
    """Add every page of docs/ that the navigation does not name to its guides."""
    config["nav"] = completed(config["nav"], Path(config["docs_dir"]))
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Write the references into a page, and change its links to files that are not part of the site."""
    written = {"commands": reference.commands, "settings": reference.settings, "public names": names.public_names}
    text = published(markdown, "docs", repository(), kept=lambda path: (ROOT / path).suffix == ".md" and within(path))
    return MARK.sub(lambda mark: "\n".join(written[mark[1]]()), text)


def within(path: str) -> bool:
    """Return whether a file of the repository is a page of the site."""
    return path.startswith("docs/") and (ROOT / path).is_file()


def completed(nav: list[Any], folder: Path) -> list[Any]:
    """Return the navigation with every page of a folder: pages that it lacks follow the guides."""
    named = set(pages(nav))
    missing = sorted(path.name for path in folder.glob("*.md") if path.name not in named)
    return [
        {GUIDES: [*section[GUIDES], *missing]} if isinstance(section, dict) and GUIDES in section else section
        for section in nav
    ]


def pages(nav: Any) -> Iterator[str]:
    """Yield the files that a navigation names."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from pages(part)
