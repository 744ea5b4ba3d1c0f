"""Run the code of a page, so that what the page shows is what its code makes.

    python docs/run_page.py docs/meaning.md [--out FOLDER]

Blocks that open with ```python run from top to bottom in one namespace, in the page's own folder,
or in FOLDER; figures/ is made there. A block ```text right below one is what that prints: words
must be equal, numbers with decimals within 2 of the last one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_BLOCKS = re.compile(r"^```python\n(.*?)^```$(?:\n+```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
_DECIMALS = re.compile(r"([-+]?\d+\.\d+)")


class Block(NamedTuple):
    """Code of a page, the lines above it, and what it is said to print (None: nothing is said)."""

    code: str
    above: int
    shown: str | None


def blocks(text: str) -> Iterator[Block]:
    """The blocks of code of a page."""
    for found in _BLOCKS.finditer(text):
        code, shown = found.groups()
        yield Block(code, text.count("\n", 0, found.start(1)), shown)


def agree(shown: str, printed: str) -> bool:
    """Whether both are the same words, and decimals nearly the same."""
    words, others = shown.split(), printed.split()
    return len(words) == len(others) and all(map(_alike, words, others))


def _alike(shown: str, printed: str) -> bool:
    parts, others = _DECIMALS.split(shown), _DECIMALS.split(printed)
    if len(parts) != len(others) or parts[::2] != others[::2]:
        return False
    for a, b in zip(parts[1::2], others[1::2], strict=True):
        last = 10.0 ** -len(a.partition(".")[2])
        if abs(float(a) - float(b)) > 2.01 * last:
            return False
    return True


def run_page(page: Path, folder: Path | None = None) -> None:
    """Run a page; ValueError where a block prints something else than the page shows.

    Lines in a traceback are those of the page.
    """
    page = page.resolve()
    folder = page.parent if folder is None else folder
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    namespace = {"__name__": "__page__"}
    with contextlib.chdir(folder):
        for block in blocks(page.read_text(encoding="utf-8")):
            code = compile("\n" * block.above + block.code, str(page), "exec")
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(code, namespace)
            printed = out.getvalue()
            sys.stdout.write(printed)
            if block.shown is not None and not agree(block.shown, printed):
                raise ValueError(
                    f"{page.name}, block at line {block.above + 1}: prints\n{printed}"
                    f"where the page shows\n{block.shown}"
                )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Run the code of a page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, help="folder to run in; default: the page's own")
    given = parser.parse_args()
    run_page(given.page, given.out)


if __name__ == "__main__":
    main()
