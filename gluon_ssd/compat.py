"""Lets MXNet 1.9.1 run on today's Python and NumPy.

MXNet's Python files were written for NumPy below 1.24 and for versions of Python that still had
``distutils``. `install` adds a finder to the import system, which loads the modules of MXNet and GluonCV, and
no others, with an ``import`` statement of their own. Where they import ``numpy`` they get a `_NumPy`, which
has everything that the real module has and, in addition, the names in `SUBSTITUTES`; where they import
``distutils.version`` they get `_version_module`; and ``scipy.stats`` is loaded only when they use it. The
user's ``numpy`` is not changed, and other packages see nothing of this.

When a new NumPy drops a name that MXNet uses, the test of this module fails and names it; one line in
`SUBSTITUTES` mends that.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any, Callable

PACKAGE = "mxnet"
# GluonCV is of the same age, and asks `distutils` for MXNet's version.
PACKAGES = (PACKAGE, "gluoncv")


def _gone(name: str, np: Any) -> Callable[..., Any]:
    """Returns a function that stands for one that NumPy has dropped and that nothing replaces."""
    del np

    def missing(*args: object, **kwargs: object) -> None:
        raise NotImplementedError(f"numpy.{name} does not exist in this version of NumPy")

    missing.__name__ = name
    return missing


# The names that MXNet reads from NumPy and that NumPy no longer has, each with an expression that means the
# same. `np` is the real NumPy. A name that the installed NumPy still has is always taken from there.
SUBSTITUTES: Mapping[str, Callable[[Any], Any]] = {
    # Aliases of Python's own types, gone since 1.24. (NumPy 2 has a `bool` again: its own scalar type.)
    "bool": lambda np: bool,
    "int": lambda np: int,
    # Second spellings of constants, gone since 2.0.
    "Inf": lambda np: np.inf,
    "PINF": lambda np: np.inf,
    "NINF": lambda np: -np.inf,
    "NaN": lambda np: np.nan,
    "NAN": lambda np: np.nan,
    "PZERO": lambda np: 0.0,
    "NZERO": lambda np: -0.0,
    # Functions under another name, gone since 2.0 or later.
    "alltrue": lambda np: np.all,
    "sometrue": lambda np: np.any,
    "product": lambda np: np.prod,
    "round_": lambda np: np.round,
    "trapz": lambda np: np.trapezoid,
    "in1d": lambda np: lambda a, b, **options: np.isin(np.ravel(a), b, **options),
    "msort": lambda np: lambda a: np.sort(a, axis=0),
    "compat": lambda np: SimpleNamespace(basestring=str),
    # Finance, a package of its own since 1.20. `mxnet.numpy.fallback` lists them; nothing else uses them.
    **{name: partial(_gone, name) for name in ("mirr", "npv", "pmt", "ppmt", "pv", "rate")},
}

# Methods of arrays that NumPy has dropped and MXNet calls, with the name under which they live on.
RENAMED_METHODS = {"tostring": "tobytes"}


def install() -> None:
    """Makes ``import mxnet`` work with a NumPy or on a Python that MXNet does not know.

    It does nothing where MXNet is imported already, and leaves MXNet as it is where both are old enough, as
    in NVIDIA's container. It may be called again.
    """
    if PACKAGE not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # It goes just before the finder whose answers it changes, and after those that others have added.
        places = [place for place, finder in enumerate(sys.meta_path) if finder is PathFinder]
        sys.meta_path.insert(places[0] if places else 0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the modules of `PACKAGES` where Python would, and gives them another loader."""

    def __init__(self) -> None:
        self._import: Callable[..., Any] | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in PACKAGES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return None
        if self._import is None:
            # Asked only now, because it imports NumPy, which `import gluon_ssd` alone does not need.
            if not _needed():
                return None
            self._import = _own_import()
        spec.loader = _Loader(spec.loader.name, spec.loader.path, self._import)
        return spec


def _needed() -> bool:
    """Tells whether this Python or its NumPy lacks something that MXNet takes for granted."""
    version = importlib.import_module("numpy").__version__
    return sys.version_info >= (3, 12) or tuple(map(int, version.split(".")[:2])) >= (1, 24)


class _Loader(SourceFileLoader):
    """Runs a module with other builtins, of which only ``__import__`` differs."""

    def __init__(self, fullname: str, path: str, own_import: Callable[..., Any]) -> None:
        super().__init__(fullname, path)
        self._import = own_import

    def get_code(self, fullname: str) -> CodeType | None:
        code = super().get_code(fullname)
        return None if code is None else _rename_methods(code)

    def exec_module(self, module: ModuleType) -> None:
        # Python looks up `__import__`, like every builtin, in the `__builtins__` of the module that runs.
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        super().exec_module(module)


def _rename_methods(code: CodeType) -> CodeType:
    """Returns ``code`` with the names of dropped methods replaced, also in the functions inside it."""
    names = tuple(RENAMED_METHODS.get(name, name) for name in code.co_names)
    inner = tuple(_rename_methods(part) if isinstance(part, CodeType) else part for part in code.co_consts)
    if (names, inner) == (code.co_names, code.co_consts):
        return code
    return code.replace(co_names=names, co_consts=inner)


# ``from scipy import stats`` and ``import scipy.stats as NAME``, as ``__import__`` sees them.
_SCIPY_STATS = (("scipy", ("stats",)), ("scipy.stats", None))


def _own_import() -> Callable[..., Any]:
    """Returns the function that MXNet's modules have as ``__import__``."""
    numpy = _NumPy()
    distutils = ModuleType("distutils")
    distutils.version = _version_module()  # type: ignore[attr-defined]
    scipy = ModuleType("scipy")
    scipy.stats = _Later("scipy.stats")  # type: ignore[attr-defined]

    def own_import(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if level == 0 and name == "numpy":
            return numpy
        if level == 0 and name == "distutils.version":
            return distutils.version if fromlist else distutils
        # Loading it takes as long as MXNet, which needs it for one mode of quantisation and tests of its own.
        if level == 0 and (name, fromlist) in _SCIPY_STATS and importlib.util.find_spec("scipy"):
            return scipy
        module = builtins.__import__(name, globals, locals, fromlist or (), level)
        # `import numpy.random as x` asks for numpy and takes `random` from it.
        return numpy if level == 0 and name.startswith("numpy.") and not fromlist else module

    return own_import


class _NumPy(ModuleType):
    """NumPy as MXNet knows it."""

    def __init__(self) -> None:
        super().__init__("numpy")
        self._numpy = importlib.import_module("numpy")
        # Copied, so that MXNet reads names as fast as from the module itself. NumPy's own `__getattr__` is
        # left out, because it would be asked before the method below, and it warns.
        copied = {name: value for name, value in vars(self._numpy).items() if name != "__getattr__"}
        self.__dict__.update(copied)

    def __getattr__(self, name: str) -> Any:
        if name not in SUBSTITUTES:
            return getattr(self._numpy, name)
        value = SUBSTITUTES[name](self._numpy)
        setattr(self, name, value)
        return value


class _Later(ModuleType):
    """A module that is loaded when something of it is first read."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def _version_module() -> ModuleType:
    """Returns a stand-in for ``distutils.version``, which is gone since Python 3.12."""
    parse = importlib.import_module("packaging.version").parse
    module = ModuleType("distutils.version")
    module.LooseVersion = module.StrictVersion = parse  # type: ignore[attr-defined]
    return module
