"""The weight of an installation: all packages that are required, and their sizes."""

from benchmarks.weight import main, required, rows, size


def test_required_packages_are_found_through_others():
    found = required("pytest")
    assert {"pluggy", "iniconfig", "packaging"} <= found.keys()
    assert "pytest" not in found
    assert required("no-such-package") == {}
    assert size(found["iniconfig"]) > 1000


def test_small_packages_are_added_up():
    assert rows({"a": 10**9, "b": 2 * 10**9, "c": 10**6, "d": 10**6}) == [
        ["b", "2,000"],
        ["a", "1,000"],
        ["2 others", "2"],
        ["all 4", "3,002"],
    ]


def test_the_table_is_printed(capsys):
    main([])
    assert "| torch |" in capsys.readouterr().out
