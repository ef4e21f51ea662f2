"""The description of the package on an index: the README with links that work there, and the project's addresses."""

import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the build imports this file by its path
from manual.links import address_of, published, repository

PAGES = {"Documentation": "docs/index.md", "Changelog": "CHANGELOG.md", "Source": "README.md"}
"""The names of the project's addresses, and the files that they lead to."""


class Description(MetadataHookInterface):
    """Fill in the dynamic fields ``readme`` and ``urls``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the fields from the README and the address of the repository."""
        root = Path(self.root)
        base, text = repository(root), (root / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": published(text, "", base)}
        if base:
            metadata["urls"] = {name: address_of(path, "", base) for name, path in PAGES.items()}
