"""The tables of docs/formulas.md, Circuit verdict, at toy size."""

from benchmarks.calibration.circuits import main


def test_the_tables_of_the_circuit_verdict(capsys):
    main(["--small"])
    tables = [table.splitlines() for table in capsys.readouterr().out.strip().split("\n\n")]
    by_product, by_noise, by_distance, by_training = ([line.split(" | ") for line in table[2:]] for table in tables)
    assert [row[-1].split(": ")[1].rstrip(" |") for row in by_product] == ["pizza", "clock", "clock"]
    assert [row[-1].rstrip(" |") for row in by_noise] == ["pizza 1", "pizza 1", "clock 1", "clock 1"]
    assert [row[-1].rstrip(" |") for row in by_distance] == ["yes", "yes"]
    assert by_training[0][-1].rstrip(" |") == "none"
