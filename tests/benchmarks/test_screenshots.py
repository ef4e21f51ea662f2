"""Pictures of a page at both widths, light and dark, and its printed pages."""

import pytest

from benchmarks.screenshots import captured, pictures, started

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><style>
body { margin: 0; height: 3000px; background: white } @media (prefers-color-scheme: dark) { body { background: black } }
</style><details><summary>More</summary></details>"""


def test_a_page_is_seen_wide_and_narrow_light_and_dark(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(PAGE)
    browser = started()
    try:
        files = list(pictures(browser, page, tmp_path, unfolded=True))
        assert captured(browser, 1280, 0, 10)["data"]
    finally:
        browser.quit()
    names = [file.name for file in files]
    assert names[0] == "page-1280-first.png"
    assert {f"page-{width}-{scheme}-1.png" for width in (1280, 390) for scheme in ("light", "dark")} <= set(names)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    light, dark = ((tmp_path / f"page-390-{scheme}-0.png").read_bytes() for scheme in ("light", "dark"))
    assert light != dark
