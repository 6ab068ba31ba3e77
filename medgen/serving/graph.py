"""What interpolation does around the nets, as graph operations in the same order and precision.

The numbers are the same but for rounding: compilers may fuse or rewrite what numpy does step by
step.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from medgen.intensities.rule import MR_PERCENTILES

PHILOX = 1


@dataclass(frozen=True, eq=False)
class GraphScale:
    """`intensities.scale.Scale` on float64 tensors that broadcast to the values.

    They come from variables or from slices and never are constants: a division by a constant would
    be rewritten as a multiplication, which puts values half way between two levels on either side.

    Args:
        low: physical value of level 0.
        high: physical value of the last level.
        last: the last level.
    """

    low: tf.Tensor
    high: tf.Tensor
    last: tf.Tensor

    @property
    def step(self) -> tf.Tensor:
        """Physical units per level, float64."""
        return (self.high - self.low) / self.last

    def quantise(self, physical: tf.Tensor) -> tf.Tensor:
        """Nearest level of each value, int32."""
        levels = tf.round((tf.cast(physical, tf.float64) - self.low) / self.step)
        return tf.cast(tf.clip_by_value(levels, 0.0, self.last), tf.int32)

    def dequantise(self, levels: tf.Tensor) -> tf.Tensor:
        """Physical value of each level, float32."""
        return tf.cast(self.low + tf.cast(levels, tf.float64) * self.step, tf.float32)

    def to_unit(self, physical: tf.Tensor) -> tf.Tensor:
        """`low … high` ⇒ −0.5…0.5, limited to that range."""
        low, width = tf.cast(self.low, tf.float32), tf.cast(self.high - self.low, tf.float32)
        return tf.clip_by_value((physical - low) / width - 0.5, -0.5, 0.5)

    def from_unit(self, unit: tf.Tensor) -> tf.Tensor:
        """−0.5…0.5 ⇒ physical units, limited to `low … high`."""
        low, width = tf.cast(self.low, tf.float32), tf.cast(self.high - self.low, tf.float32)
        return (tf.clip_by_value(unit, -0.5, 0.5) + 0.5) * width + low

    def clip(self, physical: tf.Tensor) -> tf.Tensor:
        """Values limited to `low … high`."""
        return tf.clip_by_value(
            physical, tf.cast(self.low, tf.float32), tf.cast(self.high, tf.float32)
        )


def robust_range(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`MR_PERCENTILES` of `values` (any shape, float32), as `IntensityRule.scale_for` has them."""
    ordered = tf.sort(tf.reshape(values, [-1]))
    last = tf.size(ordered) - 1
    low, high = (_percentile(ordered, last, percentile) for percentile in MR_PERCENTILES)
    return low, tf.where(high > low, high, low + 1 + tf.abs(low))


def _percentile(ordered: tf.Tensor, last: tf.Tensor, percentile: float) -> tf.Tensor:
    """Float64, interpolated linearly between the two nearest of `ordered`, as numpy does."""
    place = tf.cast(last, tf.float64) * (percentile / 100)
    before = tf.cast(tf.floor(place), tf.int32)
    part = place - tf.floor(place)
    a, b = ordered[before], ordered[tf.minimum(before + 1, last)]
    difference = tf.cast(b - a, tf.float64)
    from_a = tf.cast(a, tf.float64) + difference * part
    from_b = tf.cast(b, tf.float64) - difference * (1 - part)
    return tf.where(part >= 0.5, from_b, from_a)


def restore_excess(
    image: tf.Tensor, before: tf.Tensor, after: tf.Tensor, weight: tf.Tensor, scale: GraphScale
) -> tf.Tensor:
    """`interpolation.excess.restore_excess` on tensors.

    Args:
        image: `(b, rows, cols)`, the model's slices in physical units.
        before: likewise, the acquired slices before them.
        after: likewise after them.
        weight: position between the two, float32 `(b, 1, 1)`.
        scale: the model's range, likewise.
    """
    excess = [values - scale.clip(values) for values in (before, after)]
    linear = before * (1 - weight) + after * weight
    beyond = excess[0] * (1 - weight) + excess[1] * weight
    outside = tf.sign(excess[0]) * tf.sign(excess[1]) > 0
    return tf.where(outside, linear, image + beyond)


def occupied(levels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """First row and column, and rows and columns, of the box beyond which all levels are 0.

    Args:
        levels: `(n, rows, cols)`.

    Returns:
        Two int32 `(2,)`; the box is empty where no level is above 0.
    """
    pixels = tf.where(tf.reduce_any(levels > 0, axis=0))  # (pixels, 2), row and column

    def box() -> tuple[tf.Tensor, tf.Tensor]:
        first = tf.reduce_min(pixels, axis=0)
        return tf.cast(first, tf.int32), tf.cast(
            tf.reduce_max(pixels, axis=0) - first + 1, tf.int32
        )

    return tf.cond(tf.size(pixels) > 0, box, lambda: (tf.zeros(2, tf.int32), tf.zeros(2, tf.int32)))


def require(values: tf.Tensor, condition: tf.Tensor, sentence: str) -> tf.Tensor:
    """`values`, or the request fails with `sentence` unless `condition` holds everywhere.

    What is computed from the result waits for the check, and so cannot fail before it in words of
    its own.
    """
    with tf.control_dependencies([tf.Assert(tf.reduce_all(condition), [sentence])]):
        return tf.identity(values)


def each(values: tf.Tensor, count: tf.Tensor, name: str) -> tf.Tensor:
    """One number for each of `count` slices, from as many or from one."""
    values = tf.reshape(values, [-1])
    fits = (tf.size(values) == 1) | (tf.size(values) == count)
    return tf.broadcast_to(
        require(values, fits, f"{name} must be one number or one a slice"), [count]
    )


def uniforms(seed: int | tf.Tensor, slices: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """`sampling.randomness.uniforms`, bit for bit, with and without XLA.

    Args:
        seed: non-negative int, or int64 scalar.
        slices: `(b,)` int64, which slice each map is for.
        shape: rows, columns, and numbers a position.

    Returns:
        `(b, rows, columns, numbers)` float32.
    """
    key = tf.bitcast(tf.convert_to_tensor(seed, tf.int64)[None], tf.uint64)

    def one(index: tf.Tensor) -> tf.Tensor:
        counter = tf.bitcast(tf.stack([tf.zeros_like(index), index]), tf.uint64)
        bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=shape, key=key, counter=counter, alg=PHILOX, dtype=tf.uint32
        )
        bits = tf.cast(tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32)), tf.float32)
        return (bits + 0.5) * 2.0**-23

    return tf.map_fn(one, tf.cast(slices, tf.int64), fn_output_signature=tf.float32)
