"""The calibration of the causal score runs, at a size too small for conclusions."""

from benchmarks.calibration import causal


def test_the_calibration_of_the_causal_score_prints_its_table(capsys):
    causal.main(["--small"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 2 * 7
