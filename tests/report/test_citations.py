"""BibTeX of a run: the papers behind its settings and analyses, each once, and nothing that it did not use."""

import re
import sys
from pathlib import Path

import pytest

from grokinterp.cli.entry import run as run_command_line
from grokinterp.report.citations import SETTINGS, bibtex, listed_works, used
from grokinterp.report.glossary import CITATION
from grokinterp.runs.datasets import read_analysis, write_analysis
from grokinterp.runs.results import Results
from tests.support.report_data import write_run
from tests.support.small_runs import changed, draw_checkpoints


def cited(path) -> dict[str, str]:
    """The comment above each entry, by its key."""
    text = bibtex(Results.open(path))
    return {key: comment for comment, key in re.findall(r"^% (.*)\n@\w+\{([^,]+),", text, re.MULTILINE)}


def test_a_run_cites_what_it_used_and_nothing_else(tmp_path):
    filters = [{"kind": "grokfast_ema"}]
    experiment = changed(optimization={"filters": filters, "optimizer": "adamw"}, split={"label_noise": 0.1})
    found = cited(draw_checkpoints(tmp_path / "run", experiment).path)
    assert found["grokinterp"] == "this package"
    assert "filter grokfast_ema" in found["lee2024grokfast"]
    assert "split.label_noise=0.1" in found["zhang2017understanding"]
    assert found["loshchilov2017decoupled"] == "optimization.optimizer=adamw"
    assert "task modular_addition" in found["nanda2023progress"]
    assert not any("analysis" in comment for comment in found.values())
    assert not any(key.startswith(("prieto", "jordan", "gromov", "kumar")) for key in found)


def with_sources(path: Path, **sources: str) -> Path:
    """A run whose results state these sources."""
    for name, source in sources.items():
        write_analysis(path, name, read_analysis(path, name).assign_attrs(source=source))
    return path


def test_analyses_are_cited_from_their_results(tmp_path):
    path = with_sources(
        write_run(tmp_path / "run"), embedding_spectrum="Zhong et al. 2023, §4", performance="Zhong et al. 2023"
    )
    found = cited(path)
    assert found["zhong2023clock"] == "analysis embedding_spectrum, analysis performance"
    assert not any("class_cosine" in comment for comment in found.values())


def test_every_entry_is_complete_and_has_its_own_key(tmp_path):
    text = bibtex(Results.open(write_run(tmp_path / "run", deep=True)))
    entries = re.findall(r"@(\w+)\{([^,]+),\n((?:  \w+ = \{.*\},?\n)+)\}", text)
    keys = [key for _, key, _ in entries]
    assert len(entries) == text.count("@")
    assert len(keys) == len(set(keys))
    assert all(
        {"title", "author", "year"} <= set(re.findall(r"^  (\w+) =", body, re.M)) for _, key, body in entries[1:]
    )
    assert text.count("{") == text.count("}")


def test_every_setting_with_a_paper_has_one_that_is_listed():
    works = {work.cited_as for work in listed_works()}
    assert {match.groups()[:2] for _, _, text in SETTINGS for match in CITATION.finditer(text)} <= works
    assert len(works) > 80


def test_a_configuration_of_another_version_still_has_its_analyses(tmp_path):
    path = write_run(tmp_path / "run", changes={"model": {"kind": "of the future"}})
    with_sources(path, performance="Prieto et al. 2025")
    assert used(Results.open(path))["Prieto", "2025"] == ["analysis performance"]


def test_the_command_prints_or_writes(tmp_path, monkeypatch, capsys):
    run = draw_checkpoints(tmp_path / "run").path
    monkeypatch.chdir(tmp_path)
    for line in (["cite", str(run)], ["cite", str(run), "--out", "papers.bib"]):
        monkeypatch.setattr(sys, "argv", ["grokinterp", *line])
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out == (tmp_path / "papers.bib").read_text() + "papers.bib\n"
