"""Results as they come, one line each, then as a table."""

from rich.console import Console
from rich.table import Table

from ibfast import _core


def show(results, threads):
    """Print results and whether their targets are met; `threads` in words, for the title."""
    info = _core.info()
    table = Table(title=f"ibfast {info['version']}, {info['simd']}, {threads}")
    for column in ("case", "value", "target", "met", "measured"):
        table.add_column(column, overflow="fold")
    for r in results:
        target = f"{'<=' if r.at_most else '>='} {r.target:g}"
        print(f"{r.name}: {r.value:.3g} ({target}) {r.detail}", flush=True)
        table.add_row(r.name, f"{r.value:.3g}", target, "yes" if r.met else "NO", r.detail)
    Console(width=140).print(table)
