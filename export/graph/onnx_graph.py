"""An ONNX graph with its edges indexed, so that it can be cut and rewritten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from ...engine.errors import ModelError

_MAX_BYTES = 2**31 - 1  # bytes: protobuf's limit, beyond which ONNX keeps weights in files beside

Node: TypeAlias = onnx.NodeProto


def read_model(path: Path) -> onnx.ModelProto:
    """Read a model from a file that contains all its weights.

    Raises:
        ModelError: not ONNX, or its weights lie outside (models over 2 GB).
    """
    outside = f"{path} keeps its weights in files beside it (external data), as models over 2 GB must: "
    outside += "only files that hold their weights can be rewritten"
    if path.stat().st_size > _MAX_BYTES:
        raise ModelError(outside)
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as exc:
        raise ModelError(f"{path} is no ONNX file: expected what Ultralytics exports") from exc
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ModelError(outside)
    return model


class Graph:
    """A model's graph with indexed edges; call `index` after changing nodes.

    Attributes:
        model: the model, which is changed in place.
        nodes: its nodes.
        producer: the node that writes a tensor, by the tensor's name.
        consumers: the nodes that read a tensor; [] where there is none.
        weights: initialisers by name.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.index()

    @property
    def nodes(self) -> Any:
        """The graph's nodes in topological order."""
        return self.model.graph.node

    @property
    def outputs(self) -> list[str]:
        """Names of the graph's outputs."""
        return [output.name for output in self.model.graph.output]

    def index(self) -> None:
        """Index all nodes and weights again."""
        self.producer: dict[str, Node] = {}
        self.consumers: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            self.producer.update(dict.fromkeys(node.output, node))
            for name in _read_by(node):
                self.consumers[name].append(node)
        self.weights = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self._inner = {name for node in self.nodes for one in _within(node) for name in one.output}

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value of a tensor that is an initialiser or a constant node, else None."""
        tensor = self.weights.get(name)
        node = self.producer.get(name)
        if node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    def add_weight(self, name: str, value: NDArray[Any]) -> str:
        """Add an initialiser and return its name, made unique."""
        name = self.unique(name)
        tensor = numpy_helper.from_array(np.array(value, order="C"), name)
        self.model.graph.initializer.append(tensor)
        self.weights[name] = self.model.graph.initializer[-1]
        return name

    def unique(self, name: str) -> str:
        """A tensor name that is still free, as close to this as possible."""
        taken, number = name, 1
        inputs = {value.name for value in self.model.graph.input}
        while taken in self.producer or taken in self.weights or taken in inputs or taken in self._inner:
            number += 1
            taken = f"{name}_{number}"
        return taken

    def only_reader(self, name: str) -> Node | None:
        """The one node that reads a tensor; None where there are several, or it is an output of the graph."""
        readers = self.consumers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def replace(self, old: Iterable[Node], new: Iterable[Node]) -> None:
        """Replace nodes by others, and prune the graph."""
        gone = {name for node in old for name in node.output}
        kept = [node for node in self.nodes if not gone.intersection(node.output)]
        _keep(self.model.graph.node, [*kept, *new])
        self.prune()

    def rename(self, old: str, new: str) -> None:
        """Give a tensor another name, wherever it is written or read."""
        for outer in self.nodes:
            for node in (outer, *_within(outer)):
                for names in (node.input, node.output):
                    for place, name in enumerate(names):
                        if name == old:
                            names[place] = new
        self.index()

    def set_outputs(self, outputs: Iterable[onnx.ValueInfoProto]) -> None:
        """Replace the outputs, and prune the graph."""
        outputs = list(outputs)
        del self.model.graph.output[:]
        self.model.graph.output.extend(outputs)
        self.prune()

    def prune(self) -> None:
        """Remove nodes and weights that no output depends on, and all recorded shapes; sort the nodes."""
        self.index()
        needed: set[str] = set()
        waiting = self.outputs
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed.add(name)
                if name in self.producer:
                    waiting.extend(_read_by(self.producer[name]))
        graph = self.model.graph
        _keep(graph.node, self._sorted([node for node in graph.node if needed.intersection(node.output)]))
        # Old files list weights among the inputs too: without their weight, they would become inputs.
        _keep(graph.input, [i for i in graph.input if i.name in needed or i.name not in self.weights])
        _keep(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])
        # ONNX Runtime infers shapes itself; recorded ones are a third of a small file.
        del graph.value_info[:]
        self.index()

    def _sorted(self, nodes: list[Node]) -> list[Node]:
        """Nodes in topological order, as ONNX requires, otherwise in the order they had."""
        places = {name: place for place, node in enumerate(nodes) for name in node.output}
        before = {
            place: [places[name] for name in _read_by(node) if name in places]
            for place, node in enumerate(nodes)
        }
        return [nodes[place] for place in TopologicalSorter(before).static_order()]


def attributes(node: Node) -> dict[str, Any]:
    """A node's attributes as Python values; texts are bytes."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def set_metadata(model: onnx.ModelProto, key: str, value: str) -> None:
    """Write a metadata entry, in place of one of that key."""
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = value
            return
    model.metadata_props.add(key=key, value=value)


def _read_by(node: Node) -> list[str]:
    """The tensors that a node reads, those of its subgraphs (If, Loop, Scan) included."""
    return [name for one in (node, *_within(node)) for name in one.input if name]


def _within(node: Node) -> list[Node]:
    """The nodes of a node's subgraphs, at any depth."""
    found: list[Node] = []
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                found += [inner, *_within(inner)]
    return found


def _keep(field: Any, kept: list[Any]) -> None:
    copies = [type(one).FromString(one.SerializeToString()) for one in kept]
    del field[:]
    field.extend(copies)
