"""Stateless uniform numbers keyed by (seed, slice), then row, column and purpose by position."""

from __future__ import annotations

import tensorflow as tf

PHILOX = 1
# Random numbers belong to a place along the slice axis, in these fractions of a slice.
PLACES = 2**20


def uniforms(seed: int | tf.Tensor, slices: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """One map of uniform numbers in (0, 1) for each slice.

    Philox with `seed` as key and the slice in the upper half of the counter: the number at a place
    depends on nothing but seed, slice and place, whatever the batch, and is the same bits with and
    without XLA (which `tf.random.stateless_uniform` is not).

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
        # 23 bits at the middle of their interval: exact in float32, never 0 or 1.
        return (
            tf.cast(tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32)), tf.float32) + 0.5
        ) * 2.0**-23

    return tf.map_fn(one, tf.cast(slices, tf.int64), fn_output_signature=tf.float32)
