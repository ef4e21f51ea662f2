"""The calibration of the verdicts on curves runs, and its numbers are as good as docs/formulas.md states."""

from benchmarks.calibration.curves import HEAD, KINDS, main


def test_the_tables_are_printed_and_most_verdicts_are_right(capsys):
    main(["--small"])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.strip().splitlines()]
    assert lines[0] == list(HEAD)
    rows = {cells[0]: cells[1:] for cells in lines[2:]}
    assert set(rows) >= {kind.__name__ for kind in KINDS}
    by_window, by_course = (rows[f"all, {rule}"] for rule in ("ten consecutive evaluations", "by the course"))
    right, changed, false = 1, 2, 6
    number = [float(cells[right].rstrip(" %")) for cells in (by_window, by_course)]
    assert number[0] < 70 < 95 < number[1]
    assert float(by_course[changed].rstrip(" %")) < float(by_window[changed].rstrip(" %"))
    assert float(by_course[false].rstrip(" %")) <= 5
