"""MXNet's own files."""

import mxnet as mx
import numpy as np
import pytest
from random_nets import network

from gluon_ssd import Detector
from gluon_ssd.errors import UserError
from gluon_ssd.export import to_symbol

pytestmark = pytest.mark.filterwarnings("ignore:Cannot decide type")
IMAGES = np.random.RandomState(0).randn(3, 3, 192, 192).astype(np.float32)


def imported(prefix):
    names = (f"{prefix}-symbol.json", ["images"], f"{prefix}-0000.params")
    return mx.gluon.SymbolBlock.imports(*names)(mx.nd.array(IMAGES))


@pytest.mark.parametrize("options", [{}, {"layout": "NHWC", "dtype": "float16"}])
def test_raw_outputs(tmp_path, options):
    net = network("ssd_tiny", **options)
    made = to_symbol(net, tmp_path / "a")
    assert made.lines[1].startswith("MXNet, 8 images")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-0000.params", "a-symbol.json"]
    plain = network("ssd_tiny")
    for parameter, value in zip(plain.collect_params().values(), net.collect_params().values()):
        array = value.data().asnumpy().astype(np.float32)
        parameter.set_data(array.transpose(0, 3, 1, 2) if options and array.ndim == 4 else array)
    for found, wanted in zip(imported(tmp_path / "a"), plain(mx.nd.array(IMAGES))):
        np.testing.assert_allclose(found.asnumpy(), wanted.asnumpy(), rtol=0, atol=1e-5)


def test_detections(tmp_path):
    net = network("ssd_tiny")
    settings = {"score_threshold": 0.01, "max_detections": 20}
    to_symbol(net, tmp_path / "a", detections=True, settings=settings)
    wanted = Detector(net, **settings).detect_batch(IMAGES)
    for found, expected in zip(imported(tmp_path / "a"), wanted):
        np.testing.assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=0, atol=1e-5)


def test_the_file_of_a_network_holds_no_address_in_memory(tmp_path):
    to_symbol(network("ssd_tiny"), tmp_path / "a", detections=True, prove=False)
    symbol = mx.sym.load(str(tmp_path / "a-symbol.json"))
    kinds = {name: found["__init__"] for name, found in symbol.attr_dict().items() if "__init__" in found}
    # MXNet's own constants are named after it. The values of the anchors are in the other file.
    assert [kind for name, kind in kinds.items() if name.endswith("_anchors")] == ['["zero", {}]']
    assert not [kind for kind in kinds.values() if kind.startswith("Constant_")]


@pytest.mark.parametrize("options", [{"preprocess": True}, {"batch": 2}, {"precision": "int8"}])
def test_what_a_symbol_has_not(tmp_path, options):
    with pytest.raises(UserError, match="a symbol is float32 and takes normalised batches of any size"):
        to_symbol(network("ssd_tiny"), tmp_path / "a", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_the_old_files_stay(tmp_path):
    import resource

    names = ["a-0000.params", "a-symbol.json"]
    for name in names:
        (tmp_path / name).write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))  # as a full disk, the write itself fails
    try:
        with pytest.raises(UserError, match="a-symbol.json: cannot be written: File too large"):
            to_symbol(network("ssd_tiny"), tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(names, "old")
