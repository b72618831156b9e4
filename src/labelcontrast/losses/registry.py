"""Losses by name: look one up, check its parameters, and register further ones by hand, from a file or a package.

This file loads without torch, as the catalogue does.
"""

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import entry_points
from importlib.util import module_from_spec
from keyword import iskeyword
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from labelcontrast.errors import ConfigError, nearest
from labelcontrast.losses.axes import (
    CONTRASTIVE_ATTRIBUTES,
    MODULE_ATTRIBUTES,
    SETTINGS_KEYS,
    SIZES,
    Contrast,
    LossKind,
    LossRow,
    Parameter,
    check_values,
    parameters_of,
    shown,
)
from labelcontrast.losses.catalogue import BUILT_IN, contrastive_row

ENTRY_POINTS = "labelcontrast.losses"
"""Group of the entry points by which an installed package offers losses."""


def loss_catalogue() -> list[LossRow]:
    """Return every loss, with its equation, its reference, and its parameters with their defaults.

    Example:
        >>> [row.name for row in loss_catalogue() if row.kind == "logit"]
        ['bce', 'focal', 'asl', 'lsep', 'zlpr']
    """
    _load_entry_points()
    return list(_ROWS.values())


def loss_row(name: str) -> LossRow:
    """Return the loss of a name.

    Raises:
        ConfigError: There is no loss of this name; the message has the nearest one.
    """
    if not isinstance(name, str):
        raise ConfigError(f"the name of a loss must be a word. Got {shown(name)}.")
    if name not in _ROWS:
        _load_entry_points()
    if name not in _ROWS:
        raise ConfigError(f"there is no loss {name!r}{nearest(name, _ROWS)}. There are: {', '.join(_ROWS)}.")
    return _ROWS[name]


def check_loss(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a loss completed with its defaults, without loading torch.

    Args:
        name: A name of the catalogue.
        parameters: Those that differ from the defaults.

    Raises:
        ConfigError: There is no such loss or parameter, or the parameter does not accept the value.

    Example:
        >>> check_loss("zlpr", {})
        {'reduction': 'mean'}
        >>> check_loss("reg", {"temprature": 0.1})
        Traceback (most recent call last):
        labelcontrast.errors.ConfigError: reg has no parameter 'temprature' (did you mean "temperature"?). ...
    """
    row = loss_row(name)
    named = parameters.get("preset")
    preset = row.presets.get(named, {}) if isinstance(named, str) else {}
    return check_values(row.name, row.takes, {**preset, **parameters})


def register_loss(
    name: str | LossRow,
    loss: object = None,
    *,
    kind: str | None = None,
    summary: str = "",
    equation: str = "",
    reference: str = "",
) -> None:
    """Add a loss of your own to the catalogue, for :func:`make_loss`, the settings, and ``labelcontrast.losses``.

    The command line has it too, from a file given as ``--plugin``. Registering a name again from the same module, as a
    notebook cell does that is run twice, replaces the loss.

    Args:
        name: A new name, an identifier; or a whole row.
        loss: One of three.

            - A :class:`Contrast`, or a function of parameters that returns one: a loss on the axes. It has the
              parameters of all contrastive losses beside those of the function.
            - With ``kind``, a function ``(logits or projections, labels, *, parameters) -> scalar``.
            - With ``kind``, a class or function of parameters that makes such a function or module. It is also handed
              ``num_labels``, ``dim``, ``generator`` or ``hierarchy`` where it has an argument of that name.

            Names, types and defaults of the parameters are those of the signature; ``Annotated[float, "meaning"]``
            explains one.
        kind: ``"logit"`` or ``"contrastive"``, for a loss that is not on the axes.
        summary: One sentence; by default the first line of the docstring.
        equation: In LaTeX.
        reference: Where it was published.

    Raises:
        ConfigError: The name is not an identifier, or is taken by a built-in loss, another module or something else in
            ``labelcontrast.losses``; a parameter has a name that a loss needs; or ``loss`` is none of these.

    Example:
        >>> from labelcontrast.losses import Contrast, coverage, unregister_loss
        >>> def strict(power: float = 2.0) -> Contrast:
        ...     "A candidate with other labels attracts less."
        ...     return Contrast(affinity=coverage(power), sharing="per_label")
        >>> register_loss("strict", strict)
        >>> check_loss("strict", {"temperature": 0.2})["power"]
        2.0
        >>> unregister_loss("strict")
    """
    row = name if isinstance(name, LossRow) else _row_of(name, loss, kind)
    row = replace(
        row,
        summary=summary or row.summary,
        equation=equation or row.equation,
        reference=reference or row.reference,
    )
    _register(row, by=str(sys._getframe(1).f_globals.get("__name__")))  # noqa: SLF001


def is_built_in(name: str) -> bool:
    """Return True if a loss is one of this package, and was not registered."""
    return _ROWS.get(name) in BUILT_IN


def unregister_loss(name: str) -> None:
    """Remove a loss that was registered.

    Raises:
        ConfigError: There is no loss of this name, or it is built in.
    """
    if name not in _REGISTERED_BY:
        raise ConfigError(f"there is no registered loss {name!r}.")
    del _ROWS[name], _REGISTERED_BY[name]


def load_plugin(path: str | Path) -> None:
    """Run a Python file that registers losses; a file that has been run before is not run again.

    Raises:
        ConfigError: The file is missing, is not Python, raises, or registers no loss.
    """
    file = Path(path).resolve()
    if file in _PLUGINS:
        return
    if not file.is_file():
        raise ConfigError(f"plugin {path}: there is no such file.")
    name = f"labelcontrast_plugin_{file.stem}_{len(_PLUGINS)}"
    rows, registered_by = dict(_ROWS), dict(_REGISTERED_BY)
    loader = SourceFileLoader(name, str(file))
    module = module_from_spec(ModuleSpec(name, loader, origin=str(file)))
    module.__file__ = str(file)
    sys.modules[name] = module  # classes that it defines can be pickled
    try:
        loader.exec_module(module)
        if all(row is rows.get(row.name) for row in _ROWS.values()):
            raise ConfigError("it registers no loss; it must call labelcontrast.register_loss.")
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        _restore(_ROWS, rows)
        _restore(_REGISTERED_BY, registered_by)
        raise ConfigError(f"plugin {path} cannot be loaded: {_one_line(error)}") from error
    _PLUGINS.add(file)


def fingerprint_plugin(path: str | Path) -> str:
    r"""Hash the code of a plugin; comments, docstrings and layout do not matter.

    Raises:
        ConfigError: The file is missing or is not Python.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name, text in {"a.py": "x = 1", "b.py": "# one\nx=1", "c.py": "x = 2"}.items():
        ...         _ = (Path(folder) / name).write_text(text)
        ...     prints = [fingerprint_plugin(Path(folder) / name) for name in ("a.py", "b.py", "c.py")]
        >>> prints[0] == prints[1] != prints[2]
        True
    """
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"plugin {path} cannot be loaded: {_one_line(error)}") from error
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return hashlib.blake2b(ast.unparse(tree).encode(), digest_size=16).hexdigest()


def _load_entry_points() -> None:
    """Load the losses of installed packages, once; an entry point is what ``register_loss`` takes, or a module."""
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.value in _LOADED_ENTRY_POINTS:
            continue
        _LOADED_ENTRY_POINTS.add(entry.value)
        try:
            loss = entry.load()
            if not isinstance(loss, ModuleType) and entry.name not in _ROWS:
                _register(loss if isinstance(loss, LossRow) else _row_of(entry.name, loss, None), by=entry.value)
        except Exception as error:
            raise ConfigError(f"the loss {entry.name} of {entry.value} cannot be loaded: {_one_line(error)}") from error


def _register(row: LossRow, *, by: str) -> None:
    """Add a row, or replace one that the same module registered."""
    if not isinstance(row.name, str) or not row.name.isidentifier() or iskeyword(row.name) or row.name.startswith("_"):
        raise ConfigError(f"the name of a loss must be an identifier, as my_loss. Got {row.name!r}.")
    if row.name in _ROWS and _REGISTERED_BY.get(row.name) != by:
        raise ConfigError(f"there is already a loss {row.name!r}.")
    if row.name not in _ROWS and row.name in _public_names():
        raise ConfigError(f"a loss cannot be named {row.name!r}: labelcontrast.losses has something else of that name.")
    _check_row(row)
    _ROWS[row.name] = row
    _REGISTERED_BY[row.name] = by


def _public_names() -> set[str]:
    """Return the names of labelcontrast.losses, under which the losses are public too."""
    door = sys.modules["labelcontrast.losses"]
    return {*dir(door), *vars(door), *(module.name for module in iter_modules(door.__path__))}


def _check_row(row: LossRow) -> None:
    """Refuse a row that makes no loss, and parameters that could not be set, or not be read from the loss."""
    taken = set(SETTINGS_KEYS)
    if row.contrast is not None:
        taken |= MODULE_ATTRIBUTES | CONTRASTIVE_ATTRIBUTES
        _check_contrast(row.name, row.contrast, row.takes)
    elif row.function is None:
        raise ConfigError(f"the row of {row.name} needs a contrast or a function.")
    elif computes(row.function):
        taken |= MODULE_ATTRIBUTES
    names = [parameter.name for parameter in row.takes]
    for name in names:
        if name in taken:
            raise ConfigError(f"{row.name} cannot have a parameter {name!r}: that name has another meaning in a loss.")
        if names.count(name) > 1:
            raise ConfigError(f"{row.name} cannot have a parameter {name!r}: all contrastive losses have it already.")


def _check_contrast(name: str, contrast: Callable[..., object], takes: Sequence[Parameter]) -> None:
    """Refuse a function that returns no Contrast, or has arguments that are no parameters."""
    defaults = {parameter.name: parameter.default for parameter in takes}
    arguments = inspect.signature(contrast).parameters.values()
    for one in arguments:
        if one.name not in defaults or one.kind is one.POSITIONAL_ONLY:
            raise ConfigError(f"{name} cannot take {str(one)!r}: a Contrast depends on named parameters alone.")
    if not isinstance(contrast(**{one.name: defaults[one.name] for one in arguments}), Contrast):
        raise ConfigError(f'{name} must return a Contrast; for another loss give kind="logit" or "contrastive".')


def _restore(table: dict[str, Any], before: Mapping[str, Any]) -> None:
    table.clear()
    table.update(before)


def _one_line(error: BaseException) -> str:
    """Return the first line of an error's message, after its type where it is not ours."""
    text = next(iter(str(error).splitlines()), "")
    return text if isinstance(error, ConfigError) else f"{type(error).__name__}: {text}".removesuffix(": ")


def _row_of(name: str, loss: object, kind: str | None) -> LossRow:
    """Describe a loss from its signature and docstring."""
    summary = next(iter((inspect.getdoc(loss) or "").splitlines()), "") if not isinstance(loss, Contrast) else ""
    if isinstance(loss, Contrast):
        return contrastive_row(name, summary, contrast=lambda: loss)
    if not callable(loss):
        raise ConfigError(f"a loss must be a Contrast or a function. Got {type(loss).__name__}.")
    if kind is None:
        if computes(loss):
            message = f"{name} has two arguments without a default"
            raise ConfigError(f'{message}: give kind="logit" or kind="contrastive", or return a Contrast.')
        own = parameters_of(loss)
        _check_contrast(name, loss, own)
        return contrastive_row(name, summary, contrast=loss, takes=own)
    kinds: dict[str, LossKind] = {"logit": "logit", "contrastive": "contrastive"}
    if kind not in kinds:
        raise ConfigError(f"kind must be one of logit, contrastive. Got {kind!r}.")
    own = parameters_of(loss, skip=2 if computes(loss) else 0)
    return LossRow(name=name, kind=kinds[kind], summary=summary, takes=own, function=loss)


def computes(function: Callable[..., Any]) -> bool:
    """Return True for a function of two tensors, False for a class or function that makes a loss of parameters."""
    arguments = [one for one in inspect.signature(function).parameters.values() if one.name not in SIZES]
    return len([one for one in arguments if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty]) == 2


_ROWS: dict[str, LossRow] = {row.name: row for row in BUILT_IN}
_REGISTERED_BY: dict[str, str] = {}
"""The module that registered a loss; built-in losses have none."""
_PLUGINS: set[Path] = set()
_LOADED_ENTRY_POINTS: set[str] = set()
