"""The names that a shell completes: presets, settings, devices and analyses; see ``--install-completion``."""

from collections.abc import Iterable


def preset_names(incomplete: str) -> list[str]:
    """Return the presets that begin with a text."""
    from grokinterp.presets import PRESETS

    return beginning(PRESETS, incomplete)


def setting_names(incomplete: str) -> list[str]:
    """Return the settings that begin with a text; after ``kind=``, the kinds.

    >>> setting_names("split.st"), setting_names("model.kind=m")
    (['split.stratified='], ['model.kind=mlp'])
    """
    from grokinterp.experiment import Experiment
    from grokinterp.experiment.kinds import classes_of

    key, sign, _ = incomplete.partition("=")
    if sign:
        table, _, name = key.rpartition(".")
        return beginning([f"{key}={kind}" for kind in classes_of(table)] if name == "kind" else [], incomplete)
    return beginning([f"{name}=" for name in Experiment().every_setting], incomplete)


def device_names(incomplete: str) -> list[str]:
    """Return the devices that begin with a text."""
    return beginning(("auto", "cpu", "cuda"), incomplete)


def analysis_names(incomplete: str) -> list[str]:
    """Return lists of analyses whose last name begins with the end of a text.

    >>> analysis_names("performance,weight_n")
    ['performance,weight_norms']
    """
    from grokinterp.cli.listings import analysis_entries

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in beginning((entry.name for entry in analysis_entries()), last)]


def beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin with a text."""
    return [name for name in names if name.startswith(incomplete)]
