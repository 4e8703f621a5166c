"""The exceptions that end a command with one line, and the sentence for a misspelt name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from .platforms import mxnet_advice


class UserError(Exception):
    """A mistake in what the user gave (a file, a flag, a value).

    The message is one line that names the file, the field and what to do. The command line prints it after
    ``error: `` and exits with status 2, without a traceback. A notebook shows the same line.
    """

    def _render_traceback_(self) -> list[str]:
        """Returns what IPython shows instead of a traceback."""
        return [f"error: {self}"]


class Interrupted(KeyboardInterrupt):
    """A signal has ended a training; the message is one line that says where, and how to go on.

    ``status`` is the exit status for it, 128 and the number of the signal. ``together`` says that every
    process of the training ends at the same step.
    """

    def __init__(self, number: int, text: str = "interrupted", together: bool = False) -> None:
        super().__init__(text)
        self.number, self.status, self.together = number, 128 + number, together


def one_line(problem: object) -> str:
    """Returns the text of an error as one line of at most 2,000 characters, without its middle if need be.

    It may name a file or a value of any length, and line breaks may be in it.
    """
    text = visible(" ".join(str(problem).splitlines()))
    return text if len(text) <= 2000 else f"{text[:1500]} ... {text[-490:]}"


def visible(text: str) -> str:
    """Returns a text with an escape for each character that a terminal would obey instead of showing it.

    Names of files and classes come from others. Line breaks and tabs stay.
    """
    return _OBEYED.sub(lambda found: repr(found[0])[1:-1], text)


def quoted(name: str) -> str:
    """Returns a name as it is, or in quotes where it holds what cannot be seen, as a blank at its end."""
    return repr(name) if name != name.strip() or not name.isprintable() else name


def nearest(name: str, known: Iterable[str], count: int = 3, least: float = 0.5) -> list[str]:
    """Returns at most ``count`` of the ``known`` names, the most similar to ``name`` first; possibly none.

    ``least`` is how similar they must be, from 0 to 1 (equal).
    """
    originals = {item.lower(): item for item in known}
    return [originals[match] for match in difflib.get_close_matches(name.lower(), originals, count, least)]


# The control characters besides tab and line break, and those that turn the direction of a line around.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_WHERE_TO_LOOK = {"model": "see: gluon-ssd models", "recipe": "see: gluon-ssd models"}


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """Returns the error for a ``name``, of any type, that is none of the ``known`` names of this ``kind``.

    It suggests the nearest three; when nothing is similar, it lists what there is (at most eight names). The
    caller raises it.
    """
    names, text = sorted(known), str(name)
    close = nearest(text, names)
    if close:
        advice = f"did you mean {', '.join(map(quoted, close))}?"
    elif names:
        shown = ", ".join(map(quoted, names[:8])) + (", ..." if len(names) > 8 else "")
        advice = f"known: {shown}"
    else:
        advice = "none is known"
    pointer = f" ({_WHERE_TO_LOOK[kind]})" if kind in _WHERE_TO_LOOK else ""
    return UserError(f"unknown {kind} {text!r}; {advice}{pointer}")


# The extra that brings a package, which the error for a missing one names.
_EXTRAS = {
    "gluoncv": "gluoncv",
    "horovod": "horovod",
    "nvidia": "dali",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "torch": "torch",
    "tensorboard": "tensorboard",
    "tensorboardX": "tensorboard",
    "mlperf_logging": "mlperf",
    "safetensors": "safetensors",
    "google_crc32c": "tfrecord",
    "supervision": "supervision",
    "mlperf_loadgen": "loadgen",
    "starlette": "serve",
    "uvicorn": "serve",
    "python_multipart": "serve",
    "prometheus_client": "serve",
}


def import_problem(error: Exception) -> UserError | None:
    """Returns the one sentence for an import that failed for a reason the user can cure, else None.

    It knows the optional packages that are not installed, and MXNet beside a NumPy that it was not tried
    with.
    """
    package = (getattr(error, "name", None) or "").split(".")[0]
    if isinstance(error, ModuleNotFoundError) and package == "mxnet":
        return UserError(f"mxnet is not installed; {mxnet_advice()}")
    if isinstance(error, ModuleNotFoundError) and package in _EXTRAS:
        return UserError(f'{package} is not installed; pip install "gluon_ssd[{_EXTRAS[package]}]"')
    # MXNet 1.9.1 uses names that later versions of NumPy have removed.
    if isinstance(error, AttributeError) and re.search(r"module 'numpy'|`np\.\w+` was removed", str(error)):
        return UserError(
            f"MXNet 1.9.1 cannot run with this numpy ({error}); import gluon_ssd before mxnet, "
            'or, if it was, pip install "numpy<2.6"'
        )
    return None
