"""The example of examples/, and the document of what the named sweeps found, at toy size."""

from pathlib import Path

from benchmarks import boundaries
from grokinterp.cli.entry import code_of
from grokinterp.sweeps import open_db

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "boundary.toml"


def test_the_example_is_trained_and_its_page_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    toy = ("steps=20", "save.every=20", "task.p=11", "ratio=1,2", "optimization.weight_decay=1", "seed=0")
    assert code_of(["sweep", str(EXAMPLE), *toy, "--out", "sweeps/boundary", "--workers", "1"]) == 0
    assert code_of(["sweep-report", "sweeps/boundary", "--out", "boundary.html", "--db", "boundary.db"]) == 0
    assert "2 runs" in capsys.readouterr().out
    page = Path("boundary.html").read_text(encoding="utf-8")
    assert "0 of 2 runs grokked; no critical value can be estimated from these runs." in page
    assert "2 of 2 runs that ended have fewer than 10 evaluations" in page
    assert sorted(open_db("boundary.db").runs["ratio"]) == [8 / 11, 20 / 11]


def test_the_document_states_what_the_sweeps_found(tmp_path):
    out = tmp_path / "boundaries.md"
    given = ["--sweeps", "exp3_prime", "--root", str(tmp_path / "runs"), "--out", str(out)]
    boundaries.main([*given, "task.p=7,11", "steps=20", "save.every=20"])
    text = out.read_text(encoding="utf-8")
    before = boundaries.OUT.read_text(encoding="utf-8")
    small, full = boundaries.HEADINGS["small"], boundaries.HEADINGS["full"]
    assert text.partition(small)[0] == before.partition(small)[0]
    assert text.partition(full)[1:] == before.partition(full)[1:]
    assert "| `exp3_prime_small` | 2 of 2 | 0 | 2 (100%) | none |" in text
    assert "* 0 of 2 runs grokked; " in text
    assert "| all runs | 2 | 0 of 2 | 100 % | none: no run grokked |" in text
