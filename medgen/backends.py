"""What each backend of Keras has its own way of: compiling, loops that collect, gradients.

All else is written in `keras.ops`. TensorFlow and JAX are imported when they are the backend;
others (PyTorch, NumPy) run the same step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
from keras import ops, tree

# A tensor of whichever backend.
Tensor = Any
Function = Callable[..., Any]


def compiled(
    function: Function,
    *nets: keras.Model,
    jit_compile: bool = False,
    takes: Sequence[tuple[tuple[int | None, ...], str]] | None = None,
) -> Function:
    """`function` of tensors as one graph, of maps of any size.

    Args:
        function: of tensors alone.
        *nets: whose weights it reads, as they are at each call: JAX would keep those of the first.
        jit_compile: whether XLA compiles it under TensorFlow. JAX knows no other way.
        takes: shape and dtype of each argument, None where any will do, for one that takes long to
            trace: TensorFlow then does so once, and otherwise for the first size and the second.
    """
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            signature = None if takes is None else [tf.TensorSpec(*one) for one in takes]
            return tf.function(
                function,
                input_signature=signature,
                jit_compile=jit_compile,
                autograph=False,
                reduce_retracing=True,
            )
        case "jax":
            return _jitted(function, [variable for net in nets for variable in net.variables])
        case _:
            return function


def compiled_by_jax(function: Function, net: keras.Model) -> Function:
    """`function` compiled under JAX, which would compile each operation alone; else as it is."""
    return compiled(function, net) if keras.backend.backend() == "jax" else function


def backend_name() -> str:
    """Of the backend, for users."""
    return {"tensorflow": "TensorFlow", "jax": "JAX"}.get(
        keras.backend.backend(), keras.backend.backend()
    )


def accelerators() -> list[str]:
    """Names of the devices that the backend computes on instead of the CPU; none is usual."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            found = tf.config.list_physical_devices("GPU")
            details = map(tf.config.experimental.get_device_details, found)
            return [str(detail.get("device_name", "a GPU")) for detail in details]
        case "jax":
            import jax

            return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
        case _:
            return []


def device_bytes() -> int | None:
    """Free memory of the accelerator that is computed on; None where there is none, or untold."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    device = jax.devices()[0]
    told = None if device.platform == "cpu" else device.memory_stats()
    return None if not told else told["bytes_limit"] - told["bytes_in_use"]


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, dtypes: Any
) -> tuple[Any, Any]:
    """Go through `xs` entry by entry, handing something on and collecting.

    As `jax.lax.scan`; `keras.ops.scan` wants what is collected to look like what is handed on.

    Args:
        step: from what is handed on and an entry to what is handed on and what is collected.
        carry: what the first step is handed, nested tensors whose shapes stay.
        xs: nested tensors with the same first axis, along which they are gone through.
        dtypes: of what is collected, in the same structure.

    Returns:
        What the last step hands on, and all that was collected, stacked along a first axis.
    """
    match keras.backend.backend():
        case "tensorflow":
            return _scan_by_tensorflow(step, carry, xs, dtypes)
        case "jax":
            import jax

            return jax.lax.scan(step, carry, xs)
        case _:
            collected = []
            for i in range(len(tree.flatten(xs)[0])):
                carry, y = step(carry, _entry(xs, i))
                collected.append(y)
            return carry, tree.map_structure(lambda *parts: ops.stack(parts), *collected)


def gradients(function: Callable[..., Tensor], at: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of a scalar `function` with respect to each of its arguments.

    Args:
        function: of tensors.
        at: its arguments.
    """
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(at)
                value = function(*at)
            return tape.gradient(value, at)
        case "jax":
            import jax

            return list(jax.grad(function, tuple(range(len(at))))(*at))
        case name:
            raise NotImplementedError(f"Gradients under {name}.")


def random_numbers(
    shape: tuple[int, ...], seed: int, step: Tensor | int, *, normal: bool = False
) -> Tensor:
    """Float32 numbers that depend on nothing but seed, step and backend.

    Args:
        shape: of them.
        seed: below 2³¹.
        step: int32, may be a tensor.
        normal: of mean 0 and variance 1, instead of uniform in [0, 1).
    """
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            draw = tf.random.stateless_normal if normal else tf.random.stateless_uniform
            return draw(shape, tf.stack([seed, step]))
        case "jax":
            import jax

            key = jax.random.fold_in(jax.random.key(seed), step)
            return (jax.random.normal if normal else jax.random.uniform)(key, shape)
        case name:
            raise NotImplementedError(f"Random numbers by step under {name}.")


def whole_products() -> AbstractContextManager[None]:
    """A context in which JAX multiplies matrices in float32, of which GPUs else drop bits."""
    if keras.backend.backend() != "jax":
        return nullcontext()
    import jax

    context: AbstractContextManager[None] = jax.default_matmul_precision("highest")
    return context


def double_precision() -> AbstractContextManager[None]:
    """A context in which float64 is what it says, which JAX takes for float32 unless told."""
    if keras.backend.backend() != "jax":
        return nullcontext()
    import jax

    context: AbstractContextManager[None] = jax.enable_x64(True)
    return context


def _jitted(function: Function, variables: Sequence[keras.Variable]) -> Function:
    import jax

    @jax.jit
    def pure(values: Sequence[Tensor], *tensors: Tensor) -> Any:
        with keras.StatelessScope(zip(variables, values, strict=True)), whole_products():
            return function(*tensors)

    return lambda *tensors: pure([variable.value for variable in variables], *tensors)


def _scan_by_tensorflow(step: Function, carry: Any, xs: Any, dtypes: Any) -> tuple[Any, Any]:
    import tensorflow as tf

    xs = tree.map_structure(tf.convert_to_tensor, xs)
    length = tf.shape(tree.flatten(xs)[0])[0]
    shapes: list[Any] = []  # which TensorFlow forgets

    def one(i: Tensor, carry: Any, arrays: Any) -> tuple[Any, ...]:
        following, collected = step(carry, _entry(xs, i))
        for new, old in zip(tree.flatten(following), tree.flatten(carry), strict=True):
            new.set_shape(old.shape)  # which size may be known of one and not of the other
        collected = tree.flatten(collected)
        shapes[:] = [y.shape for y in collected]
        written = zip(arrays, collected, strict=True)
        return i + 1, following, [array.write(i, y) for array, y in written]

    arrays = [tf.TensorArray(dtype, size=length) for dtype in tree.flatten(dtypes)]
    _, carry, arrays = tf.while_loop(lambda i, *_: i < length, one, (0, carry, arrays))
    stacked = [array.stack() for array in arrays]
    for y, shape in zip(stacked, shapes, strict=True):
        y.set_shape([None, *shape])
    return carry, tree.pack_sequence_as(dtypes, stacked)


def _entry(xs: Any, i: Any) -> Any:
    return tree.map_structure(lambda x: x[i], xs)
