"""What users can import: names, their docstrings with examples, and the hint of a broken build."""

import importlib
import inspect
import pkgutil
import types

import pytest

import ibfast
import ibfast.distributed
import ibfast.integrations.loop
import ibfast.recorder

PUBLIC = {
    "ibfast": ibfast,
    "binning": ibfast.binning,
    "bottleneck": ibfast.bottleneck,
    "corrections": ibfast.corrections,
    "datasets": ibfast.datasets,
    "distributed": ibfast.distributed,
    "estimators": ibfast.estimators,
    "integrations.loop": ibfast.integrations.loop,
    "recorder": ibfast.recorder,
    "selftest": ibfast.selftest,
    "uncertainty": ibfast.uncertainty,
}
THINGS = {
    f"{module}.{name}": getattr(PUBLIC[module], name)
    for module in PUBLIC
    for name in PUBLIC[module].__all__
    if callable(getattr(PUBLIC[module], name))
}


def test_the_names():
    assert set(ibfast.__all__) >= {
        "JointCounts",
        "LayerInformation",
        "SaturationWarning",
        "__version__",
        "binning",
        "datasets",
        "entropy",
        "information",
        "layer_information",
        "mutual_info",
    }
    assert set(ibfast.binning.__all__) >= {"Edges", "Integers", "Quantile", "Uniform", "Width"}
    assert {"spherical_rule", "committee_rule"} <= set(ibfast.datasets.__all__)


@pytest.mark.parametrize("module", PUBLIC)
def test_all_is_true(module):
    names = PUBLIC[module].__all__
    assert all(hasattr(PUBLIC[module], name) for name in names)
    assert len(names) == len(set(names))


def test_dir_shows_the_public_names_alone():
    assert dir(ibfast) == sorted(ibfast.__all__)


def test_no_name_is_both_a_function_and_a_module():
    modules = {m.name for m in pkgutil.iter_modules(ibfast.__path__)}
    for name in ibfast.__all__:
        is_module = isinstance(getattr(ibfast, name), types.ModuleType)
        assert is_module == (name in modules), name


@pytest.mark.parametrize("name", THINGS)
def test_public_functions_and_classes_are_documented(name):
    thing = THINGS[name]
    doc = inspect.getdoc(thing)
    assert doc
    assert doc.split("\n")[0].endswith(".")
    warning = inspect.isclass(thing) and issubclass(thing, Warning)
    result = "Attributes\n-----" in doc
    assert ">>> " in doc or warning or result


@pytest.mark.parametrize("name", THINGS)
def test_examples_are_true(name):
    import doctest

    found = doctest.DocTestFinder(recurse=False).find(THINGS[name], name)
    assert all(doctest.DocTestRunner().run(test).failed == 0 for test in found)


@pytest.mark.parametrize("name", ["mutual_info", "entropy", "layer_information", "information"])
def test_every_option_is_named_in_the_docstring(name):
    function = getattr(ibfast, name)
    doc = inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.name in doc
        assert parameter.kind is (
            inspect.Parameter.POSITIONAL_OR_KEYWORD
            if parameter.name in ("acts", "labels", "counts")
            else inspect.Parameter.KEYWORD_ONLY
        )


def test_a_missing_extension_is_explained(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ibfast._core", None)
    monkeypatch.delattr(ibfast, "_core")
    with pytest.raises(ImportError, match=r"compiled core of ibfast .*was the extension built\?"):
        importlib.reload(ibfast)
