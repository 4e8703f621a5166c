"""What `scripts/docker/verify.sh` runs; the suite leaves it out, because it is for another machine."""

import os

import mxnet as mx
import pytest

WHERE = os.environ.get("GLUON_SSD_VERIFY", "")
# Precision: options of the network, whether it is mixed, and how far outputs may be from float64's.
WAYS = {
    "fp32": ({}, False, 2e-5),
    "fp16 NHWC": ({"layout": "NHWC", "dtype": "float16"}, False, 2e-2),
    "amp NHWC": ({"layout": "NHWC"}, True, 2e-2),
}
collect_ignore_glob = [] if WHERE else ["test_*.py"]


@pytest.fixture(scope="session")
def device():
    """The GPU; on a machine without one, by GLUON_SSD_VERIFY=cpu, the CPU."""
    return mx.gpu(0) if WHERE == "gpu" else mx.cpu()


@pytest.fixture(scope="session")
def gpus():
    return mx.context.num_gpus()
