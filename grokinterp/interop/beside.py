"""The JSON file next to a file of weights: its configuration, and often its training history."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grokinterp.interop.files import ForeignFileError, listed


def candidates(path: Path) -> Iterator[Path]:
    """Yield the JSON files that may belong to a file of weights: first its name, then names of configurations."""
    stem = path.stem
    yield from (path.with_name(f"{stem}{ending}") for ending in (".json", "_config.json", "_cfg.json"))
    yield from (path.with_name(f"{stem.replace('model', word)}.json") for word in ("config", "cfg"))
    begun = f"{stem}."
    if path.parent.is_dir():
        yield from sorted(file for file in path.parent.glob("*.json") if file.name.startswith(begun))
    yield from (path.with_name(name) for name in ("config.json", "cfg.json"))


def config_beside(path: Path) -> Path | None:
    """Return the JSON file that belongs to a file of weights, or None."""
    return next((found for found in candidates(path) if found.is_file()), None)


def required_config(path: Path) -> Path:
    """Return the JSON file that belongs to a file of weights. Raises ForeignFileError naming the candidates."""
    found = config_beside(path)
    if found is None:
        names = sorted({file.name for file in candidates(path)})
        raise ForeignFileError(path, f"has no configuration file next to it: looked for {listed(names)}")
    return found


def settings(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the configuration in a JSON document, under "config" or at the top level. Raises ForeignFileError."""
    inner = document.get("config", document)
    if not isinstance(inner, Mapping):
        raise ForeignFileError(path, f"config must be a dict, not {type(inner).__name__}")
    return {key: value for key, value in inner.items() if value is not None}
