"""Lazy public names of a package: a name is imported from the module where it lives when it is first used."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names are imported when they are used.

    Args:
        package: the package's ``__name__``.
        homes: for each module below the package, the public names that live in it; a module without names is itself
            public.

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
