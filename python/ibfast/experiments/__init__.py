"""The paper's experiments as data, and what runs them: train, measure, store, compare."""

try:
    from ibfast.experiments.authors import authors_results, compare_with_authors
    from ibfast.experiments.presets import Experiment, load_preset, parse_bins, preset_names
    from ibfast.experiments.runner import Run, run_experiment
except ImportError as error:
    raise ImportError(
        f'ibfast.experiments needs more packages: pip install "ibfast[run]" ({error})'
    ) from error

__all__ = [
    "Experiment",
    "Run",
    "authors_results",
    "compare_with_authors",
    "load_preset",
    "parse_bins",
    "preset_names",
    "run_experiment",
]
