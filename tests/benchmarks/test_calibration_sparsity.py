"""The calibration of sparse structure and bounds runs at toy size, and its tables agree with the documents."""

from benchmarks.calibration import sparsity


def test_its_tables_are_printed(capsys):
    sparsity.main(["--small"])
    tables = [table.splitlines() for table in capsys.readouterr().out.split("\n\n")]
    assert [len(table) for table in tables] == [4, 4, 4, 4, 3]
    assert all(row.count("|") == table[0].count("|") for table in tables for row in table)
    pure, impure = ([cell.strip() for cell in row.split("|")] for row in tables[0][2:])
    assert pure[2] == "1.000"
    assert float(impure[2]) < 1
    assert float(pure[6]) >= float(pure[7]) >= float(pure[8])  # lowest IPR first, random, highest first
    exact, noisy = ([cell.strip() for cell in row.split("|")] for row in tables[3][2:])
    assert float(exact[4]) == float(exact[2])  # the waves alone prove all that is true
    assert float(noisy[4]) <= float(noisy[2])
