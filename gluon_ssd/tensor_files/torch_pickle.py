"""PyTorch's share of pickles: storages, tensors, and the little else that checkpoints hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from . import numpy_pickle
from .safe_pickle import Call, Refused, Shell, make_dict, short

BFLOAT16 = "bfloat16"
# Storage class and dtype of PyTorch -> NumPy type, or BFLOAT16 that NumPy does not have.
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
# A tensor may repeat what its storage holds (`expand`); beyond this many elements that is no weight.
_MOST_REPEATED = 1 << 24


@dataclass(frozen=True)
class ElementType:
    """A storage class or a dtype, as it stands in a pickle."""

    code: str

    @property
    def size(self) -> int:
        return 2 if self.code == BFLOAT16 else np.dtype(self.code).itemsize


@dataclass(frozen=True)
class Storage:
    """``count`` elements from element ``start`` of the storage called ``key``, which has ``total``."""

    key: str
    type: ElementType
    total: int
    count: int
    start: int = 0

    @classmethod
    def from_id(cls, parts: Any) -> Storage:
        """From a persistent id: ("storage", class, key, device, count), in old files a view too."""
        if not isinstance(parts, tuple) or len(parts) not in (5, 6) or parts[0] != "storage":
            raise Refused("a reference to something that is no storage")
        _, kind, key, _, count = parts[:5]
        if not isinstance(kind, ElementType) or not isinstance(key, (str, int)) or not is_size(count):
            raise Refused(f"a storage of {short(kind)} with {short(count)} elements")
        if len(parts) == 5 or parts[5] is None:
            return cls(str(key), kind, count, count)
        _, start, view = parts[5]
        if not is_size(start) or not is_size(view) or start + view > count:
            raise Refused("a storage view beyond its storage")
        return cls(str(key), kind, count, view, start)


@dataclass(frozen=True)
class Tensor:
    """Where a tensor's numbers are; sizes, strides and ``offset`` in elements, all within the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    type: ElementType

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or not all(map(is_size, numbers)):
            raise Refused(f"a tensor with sizes {short(self.shape)} and strides {short(self.strides)}")
        count = math.prod(self.shape)
        held = self.storage.count * self.storage.type.size // self.type.size
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.strides))
        if count and last >= held:
            raise Refused(f"a tensor of shape {short(self.shape)} in a storage of {held} elements")
        if count > max(held, _MOST_REPEATED):
            raise Refused(f"a tensor that repeats {held} elements {count} times")


def is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


class _Inert(Shell):
    """Options and the like that training scripts keep beside the weights: read over, holds nothing."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def set_state(self, state: Any) -> None:
        pass


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    return _tensor_of_type(storage, offset, shape, strides, getattr(storage, "type", None))


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
}


def element_array(data: Any, kind: ElementType, big_endian: bool) -> np.ndarray:
    """(n,) array of a storage's bytes, a whole number of elements; bfloat16 becomes float32, same values."""
    order: Literal[">", "<"] = ">" if big_endian else "<"
    if kind.code == BFLOAT16:
        bits = np.frombuffer(data, order + "u2").astype(np.uint32) << 16
        return bits.view(np.float32)
    if kind.code == "b1":
        return np.frombuffer(data, np.uint8) != 0
    array = np.frombuffer(data, np.dtype(kind.code).newbyteorder(order))
    return array.astype(np.dtype(kind.code))  # a copy, so that it can be written to


def tensor_array(tensor: Tensor, elements: np.ndarray) -> np.ndarray:
    """View of a tensor in the elements of its whole storage; tensors of one storage share memory."""
    first = tensor.storage.start * tensor.storage.type.size // tensor.type.size + tensor.offset
    if not math.prod(tensor.shape):
        return np.zeros(tensor.shape, elements.dtype)
    last = first + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides))
    if last >= len(elements):  # NumPy would read beyond the end
        raise Refused("a tensor beyond its storage")
    steps = tuple(step * elements.itemsize for step in tensor.strides)
    return np.lib.stride_tricks.as_strided(elements[first:], tensor.shape, steps)
