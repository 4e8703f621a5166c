"""Makes tests/data/torch with real torch.save: python tests/data/make_torch_files.py (torch 2.13.0, numpy).

Beside every NAME.pth there is the same in NAME.npz, by NumPy: what the reader is held to, bit for bit.
bfloat16 stands there as float32 of the same values.
"""

from __future__ import annotations

import argparse
import collections
import functools
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).resolve().parent / "torch"
DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
SPECIAL = [0.0, -0.0, 1.0, -1.5, float("inf"), float("-inf"), float("nan"), 1e-40, 65504.0, 3.0e38]


def types() -> dict[str, torch.Tensor]:
    state = {}
    for name, dtype in DTYPES.items():
        state[name] = (torch.arange(24) * 37 - 300).reshape(2, 3, 4).to(dtype)
        if dtype.is_floating_point:
            state[f"{name}_special"] = torch.tensor(SPECIAL, dtype=torch.float64).to(dtype)
    state["int64_limits"] = torch.tensor([-(2**63), 2**63 - 1])
    state["scalar"] = torch.tensor(3.25)
    state["empty"] = torch.zeros(0, 3)
    return state


def views() -> dict[str, torch.Tensor]:
    base = torch.arange(60, dtype=torch.float32)
    square = base[:36].reshape(6, 6)
    return {
        "base": base,
        "tail": base[50:],
        "transposed": square.t(),
        "every_other": base[1::2],
        "block": square[1:4, 2:5],
        "channels_last": torch.arange(48, dtype=torch.float16)
        .reshape(1, 3, 4, 4)
        .contiguous(memory_format=torch.channels_last),
        "expanded": torch.tensor([7, 8]).reshape(2, 1).expand(2, 5),
        "bfloat16_slice": torch.arange(20).to(torch.bfloat16)[3:17:2],
    }


def small() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator),
        "conv.bias": torch.randn(4, generator=generator),
        "bn.num_batches_tracked": torch.tensor(12),
    }


def training() -> dict[str, object]:
    """What training scripts write: wrapped names, optimizer, schedule, options, counters."""
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) / 8 + index)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(2, 3, 5, 5)).square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0).add_(0.5)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3])
    return {
        "epoch": 7,
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": schedule.state_dict(),
        "args": argparse.Namespace(lr=0.1, device=torch.device("cpu"), milestones=collections.Counter([2])),
        "best_map": np.float64(0.25),
        "label_map": {1: "cat", 2: "dog"},
        "model": collections.OrderedDict((f"module.{k}", v) for k, v in model.state_dict().items()),
    }


class Encoder:
    """What a network may keep beside its modules; its tensors are no part of the state dict."""

    def __init__(self) -> None:
        self.boxes = torch.ones(5, 4)


class Detector(torch.nn.Module):
    """A network as MLPerf's SSD on 1200x1200 was saved: whole, with parts called like keys of a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4))
        self.loss = torch.nn.ModuleList([torch.nn.Conv2d(4, 2, 1)])
        self.register_buffer("kept", torch.arange(3))
        self.register_buffer("left_out", torch.arange(4), persistent=False)
        self.register_parameter("none", None)
        self.encoder, self.size, self.device = Encoder(), (1200, 1200), 1
        self.norm_layer, self.make_norm = torch.nn.BatchNorm2d, functools.partial(torch.nn.BatchNorm2d, eps=0)


def _get_thnn_function_backend() -> None:
    raise AssertionError("a reader must not call this")


class Backend:
    def __reduce__(self) -> tuple[object, tuple[()]]:
        return _get_thnn_function_backend, ()


def pretend(holder: Any, module: str) -> None:
    """Has ``holder`` be pickled as one of a module that nobody can import."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        sys.modules.setdefault(name, ModuleType(name))
    setattr(sys.modules[module], holder.__name__, holder)
    holder.__module__ = module


def whole() -> torch.nn.Module:
    """A network with what PyTorch before 1.3 kept in every module."""
    # The legacy format stores the source of every class; a line of our own is enough here.
    torch.serialization.get_source_lines_and_file = lambda *args: (["class Gone: ...\n"], 1, "gone/ssd.py")
    for holder in (Encoder, Detector):
        pretend(holder, "gone.ssd")
    pretend(_get_thnn_function_backend, "torch.nn.backends.thnn")
    detector = Detector()
    with torch.no_grad():
        for index, parameter in enumerate(detector.parameters()):
            parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) / 8 + index)
    for module in detector.modules():
        module._backend = Backend()
    return detector


class Boxes(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = [torch.ones(2, 4)]
        self.sizes: dict[str, int] = {"p3": 8}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.cells[0].sum() + self.sizes["p3"]


def scripted() -> torch.jit.ScriptModule:
    """A program of TorchScript with parts that have tensors, and one that keeps some in a list."""
    torch.manual_seed(5)
    body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), Boxes())
    return torch.jit.script(torch.nn.Sequential(body, torch.nn.ReLU()).eval())


def save_program(program: torch.jit.ScriptModule, path: Path) -> None:
    """Saves a program with a line of our own for its source, which a reader of tensors leaves alone."""
    program.save(str(path))
    with zipfile.ZipFile(path) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in members.items():
            is_code = "/code/" in info.filename
            archive.writestr(
                info.filename,
                b"# a line of source\n" * 99 if is_code else data,
                zipfile.ZIP_DEFLATED if is_code else zipfile.ZIP_STORED,
            )


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    nested = {"state_dict": {"model": small()}, "epoch": 1}
    parameters = {
        name: torch.nn.Parameter(value) for name, value in small().items() if value.is_floating_point()
    }
    train = training()
    plain = {name[len("module.") :]: value for name, value in train["model"].items()}
    wide = {"unsigned": torch.tensor([1, 65535], dtype=torch.uint16)}
    cases = {
        "types": (types(), types()),
        "views": (views(), views()),
        "nested": (nested, small()),
        "parameters": (parameters, parameters),
        "training": (train, plain),
        "whole": (whole(), whole().state_dict()),
    }
    for name, (saved, expected) in cases.items():
        torch.save(saved, FOLDER / f"{name}.pth")
        torch.save(saved, FOLDER / f"{name}_legacy.pth", _use_new_zipfile_serialization=False)
        np.savez_compressed(FOLDER / f"{name}.npz", **{k: as_numpy(v) for k, v in expected.items()})
    torch.save(wide, FOLDER / "unsigned.pth")
    torch.save(torch.nn.Linear(2, 2), FOLDER / "module.pth")
    torch.save(torch.ones(3), FOLDER / "tensor.pth")
    torch.jit.script(torch.nn.ReLU()).save(str(FOLDER / "script.pt"))
    program = scripted()
    save_program(program, FOLDER / "scripted.pt")
    np.savez_compressed(
        FOLDER / "scripted.npz", **{k: as_numpy(v) for k, v in program.state_dict().items()}
    )


if __name__ == "__main__":
    main()
