"""Find the released networks below a directory by their file names."""

from collections.abc import Iterator
from glob import escape
from pathlib import Path

from grokinterp.errors import RunDirectoryError
from grokinterp.storage.files import path_of


def networks(directory: str | Path) -> list[tuple[str, Path]]:
    """Return the released networks below a directory, each with the format of its release.

    Raises:
        RunDirectoryError: the directory does not exist or contains no known release.
    """
    top = path_of("directory", directory)
    found = list(released(top)) if top.is_dir() else []
    if not found:
        why = "contains no release that can be verified" if top.is_dir() else "is not a directory"
        raise RunDirectoryError(top, why)
    return found


def released(top: Path) -> Iterator[tuple[str, Path]]:
    """Yield the released networks below a directory, each with the format of its release.

    A bare .pt file next to a JSON file of the same name has the layout of Nanda et al.
    """
    for path in sorted(top.rglob("*")):
        if path.name == "model.pt" and path.with_name("cfg.json").exists():
            yield "chughtai", path.parent
        elif path.suffix == ".pt" and path.with_name(f"config_{path.stem.removeprefix('model_')}.json").exists():
            yield "pizza", path
        elif path.suffix == ".pth" or (path.suffix == ".pt" and any(path.parent.glob(f"{escape(path.stem)}.*json"))):
            yield "nanda", path
