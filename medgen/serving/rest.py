"""TensorFlow Serving's REST formats: JSON to arrays and back, and a model's metadata."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.types_pb2 import DataType

from medgen.errors import RequestError

DEFAULT_SIGNATURE = "serving_default"
PREDICT = "tensorflow/serving/predict"


@dataclass(frozen=True, eq=False)
class Signature:
    """One thing that a model can be asked.

    Args:
        function: from named tensors to a mapping of tensors.
        inputs: what it takes, by name.
        defaults: values of inputs that may be left out, by name.
        outputs: what it gives, by name.
        by_slice: whether every slice of the answer comes from the same slice of the inputs alone.
    """

    function: tf.types.experimental.ConcreteFunction
    inputs: Mapping[str, tf.TensorSpec]
    defaults: Mapping[str, np.ndarray]
    outputs: Mapping[str, tf.TensorSpec]
    by_slice: bool = True

    @staticmethod
    def of(
        function: tf.types.experimental.PolymorphicFunction, *, by_slice: bool = True
    ) -> Signature:
        """The signature of a function with an input signature; traces it."""
        concrete = function.get_concrete_function()
        parameters = inspect.signature(function.python_function).parameters
        defaults = {
            name: parameter.default.numpy()
            for name, parameter in parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        specs, _ = concrete.structured_input_signature
        inputs = {spec.name: spec for spec in specs if isinstance(spec, tf.TensorSpec)}
        outputs = dict(concrete.structured_outputs)
        return Signature(concrete, inputs, defaults, outputs, by_slice)


@dataclass(frozen=True, eq=False)
class Request:
    """A `:predict` call.

    Args:
        name: of the signature.
        signature: what is asked.
        arrays: its inputs, by name.
        rows: whether the request was in row format (`instances`), and so has to be the answer.
    """

    name: str
    signature: Signature
    arrays: Mapping[str, np.ndarray]
    rows: bool

    @property
    def slices(self) -> dict[str, np.ndarray]:
        """Inputs that are slices."""
        inputs = self.signature.inputs
        return {name: x for name, x in self.arrays.items() if inputs[name].shape.rank == 3}

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """The other inputs."""
        return {name: x for name, x in self.arrays.items() if name not in self.slices}

    @property
    def count(self) -> int:
        """Slices in the first of the inputs that are slices."""
        return len(next(iter(self.slices.values())))

    @property
    def pixels(self) -> int:
        """Pixels of the same."""
        return next(iter(self.slices.values())).size


def read_request(body: bytes, signatures: Mapping[str, Signature]) -> Request:
    """Parse the body of a `:predict` call.

    Raises:
        RequestError: not JSON, an unknown signature, inputs that are missing, unknown, of another
            type or rank, not finite, or of ragged shape.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The body must be JSON: {error}.") from error
    if not isinstance(asked, dict) or ("instances" in asked) == ("inputs" in asked):
        raise RequestError('The body must be a JSON object with either "instances" or "inputs".')
    name = asked.get("signature_name") or DEFAULT_SIGNATURE
    if not isinstance(name, str) or name not in signatures:
        known = ", ".join(signatures)
        raise RequestError(f"The model has no signature {name!r}; it has {known}.")
    signature, rows = signatures[name], "instances" in asked
    values = _columns(asked["instances"], signature) if rows else asked["inputs"]
    if not isinstance(values, dict):
        if len(signature.inputs) > 1:
            raise RequestError(f"Inputs must be given by name: {', '.join(signature.inputs)}.")
        values = {next(iter(signature.inputs)): values}
    unknown = sorted(set(values) - set(signature.inputs))
    missing = [key for key in signature.inputs if key not in {**values, **signature.defaults}]
    if unknown or missing:
        said = f"unknown: {', '.join(unknown)}" if unknown else f"missing: {', '.join(missing)}"
        known = ", ".join(signature.inputs)
        raise RequestError(f"Signature {name} takes {known}; {said}.")
    arrays = {
        key: _array(key, values[key], spec) if key in values else signature.defaults[key]
        for key, spec in signature.inputs.items()
    }
    return Request(name, signature, arrays, rows)


def write_answer(request: Request, answer: Mapping[str, np.ndarray]) -> bytes:
    """JSON in the format that the request was in."""
    values = {name: array.tolist() for name, array in answer.items()}
    alone = next(iter(values.values())) if len(values) == 1 else None
    if not request.rows:
        return _dumped({"outputs": values if alone is None else alone})
    if alone is None:
        rows = zip(*values.values(), strict=True)
        alone = [dict(zip(values, row, strict=True)) for row in rows]
    return _dumped({"predictions": alone})


def metadata(name: str, version: str, signatures: Mapping[str, Signature]) -> dict[str, Any]:
    """What `/v1/models/NAME/metadata` tells."""
    described = {
        key: {
            "inputs": {name: _described(spec) for name, spec in signature.inputs.items()},
            "outputs": {name: _described(spec) for name, spec in signature.outputs.items()},
            "method_name": PREDICT,
        }
        for key, signature in signatures.items()
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": version},
        "metadata": {"signature_def": {"signature_def": described}},
    }


def status(version: str) -> dict[str, Any]:
    """What `/v1/models/NAME` tells of a model that is loaded."""
    state = {"version": version, "state": "AVAILABLE"}
    return {"model_version_status": [state | {"status": {"error_code": "OK", "error_message": ""}}]}


def _columns(instances: object, signature: Signature) -> object:
    """Inputs by name from a list of examples."""
    if not isinstance(instances, list) or not instances:
        raise RequestError('"instances" must be a list of at least one example.')
    if not any(isinstance(example, dict) for example in instances):
        return instances
    names = set(instances[0]) if isinstance(instances[0], dict) else set()
    if any(not isinstance(example, dict) or set(example) != names for example in instances):
        raise RequestError("All instances must be objects with the same names.")
    return {name: [example[name] for example in instances] for name in instances[0]}


def _array(name: str, value: object, spec: tf.TensorSpec) -> np.ndarray:
    try:
        array = np.array(value)
    except ValueError as error:
        raise RequestError(f"{name} must be a regular nesting of lists: {error}.") from error
    wanted = spec.dtype.as_numpy_dtype
    allowed = "iuf" if spec.dtype.is_floating else "iu"
    if array.dtype.kind not in allowed:
        kind = "numbers" if spec.dtype.is_floating else "whole numbers"
        raise RequestError(f"{name} must be {kind} in a regular nesting of lists.")
    if spec.shape.rank is not None and array.ndim != spec.shape.rank:
        raise RequestError(
            f"{name} must have {spec.shape.rank} axes, {_axes(spec)}, got shape {array.shape}."
        )
    if not array.size:
        raise RequestError(f"{name} must not be empty, got shape {array.shape}.")
    if spec.dtype.is_floating:
        with np.errstate(over="ignore"):  # to infinity, which is refused below
            array = array.astype(wanted)
        if not np.isfinite(array).all():
            raise RequestError(f"{name} must hold finite numbers only.")
    elif array.min() < np.iinfo(wanted).min or array.max() > np.iinfo(wanted).max:
        raise RequestError(f"{name} must fit into {spec.dtype.name}.")
    return array.astype(wanted)


def _axes(spec: tf.TensorSpec) -> str:
    return "[slices, rows, cols]" if spec.shape.rank == 3 else "[slices]"


def _described(spec: tf.TensorSpec) -> dict[str, Any]:
    known = spec.shape.rank is not None
    dims = [{"size": str(-1 if n is None else n), "name": ""} for n in spec.shape] if known else []
    return {
        "dtype": DataType.Name(spec.dtype.as_datatype_enum),
        "tensor_shape": {"dim": dims, "unknown_rank": not known},
        "name": "",
    }


def _dumped(values: object) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()
