"""Names of a package that are imported when they are first used (PEP 562)."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType


class LazyPackage(ModuleType):
    """A package whose exported names are not hidden by its modules of the same name.

    Importing `package.react` sets the attribute `react` of the package to the module; where the
    package exports a function of that name, the attribute stays the function.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in self.__dict__.get("__all__", ()):
            return
        super().__setattr__(name, value)


def lazy_exports(
    package: str, homes: Mapping[str, Sequence[str]], *, others: Sequence[str] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`.

    Args:
        package: Its `__name__`.
        homes: The exported names by the module that defines them.
        others: Further names of the package for `__dir__`.
    """
    modules = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return [*modules, *others]

    sys.modules[package].__class__ = LazyPackage
    return get, names
