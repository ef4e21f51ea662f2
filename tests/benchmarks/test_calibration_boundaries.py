"""The calibration of the statistics of sweeps runs, and single claims of docs/formulas.md hold on few draws."""

from benchmarks.calibration.boundaries import main, of_monotone, of_shapes, of_wilson


def test_the_tables_are_printed(capsys):
    main(["--small"])
    text = capsys.readouterr().out
    assert text.count("| ---") >= 5
    assert "| step | 10 |" in text


def test_wilson_covers_on_average_what_it_states():
    means = [float(row[1].rstrip(" %")) for row in of_wilson()]
    assert all(94 < mean < 97 for mean in means)


def test_lines_are_no_u_shapes_and_a_deep_u_is_one():
    line, deep = "line, times ∝ ratio^-0.5", "U, minimum at 1, × 3 at both ends"
    rows = {tuple(row[:3]): row for row in of_shapes(4, (line, deep)) if row[3] == "0.0 %"}
    assert float(rows[line, "5", "normal"][5].rstrip(" %")) == 0
    assert float(rows[deep, "5", "normal"][5].rstrip(" %")) == 100


def test_a_threshold_is_no_u_shape():
    row = next(of_monotone(20, ("1500 exp(.15 r), grok above .6",)))
    assert float(row[3].rstrip(" %")) <= 10
    assert float(row[6].rstrip(" %")) > 50
