"""The command that prints an experiment as a file."""

from grokinterp.cli.options import Config, PresetName, Settings, read_experiment
from grokinterp.cli.printing import say


def config(overrides: Settings = None, preset: PresetName = None, config: Config = None) -> None:
    """Print an experiment as a commented TOML file: every setting with its choices and its default.

    Run `grokinterp config --preset demo > mine.toml`, edit the file, then run `grokinterp train mine.toml`.
    """
    from grokinterp.experiment import Experiment
    from grokinterp.experiment.commented import commented

    say(commented(read_experiment(preset, config, overrides, default=Experiment)))
