"""A program that uses the package: it imports every module, calls functions, and trains in forked and new processes.

As a script: ``python -m tests.support.other_processes FOLDER`` prints settings that changed and results that differ.
"""

import importlib
import multiprocessing
import pkgutil
import random
import sys
import warnings
from pathlib import Path


def train(folder: Path) -> None:
    """Train a small run on two cores."""
    import torch

    import grokinterp
    from tests.support.small_runs import changed

    torch.set_num_threads(2)
    torch.full((10**6,), 2.0).mul(2)  # PyTorch has started a second thread
    grokinterp.train(changed(steps=9), folder, device="cpu")


def import_everything() -> None:
    """Import every module of the package, beginning with those that need no torch."""
    import grokinterp

    for module in pkgutil.walk_packages(grokinterp.__path__, "grokinterp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def own_filters() -> list[object]:
    """Warning filters that no package from elsewhere has set for its own warnings."""
    others = ("torch", "numpy", "scipy", "sympy", "matrix subclass", "lightning", "FSDP")
    return [one for one in warnings.filters if not any(name in str(one) for name in others)]


def main(folder: Path) -> None:
    """Print the differences."""
    random.seed(0)
    before, filters = random.getstate(), own_filters()
    import_everything()
    from tests.support.public_calls import CALLS, Given
    from tests.support.small_runs import written

    print(*(["random"] if random.getstate() != before else []), *[one for one in own_filters() if one not in filters])
    given, before = Given.make(folder / "given", folder), random.getstate()
    for name in ("train", "analyze", "Recorder", "import_run", "train_until_grokking", "write_report"):
        (folder / name).mkdir()
        CALLS[name](Given(given.files, folder / name))
    print(*(["random"] if random.getstate() != before else []))
    train(folder / "here")
    for kind in ("fork", "spawn"):
        process = multiprocessing.get_context(kind).Process(target=train, args=(folder / kind,))
        process.start()
        process.join(100)
        same = process.exitcode == 0 and written(folder / kind) == written(folder / "here")
        print(*([] if same else [f"{kind}: {process.exitcode}"]))
        process.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
