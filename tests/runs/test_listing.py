"""The results of single analyses as lines: every field at the last checkpoint, or the reason why there is none."""

import re

from grokinterp.analysis import analyze
from grokinterp.cli.entry import code_of
from grokinterp.runs.listing import analysis_lines
from tests.support.small_runs import draw_checkpoints


def test_only_the_named_analyses_are_listed(tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    results = analyze(run, only=["performance", "logit_spectrum", "weight_norms"], last=True)
    lines = list(analysis_lines(results, ["logit_spectrum", "weight_norms", "sharpness"]))
    assert lines[0] == f"logit_spectrum: 1 checkpoint, step {run.steps[-1]}:"
    assert lines[-1] == "sharpness: no results"
    assert "performance" not in " ".join(lines)
    assert "checkpoint_digest" not in " ".join(lines)
    fields = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.startswith("  ")}
    assert fields.keys() >= {"logit_fve", "is_key", "weight_norm"}
    assert float(fields["logit_fve"].replace("−", "-")) == float(f"{results.measures()['logit_fve']:.3g}")
    assert re.fullmatch(r"frequency [\d, ]+|no frequency", fields["is_key"])


def test_the_command_prints_the_named_analyses_and_one_bar(tmp_path, capsys):
    run = draw_checkpoints(tmp_path / "run")
    assert code_of(["analyze", str(run.path), "--only", "coset_scores,weight_norms"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("coset_scores: not defined: ")
    assert "\nweight_norms: " in printed.out
    assert "verdict" not in printed.out
    assert printed.err.splitlines() == [printed.err.strip()]
    done, total = re.match(r"analyzing (\d+)/(\d+), ", printed.err).groups()
    assert done == total == str(2 * len(run.steps))
