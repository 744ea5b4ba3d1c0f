"""Prints the whole table. Arguments: names of groups, all by default."""

import sys

from rich.console import Console
from rich.table import Table

from benchmarks import cases
from ibfast import _core


def main():
    groups = sys.argv[1:] or list(cases.GROUPS)
    unknown = set(groups) - set(cases.GROUPS)
    if unknown:
        sys.exit(f"unknown groups {sorted(unknown)}; expected some of {list(cases.GROUPS)}")
    info = _core.info()
    table = Table(title=f"ibfast {info['version']}, {info['simd']}, {info['threads']} threads")
    for column in ("case", "ratio", "target", "met", "measured"):
        table.add_column(column, overflow="fold")
    for group in groups:
        for r in cases.run(group):
            sign = "<=" if r.at_most else ">="
            print(f"{r.name}: {r.value:.3g} ({sign} {r.target:g}) {r.detail}", flush=True)
            met = "yes" if r.met else "NO"
            table.add_row(r.name, f"{r.value:.3g}", f"{sign} {r.target:g}", met, r.detail)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
