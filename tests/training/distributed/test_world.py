"""What the ranks tell each other arrives, also where one thread of a rank falls behind the others."""

import shutil
import subprocess
import sys

import pytest
from launching import need_horovod, run

# A thread that has put an operation into Horovod's queue stands still for a moment, as on a busy machine.
# Meanwhile the operation is done, and MXNet frees what belongs to it.
SLOW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static int begun, count;

void slow_begin(void) { begun = 1; }
int slow_count(void) { return count; }

int pthread_mutex_unlock(pthread_mutex_t *mutex) {
    static int (*original)(pthread_mutex_t *);
    static __thread int within;
    if (!original) *(void **)&original = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    int status = original(mutex);
    Dl_info caller;
    if (!begun) return status;
    /* Looking a name up takes a lock, too. */
    if (!within++ && dladdr(__builtin_return_address(0), &caller) && caller.dli_sname
        && strstr(caller.dli_sname, "AddToTensorQueue")) {
        __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
        usleep(20000);
    }
    within--;
    return status;
}
"""

RANK = """
import ctypes
import gluon_ssd
import mxnet as mx
import numpy as np
from gluon_ssd.training.distributed import connect

threads = ctypes.CDLL(None)
world = connect()
threads.slow_begin()
with world.together():
    mine = world.rank * 1000 * "x"
    assert world.gather(mine) == ["", 1000 * "x"]
    assert [world.share((number, mine)) for number in range(5)] == [(number, "") for number in range(5)]
    given = [np.float32([-0.0, 0.0, np.nan, -np.inf, 1e-45]), np.float16([-0.0, 9]), np.int32([-7, 2**30])]
    arrays = [mx.nd.array(array if world.first else array * 0 + 3, dtype=array.dtype) for array in given]
    world.broadcast(arrays, ["a", "b", "c"])
    assert [array.asnumpy().tobytes() for array in arrays] == [array.tobytes() for array in given]
    assert threads.slow_count() > 5
"""


@pytest.mark.once
def test_a_slow_thread_does_not_meet_an_operation_that_is_over(tmp_path):
    """Horovod's broadcast reads the name of one that MXNet has freed, and crashes."""
    need_horovod()
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("it takes Linux and a C compiler to slow a thread down")
    source, library = tmp_path / "slow.c", tmp_path / "slow.so"
    source.write_text(SLOW)
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
    run(2, "-c", RANK, LD_PRELOAD=str(library))
