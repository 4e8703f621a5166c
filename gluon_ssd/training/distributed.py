"""Several processes as one training. The only module that knows Horovod; without it there is one process."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import pickle
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

import mxnet as mx
import numpy as np

from ..errors import Interrupted, UserError
from ..launch import Launch, detect
from .heartbeat import Heartbeat
from .rendezvous import PATIENCE, call_roll, meeting_point, wait_for_rank_0

OLDEST_HOROVOD = "0.25.0"
# For how long gloo waits for a rank, while they join and later. Its own 30 seconds are too few for a machine
# that is suspended or moved; a rank that has ended is noticed at once, by the heartbeat.
_TIMEOUT = "HOROVOD_GLOO_TIMEOUT_SECONDS"
# How Horovod's operations fail when it has given up on a rank.
_SHUT_DOWN = "Horovod has been shut down"
# The last of NVIDIA's MXNet containers; those of before 2022 bring an older Horovod.
CONTAINER = "nvcr.io/nvidia/mxnet:24.06-py3"


class World:
    """All processes of a run, here just this one.

    ``rank`` of ``size``, ``local_rank`` of ``local_size`` on this machine. Every method but `seed` is
    collective: all ranks call it, in the same order.
    """

    rank, size, local_rank, local_size = 0, 1, 0, 1

    @property
    def first(self) -> bool:
        """Whether this rank is the one that writes and speaks."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """Returns the seed of this rank's own random numbers: ``seed`` on rank 0, another on every other."""
        return (seed + self.rank) % 2**31

    def allreduce(
        self,
        arrays: Sequence[mx.nd.NDArray],
        names: Sequence[str],
        compression: str = "none",
        groups: int = 0,
    ) -> None:
        """Replaces every array by its sum over the ranks; names tell them apart. Does not wait.

        ``compression`` fp16: sent as float16. ``groups``: sent in so many bundles, each as soon as all of it
        is there; 0 leaves the bundling to Horovod.
        """

    def broadcast(self, arrays: Sequence[mx.nd.NDArray], names: Sequence[str]) -> None:
        """Replaces every array by rank 0's. Does not wait."""

    def gather(self, value: Any) -> list[Any]:
        """Returns every rank's ``value``, by rank, on every rank. The values are pickled."""
        return [value]

    def share(self, value: Any) -> Any:
        """Returns rank 0's ``value`` on every rank; what the others give is not looked at."""
        return value

    def barrier(self) -> None:
        """Returns when every rank has come here."""
        self.gather(None)

    def every(self, flag: bool) -> bool:
        """Returns whether ``flag`` is true on every rank."""
        return all(self.gather(flag))

    def norm_group(self, size: int) -> Any:
        """Returns the ranks that share norm statistics with this one, `nn.RankGroup`; None for ``size`` 1."""
        if size > 1:
            raise UserError(f"bn_group is {size}, but there is one process; start more, or set bn_group to 1")
        return None

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Ends all ranks when one ends inside, with a line that names it."""
        yield

    def advise(self, advice: Callable[[], str], tell: Callable[[str], None]) -> None:
        """Has that line end with what ``advice`` returns at that moment; ``tell`` is given the line, too."""


class HorovodWorld(World):
    """The processes that one launch has started, joined by Horovod."""

    # Everything is made of sums. Horovod's broadcast, and its allgather before 0.26, read the name of an
    # operation once more after they have queued it. Where the operation is over by then, on a busy machine,
    # MXNet has freed the name, and the process crashes or takes memory without end.

    def __init__(self, hvd: Any, bn_group: int, process_sets: Sequence[Any]) -> None:
        self._hvd, self._bn_group, self._sets = hvd, bn_group, process_sets
        self.rank, self.size = hvd.rank(), hvd.size()
        self.local_rank, self.local_size = hvd.local_rank(), hvd.local_size()
        self._heartbeat = Heartbeat(self.rank, self.size, self.share)

    def allreduce(
        self,
        arrays: Sequence[mx.nd.NDArray],
        names: Sequence[str],
        compression: str = "none",
        groups: int = 0,
    ) -> None:
        kept = list(arrays)
        sent = [array.astype("float16", copy=False) for array in kept] if compression == "fp16" else kept
        if groups:
            for bundle in _bundles(sent, groups):
                name = f"{names[bundle[0]]}+{len(bundle)}"
                tensors = [sent[place] for place in bundle]
                self._hvd.grouped_allreduce_(tensors, op=self._hvd.Sum, name=name, priority=-bundle[0])
        else:
            # The first layers' gradients come last, but the next forward pass needs them first.
            for place, (array, name) in enumerate(zip(sent, names)):
                self._hvd.allreduce_(array, op=self._hvd.Sum, name=name, priority=-place)
        for array, summed in zip(kept, sent):
            if summed is not array:
                array[:] = summed

    def broadcast(self, arrays: Sequence[mx.nd.NDArray], names: Sequence[str]) -> None:
        for array in arrays if not self.first else ():
            # Added to rank 0's values, -0.0 changes none; 0.0 would turn -0.0 into 0.0.
            array[:] = -mx.nd.zeros_like(array)
        self.allreduce(arrays, [f"broadcast.{name}" for name in names])

    def gather(self, value: Any) -> list[Any]:
        data = np.frombuffer(pickle.dumps(value), np.uint8)
        # The ranks' values differ in length: their sizes tell where one ends and the next begins.
        sizes = np.zeros(self.size, np.int64)
        sizes[self.rank] = len(data)
        ends = np.cumsum(self._sum(sizes, "gather.size"))
        everything = np.zeros(ends[-1], np.uint8)
        everything[ends[self.rank] - len(data) : ends[self.rank]] = data
        parts = np.split(self._sum(everything, "gather.value"), ends[:-1])
        return [pickle.loads(part.tobytes()) for part in parts]

    def _sum(self, array: np.ndarray, name: str) -> np.ndarray:
        summed = mx.nd.array(array, dtype=array.dtype)
        self.allreduce([summed], [name])
        found: np.ndarray = summed.asnumpy()
        return found

    def share(self, value: Any) -> Any:
        return self.gather(value if self.first else None)[0]

    def norm_group(self, size: int) -> Any:
        if size == 1:
            return None
        if size != self._bn_group:
            raise UserError(f"bn_group is {size}, but these processes have joined for {self._bn_group}")
        # Without sets, all ranks are one group.
        mine = self._sets[self.rank // size] if self._sets else self._hvd.global_process_set
        return _RankGroup(self, mine, size)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
            # Horovod ends everywhere with the first rank that leaves; what is queued would fail.
            mx.nd.waitall()
        except BaseException as error:
            if isinstance(error, Interrupted) and error.together:
                mx.nd.waitall()
                raise
            # Where another rank has ended, what Horovod's operations raise here only follows from it.
            if isinstance(error, mx.base.MXNetError):
                self._heartbeat.await_cause()
                if _SHUT_DOWN in str(error):
                    self._heartbeat.end(_silent_rank())
            self._heartbeat.fail(_reason(error), getattr(error, "status", 1))
            atexit.register(_drop_operations)
            raise

    def advise(self, advice: Callable[[], str], tell: Callable[[str], None]) -> None:
        self._heartbeat.advice, self._heartbeat.tell = advice, tell


def _silent_rank() -> str:
    """Returns why Horovod has given up, where no rank has ended."""
    return (
        f"a rank did not answer for {os.environ[_TIMEOUT]} seconds ({_TIMEOUT}), though none has ended: "
        "it hangs, or a connection between two ranks is cut"
    )


class _RankGroup:
    """Some ranks, as `nn.GroupBatchNorm` wants them; NVIDIA's operators also want those of this machine."""

    def __init__(self, world: HorovodWorld, process_set: Any, size: int) -> None:
        self.size = size
        self.local_rank, self.local_size = world.local_rank, world.local_size
        self._world, self._set = world, process_set

    def allreduce(self, array: mx.nd.NDArray, name: str) -> mx.nd.NDArray:
        # Horovod matches requests by their names, so MXNet's threads may bring them in any order.
        hvd = self._world._hvd
        return hvd.allreduce(array, op=hvd.Sum, name=f"norm.{name}", process_set=self._set)

    def gather_local(self, data: bytes) -> list[bytes]:
        """Returns ``data`` of every rank on this machine, by local rank. Collective over all ranks."""
        host = socket.gethostname()
        everywhere = self._world.gather((host, self.local_rank, data))
        return [found for place, _, found in sorted(everywhere) if place == host]


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _drop_operations() -> None:
    """Waits for what is queued, which fails because the others have ended; at exit MXNet would tell of it."""
    with contextlib.suppress(mx.base.MXNetError):
        mx.nd.waitall()


def check_group(group: int, size: int) -> None:
    """Raises UserError unless ``size`` ranks fall into whole groups of ``group``."""
    if size % group:
        raise UserError(f"bn_group is {group}, which does not divide the {size} processes into whole groups")


_ALONE = World()
_JOINED: list[World] = []


def connect(bn_group: int = 1, fusion_mb: int | None = None) -> World:
    """Joins the processes of this launch; a process that no launcher has started stays alone.

    ``bn_group``: ranks per group of batch norm. ``fusion_mb``: size of Horovod's fusion buffer; None leaves
    it as it is. A process joins once: later calls return what the first has made. Raises UserError where a
    launcher has started several processes and Horovod is missing or cannot start.
    """
    launch = detect()
    if launch.size == 1:
        return _ALONE
    if not _JOINED:
        _JOINED.append(_join(launch, bn_group, fusion_mb))
    return _JOINED[0]


def _join(launch: Launch, bn_group: int, fusion_mb: int | None) -> World:
    hvd = import_horovod(f"{launch.launcher} started {launch.size} processes, but ")
    check_group(bn_group, launch.size)
    if fusion_mb is not None:
        os.environ["HOROVOD_FUSION_THRESHOLD"] = str(fusion_mb * 2**20)
    seconds = os.environ.setdefault(_TIMEOUT, f"{PATIENCE:.0f}")
    if not seconds.isdecimal():
        raise UserError(f"{_TIMEOUT} is {seconds!r}; it must be a whole number of seconds")
    # MPI's processes find each other by MPI, horovodrun's by what it tells them.
    by_mpi = launch.launcher != "torchrun" and hvd.mpi_built()
    if launch.launcher != "horovodrun" and not by_mpi:
        _meet(launch, int(seconds))
    sets = []
    if 1 < bn_group < launch.size:
        firsts = range(0, launch.size, bn_group)
        sets = [hvd.ProcessSet(list(range(first, first + bn_group))) for first in firsts]
    try:
        hvd.init(process_sets=sets)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"Horovod cannot join the {launch.size} processes: {error}") from None
    if hvd.size() != launch.size:
        raise UserError(
            f"{launch.launcher} started {launch.size} processes, but Horovod sees {hvd.size()}; "
            "use horovodrun, or build Horovod with this MPI (docs/distributed.md)"
        )
    return HorovodWorld(hvd, bn_group, sets)


def import_horovod(before: str = "") -> Any:
    """Returns Horovod's module for MXNet. Raises UserError, with ``before`` in front, if it fails."""
    # Horovod makes MXNet's symbols global, its old libjpeg's among them; what is loaded later and brings its
    # own would call that one.
    for module in ("cv2", "PIL._imaging", "PIL._imagingft"):
        importlib.import_module(module)
    with contextlib.suppress(ImportError):
        importlib.import_module("nvidia.dali")
    try:
        import horovod.mxnet as hvd
    except ModuleNotFoundError:
        raise UserError(f"{before}Horovod is not installed; make distributed") from None
    except (ImportError, OSError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{before}Horovod does not load ({reason}); make distributed") from None
    # Sums of MXNet's arrays came with 0.25.0, process sets with 0.23.0.
    if not hasattr(hvd, "Sum") or not hasattr(hvd, "ProcessSet"):
        version = getattr(importlib.import_module("horovod"), "__version__", "of unknown version")
        raise UserError(
            f"{before}Horovod {version} is too old, it must be {OLDEST_HOROVOD} or newer: use NVIDIA's "
            f"container {CONTAINER}, or make distributed"
        )
    return hvd


def horovod_parts() -> list[str]:
    """Returns what Horovod was built with. Raises UserError where it is not usable."""
    hvd = import_horovod()
    parts = {"MPI": hvd.mpi_built, "gloo": hvd.gloo_built, "NCCL": hvd.nccl_built, "CUDA": hvd.cuda_built}
    return [name for name, built in parts.items() if built()]


def _meet(launch: Launch, seconds: int) -> None:
    """Gives Horovod's gloo what horovodrun would: each rank's place, and rank 0's address.

    Waits for all ranks, for ``seconds``.
    """
    host, port = meeting_point(launch)
    if launch.rank == 0:
        from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer
        from horovod.runner.util.threads import in_thread

        try:
            server = RendezvousHTTPServer(("", port), RendezvousHandler, 0)
        except OSError as error:
            raise UserError(
                f"port {port} of this host cannot be used: {error.strerror}; "
                "set GLUON_SSD_RENDEZVOUS=HOST:PORT to rank 0's host and a free port"
            ) from None
        server.init([])
        in_thread(target=server.serve_forever)
    wait_for_rank_0(host, port, seconds)
    call_roll(launch.rank, launch.size, host, port, seconds)
    # Horovod's "cross" ranks are those with the same local rank, one on each host that has so many processes.
    tasks = launch.tasks or (launch.local_size,) * (launch.size // launch.local_size)
    with_this = [count > launch.local_rank for count in tasks]
    host_index = _host_index(launch, tasks)
    place = {
        "RANK": launch.rank,
        "SIZE": launch.size,
        "LOCAL_RANK": launch.local_rank,
        "LOCAL_SIZE": launch.local_size,
        "CROSS_RANK": sum(with_this[:host_index]),
        "CROSS_SIZE": sum(with_this),
        "HOSTNAME": socket.gethostname(),
        "GLOO_RENDEZVOUS_ADDR": host,
        "GLOO_RENDEZVOUS_PORT": port,
        "CONTROLLER": "gloo",
        "CPU_OPERATIONS": "gloo",
    }
    os.environ.update({f"HOROVOD_{name}": str(value) for name, value in place.items()})
    if len(tasks) == 1:
        # On one host the loopback works, whatever its other addresses are good for.
        os.environ.setdefault("HOROVOD_GLOO_IFACE", "lo")


def _host_index(launch: Launch, tasks: Sequence[int]) -> int:
    if "SLURM_NODEID" in os.environ and launch.launcher == "srun":
        return int(os.environ["SLURM_NODEID"])
    return launch.rank // launch.local_size if len(tasks) > 1 else 0


def average_statistics(world: World, arrays: Sequence[mx.nd.NDArray]) -> None:
    """Gives every rank the mean of all ranks' ``arrays``, the running statistics of norms. Collective."""
    if world.size == 1 or not arrays:
        return
    # As one array, so that they are exchanged at once; by their differences from rank 0's, so that statistics
    # which are alike stay as they are, bit by bit.
    joined = mx.nd.concat(*[array.reshape(-1).astype("float32") for array in arrays], dim=0)
    base = joined.copy()
    world.broadcast([base], ["statistics"])
    change = joined - base
    world.allreduce([change], ["statistics"])
    mean, place = base + change / world.size, 0
    for array in arrays:
        array[:] = mean[place : place + array.size].reshape(array.shape).astype(array.dtype)
        place += array.size


def mean_over_ranks(world: World, values: Mapping[str, float]) -> dict[str, float]:
    """Returns the mean over the ranks of every value; all ranks have the same names. Collective."""
    everywhere = world.gather(dict(values))
    return {name: sum(found[name] for found in everywhere) / world.size for name in values}


def _bundles(arrays: Sequence[mx.nd.NDArray], groups: int) -> list[list[int]]:
    """Returns places of ``arrays`` in at most ``groups`` runs of about equal length; each has one type."""
    bundles = []
    for run in np.array_split(np.arange(len(arrays)), min(groups, len(arrays))):
        by_type: dict[Any, list[int]] = {}
        for place in run.tolist():
            by_type.setdefault(arrays[place].dtype, []).append(place)
        bundles += list(by_type.values())
    return bundles
