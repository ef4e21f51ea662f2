"""The calibration of learning coefficients runs, and finds the known values."""

from benchmarks.calibration.llc import main


def test_the_tables_of_the_documentation(capsys):
    main(["--small"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    known, measured = float(rows[1][3]), float(rows[1][4])
    assert rows[1][0].startswith("| linear regression")
    assert abs(measured / known - 1) < 0.2
    assert len(rows) == 5
