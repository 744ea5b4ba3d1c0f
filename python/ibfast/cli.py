"""The command line: a function for each of run, plot, measure, selftest and info."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

try:
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from ibfast._reports import (
        bound_in_words,
        bound_tables,
        comparison_in_words,
        comparison_tables,
        layer_table,
        saturation,
        selftest_table,
    )
except ImportError as error:
    raise SystemExit(
        f'ibfast: the command line needs: pip install "ibfast[run]" ({error})'
    ) from None

if TYPE_CHECKING:
    from ibfast.experiments import Run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="What the layers of a neural network know: information planes, fast and exact.",
)
_out = Console()
_err = Console(stderr=True)

_Threads = Annotated[
    int, typer.Option(help="Threads; 0 means all this process may use.", min=0, show_default=False)
]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in that folder.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
_BINS_HELP = "A number of bins over each layer's range (30), or edges low:high:n (-1:1:50)."


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def run(
    preset: Annotated[
        str, typer.Argument(help="The experiment: szt, or bound (szt with soft labels).")
    ] = "szt",
    seeds: Annotated[int | None, typer.Option(help="How many networks [20].")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data [9999].")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate [0.0002].")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows per update [all]; each seed has its own order.")
    ] = None,
    widths: Annotated[
        str | None, typer.Option(help="Units of each layer [12-10-7-5-4-4-3-2].")
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            help="Of the hidden layers [tanh]: sigmoid, relu, leaky_relu, elu, gelu, softplus, "
            "softsign, linear. Give --bins for those that leave (-1, 1)."
        ),
    ] = None,
    train_fraction: Annotated[
        float | None,
        typer.Option(help="Share of the 4096 patterns to train on [1]; each seed has its own."),
    ] = None,
    information: Annotated[
        float | None,
        typer.Option(
            help="I(X;Y) of soft labels, in bits; each layer is then held against the "
            "information-bottleneck bound too [hard labels; preset bound: 0.99]."
        ),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            help="What to train on where labels are soft: their probabilities (soft), or labels "
            "that each network draws (sampled) [soft]."
        ),
    ] = None,
    bins: Annotated[str | None, typer.Option(help=f"{_BINS_HELP} [-1:1:50]")] = None,
    checkpoints: Annotated[
        int | None, typer.Option(help="How many epochs to measure, log-spaced [110].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Base seed of all random numbers [0].")] = None,
    threads: _Threads = 0,
    out: Annotated[
        Path | None, typer.Option(help="The run folder [runs/PRESET].", show_default=False)
    ] = None,
    overwrite: _Overwrite = False,
    quiet: _Quiet = False,
) -> None:
    """Train networks and draw the information plane of their layers.

    The default repeats the central figure of Shwartz-Ziv & Tishby (2017) in about a minute and
    compares it with the authors' own numbers. The run folder gets run.json, plane.zarr (open it
    with xarray), checkpoints/ (weights) and figures/ (PNG and SVG). Ctrl-C keeps what there is.

    The preset bound has soft labels p(y|x): each layer is held against the information-bottleneck
    bound at every checkpoint.
    """
    with _one_line_errors():
        from ibfast.experiments import load_preset, run_experiment

        experiment = load_preset(preset).changed(
            seeds=seeds,
            epochs=epochs,
            lr=lr,
            batch_size=batch_size,
            widths=_parse_widths(widths),
            activation=activation,
            train_fraction=train_fraction,
            information=information,
            targets=targets,
            bins=bins,
            checkpoints=checkpoints,
            seed=seed,
        )
        folder = out or Path("runs") / preset
        with _progress(experiment.epochs, quiet=quiet) as progress:
            task = progress.add_task("training", total=experiment.epochs)
            result = run_experiment(
                experiment,
                folder,
                overwrite=overwrite,
                threads=threads,
                on_epoch=lambda epoch: progress.update(task, completed=epoch),
            )
        if not quiet:
            _report(result, folder)
        if not result.complete:
            raise typer.Exit(130)


@app.command()
def plot(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    quiet: _Quiet = False,
) -> None:
    """Draw the figures of a run folder again."""
    with _one_line_errors():
        from ibfast import plots, store

        plane, _ = store.open_run(folder)
        with store.new_folder(folder / "figures") as figures:
            files = [file.name for file in plots.save_figures(plane, figures)]
        for name in files:
            _say(str(folder / "figures" / name), quiet=quiet)


@app.command()
def measure(
    file: Annotated[Path, typer.Argument(metavar="ACTS.npz", help="Arrays dumped by any tool.")],
    labels: Annotated[
        str | None, typer.Option(help="Key of the labels [labels, else y].", show_default=False)
    ] = None,
    bins: Annotated[str, typer.Option(help=_BINS_HELP)] = "30",
    outside: Annotated[
        str, typer.Option(help="Values outside the edges: raise (an error), clip or cell.")
    ] = "raise",
    exhaustive: Annotated[
        bool,
        typer.Option("--exhaustive", help="The rows are all the inputs there are, each once."),
    ] = False,
    threads: _Threads = 0,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write [ACTS-plane].", show_default=False)
    ] = None,
    overwrite: _Overwrite = False,
    quiet: _Quiet = False,
) -> None:
    """Measure activations that any tool has saved as .npz.

    Prints and saves their information plane: plane.zarr, run.json and figures/.

    Each array is a layer by its key, of shape (n, d), or (epochs, n, d) all alike. The labels are
    integer classes (n,) or rows p(y|x) (n, classes) under `labels` or `y`. An array `epochs` gives
    the numbers of the epochs.
    """
    with _one_line_errors():
        from ibfast import SaturationWarning, plots, store
        from ibfast.experiments import parse_bins
        from ibfast.plane import measure_arrays

        folder = out or file.with_name(f"{file.stem}-plane")
        store.check_free(folder, overwrite=overwrite)
        layers, classes, epochs = _load_activations(file, labels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SaturationWarning)  # the table says it
            plane = measure_arrays(
                layers,
                classes,
                epochs=epochs,
                bins=parse_bins(bins),
                outside=outside,
                exhaustive=exhaustive,
                threads=threads,
            )
        with store.new_folder(folder) as partial:
            store.save_plane(partial, plane)
            plots.save_figures(plane, partial / "figures")
            asked = {"source": str(file), "bins": bins, "outside": outside}
            store.save_info(partial, {"complete": True, **asked})
        if not quiet:
            _out.print(layer_table(plane))
            _say(saturation(plane, exhaustive=exhaustive))
            _say(f"saved in {folder}")


@app.command()
def info() -> None:
    """Print the version, and what the kernel runs on."""
    import platform
    from importlib import metadata

    import ibfast
    from ibfast import _core

    kernel = _core.info()
    _say(f"ibfast {ibfast.__version__}, Python {platform.python_version()}")
    _say(f"SIMD level {kernel['simd']}, {kernel['threads']} threads")
    _say(f"OpenMP {'yes' if kernel['openmp'] else 'no'}, compiled by {kernel['compiler']}")
    for package in ("numpy", "torch", "xarray", "zarr", "matplotlib"):
        try:
            _say(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            _say(f"{package} not installed")


@app.command()
def selftest() -> None:
    """Check every estimator and correction on tasks with a known answer, in under a minute.

    The exit code is 1 where an error is greater than its tolerance.
    """
    with _one_line_errors():
        from ibfast.selftest import all_cases
        from ibfast.selftest import run as run_case

        cases, outcomes = all_cases(), []
        bar = Progress(
            TextColumn("{task.fields[quantity]}"), BarColumn(), console=_err, transient=True
        )
        with bar:
            task = bar.add_task("", total=len(cases), quantity="")
            for case in cases:
                bar.update(task, quantity=case.quantity)
                outcomes.append(run_case(case))
                bar.advance(task)
    _out.print(selftest_table(outcomes))
    passed = sum(done.passed for done in outcomes)
    _say(f"{passed} of {len(outcomes)} passed in {sum(d.seconds for d in outcomes):.0f} s")
    if passed < len(outcomes):
        raise typer.Exit(1)


@contextmanager
def _one_line_errors() -> Iterator[None]:
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


def _say(line: str, *, quiet: bool = False) -> None:
    if line and not quiet:
        _out.print(line, highlight=False, markup=False, soft_wrap=True)


def _progress(epochs: int, *, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"epoch {{task.completed}} of {epochs}, left"),
        TimeRemainingColumn(),
        console=_err,
        disable=quiet,
        refresh_per_second=4,
    )


def _parse_widths(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.replace(",", "-").split("-"))
    except ValueError:
        raise ValueError(f"widths must be like 12-10-7-2; got {text!r}") from None


def _load_activations(
    file: Path, labels: str | None
) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any] | None]:
    """Read layers, labels and the numbers of the epochs, if any, from an .npz file."""
    with file.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise ValueError(f"{file} is not an .npz file")
        stream.seek(0)
        with np.load(stream) as arrays:
            try:
                layers = dict(arrays)
            except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise ValueError(f"{file} cannot be read: {error}") from error
    keys = ("labels", "y") if labels is None else (labels,)
    found = [key for key in keys if key in layers]
    if not found:
        raise ValueError(
            f"{file} has no labels under {' or '.join(keys)}; "
            f"its arrays are {', '.join(layers) or 'none'}"
        )
    classes = layers.pop(found[0])
    return layers, classes, layers.pop("epochs", None)


def _report(result: Run, folder: Path) -> None:
    """Print what a run showed."""
    plane = result.plane
    if not result.complete:
        _say(f"interrupted: measured up to epoch {int(plane.epoch[-1])}")
    _out.print(layer_table(plane))
    _say(saturation(plane, exhaustive=True))
    if result.comparison is not None:
        _out.print(*comparison_tables(result.comparison))
        _say(comparison_in_words(result.comparison))
    if "gap" in plane:
        _out.print(*bound_tables(plane))
        _say(bound_in_words(plane))
    _say(
        f"\ntraining {result.seconds_training:.1f} s, measuring {result.seconds_measuring:.1f} s; "
        f"saved in {folder}"
    )


if __name__ == "__main__":
    main()
