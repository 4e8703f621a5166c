"""The functions with which `safe_pickle` may build PyTorch's storages and tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from . import numpy_pickle
from .safe_pickle import Call, Refused, Shell, make_dict, short

BFLOAT16 = "bfloat16"
# PyTorch's storage classes, each with its dtype and the code of NumPy's type. NumPy has no bfloat16.
_KINDS = {
    "Float": ("float32", "f4"),
    "Double": ("float64", "f8"),
    "Half": ("float16", "f2"),
    "BFloat16": ("bfloat16", BFLOAT16),
    "Long": ("int64", "i8"),
    "Int": ("int32", "i4"),
    "Short": ("int16", "i2"),
    "Char": ("int8", "i1"),
    "Byte": ("uint8", "u1"),
    "Bool": ("bool", "b1"),
    "ComplexFloat": ("complex64", "c8"),
    "ComplexDouble": ("complex128", "c16"),
}
_UNSIGNED = {"uint16": "u2", "uint32": "u4", "uint64": "u8"}  # types without a storage class
# A tensor may repeat the elements of its storage (`expand`). With more elements than this it is no weight,
# but a small file that would fill the memory.
_MOST_REPEATED = 1 << 24


@dataclass(frozen=True)
class ElementType:
    """The type of a storage's or a tensor's elements: a code of NumPy's, or `BFLOAT16`."""

    code: str

    @property
    def size(self) -> int:
        """Returns the number of bytes of an element."""
        return 2 if self.code == BFLOAT16 else np.dtype(self.code).itemsize


@dataclass(frozen=True)
class Storage:
    """A part of the storage called ``key``: ``count`` of its ``total`` elements, from ``start`` on."""

    key: str
    type: ElementType
    total: int
    count: int
    start: int = 0

    @classmethod
    def from_id(cls, parts: Any) -> Storage:
        """Returns the storage of a persistent id. Raises Refused for any other id.

        The id is ("storage", class, key, device, count), and in old files also (view's key, start, count).
        """
        if not isinstance(parts, tuple) or len(parts) not in (5, 6) or parts[0] != "storage":
            raise Refused("a reference to something that is no storage")
        _, kind, key, _, count = parts[:5]
        # The key of an old file may be an address, but none has digits without end.
        if not isinstance(key, str) and not (isinstance(key, int) and key.bit_length() <= 64):
            raise Refused(f"a storage called {short(key)}")
        if not isinstance(kind, ElementType) or not is_size(count):
            raise Refused(f"a storage of {short(kind)} with {short(count)} elements")
        if len(parts) == 5 or parts[5] is None:
            return cls(str(key), kind, count, count)
        _, start, view = parts[5]
        if not is_size(start) or not is_size(view) or start + view > count:
            raise Refused("a storage view beyond its storage")
        return cls(str(key), kind, count, view, start)


@dataclass(frozen=True)
class Tensor:
    """The place of a tensor in its storage, with ``offset``, ``shape`` and ``strides`` in elements.

    Raises Refused where it reaches beyond the storage.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    type: ElementType

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or not all(map(is_size, numbers)):
            raise Refused(f"a tensor with sizes {short(self.shape)} and strides {short(self.strides)}")
        # The type of a tensor may differ from that of its storage, which is then plain bytes.
        count = math.prod(self.shape)
        held = self.storage.count * self.storage.type.size // self.type.size
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.strides))
        if count and last >= held:
            raise Refused(f"a tensor of shape {short(self.shape)} in a storage of {held} elements")
        if count > max(held, _MOST_REPEATED):
            raise Refused(f"a tensor that repeats {held} elements {count} times")


def is_size(value: Any) -> bool:
    """Tells whether ``value`` can be a number of elements; no file here has 2**48 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


class _Inert(Shell):
    """Stands for options and the like, which training scripts keep beside the weights; it holds nothing."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def set_state(self, state: Any) -> None:
        pass


class SavedObject(Shell):
    """Stands for an object of a class that is not imported, such as a network that was saved whole.

    ``state`` are its attributes by name, where it has any. Those of an object of TorchScript (``scripted``)
    are its tensors and its parts themselves.
    """

    def __init__(self, class_name: str) -> None:
        self.scripted = class_name.startswith("__torch__.")
        self.state: dict[Any, Any] = {}

    def set_state(self, state: Any) -> None:
        if isinstance(state, dict):
            self.state = state


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    return _tensor_of_type(storage, offset, shape, strides, getattr(storage, "type", None))


# Tensors of types that have no storage class come with a storage of bytes and their type.
def _tensor_v3(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor:
    return _tensor_of_type(storage, offset, shape, strides, dtype)


def _tensor_of_type(storage: Any, offset: Any, shape: Any, strides: Any, kind: Any) -> Tensor:
    if not isinstance(storage, Storage) or not isinstance(kind, ElementType):
        raise Refused("a tensor without a storage")
    if not isinstance(shape, (tuple, list)) or not isinstance(strides, (tuple, list)):
        raise Refused("a tensor without sizes")
    return Tensor(storage, offset, tuple(shape), tuple(strides), kind)


def _parameter(data: Any, *rest: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise Refused("a parameter that is no tensor")
    return data


def _size(sizes: Any = ()) -> tuple[Any, ...]:
    return tuple(sizes)


def _table() -> dict[str, Any]:
    table = dict(numpy_pickle.ALLOWED)
    for name, (dtype, code) in _KINDS.items():
        kind = ElementType(code)
        table[f"torch {dtype}"] = kind
        for module in ("torch", "torch.cuda"):
            table[f"{module} {name}Storage"] = kind
    table.update({f"torch {dtype}": ElementType(code) for dtype, code in _UNSIGNED.items()})
    return table


ALLOWED: dict[str, Any] = {
    **_table(),
    "torch.storage UntypedStorage": ElementType("u1"),
    "torch Size": Call(_size),
    "torch device": Call(_Inert),
    "torch._utils _rebuild_tensor": Call(_tensor),
    "torch._utils _rebuild_tensor_v2": Call(_tensor),
    "torch._utils _rebuild_tensor_v3": Call(_tensor_v3),
    "torch._utils _rebuild_parameter": Call(_parameter),
    "torch._utils _rebuild_parameter_with_state": Call(_parameter),
    "torch.nn.parameter Parameter": Call(_parameter),
    "collections Counter": Call(make_dict),
    "argparse Namespace": Call(_Inert),
    # What the modules of PyTorch before 1.3, of some networks and of TorchScript keep beside their tensors.
    "torch.nn.backends.thnn _get_thnn_function_backend": Call(_Inert),
    "functools partial": Call(_Inert),
    "torch.jit._pickle restore_type_tag": Call(_Inert),
    **{f"torch.jit._pickle build_{kind}list": Call(_Inert) for kind in ("int", "tensor", "double", "bool")},
}


def element_array(data: Any, kind: ElementType, big_endian: bool) -> np.ndarray:
    """Returns the bytes of a storage, a whole number of elements, as an array (n,).

    bfloat16 becomes float32 of the same values.
    """
    order: Literal[">", "<"] = ">" if big_endian else "<"
    if kind.code == BFLOAT16:
        # A bfloat16 is the upper half of the float32 of the same value.
        bits = np.frombuffer(data, order + "u2").astype(np.uint32) << 16
        return bits.view(np.float32)
    if kind.code == "b1":
        # Compared, because other bytes than 0 and 1 would make an array of bool misbehave.
        return np.frombuffer(data, np.uint8) != 0
    array = np.frombuffer(data, np.dtype(kind.code).newbyteorder(order))
    return array.astype(np.dtype(kind.code))  # a copy, so that it can be written to


def tensor_array(tensor: Tensor, elements: np.ndarray) -> np.ndarray:
    """Returns a tensor as a view of ``elements``, those of its whole storage.

    Tensors of one storage share its memory. Raises Refused where the tensor reaches beyond the storage.
    """
    first = tensor.storage.start * tensor.storage.type.size // tensor.type.size + tensor.offset
    if not math.prod(tensor.shape):
        return np.zeros(tensor.shape, elements.dtype)
    last = first + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides))
    if last >= len(elements):  # `as_strided` checks nothing and would read beyond the end
        raise Refused("a tensor beyond its storage")
    steps = tuple(step * elements.itemsize for step in tensor.strides)
    return np.lib.stride_tricks.as_strided(elements[first:], tensor.shape, steps)
