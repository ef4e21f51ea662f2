"""Commands that list what there is to choose from."""


def methods() -> None:
    """List what `league` can compare."""
    from grokinterp.league.methods import listing

    print("\n".join(listing()))


def presets() -> None:
    """List the named experiments."""
    from grokinterp.presets import PRESETS

    width = max(map(len, PRESETS))
    for name, preset in PRESETS.items():
        print(f"{name:{width}}  {preset.about}")


def tasks() -> None:
    """List the tasks with their parameters: task.kind=KIND task.PARAMETER=VALUE."""
    from grokinterp.experiment.configuration import listing
    from grokinterp.tasks import TASKS

    print("\n".join(listing(TASKS)))


def models() -> None:
    """List the models with their parameters: model.kind=KIND model.PARAMETER=VALUE."""
    from grokinterp.experiment.configuration import listing
    from grokinterp.models import MODELS

    print("\n".join(listing(MODELS)))


def analyses() -> None:
    """List what `analyze` measures, and on how many checkpoints."""
    from grokinterp.analysis.catalogue import listing

    print("\n".join(listing()))
