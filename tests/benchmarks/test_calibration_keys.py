"""The calibration of keys runs, at a size too small for conclusions."""

from benchmarks.calibration import keys


def test_the_calibration_of_keys_prints_its_tables(capsys):
    keys.main(["--small"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| 7 |") for line in lines) == 2
    assert sum("memorized" in line for line in lines) == 2
