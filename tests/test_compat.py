"""MXNet beside today's NumPy: what it needs is there, and nobody else sees it."""

import ast
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from gluon_ssd import compat

MXNET = Path(importlib.util.find_spec("mxnet").origin).parent
# Scripts, and what nothing imports.
NOT_MODULES = {"tools", "notebook"}
LIST = "_NUMPY_ARRAY_FUNCTION_LIST"


@pytest.fixture(scope="module")
def sources():
    """The nodes of the syntax tree of each of MXNet's modules."""
    files = [path for path in MXNET.rglob("*.py") if path.relative_to(MXNET).parts[0] not in NOT_MODULES]
    return [(path, list(ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))))) for path in files]


@pytest.fixture(scope="module")
def read_from_numpy(sources):
    """Every name that MXNet's modules read from NumPy, with one place of each."""
    names = {}
    for path, nodes in sources:
        imported = [item for node in nodes if isinstance(node, ast.Import) for item in node.names]
        aliases = {item.asname or item.name for item in imported if item.name == "numpy"}
        for node in nodes:
            where = f"{path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in aliases:
                names[node.attr] = where
            # These are read by `getattr`.
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == LIST:
                found = (ast.literal_eval(item) for item in node.value.elts)
                names.update({name: where for name in found if "." not in name})
    return names


def test_every_name_that_mxnet_reads_is_there_or_has_a_substitute(read_from_numpy):
    missing = {name: where for name, where in read_from_numpy.items() if name not in vars(np)}
    # NumPy's own answer to a name that it has dropped is an error, or a warning that there will be one.
    unknown = {name: where for name, where in missing.items() if name not in compat.SUBSTITUTES}
    assert {name: where for name, where in unknown.items() if not hasattr(np, name)} == {}
    assert len(read_from_numpy) > 200


def test_every_substitute_is_needed(read_from_numpy):
    assert set(compat.SUBSTITUTES) - set(read_from_numpy) == set()


def test_every_dropped_method_that_mxnet_calls_is_renamed(sources):
    dropped = {"tostring", "itemset", "newbyteorder"}
    calls = {
        (node.func.attr, path.name)
        for path, nodes in sources
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in dropped
    }
    assert calls == {("tostring", "recordio.py")}
    assert set(compat.RENAMED_METHODS) == {"tostring"}


def test_nothing_is_imported_from_numpy_by_name(sources):
    """Such an import would be a name that `read_from_numpy` does not see."""
    froms = [node for _, nodes in sources for node in nodes if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in froms if not node.level and (node.module or "").startswith("numpy")] == []


def test_nothing_else_of_distutils_is_imported(sources):
    modules = set()
    for _, nodes in sources:
        modules |= {item.name for node in nodes if isinstance(node, ast.Import) for item in node.names}
        modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    assert {name for name in modules if name.startswith("distutils")} == {"distutils.version"}


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("alltrue", ([True, False],), False),
        ("sometrue", ([True, False],), True),
        ("product", ([2, 3, 4],), 24),
        ("round_", (np.array([0.126, 2.5]), 2), [0.13, 2.5]),
        ("msort", (np.array([[3, 1], [2, 4]]),), [[2, 1], [3, 4]]),
        ("trapz", ([1.0, 2.0, 4.0],), 4.5),
        ("in1d", ([[1, 2], [3, 4]], [2, 3]), [False, True, True, False]),
    ],
)
def test_functions_under_another_name_give_what_numpy_1_gave(name, arguments, expected):
    if name == "trapz" and not hasattr(np, "trapezoid"):
        pytest.skip("this numpy has trapz itself")
    assert np.array_equal(compat.SUBSTITUTES[name](np)(*arguments), expected)


def test_what_nothing_replaces_says_so():
    with pytest.raises(NotImplementedError, match=r"numpy.pmt does not exist"):
        compat.SUBSTITUTES["pmt"](np)(0.1, 12, 100)


def test_the_users_numpy_stays_as_it_is(python):
    """Submodules that somebody imports become attributes; anything else would be ours."""
    code = """
import types, numpy
before = dict(vars(numpy))
import gluon_ssd, mxnet, mxnet.recordio, mxnet.contrib.quantization
mxnet.nd.ones((2, 3)).asnumpy()
new = {n for n, v in vars(numpy).items() if n not in before and not isinstance(v, types.ModuleType)}
changed = {n for n in before if vars(numpy)[n] is not before[n]}
print(new, changed, numpy is __import__("sys").modules["numpy"])
"""
    outcome = python(code)
    assert (outcome.out, outcome.err) == ("set() set() True\n", "")


def test_other_packages_see_the_real_numpy(python, tmp_path):
    (tmp_path / "someone.py").write_text("import numpy as np\nown = __builtins__['__import__']\n")
    code = """
import builtins, gluon_ssd, mxnet, numpy, someone
print(someone.np is numpy, someone.own is builtins.__import__)
"""
    assert python(code).out == "True True\n"


def test_mxnet_that_was_imported_first_is_left_alone(monkeypatch):
    finders = [finder for finder in sys.meta_path if not isinstance(finder, compat._Finder)]
    monkeypatch.setattr(sys, "meta_path", finders)
    compat.install()
    assert sys.meta_path == finders


@pytest.mark.parametrize(
    ("python", "numpy", "needed"),
    [((3, 10, 1), "1.22.0", False), ((3, 11, 7), "1.23.5", False), ((3, 11, 7), "1.24.0rc1", True),
     ((3, 12, 0), "1.23.5", True), ((3, 9, 1), "2.0.2", True)],
)  # fmt: skip
def test_what_is_old_enough_is_left_alone(monkeypatch, python, numpy, needed):
    monkeypatch.setattr(sys, "version_info", python)
    monkeypatch.setattr(np, "__version__", numpy)
    assert compat._needed() is needed


def test_install_twice_is_one_finder(python):
    code = """
import sys
from gluon_ssd import compat
compat.install()
print(sum(isinstance(finder, compat._Finder) for finder in sys.meta_path))
"""
    assert python(code).out == "1\n"


def test_a_constant_and_a_type_through_mxnets_eyes(python):
    code = """
import gluon_ssd, mxnet as mx
from mxnet.numpy import utils
print(utils.PZERO, utils.NINF, utils.nan, mx.np.trapz(mx.np.array([1.0, 2.0, 4.0]).asnumpy()))
"""
    assert python(code).out == "0.0 -inf nan 4.5\n"


PARTS = {
    "profiler": """
mx.profiler.set_config(profile_all=True, filename="profile.json")
mx.profiler.set_state("run")
data.exp().asnumpy()
mx.profiler.set_state("stop")
mx.profiler.dump()
print(json.load(open("profile.json"))["traceEvents"] != [])
""",
    "quantization": """
from mxnet.contrib.quantization import quantize_net_v2
net = mx.gluon.nn.HybridSequential()
net.add(mx.gluon.nn.Conv2D(8, 3, in_channels=3), mx.gluon.nn.Activation("relu"))
net.initialize()
net.hybridize()
exact = net(data)
some = mx.io.NDArrayIter(data, batch_size=2)
small = quantize_net_v2(net, "auto", "smart", calib_mode="naive", calib_data=some, num_calib_examples=2,
                        ctx=mx.cpu())
print(float((small(data) - exact).abs().max().asscalar()) < 0.02)
""",
    "recordio": """
from mxnet import recordio
written = recordio.MXIndexedRecordIO("a.idx", "a.rec", "w")
picture = np.full((8, 8, 3), 90, np.uint8)
written.write_idx(7, recordio.pack_img(recordio.IRHeader(0, [1.0, 2.0], 3, 0), picture))
written.close()
header, found = recordio.unpack_img(recordio.MXIndexedRecordIO("a.idx", "a.rec", "r").read_idx(7))
print(header.label.tolist() == [1.0, 2.0] and header.id == 3 and found.shape == (8, 8, 3))
""",
    "symbols": """
out = mx.sym.Convolution(mx.sym.var("data"), num_filter=4, kernel=(3, 3), name="c")
bound = out.simple_bind(mx.cpu(), data=data.shape)
again = mx.sym.load_json(out.tojson())
print(bound.forward(data=data)[0].shape == (2, 4, 14, 14) and "c_weight" in again.list_inputs())
""",
    "optimizers": """
layer = mx.gluon.nn.Dense(1, in_units=4, use_bias=False)
layer.initialize(mx.init.One())
trainer = mx.gluon.Trainer(layer.collect_params(), "sgd", {"learning_rate": 0.5, "momentum": 0.9})
with mx.autograd.record():
    loss = layer(mx.nd.ones((1, 4))).sum()
loss.backward()
trainer.step(1)
print(layer.weight.data().asnumpy().tolist() == [[0.5] * 4])
""",
    "numpy": "print(float(np.mean(mx.np.array([1.0, 2.0]))) == 1.5)",
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_mxnet_run_beside_this_numpy(python, part):
    opening = """
import json
import gluon_ssd
import mxnet as mx, numpy as np
data = mx.nd.random.uniform(shape=(2, 3, 16, 16))
"""
    assert python(opening + PARTS[part]).out == "True\n"


def test_scipy_is_loaded_when_mxnet_uses_it(python):
    pytest.importorskip("scipy")
    if not compat._needed():
        pytest.skip("MXNet is left alone beside this numpy")
    code = """
import sys, gluon_ssd
from mxnet import test_utils
from mxnet.contrib import quantization
print("scipy.stats" in sys.modules)
print(quantization.stats.entropy([0.5, 0.5], base=2), test_utils.ss.norm.cdf(0))
"""
    assert python(code).out == "False\n1.0 0.5\n"


def test_mxnet_knows_that_scipy_is_missing(python):
    code = """
import sys, gluon_ssd
sys.modules["scipy"] = None
from mxnet.contrib import quantization
print(quantization.stats)
"""
    assert python(code).out == "None\n"


def test_mxnet_that_failed_without_us_imports_afterwards(python):
    """As when somebody tries MXNet alone first, in the same session."""
    code = """
try:
    import mxnet
except Exception:
    pass
import gluon_ssd, mxnet
print(mxnet.nd.ones(3).sum().asscalar())
"""
    assert python(code).out == "3.0\n"


def test_a_finder_that_somebody_put_in_front_is_asked_first(python):
    code = """
import sys
class Nobody:
    def find_spec(self, name, path=None, target=None):
        if name == "mxnet":
            raise ModuleNotFoundError("not today", name=name)
sys.meta_path.insert(0, Nobody())
import gluon_ssd
try:
    gluon_ssd.get_model("ssd_tiny")
except gluon_ssd.UserError as error:
    print(str(error).split(";")[0])
"""
    assert python(code).out == "mxnet is not installed\n"
