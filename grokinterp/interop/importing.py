"""From other people's files to a run directory."""

from collections.abc import Callable
from pathlib import Path

from grokinterp.errors import ConfigError
from grokinterp.interop import chughtai, hooked, nanda, pizza
from grokinterp.interop.release import Release
from grokinterp.interop.series import read_series
from grokinterp.interop.weights import require_not_hugging_face
from grokinterp.interop.writing import write
from grokinterp.runs.trajectory import Trajectory

RELEASES: dict[str, Callable[[Path], Release]] = {
    "nanda": nanda.read,
    "chughtai": chughtai.read,
    "pizza": pizza.read,
    "transformer-lens": hooked.read,
}
"""How the files of each release are read."""

BY_SPEC = ("series", "file")
"""What is read as a spec says: the checkpoints in a folder, or a single file."""


def import_run(
    release: str, path: str | Path, out: str | Path | None = None, *, spec: str | Path | None = None
) -> Trajectory:
    """Turn the files of a published network into a run directory.

    Args:
        release: one of ``RELEASES``, or "series" or "file" for anything that a spec describes.
        path: nanda: the file of weights; chughtai: the folder with model.pt and cfg.json; pizza: model_ID.pt, with
            config_ID.json beside it; transformer-lens: a saved state dict, with its configuration as JSON beside it;
            series: a folder of checkpoints; file: one of them.
        out: a new or empty directory (default: ``checkpoints/<name>-<hash of the configuration>``).
        spec: the TOML file that describes a series or a file (docs/import.md).

    Raises:
        ForeignFileError: a file that is not what it says.
        ConfigError: no such release, or a spec that is missing or has no use.
        RunDirectoryError: the directory is taken.
    """
    if release not in RELEASES and release not in BY_SPEC:
        raise ConfigError("release", release, f"must be one of {', '.join((*RELEASES, *BY_SPEC))}")
    path = Path(path)
    if spec is None and path.is_dir():
        require_not_hugging_face(path)
    if (spec is None) == (release in BY_SPEC):
        rule = "must be a TOML file, which says what the files are" if spec is None else f"has no use for {release}"
        raise ConfigError("spec", spec, rule)
    found = RELEASES[release](path) if spec is None else read_series(path, Path(spec))
    return write(found, None if out is None else Path(out))
