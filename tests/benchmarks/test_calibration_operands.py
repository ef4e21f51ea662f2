"""The calibration with more operands runs, at a size too small for conclusions."""

from benchmarks.calibration import operands


def test_the_calibration_of_operands_prints_its_tables(capsys):
    operands.main(["--small"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("| 7, n = 3 |", "| 7, + and - |")) for line in lines) == 4
    assert sum(line.startswith("| C2xC7, D7 |") for line in lines) == 3
