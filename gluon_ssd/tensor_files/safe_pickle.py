"""Reads pickles as data: a small machine that runs their instructions, and calls only functions it was given.

Python's ``pickle`` calls whatever a file names, and looks up attributes of the values that it has built. Here
nothing is imported and no attribute is looked up. The only values are plain ones, containers, and what the
functions of the ``allowed`` table return.
"""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from typing import Any, Callable

Allowed = Mapping[str, Any]

_SIZED = (str, bytes, bytearray, list, tuple, dict)
PLAIN_KEYS = (str, bytes, int, float, bool, type(None))
# What damaged data can raise in a reader. A value that is nested very deep raises RecursionError where it is
# hashed, compared or shown.
DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    RecursionError,
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
# The instructions whose argument is the value itself.
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


# What calls may take, in items and characters for each byte of the pickle so far. A pickle writes out what it
# calls with, about once, but a hostile one could name one long list again and again.
_MOST_TAKEN = 8
# A tuple that is a key has at most so many items; each look-up hashes all of them.
_LONGEST_KEY = 100


class Refused(Exception):
    """Raised for a file that holds something other than data, or no well-formed pickle.

    The message is one short line.
    """


class Call:
    """A function that a pickle may call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


class NamedClass:
    """Stands for a class that a pickle names and the table lacks; it is not imported."""

    def __init__(self, name: str) -> None:
        self.name = name


class Shell:
    """A value that a second instruction of the pickle completes with its state."""

    def set_state(self, state: Any) -> None:
        """Completes the value. Raises Refused where the state does not fit."""
        raise NotImplementedError


class _Mark:
    pass


# What the stack holds where a group of values begins.
_MARK = _Mark()


def short(value: Any) -> str:
    """Returns ``value`` for an error message, as one line of at most 80 printable characters."""
    # The value comes from the file, and its own text could be endless, or unprintable.
    text = type(value).__name__
    if isinstance(value, str):
        text = ascii(value)[1:-1]
    elif isinstance(value, PLAIN_KEYS):
        text = repr(value)
    elif isinstance(value, (tuple, list)):  # without repr(), which recurses into nested ones
        text = f"({', '.join(short(item) if isinstance(item, PLAIN_KEYS) else '...' for item in value[:9])})"
    return text if len(text) <= 80 else text[:77] + "..."


def make_dict(*pairs: Any) -> dict[Any, Any]:
    """Returns a plain dict for the ``OrderedDict(pairs)`` or the ``Counter(mapping)`` of a pickle."""
    result: dict[Any, Any] = {}
    for group in pairs:
        items = group.items() if isinstance(group, dict) else group
        for key, value in items:
            result[_checked_key(key)] = value
    return result


def _checked_key(key: Any) -> Any:
    # Python hashes nested tuples recursively, and a million of them would overflow the stack of C.
    flat = key if isinstance(key, tuple) else (key,)
    if len(flat) <= _LONGEST_KEY and all(isinstance(item, PLAIN_KEYS) for item in flat):
        return key
    raise Refused("a dictionary key that is neither text nor a number")


def _refusal(name: str) -> Refused:
    name = short(name.replace(" ", ".", 1))
    return Refused(f"it holds {name}, which is neither a tensor nor a container; save a state_dict()")


def load_pickle(
    stream: Any,
    allowed: Allowed,
    persistent: Callable[[Any], Any] | None = None,
    instance: Callable[[str], Shell] | None = None,
) -> Any:
    """Runs one pickle and returns its value.

    ``stream`` is bytes, or a file whose ``read(n)`` never allocates more than what is left of it (a BytesIO
    or an mmap); its position is then after the pickle. ``allowed`` maps "module name" to the value that
    stands for it, which is a `Call` where the pickle may call it. ``persistent`` makes a value of a
    persistent id. ``instance`` makes, of a class's name, what stands for an object of a class that is not in
    ``allowed``; without it such a class is refused, and a call of a function that is not there always is.
    Raises Refused for anything that is not allowed, and for a damaged pickle.
    """
    # `genops` only splits the bytes into instructions; it runs none of them.
    machine = _Machine(allowed, persistent, instance)
    try:
        for opcode, argument, position in pickletools.genops(stream):
            machine.position = position or 0
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except Refused:
        raise
    except DAMAGE as error:
        raise Refused(f"damaged pickle: {short(str(error))}") from None
    raise Refused("damaged pickle: it has no end")


class _Machine:
    """The stack and the memo of a pickle, with a method for every instruction that is not a literal."""

    def __init__(
        self,
        allowed: Allowed,
        persistent: Callable[[Any], Any] | None,
        instance: Callable[[str], Shell] | None,
    ) -> None:
        self.allowed, self.persistent, self.instance = allowed, persistent, instance
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        # The place of the instruction in the file, and what calls have taken so far.
        self.position, self.taken = 0, 0

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise Refused("damaged pickle: a value is missing")
        return value

    def pop_mark(self) -> list[Any]:
        """Removes the values down to the last mark, and the mark, and returns the values."""
        index = len(self.stack) - 1
        while self.stack[index] is not _MARK:
            index -= 1
            if index < 0:
                raise Refused("damaged pickle: a mark is missing")
        values = self.stack[index + 1 :]
        del self.stack[index:]
        return values

    def step(self, name: str, argument: Any) -> None:
        """Runs one instruction."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            values = [self.pop() for _ in range(_TUPLES[name])]
            self.stack.append(tuple(reversed(values)))
        else:
            action = getattr(self, f"op_{name.lower()}", None)
            if action is None:
                raise Refused(f"the pickle instruction {name}, which no weights need")
            action(argument)

    def op_proto(self, argument: Any) -> None:
        """Does nothing: every instruction is checked by itself, whichever protocol it belongs to."""

    op_frame = op_proto

    def op_mark(self, argument: Any) -> None:
        self.stack.append(_MARK)

    def op_pop(self, argument: Any) -> None:
        self.stack.pop()

    def op_pop_mark(self, argument: Any) -> None:
        self.pop_mark()

    def op_dup(self, argument: Any) -> None:
        self.stack.append(self.stack[-1])

    def op_tuple(self, argument: Any) -> None:
        self.stack.append(tuple(self.pop_mark()))

    def op_list(self, argument: Any) -> None:
        self.stack.append(self.pop_mark())

    # Sets are lists here, so that their items need not be hashed.
    op_frozenset = op_list

    def op_dict(self, argument: Any) -> None:
        values = self.pop_mark()
        self.stack.append({})
        self._set_items(values)

    def op_append(self, argument: Any) -> None:
        self._extend([self.pop()])

    def op_appends(self, argument: Any) -> None:
        self._extend(self.pop_mark())

    op_additems = op_appends

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise Refused("damaged pickle: items for something that is no list")
        target.extend(values)

    def op_setitem(self, argument: Any) -> None:
        value = self.pop()
        self._set_items([self.pop(), value])

    def op_setitems(self, argument: Any) -> None:
        self._set_items(self.pop_mark())

    def _set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise Refused("damaged pickle: keys for something that is no dictionary")
        target.update(make_dict(zip(values[::2], values[1::2])))

    def op_put(self, argument: int) -> None:
        self.memo[argument] = self.stack[-1]

    op_binput = op_long_binput = op_put

    def op_memoize(self, argument: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_get(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    op_binget = op_long_binget = op_get

    def op_global(self, argument: str) -> None:
        # This is where `pickle` would import a module. The table is all that a file can reach.
        if argument in self.allowed:
            self.stack.append(self.allowed[argument])
        elif self.instance is None:
            raise _refusal(argument)
        else:
            self.stack.append(NamedClass(argument))

    def op_stack_global(self, argument: Any) -> None:
        name, module = self.pop(), self.pop()
        # The text of lists that hold each other could be endless.
        if not isinstance(name, str) or not isinstance(module, str):
            raise Refused("damaged pickle: the name of a global is no text")
        self.op_global(f"{module} {name}")

    def op_reduce(self, argument: Any) -> None:
        arguments, target = self.pop(), self.pop()
        if isinstance(target, NamedClass):
            raise _refusal(target.name)
        if not isinstance(target, Call) or not isinstance(arguments, tuple):
            raise Refused("a call of something that is no function for tensors")
        self._count(arguments)
        self.stack.append(target.function(*arguments))

    def op_newobj(self, argument: Any) -> None:
        # `pickle` would make an empty object of the class here, without calling its `__init__`.
        target = self.stack[-2]
        if self.instance is not None and isinstance(target, NamedClass):
            del self.stack[-2:]
            self.stack.append(self.instance(target.name))
        else:
            self.op_reduce(argument)

    def _count(self, arguments: Any) -> None:
        """Counts what a call takes. Raises Refused where a small pickle would build a large value of it."""
        items = arguments if isinstance(arguments, (tuple, list)) else (arguments,)
        self.taken += len(items) + sum(len(item) for item in items if isinstance(item, _SIZED))
        if self.taken > _MOST_TAKEN * (self.position + 100):
            raise Refused("a value that is repeated until it fills the memory")

    def op_build(self, argument: Any) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Shell):
            self._count(state)
            target.set_state(state)
        elif not isinstance(target, dict):  # the attributes of a state dict (`_metadata`) are not needed
            raise Refused("a state for something that has none")

    def op_binpersid(self, argument: Any) -> None:
        if self.persistent is None:
            raise Refused("a reference to something outside the file")
        self.stack.append(self.persistent(self.pop()))
