"""Which modules of a model are its layers, and options that differ between them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Container, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import nn
from torch.jit._trace import TopLevelTracedModule
from torch.nn.utils.parametrize import is_parametrized

__all__ = [
    "RESHAPING",
    "Chosen",
    "Layers",
    "check_option",
    "choose",
    "module_name",
    "option_of",
    "unwrap",
]

Layers: TypeAlias = (
    str | nn.Module | type[nn.Module] | Callable[[str, nn.Module], bool] | Iterable[Any]
)

RESHAPING = (nn.Dropout, nn.Flatten, nn.Identity, nn.Unflatten)
_PARAMETRIZED = ".parametrizations."  # where torch.nn.utils.parametrize keeps what makes weights
_NORMALISING = (nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase)


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and torch.compile."""
    model: Any = module
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod
        else:
            return cast(nn.Module, model)


class Chosen(NamedTuple):
    """Modules by their names, in the model's order, and which of them were named one by one."""

    modules: dict[str, nn.Module]
    named: set[str]


def choose(model: nn.Module, layers: Layers) -> Chosen:
    """The modules that were chosen.

    Raises
    ------
    TypeError, ValueError
        The choice is of another type, empty, or names what the model does not have.
    """
    named = dict(model.named_modules(remove_duplicate=False))
    named.setdefault(type(model).__name__, named.pop(""))  # unless it has a module of that name
    choices: list[Any] = []
    if isinstance(layers, str) and layers == "auto":
        found = _activations(model)
    else:
        found = {}
        single = isinstance(layers, (str, nn.Module, type)) or callable(layers)
        try:
            choices = [layers] if single else list(layers)  # type: ignore[arg-type]
        except TypeError:
            raise _wrong_choice(layers) from None
        for choice in choices:
            found |= _matches(named, choice)
    if not found:
        raise ValueError(f"layers: {layers!r} chooses no module of {type(model).__name__}")
    chosen: dict[str, nn.Module] = {}
    for name, module in named.items():  # a module of two names is one layer
        if name in found and not any(module is other for other in chosen.values()):
            chosen[name] = module
    for name, module in chosen.items():
        if not _takes_hooks(module):
            raise ValueError(f"layers: {name!r} is TorchScript, inside which nothing is watched")
    one_by_one = {
        name
        for name, module in chosen.items()
        if any(isinstance(c, (str, nn.Module)) and (c == name or c is module) for c in choices)
    }
    return Chosen(chosen, one_by_one)


def _wrong_choice(choice: Any) -> TypeError:
    return TypeError(
        f"layers: {choice!r} of type {type(choice).__name__}; expected 'auto', names or patterns, "
        "modules, classes of modules, functions (name, module) -> bool, or several of these"
    )


def _matches(named: Mapping[str, nn.Module], choice: Any) -> dict[str, nn.Module]:
    if isinstance(choice, str):
        found = {name: module for name, module in named.items() if _fits(name, choice)}
        if not found:
            near = difflib.get_close_matches(choice, named, n=5, cutoff=0.3)
            raise ValueError(
                f"layers: no module is called {choice!r}; the nearest names are "
                f"{', '.join(map(repr, near)) or 'none'}; all are in model.named_modules()"
            )
        return found
    if isinstance(choice, nn.Module):
        wanted = unwrap(choice)
        found = {name: module for name, module in named.items() if module is wanted}
        if not found:
            raise ValueError(f"layers: {type(choice).__name__} is no module of the model")
        return found
    if isinstance(choice, type) and issubclass(choice, nn.Module):
        return {name: module for name, module in named.items() if isinstance(module, choice)}
    if callable(choice) and not isinstance(choice, type):
        return {name: module for name, module in named.items() if choice(name, module)}
    raise _wrong_choice(choice)


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _activations(model: nn.Module) -> dict[str, nn.Module]:
    """For each leaf with weights the activation function that follows it, else the leaf itself.

    What follows is taken from the order in which the modules were registered.
    """
    found: dict[str, nn.Module] = {}
    last = None
    for name, module in model.named_modules():
        own = [child for child, _ in module.named_children() if child != "parametrizations"]
        leaf = isinstance(module, nn.MultiheadAttention) or not own
        inside = any(
            isinstance(outer, nn.MultiheadAttention) and name.startswith(f"{path}.")
            for path, outer in found.items()
        )
        if not leaf or inside or isinstance(module, RESHAPING) or not _takes_hooks(module):
            continue
        if _PARAMETRIZED in f".{name}.":
            continue
        if _is_activation(module):
            if last is not None:
                del found[last]
            found[name or type(model).__name__] = module
            last = None
        elif _has_weights(module) and not isinstance(module, _NORMALISING):
            last = name or type(model).__name__
            found[last] = module
    return found


def _takes_hooks(module: nn.Module) -> bool:
    script = isinstance(module, torch.jit.ScriptModule)
    return not script or isinstance(module, TopLevelTracedModule)


def _has_weights(module: nn.Module) -> bool:
    return is_parametrized(module) or any(True for _ in module.parameters(recurse=False))


def _is_activation(module: nn.Module) -> bool:
    home = type(module).__module__.rpartition(".")[2]
    return home in ("activation", "activations") and not isinstance(module, nn.MultiheadAttention)


def module_name(layer: str, modules: Container[str]) -> str:
    """The name of the module of a layer: ``name`` of ``name:2``."""
    name, _, call = layer.rpartition(":")
    return name if layer not in modules and call.isdecimal() else layer


def option_of(option: Any, layer: str, module: str, default: Any) -> Any:
    """The value of an option for a layer: the option itself, or from a mapping of names, patterns.

    The exact name counts before patterns, and these in their order; ``name:2`` is, where no name
    or pattern with a colon fits it, as ``name``.
    """
    if not isinstance(option, Mapping):
        return option
    for name in dict.fromkeys((layer, module)):
        if name in option:
            return option[name]
        for pattern, value in option.items():
            if fnmatchcase(name, pattern) and (name == module or ":" in pattern):
                return value
    return default


def check_option(name: str, option: Any, layers: Iterable[str], check: Callable[[Any], Any]) -> Any:
    """The option with each of its values checked.

    Raises
    ------
    TypeError, ValueError
        As `check`; or a mapping names no layer.
    """
    if not isinstance(option, Mapping):
        return check(option)
    known = list(layers)
    for pattern in option:
        patterns = str(pattern), module_name(str(pattern), ()), str(pattern).partition(":")[0]
        if not any(_fits(layer, one) for layer in known for one in patterns):
            raise ValueError(f"{name}: {pattern!r} fits none of the layers {', '.join(known)}")
    return {pattern: check(value) for pattern, value in option.items()}
