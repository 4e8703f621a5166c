"""A model of the operators of NVIDIA's build of MXNet, which no machine here has.

Names, attributes, types and what each kernel refuses or leaves out in silence are those of NVIDIA's MXNet
1.6.0 (src/operator/nn: batch_norm.cu, batch_norm_add_relu.cu, convolution-inl.h,
cudnn/nhwc_batch_norm-inl.h, cudnn/cudnn_convolution-inl.h). Numbers are computed by stock operators.
"""

from __future__ import annotations

from collections import Counter

import mxnet as mx
import numpy as np

_NORM = {"eps", "momentum", "fix_gamma", "use_global_stats", "output_mean_var", "axis", "cudnn_off"}
_GROUP = {"bn_group", "xbuf_ptr"}
_CONVOLUTION = {"kernel", "stride", "dilate", "pad", "num_filter", "num_group", "workspace", "no_bias"}
_CUDNN = {"cudnn_tune", "cudnn_off", "cudnn_tensor_core", "cudnn_tensor_core_only"}
_ALGORITHMS = {f"cudnn_algo_{name}" for name in ("fwd", "bwd_data", "bwd_filter", "fwd_prec", "bwd_prec")}
ATTRIBUTES = {
    "BatchNorm": _NORM | _GROUP | {"min_calib_range", "max_calib_range", "act_type"},
    "BatchNormAddRelu": _NORM | _GROUP,
    "Convolution": _CONVOLUTION | _CUDNN | _ALGORITHMS | {"layout", "cudnn_algo_verbose"},
}
SMALLEST_EPSILON = 1e-5


class Refused(AssertionError):
    """A call that ends NVIDIA's MXNet, or that it does not compute as asked."""


def refuse(name, condition, reason):
    if condition:
        raise Refused(f"{name}: {reason}")


def check_attributes(name, attrs):
    unknown = set(attrs) - ATTRIBUTES[name]
    refuse(name, unknown, f"cannot find argument {sorted(unknown)}")


def check_norm(name, attrs, shapes, types):
    """``shapes`` and ``types`` of data, gamma, beta, the running two and, where there is one, the addend."""
    data, params, addend = types[0], types[1:5], types[5:]
    half = data == np.float16
    wanted = np.dtype(np.float32) if half else data
    refuse(name, any(kind != wanted for kind in params), f"parameters are {params} for data of {data}")
    refuse(name, any(kind != data for kind in addend), f"the addend is {addend} for data of {data}")
    refuse(name, shapes[5:] not in ((), (shapes[0],)), "the addend has another shape")
    axis = attrs.get("axis", 1) % len(shapes[0])
    rows_of_four = len(shapes[0]) == 4 and axis == 3 and shapes[0][3] % 4 == 0
    plain = not attrs.get("use_global_stats") and not attrs.get("cudnn_off")
    fused = half and rows_of_four and plain
    refuse(name, attrs.get("act_type") not in (None, "relu"), "only ReLU is fused")
    refuse(name, attrs.get("act_type") and not fused, "fused ReLU is only for float16 NHWC")
    refuse(name, name == "BatchNormAddRelu" and not fused, "the addend is ignored")
    refuse(name, attrs.get("bn_group", 1) > 1 and not fused, "bn_group is ignored")
    refuse(name, attrs.get("bn_group", 1) not in (1, 2, 4, 8), "no such group")
    refuse(name, attrs.get("bn_group", 1) > 1 and not attrs.get("xbuf_ptr"), "a group without buffers")
    by_cudnn = plain and not fused and axis in (1, len(shapes[0]) - 1)
    refuse(name, by_cudnn and attrs["eps"] < SMALLEST_EPSILON, "cuDNN refuses this epsilon")


def check_convolution(name, attrs, shapes, types):
    refuse(name, len(set(types)) != 1, f"inputs of types {types}")
    groups = attrs.get("num_group", 1)
    channels = shapes[0][1 if attrs["layout"] == "NCHW" else 3]
    refuse(name, channels % groups or attrs["num_filter"] % groups, "channels do not fall into groups")
    if attrs.get("cudnn_tensor_core_only"):
        refuse(name, types[0] != np.float16, "tensor cores compute in float16")
        refuse(name, groups > 1, "no algorithm on tensor cores for a grouped convolution")


def check(name, attrs, shapes, types):
    rule = check_convolution if name == "Convolution" else check_norm
    rule(name, attrs, shapes, tuple(np.dtype(kind) for kind in types))


class NvidiaOperators:
    """Puts the operators into ``mx.nd`` and ``mx.sym``. ``calls``: (operator, number of arrays, attributes).

    ``computes``: in NHWC and float16, on a CPU; without it a symbolic trace keeps the types of a GPU.
    """

    def __init__(self, monkeypatch, computes=True):
        self.calls, self._symbols, self.computes = [], [], computes
        real = {(F, name): getattr(F, name) for F in (mx.sym, mx.nd) for name in ("Convolution", "BatchNorm")}
        for F in (mx.sym, mx.nd):
            monkeypatch.setattr(F, "Convolution", self._convolution(F, real[F, "Convolution"]))
            monkeypatch.setattr(F, "BatchNorm", self._norm(F, real[F, "BatchNorm"]))
            fused = self._norm_add_relu(F, real[F, "BatchNorm"])
            monkeypatch.setattr(F, "BatchNormAddRelu", fused, raising=False)

    def named(self, name):
        return [attrs for call, _, attrs in self.calls if call == name]

    def counts(self):
        return Counter(name for name, _, _ in self.calls)

    def check_graph(self, **shapes):
        """Holds every call of a symbolic trace against the rules. ``shapes``: those of the graph's inputs."""
        everything = mx.sym.Group([array for _, _, arrays in self._symbols for array in arrays])
        kinds = dict.fromkeys(shapes, np.float32)
        _, found_shapes, _ = everything.infer_shape(**shapes)
        _, found_types, _ = everything.infer_type(**kinds)
        place = 0
        for name, attrs, arrays in self._symbols:
            part = slice(place, place + len(arrays))
            check(name, attrs, tuple(found_shapes[part]), tuple(found_types[part]))
            place += len(arrays)
        self._symbols.clear()

    def _record(self, name, arrays, attrs):
        attrs = {key: value for key, value in attrs.items() if value is not None}
        check_attributes(name, attrs)
        self.calls.append((name, min(len(arrays), 5), attrs))
        if isinstance(arrays[0], mx.sym.Symbol):
            self._symbols.append((name, attrs, arrays))
        else:
            check(name, attrs, tuple(a.shape for a in arrays), tuple(a.dtype for a in arrays))

    def _convolution(self, F, real):
        # The attribute is named so that `detect` finds it in the signature.
        def Convolution(*arrays, name=None, cudnn_tensor_core_only=None, **attrs):
            if len(arrays) == 1:  # Gluon asks for the shape of the weight
                return real(*arrays, **attrs)
            self._record("Convolution", arrays, {**attrs, "cudnn_tensor_core_only": cudnn_tensor_core_only})
            if not self.computes:
                return real(*arrays, **attrs)
            arrays = [F.cast(array, dtype="float32") for array in arrays]
            if attrs["layout"] == "NHWC":
                arrays[:2] = [F.transpose(array, axes=(0, 3, 1, 2)) for array in arrays[:2]]
            x = real(*arrays, **{**attrs, "layout": "NCHW"})
            return F.cast(F.transpose(x, axes=(0, 2, 3, 1)), dtype="float16")

        return Convolution

    def _norm(self, F, real):
        def BatchNorm(x, *rest, name=None, act_type=None, bn_group=1, xbuf_ptr=None, **attrs):
            group = {} if bn_group == 1 else {"bn_group": bn_group, "xbuf_ptr": xbuf_ptr}
            self._record("BatchNorm", (x, *rest), {**attrs, **group, "act_type": act_type})
            return self._compute(F, real, x, rest, attrs, act_type)

        return BatchNorm

    def _norm_add_relu(self, F, real):
        def BatchNormAddRelu(*, data, gamma, beta, addend, moving_mean, moving_var, name=None, **attrs):
            rest = gamma, beta, moving_mean, moving_var
            self._record("BatchNormAddRelu", (data, *rest, addend), attrs)
            return self._compute(F, real, data, rest, attrs, "relu", addend)

        return BatchNormAddRelu

    def _compute(self, F, real, x, rest, attrs, act, addend=None):
        attrs = {key: value for key, value in attrs.items() if key not in _GROUP}
        if self.computes:
            x = F.transpose(F.cast(x, dtype="float32"), axes=(0, 3, 1, 2))
            x = F.transpose(real(x, *rest, **{**attrs, "axis": 1}), axes=(0, 2, 3, 1))
            addend = None if addend is None else F.cast(addend, dtype="float32")
        else:
            x = real(x, *rest, **attrs)
        x = x if addend is None else x + addend
        x = x if act is None else F.Activation(x, act_type=act)
        return F.cast(x, dtype="float16") if self.computes else x
