"""From the files of a release to a run directory."""

from collections.abc import Callable
from pathlib import Path

from grokinterp.errors import ConfigError
from grokinterp.interop import chughtai, hooked, nanda, pizza
from grokinterp.interop.release import Release, write
from grokinterp.trajectory import Trajectory

RELEASES: dict[str, Callable[[Path], Release]] = {
    "nanda": nanda.read,
    "chughtai": chughtai.read,
    "pizza": pizza.read,
    "transformer-lens": hooked.read,
}
"""How the files of each release are read."""


def import_run(release: str, path: str | Path, out: str | Path | None = None) -> Trajectory:
    """Turn the files of a published network into a run directory.

    Args:
        release: one of ``RELEASES``.
        path: nanda: the .pth file; chughtai: the folder with model.pt and cfg.json; pizza: model_ID.pt, with
            config_ID.json beside it; transformer-lens: a saved state dict, with its configuration as JSON beside it.
        out: a new or empty directory (default: ``checkpoints/<name>-<hash of the configuration>``).

    Raises:
        ForeignFileError: a file that is not what it says.
        ConfigError: no such release, or a network that no configuration describes.
        RunDirectoryError: the directory is taken.
    """
    if release not in RELEASES:
        raise ConfigError("release", release, f"must be one of {', '.join(RELEASES)}")
    return write(RELEASES[release](Path(path)), None if out is None else Path(out))
