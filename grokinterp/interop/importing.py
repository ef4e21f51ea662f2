"""Import of published networks as run directories."""

from collections.abc import Callable
from pathlib import Path

from grokinterp.errors import ConfigError, require_choice
from grokinterp.interop import chughtai, hooked, nanda, pizza
from grokinterp.interop.publishing.layout import is_published
from grokinterp.interop.publishing.restore import restore_run
from grokinterp.interop.release import Release
from grokinterp.interop.series import read_series
from grokinterp.interop.text_files import ForeignFileError
from grokinterp.interop.weights import require_not_hugging_face
from grokinterp.interop.writing import write
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage.files import path_of
from grokinterp.torch_settings import computing

RELEASES: dict[str, Callable[[Path], Release]] = {
    "nanda": nanda.read,
    "chughtai": chughtai.read,
    "pizza": pizza.read,
    "transformer-lens": hooked.read,
}
"""Reader for the files of each release."""

PUBLISHED = "hf"
"""The format of folders that ``export_run`` writes; in the format of TransformerLens, it writes them, too."""

BY_SPEC = ("series", "file")
"""Formats read according to a spec: the checkpoints in a folder, or a single file."""


@computing()
def import_run(
    release: str, path: str | Path, out: str | Path | None = None, *, spec: str | Path | None = None
) -> Trajectory:
    """Convert the files of a published network to a run directory.

    Args:
        release: one of ``RELEASES``, "hf", or "series" or "file" for files that a spec describes.
        path: nanda: the file of weights; chughtai: the folder with model.pt and cfg.json; pizza: model_ID.pt, with
            config_ID.json next to it; transformer-lens: a saved state dict, with its configuration as JSON next to it;
            or a folder that ``export_run`` wrote; hf: such a folder for the Hugging Face hub; series: a folder of
            checkpoints; file: a single checkpoint.
        out: a new or empty directory (default: ``checkpoints/<name>-<hash of the configuration>``).
        spec: the TOML file that describes a series or a file (docs/import.md).

    Raises:
        ForeignFileError: if a file is not as expected.
        ConfigError: if the release is unknown, or a spec is missing or not used.
        RunDirectoryError: if the directory is not empty.
    """
    require_choice("release", release, (*RELEASES, PUBLISHED, *BY_SPEC))
    path, out = path_of("path", path), None if out is None else path_of("out", out)
    if spec is None and path.is_dir():
        require_not_hugging_face(path)
    if (spec is None) == (release in BY_SPEC):
        rule = "must be a TOML file that describes the files" if spec is None else f"is not used for {release}"
        raise ConfigError("spec", spec, rule)
    if release == PUBLISHED or (release == "transformer-lens" and is_published(path)):
        return restore_run(path, out)
    try:
        found = RELEASES[release](path) if spec is None else read_series(path, path_of("spec", spec))
    except ConfigError as error:
        raise ForeignFileError(path, str(error)) from None
    return write(found, out)
