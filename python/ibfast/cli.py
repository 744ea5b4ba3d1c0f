"""The command line: a function for each subcommand."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

try:
    import typer
    from rich.progress import BarColumn, Progress, TextColumn

    from ibfast._console import err, one_line_errors, progress, report, say
    from ibfast._console import out as console
    from ibfast._inputs import load_activations, parse_checkpoints, parse_widths
    from ibfast._reports import (
        findings_table,
        layer_table,
        preset_table,
        saturation,
        selftest_table,
    )
except ImportError as error:
    raise SystemExit(
        f'ibfast: the command line needs: pip install "ibfast[run]" ({error})'
    ) from None

if TYPE_CHECKING:
    from ibfast.experiments import Experiment

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="What the layers of a neural network know: information planes, fast and exact.",
)
_Threads = Annotated[
    int, typer.Option(help="Threads; 0 means all this process may use.", min=0, show_default=False)
]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in that folder.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
_BINS_HELP = (
    "A number of bins over each layer's range (30), edges low:high:n (-1:1:50) or tanh:n, "
    "width:w, or the levels of quantised activations, levels:bits:low:high."
)


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def run(
    preset: Annotated[
        str,
        typer.Argument(
            help="The experiment, as ibfast list names them: all its variants (noise), or one of "
            "them (noise/gd)."
        ),
    ] = "szt",
    seeds: Annotated[int | None, typer.Option(help="How many networks [20].")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data [9999].")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam or sgd [adam].")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate [0.0002].")] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd [0].")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="L2 weight decay [0].")] = None,
    dropout: Annotated[
        float | None,
        typer.Option(help="Probability to drop a hidden activation while training [0]."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Of Langevin noise on the weights, with sgd: variance 2 lr T [0]."),
    ] = None,
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
            "softsign, linear, tanh-qB or relu-qB (of 2^B levels). Give --bins for those that "
            "leave (-1, 1)."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Initial weights [fan_in]: truncated normal of sd 1/sqrt(fan_in), of "
            "1/sqrt(fan_out) (fan_out), or as torch.nn.Linear (torch)."
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
            help="What to train on: the task's labels or, where they are soft, their probabilities "
            "(soft); labels that each network draws from them (sampled), or uniformly (random) "
            "[soft]."
        ),
    ] = None,
    label_noise: Annotated[
        float | None,
        typer.Option(help="Probability to replace a label to train on by another class [0]."),
    ] = None,
    bins: Annotated[str | None, typer.Option(help=f"{_BINS_HELP} [-1:1:50]")] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            help="binned; or, without bins, adaptive:n, kde:variance or noisy:sd [binned]."
        ),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(help="How many epochs to measure, log-spaced, or which: 0,10,100 [110]."),
    ] = None,
    gradients: Annotated[
        bool | None,
        typer.Option(
            "--gradients", help="Measure the statistics of minibatch gradients at each [no]."
        ),
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

    Of a preset with variants each goes into a folder of its own, runs/PRESET/VARIANT, and those
    that are complete, with the same options, are kept: the same command goes on where it stopped.
    """
    with one_line_errors():
        from ibfast.experiments import load_preset, variants

        options = {
            "seeds": seeds,
            "epochs": epochs,
            "optimizer": optimizer,
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "dropout": dropout,
            "temperature": temperature,
            "batch_size": batch_size,
            "widths": parse_widths(widths),
            "activation": activation,
            "init": init,
            "train_fraction": train_fraction,
            "information": information,
            "targets": targets,
            "label_noise": label_noise,
            "bins": bins,
            "estimator": estimator,
            "checkpoints": parse_checkpoints(checkpoints),
            "gradients": gradients,
            "seed": seed,
        }
        names = variants(preset)
        experiments = [load_preset(name).changed(**options) for name in names]
        folder = out or Path("runs") / preset
        if names == [preset]:
            _run_one(experiments[0], folder, overwrite=overwrite, threads=threads, quiet=quiet)
        else:
            _run_each(experiments, folder, overwrite=overwrite, threads=threads, quiet=quiet)


def _run_one(
    experiment: Experiment, folder: Path, *, overwrite: bool, threads: int, quiet: bool
) -> None:
    from ibfast import SaturationWarning
    from ibfast.experiments import run_experiment

    with progress(quiet=quiet) as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore", SaturationWarning)  # the report says it
        task = bar.add_task("training", total=experiment.epochs)
        result = run_experiment(
            experiment,
            folder,
            overwrite=overwrite,
            threads=threads,
            on_epoch=lambda epoch: bar.update(task, completed=epoch),
        )
    if not quiet:
        report(result, folder)
    if not result.complete:
        raise typer.Exit(130)


def _run_each(
    experiments: list[Experiment], folder: Path, *, overwrite: bool, threads: int, quiet: bool
) -> None:
    from ibfast.experiments import left_to_run, variant_folder

    left = left_to_run(experiments, folder, overwrite=overwrite)
    for experiment in experiments:
        path = variant_folder(folder, experiment.name)
        if experiment not in left:
            say(f"{experiment.name}: complete in {path}, kept", quiet=quiet)
            continue
        say(f"{experiment.name}: {experiment.title}", quiet=quiet)
        _run_one(experiment, path, overwrite=True, threads=threads, quiet=quiet)


@app.command("list")
def list_presets() -> None:
    """Print the experiments that `ibfast run` knows, what they test, and how long they take."""
    with one_line_errors():
        from ibfast.experiments import load_preset, preset_names, variants

        presets = {name: [load_preset(v) for v in variants(name)] for name in preset_names()}
        console.print(preset_table(presets))
        every = [experiment for several in presets.values() for experiment in several]
        total = sum(experiment.minutes for experiment in every)
        say(f"{len(presets)} presets, {len(every)} variants, {total:.0f} minutes of one core")


@app.command()
def findings(
    quick: Annotated[
        bool, typer.Option("--quick", help="Few networks and epochs: not to judge by.")
    ] = False,
    threads: _Threads = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder [findings, or findings-quick].", show_default=False),
    ] = None,
    quiet: _Quiet = False,
) -> None:
    """Test the claims of Shwartz-Ziv & Tishby (2017) and of their critics.

    Runs the presets that are needed (about 30 minutes on two cores; `--quick` two) and writes
    findings.json, findings.md and figures/. Complete runs are kept: the same command goes on where
    it stopped.
    """
    with one_line_errors():
        from ibfast import SaturationWarning
        from ibfast.experiments.claims import CLAIMS
        from ibfast.experiments.findings import experiments_for, run_findings, seconds_of

        folder = out or Path("findings-quick" if quick else "findings")
        total = sum(map(len, experiments_for(CLAIMS, quick=quick).values()))
        with progress(quiet=quiet) as bar, warnings.catch_warnings():
            warnings.simplefilter("ignore", SaturationWarning)
            task = bar.add_task("", total=0)
            started = 0

            def start(experiment: Experiment) -> None:
                nonlocal started
                started += 1
                text = f"{'quick, ' * quick}run {started} of at most {total}, {experiment.name}"
                bar.update(task, description=text, total=experiment.epochs, completed=0)

            found = run_findings(
                folder,
                quick=quick,
                threads=threads,
                on_start=start,
                on_epoch=lambda epoch: bar.update(task, completed=epoch),
            )
        if not quiet:
            console.print(findings_table(found, quick=quick))
            say(f"{'quick: ' * quick}seconds of each preset: {seconds_of(folder)}")
            say(f"{'quick: ' * quick}saved in {folder}")


@app.command()
def plot(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    quiet: _Quiet = False,
) -> None:
    """Draw the figures of a run folder again."""
    with one_line_errors():
        from ibfast import plots, store

        plane, _ = store.open_run(folder)
        with store.new_folder(folder / "figures") as figures:
            files = [file.name for file in plots.save_figures(plane, figures)]
        for name in files:
            say(str(folder / "figures" / name), quiet=quiet)


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
    with one_line_errors():
        from ibfast import SaturationWarning, plots, store
        from ibfast.experiments import parse_bins
        from ibfast.plane import measure_arrays

        folder = out or file.with_name(f"{file.stem}-plane")
        store.check_free(folder, overwrite=overwrite)
        layers, classes, epochs = load_activations(file, labels)
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
            console.print(layer_table(plane))
            say(saturation(plane, exhaustive=exhaustive))
            say(f"saved in {folder}")


@app.command()
def info() -> None:
    """Print the version, and what the kernel runs on."""
    import platform
    from importlib import metadata

    import ibfast
    from ibfast import _core

    kernel = _core.info()
    say(f"ibfast {ibfast.__version__}, Python {platform.python_version()}")
    say(f"SIMD level {kernel['simd']}, {kernel['threads']} threads")
    say(f"OpenMP {'yes' if kernel['openmp'] else 'no'}, compiled by {kernel['compiler']}")
    for package in ("numpy", "torch", "xarray", "zarr", "matplotlib"):
        try:
            say(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            say(f"{package} not installed")


@app.command()
def selftest() -> None:
    """Check every estimator and correction on tasks with a known answer, in under a minute.

    The exit code is 1 where an error is greater than its tolerance.
    """
    with one_line_errors():
        from ibfast.selftest import all_cases
        from ibfast.selftest import run as run_case

        cases, outcomes = all_cases(), []
        bar = Progress(
            TextColumn("{task.fields[quantity]}"), BarColumn(), console=err, transient=True
        )
        with bar:
            task = bar.add_task("", total=len(cases), quantity="")
            for case in cases:
                bar.update(task, quantity=case.quantity)
                outcomes.append(run_case(case))
                bar.advance(task)
    console.print(selftest_table(outcomes))
    passed = sum(done.passed for done in outcomes)
    say(f"{passed} of {len(outcomes)} passed in {sum(d.seconds for d in outcomes):.0f} s")
    if passed < len(outcomes):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
