"""The documentation site: every page is in the navigation, references are complete, links lead somewhere."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

import grokinterp
from grokinterp.cli.entry import COMMANDS, GROUPS
from grokinterp.experiment import Experiment
from grokinterp.experiment.kinds import KINDS
from manual import links, names, reference, site

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
NAV = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
LINK = re.compile(r"(?<!!)\[[^\]\[]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def test_every_page_is_in_the_navigation_once():
    found = list(site.pages(site.completed(NAV, ROOT / "docs")))
    assert sorted(found) == DOCS
    assert set(site.pages(NAV)) <= set(DOCS)


def test_a_page_that_is_added_joins_the_guides(tmp_path):
    for name in (*DOCS, "added.md"):
        (tmp_path / name).touch()
    guides = next(part for part in site.completed(NAV, tmp_path) if isinstance(part, dict) and site.GUIDES in part)
    assert "added.md" in guides[site.GUIDES]


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a document."""
    plain = (re.sub(r"[`*\[\]]|\(.*?\)", "", heading).strip().lower() for heading in HEADING.findall(text))
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading)) for heading in plain}


@pytest.mark.parametrize(
    "document", [*(f"docs/{name}" for name in DOCS), "README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
)
def test_every_link_leads_to_a_file_and_its_heading(document):
    text, folder, dead = (ROOT / document).read_text(encoding="utf-8"), (ROOT / document).parent, []
    for target in LINK.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
        path, _, anchor = unquote(target).partition("#")
        if "://" in path:
            continue
        file = folder / path if path else ROOT / document
        is_text = file.is_file() and file.suffix == ".md"
        headings = anchors(file.read_text(encoding="utf-8")) if is_text else {anchor}
        if not file.exists() or (anchor and anchor not in headings):
            dead.append(target)
    assert dead == []


def test_the_reference_has_every_command_with_its_options():
    text = "\n".join(reference.commands())
    verbs = {f"grokinterp {name}" for name in COMMANDS.keys() | GROUPS.keys()}
    assert verbs <= set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert {"grokinterp db build", "grokinterp db query"} <= set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert text.count("-h, --help") == len(re.findall(r"^### ", text, re.MULTILINE))


def test_the_reference_has_every_setting():
    text = "\n".join(reference.settings())
    missing = [key for key in Experiment().every_setting if f"`{key}`" not in text and not key.endswith(".kind")]
    assert missing == []
    assert all(f"`{key}.kind={kind}`" in text for key, classes in KINDS.items() for kind in classes)


def test_the_reference_has_every_public_function_and_class():
    text = "\n".join(names.public_names())
    named = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
    public = {name for name in grokinterp.__all__ if names.place_of(getattr(grokinterp, name))}
    assert public
    assert public <= named
    assert not re.search(r"0x[0-9a-f]{6}", text)


@pytest.mark.parametrize("page", ["command_line", "settings", "api"])
def test_a_reference_page_has_its_mark(page):
    assert site.MARK.search((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))


def test_links_of_the_description_work_or_are_text():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    alone = links.published(text, "", "")
    assert [target for target in LINK.findall(alone) if "://" not in target] == []
    hosted = links.published(text, "", "scheme://host/name")
    assert "[docs/sweeps.md](scheme://host/name/blob/main/docs/sweeps.md)" in hosted
    assert [target for target in LINK.findall(hosted) if "://" not in target and not target.startswith("#")] == []


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs")
def test_the_site_is_built_without_warnings(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in (tmp_path / "site").glob("*.html")} >= {name.removesuffix(".md") for name in DOCS}
    assert "cdn" not in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_the_archive_has_what_its_build_reads():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"/README.md", "/manual", "/docs", "/mkdocs.yml", "/CHANGELOG.md"} <= set(included)
    assert {"/.ci", "/.dockerignore", "/reports/example.html"} <= set(included)  # Makefile, Dockerfile, README
    assert [name for name in included if not (ROOT / name.strip("/")).exists()] == []
    assert (ROOT / project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["path"]).is_file()
