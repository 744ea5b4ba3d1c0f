"""The paper's experiments as data, and what runs them: train, measure, store, compare."""

try:
    from ibfast.experiments.authors import authors_results, compare_with_authors
    from ibfast.experiments.folders import left_to_run, open_variant, run_variants, variant_folder
    from ibfast.experiments.measuring import parse_bins, parse_estimator
    from ibfast.experiments.presets import Experiment, load_preset, preset_names, variants
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
    "left_to_run",
    "load_preset",
    "open_variant",
    "parse_bins",
    "parse_estimator",
    "preset_names",
    "run_experiment",
    "run_variants",
    "variant_folder",
    "variants",
]
