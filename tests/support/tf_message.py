"""TensorFlow's record message, read by protobuf."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

needs_crc32c = pytest.mark.skipif(find_spec("google_crc32c") is None, reason="google-crc32c is not installed")


def example_message() -> Any:
    """The class tf.train.Example, made from its description; skips the test where there is no protobuf."""
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")

    def message(name, *fields):
        made = file.message_type.add(name=name)
        for number, (field, kind, label, type_name) in enumerate(fields, start=1):
            made.field.add(name=field, number=number, type=kind, label=label, type_name=type_name)
        return made

    for name, kind in (("BytesList", 12), ("FloatList", 2), ("Int64List", 3)):
        message(name, ("value", kind, kinds.LABEL_REPEATED, None))
    one, many, nested = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED, kinds.TYPE_MESSAGE
    lists = (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List"))
    feature = message("Feature", *((name, nested, one, f".t.{type_name}") for name, type_name in lists))
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message("Features", ("feature", nested, many, ".t.Features.FeatureEntry"))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=one)
    entry.field.add(name="value", number=2, type=nested, label=one, type_name=".t.Feature")
    message("Example", ("features", nested, one, ".t.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    described = pool.FindMessageTypeByName("t.Example")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(described)
    return message_factory.MessageFactory(pool).GetPrototype(described)
