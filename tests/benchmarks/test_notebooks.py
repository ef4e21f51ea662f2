"""Notebooks are executed and stored with small outputs."""

import base64
import io

import nbformat
import pytest
from PIL import Image

from benchmarks import notebooks

DRAWN = """import io
from IPython.display import Image
from PIL import Image as Pixels
buffer = io.BytesIO()
Pixels.effect_mandelbrot((60, 60), (-2, -1, 1, 1), 50).convert("RGB").save(buffer, "png")
Image(buffer.getvalue())"""


def test_an_image_keeps_its_size_and_has_few_colors():
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "png")
    small = Image.open(
        io.BytesIO(base64.b64decode(notebooks.with_palette(base64.b64encode(buffer.getvalue()).decode())))
    )
    assert small.size == (256, 256)
    assert len(small.convert("RGB").getcolors()) <= notebooks.COLORS


@pytest.mark.notebook
def test_only_the_named_notebooks_are_executed_and_stored_without_times(tmp_path, capsys):
    cells = [nbformat.v4.new_code_cell(source) for source in ("print(1 + 1)", DRAWN)]
    for name in ("01_one", "02_two"):
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    before = (tmp_path / "02_two.ipynb").read_bytes()
    notebooks.main(["01", "--folder", str(tmp_path)])
    assert capsys.readouterr().out.startswith("01_one.ipynb: ")
    assert (tmp_path / "02_two.ipynb").read_bytes() == before
    first, second = nbformat.read(tmp_path / "01_one.ipynb", as_version=4).cells
    assert [output.text for output in first.outputs] == ["2\n"]
    assert first.metadata == {}
    assert "image/png" in second.outputs[0].data
