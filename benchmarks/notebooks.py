"""Execute the notebooks from top to bottom, and store their outputs, small enough to commit.

``python -m benchmarks.notebooks [NAME ...]`` executes the notebooks whose names begin with a NAME (default: all) in the
folder notebooks/ and rewrites them. Figures are stored with a palette of 64 colors, and nothing is stored that depends
on the time or the machine, except what the notebooks print.
"""

import argparse
import base64
import io
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
COLORS = 64
SECONDS = 600
"""Largest time of a cell."""


def with_palette(png: str) -> str:
    """Return a PNG image, encoded in base64, with few colors."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(COLORS, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def tidy(notebook: NotebookNode) -> None:
    """Remove times and versions from an executed notebook, and make its images small."""
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.clear()
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = with_palette(data["image/png"])


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Execute a notebook in place, in a new kernel that is started in a folder."""
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=place).execute()


def main(arguments: Sequence[str] | None = None) -> None:
    """Execute notebooks and rewrite them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.notebooks", description=__doc__)
    parser.add_argument("names", nargs="*", default=[""], metavar="NAME", help="such as 01 (default: all)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the folder of the notebooks")
    chosen = parser.parse_args(arguments)
    for path in sorted(chosen.folder.glob("*.ipynb")):
        if path.name.startswith(tuple(chosen.names)):
            notebook = nbformat.read(path, as_version=4)
            execute(notebook, chosen.folder)
            tidy(notebook)
            nbformat.write(notebook, path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
