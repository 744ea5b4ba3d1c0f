"""What the subcommands share: consoles, progress, errors in one line, the report of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ibfast._reports import (
    bound_in_words,
    bound_tables,
    comparison_in_words,
    comparison_tables,
    gradient_table,
    layer_table,
    saturation,
)

if TYPE_CHECKING:
    from ibfast.experiments import Run

out = Console()
err = Console(stderr=True)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what the user can mend into one line; exit code 2 for usage, 1 for the machine's."""
    try:
        yield
    except (ValueError, TypeError, ImportError) as error:
        code, message = 2, str(error)
    except OSError as error:
        code = 2 if isinstance(error, (FileExistsError, FileNotFoundError)) else 1
        message = error.strerror or str(error)
        if error.filename:
            message = f"{error.filename}: {message}"
    else:
        return
    typer.echo(f"ibfast: {message}", err=True)
    raise typer.Exit(code)


def say(line: str, *, quiet: bool = False) -> None:
    """Print a line as it is, if there is one."""
    if line and not quiet:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def progress(*, quiet: bool) -> Progress:
    """Epochs done and the time that is left, on the error stream."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.completed} of {task.total}, left"),
        TimeRemainingColumn(),
        console=err,
        disable=quiet,
        refresh_per_second=4,
    )


def report(result: Run, folder: Path) -> None:
    """Print what a run showed."""
    plane = result.plane
    if not result.complete:
        say(f"interrupted: measured up to epoch {int(plane.epoch[-1])}")
    out.print(layer_table(plane))
    say(saturation(plane, exhaustive=bool(plane.attrs["exhaustive"])))
    if result.comparison is not None:
        out.print(*comparison_tables(result.comparison))
        say(comparison_in_words(result.comparison))
    if "gap" in plane:
        out.print(*bound_tables(plane))
        say(bound_in_words(plane))
    if "gradient_snr" in plane:
        out.print(gradient_table(plane))
    say(
        f"\ntraining {result.seconds_training:.1f} s, measuring {result.seconds_measuring:.1f} s; "
        f"saved in {folder}"
    )
