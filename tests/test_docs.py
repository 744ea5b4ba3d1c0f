"""Pages whose code makes what they show: it runs, and makes every figure and every output."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["meaning.md", "recorder.md"]
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
TOOL = runpy.run_path(str(DOCS / "run_page.py"))


def parts(text):
    """Targets of all links, and the prose without blocks of code."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return LINK.findall(prose), prose


@pytest.fixture(scope="module", params=PAGES)
def page(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    TOOL["run_page"](DOCS / request.param, folder)
    return DOCS / request.param, folder


def test_every_figure_is_made_and_shows_something(page):
    path, folder = page
    linked = {target for target in parts(path.read_text())[0] if target.endswith(".png")}
    made = {str(file.relative_to(folder)) for file in folder.rglob("*.*")}
    assert linked
    assert made == linked
    for name in linked:
        file = folder / name
        assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert 5_000 < file.stat().st_size < 500_000
        pixels = matplotlib.image.imread(file)
        height, width = pixels.shape[:2]
        assert 300 <= height <= 2000
        assert 400 <= width <= 2400
        ink = np.mean(pixels[..., :3].min(axis=2) < 0.9)
        assert 0.005 < ink < 0.9, f"{name}: {ink:.1%} of it is not white"


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name):
    targets, prose = parts((DOCS / name).read_text())
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    assert targets
    for target in targets:
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        if file.startswith("figures/") and not (DOCS / "figures").exists():
            continue  # a source distribution leaves figures out
        assert not file or (DOCS / file).exists(), target
        assert file or anchor in anchors, target


def test_what_a_page_prints_is_what_it_shows(tmp_path):
    page = tmp_path / "page.md"
    run = [sys.executable, str(DOCS / "run_page.py"), str(page), "--out", str(tmp_path / "out")]

    code = "from pathlib import Path\nPath('figures/x').touch()\nprint(f'x: {x:.3f}', 7)\n"

    def result(shown):
        page.write_text(f"# A page\n\n```python\nx = 2 / 3\n```\n\n```python\n{code}```\n\n{shown}")
        return subprocess.run(run, capture_output=True, text=True, check=False)

    good = result("```text\nx: 0.668   7\n```\n")  # the last digit may be another
    assert (good.returncode, good.stdout) == (0, "x: 0.667 7\n")
    assert (tmp_path / "out" / "figures" / "x").exists()
    assert result("Words between.\n\n```text\nanything\n```\n").returncode == 0
    for wrong in ("x: 0.670 7", "x: 0.667 8", "y: 0.667 7", "x: 0.667", "x: 0.667 7 8"):
        bad = result(f"```text\n{wrong}\n```\n")
        assert bad.returncode == 1
        assert "page.md, block at line 8: prints" in bad.stderr


def test_errors_name_the_line_of_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\nx = 1\n```\n\n```python\n\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as raised:
        TOOL["run_page"](page, tmp_path)
    last = raised.traceback[-1]
    assert (Path(last.path).name, last.lineno + 1) == ("page.md", 9)
