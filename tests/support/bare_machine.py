"""Machines that this one is not, imitated in a process of its own: without MXNet, and Windows.

Call these before gluon_ssd is imported.
"""

import errno
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import signal
import sys
from pathlib import Path

# What gluon_ssd imports from others, so that what is taken away is taken away from gluon_ssd alone.
OTHERS = (
    *("cv2", "matplotlib.pyplot", "numpy", "PIL.Image", "pycocotools.coco", "yaml", "google_crc32c"),
    *("rich.console", "rich.markdown", "rich.progress", "rich.table", "safetensors.numpy"),
    *("asyncio", "concurrent.futures.thread", "socket", "subprocess", "tempfile", "urllib.request"),
)
RUNTIMES = ("onnxruntime", "openvino")
UNIX_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
UNIX_NAMES = {
    os: "chown fork getloadavg geteuid getuid killpg mkfifo nice pread sched_getaffinity setsid sysconf",
    signal: "SIGHUP SIGKILL SIGUSR1 SIGUSR2 pthread_kill",
}


class _NoMXNet:
    """Asked before all other finders."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "mxnet":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def without_mxnet():
    version = importlib.metadata.version

    def other_version(name):
        if name.startswith("mxnet"):
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    sys.meta_path.insert(0, _NoMXNet())
    importlib.metadata.version = other_version


def windows():
    """No Unix-only modules and functions, and files that are synced and renamed under Windows' conditions."""
    for name in (*OTHERS, *(name for name in RUNTIMES if importlib.util.find_spec(name))):
        importlib.import_module(name)
    _windows_files()
    for name in UNIX_MODULES:
        sys.modules[name] = None
    for module, names in UNIX_NAMES.items():
        for name in names.split():
            delattr(module, name)
    platform.system, platform.machine = lambda: "Windows", lambda: "AMD64"
    platform.platform = lambda: "Windows-11-10.0.26100-SP0"


def _windows_files():
    import fcntl

    fsync, replace, unlink = os.fsync, os.replace, os.unlink

    def windows_fsync(descriptor):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        fsync(descriptor)

    def windows_replace(source, target):
        _refuse_open(source)
        _refuse_open(target)
        if os.path.isdir(target):
            raise PermissionError(errno.EACCES, "Access is denied", str(target))
        replace(source, target)

    def windows_unlink(path, *, dir_fd=None):
        if dir_fd is None:
            _refuse_open(path)
        unlink(path, dir_fd=dir_fd)

    os.fsync, os.replace = windows_fsync, windows_replace
    os.unlink = os.remove = windows_unlink


def _refuse_open(path):
    """Windows neither renames nor deletes a file that a process has open."""
    wanted = os.path.abspath(path)
    for link in Path("/proc/self/fd").iterdir():
        try:
            found = os.readlink(link)
        except OSError:  # the one that lists the folder
            continue
        if found == wanted:
            raise PermissionError(errno.EACCES, "The file is used by another process", str(path))
