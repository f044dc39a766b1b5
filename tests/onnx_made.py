"""Small ONNX networks, written by hand, of which the right answer is known."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - only if it is there

if TYPE_CHECKING:
    from pathlib import Path

DYNAMIC = ("n", 1, "h", "w")


def one_by_one(weights, bias, *, shape=DYNAMIC, last=(), extra=(), outputs=("y",), kind=1):
    """A convolution of 1 x 1, and more steps after it: answers weights * x + bias."""
    kernel = np.asarray(weights, np.float32).reshape(len(bias), -1, *(1,) * (len(shape) - 2))
    stored = [
        numpy_helper.from_array(kernel, "weights"),
        numpy_helper.from_array(np.asarray(bias, np.float32), "bias"),
    ]
    first = helper.make_node("Conv", ["x", "weights", "bias"], ["y" if not last else "t0"])
    nodes = [*extra, first]
    for number, (step, attributes) in enumerate(last):
        name = "y" if number == len(last) - 1 else f"t{number + 1}"
        nodes.append(helper.make_node(step, [f"t{number}"], [name], **attributes))
    answer = (shape[0], len(bias), *shape[2:])
    return model_of(nodes, stored, [("x", shape, kind)], [(one, answer) for one in outputs])


def model_of(nodes, stored, inputs, outputs):
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape, kind in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def greedy():
    """One that asks for 4 TB."""
    size = numpy_helper.from_array(np.array([1, 1, 2**20, 2**20], np.int64), "size")
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return model_of(nodes, [size], [("x", DYNAMIC, 1)], [("y", DYNAMIC)])


def hoarding():
    """One that asks for 1.5 GB, little by little, and keeps all of it to the end."""
    scales = numpy_helper.from_array(np.array([1, 1, 30, 30], np.float32), "scales")
    parts = [f"part{number}" for number in range(12)]
    nodes = [helper.make_node("Add", ["x", "x"], ["part0"])]
    nodes += [helper.make_node("Add", [a, "x"], [b]) for a, b in pairwise(parts)]
    wide = [f"{part}wide" for part in parts]
    nodes += [
        helper.make_node("Resize", [part, "", "scales"], [name], mode="nearest")
        for part, name in zip(parts, wide, strict=True)
    ]
    nodes += [
        helper.make_node("Sum", wide, ["all"]),
        helper.make_node("ReduceMean", ["all"], ["mean"], keepdims=0),
        helper.make_node("Add", ["x", "mean"], ["y"]),
    ]
    return model_of(nodes, [scales], [("x", DYNAMIC, 1)], [("y", DYNAMIC)])


def busy():
    """One that multiplies large matrices, over and over, without a loop that could be seen."""
    matrix = numpy_helper.from_array(np.full((1, 1, 1000, 1000), 1e-3, np.float32), "m0")
    nodes = [helper.make_node("MatMul", [f"m{n}", "m0"], [f"m{n + 1}"]) for n in range(600)]
    nodes += [
        helper.make_node("ReduceMean", ["m600"], ["mean"], keepdims=0),
        helper.make_node("Add", ["x", "mean"], ["y"]),
    ]
    return model_of(nodes, [matrix], [("x", DYNAMIC, 1)], [("y", DYNAMIC)])


def written(model, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def with_external(model, location: str, raw: bytes, length: int | None = None):
    """Let the weights stand in another file, by whatever name."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    size = len(raw) if length is None else length
    for key, value in (("location", location), ("offset", "0"), ("length", str(size))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return model
