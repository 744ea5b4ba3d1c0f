"""Prints the whole table. Arguments: names of groups, all by default."""

import sys

from benchmarks import cases
from benchmarks.tables import show
from ibfast import _core


def main():
    groups = sys.argv[1:] or list(cases.GROUPS)
    unknown = set(groups) - set(cases.GROUPS)
    if unknown:
        sys.exit(f"unknown groups {sorted(unknown)}; expected some of {list(cases.GROUPS)}")
    results = (r for group in groups for r in cases.run(group))
    show(results, f"{_core.info()['threads']} threads")


if __name__ == "__main__":
    main()
