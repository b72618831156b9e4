"""Lazy public names of a package: a name is imported from its module when it is used."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package with lazy public names.

    Args:
        package: The package's ``__name__``.
        homes: The public names of each module of the package; a module without names is itself public.

    Example:
        >>> get, names, _ = lazy_names("labelcontrast", {"errors": ["DataError"], "files": []})
        >>> names(), get("DataError").__name__
        (['DataError', 'files'], 'DataError')
    """
    home = {name: module for module, names in homes.items() for name in names}
    modules = {module for module, names in homes.items() if not names}
    public = sorted([*home, *modules])

    def get(name: str) -> object:
        if name in home:
            return getattr(import_module(f"{package}.{home[name]}"), name)
        if name in modules:
            return import_module(f"{package}.{name}")
        message = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(message)

    return get, lambda: public, public
