"""Padding and background as graph operations: the same voxels as `intensities.padding` finds."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from medgen.intensities.modality import Modality
from medgen.intensities.padding import BESIDE, HALF_WAY, OF_VOXELS, ON_BORDERS


@dataclass(frozen=True, eq=False)
class GraphOutside:
    """`intensities.padding.Outside` on bool tensors `(n, rows, cols)`."""

    padding: tf.Tensor
    background: tf.Tensor

    def held(self, before: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Outside.held`; `weight` of the slice after `before`, a scalar."""
        nearest = before + tf.cast(weight > 0.5, tf.int32)
        both = self.padding[before] & self.padding[before + 1]
        half_way = tf.abs(weight - 0.5) < HALF_WAY
        padding = tf.where(half_way, both, self.padding[nearest])
        return padding | (self.background[before] & self.background[before + 1]), nearest

    def without_padding(self, values: tf.Tensor, nothing: float) -> tf.Tensor:
        """See `Outside.without_padding`."""
        count = tf.shape(values)[0]
        slices = tf.range(count)[:, None, None]
        earlier = tf.scan(tf.maximum, tf.where(self.padding, -2 * count, slices))
        later = tf.scan(tf.minimum, tf.where(self.padding, 2 * count, slices), reverse=True)
        source = tf.where(slices - earlier <= later - slices, earlier, later)
        measured = tf.reduce_any(~self.padding, axis=0)
        source = tf.transpose(tf.where(measured, source, 0), (1, 2, 0))
        shown = tf.gather(tf.transpose(values, (1, 2, 0)), source, batch_dims=2)
        return tf.where(measured, tf.transpose(shown, (2, 0, 1)), nothing)


def find_outside(values: tf.Tensor, kind: Modality) -> GraphOutside:
    """`intensities.padding.find_outside` of `(n, rows, cols)` float32; nothing is declared."""
    padding = is_padding(values, kind)
    beside = tf.pad(padding, [[0, 0], [1, 1], [1, 1]])
    beside = beside[:, :-2, 1:-1] | beside[:, 2:, 1:-1] | beside[:, 1:-1, :-2] | beside[:, 1:-1, 2:]
    ends = (_at_borders(values) | beside) & ~padding
    at_ends = tf.boolean_mask(values, ends)
    found, _, counts = tf.unique_with_counts(tf.sort(at_ends))
    most = tf.cast(tf.reduce_max(tf.concat([[0], counts], 0)), tf.float64)
    is_frequent = (most > 0) & (most >= ON_BORDERS * tf.cast(tf.size(at_ends), tf.float64))

    def background() -> tf.Tensor:
        around = _surroundings(values == found[tf.argmax(counts)], ends, padding)
        return around & (_count(around) >= OF_VOXELS * tf.cast(tf.size(around), tf.float64))

    return GraphOutside(padding, tf.cond(is_frequent, background, lambda: tf.zeros_like(padding)))


def is_padding(values: tf.Tensor, kind: Modality) -> tf.Tensor:
    """What lies so low that nothing was measured there, bool."""
    if kind.padding_below is None:
        return tf.zeros_like(values, tf.bool)
    return values < kind.padding_below


def _surroundings(holds: tf.Tensor, ends: tf.Tensor, padding: tf.Tensor) -> tf.Tensor:
    """What holds a value and is connected to `ends`, if it fills that; else nothing."""

    def spread(reached: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        further = reached
        for axis in range(3):
            further = _along_runs(further, holds, axis)
        return further, tf.reduce_any(further != reached)

    around, _ = tf.while_loop(lambda _, grows: grows, spread, (holds & ends, tf.constant(True)))
    joined = around | padding
    alike = _count(around[:, :-1] & joined[:, 1:]) + _count(around[:, 1:] & joined[:, :-1])
    alike += _count(around[..., :-1] & joined[..., 1:]) + _count(around[..., 1:] & joined[..., :-1])
    sides = (around[:, :-1], around[:, 1:], around[..., :-1], around[..., 1:])
    neighbours = tf.add_n([_count(side) for side in sides])
    return around & (neighbours > 0) & (alike >= BESIDE * neighbours)


def _along_runs(reached: tf.Tensor, holds: tf.Tensor, axis: int) -> tf.Tensor:
    """All of every run of `holds` along `axis` of which some is reached."""
    there, back = [((1, 2, 0), (2, 0, 1)), ((0, 2, 1), (0, 2, 1)), ((0, 1, 2), (0, 1, 2))][axis]
    holds, reached = tf.transpose(holds, there), tf.transpose(reached, there)
    before = tf.pad(holds[..., :-1], [[0, 0], [0, 0], [1, 0]])
    run = tf.cumsum(tf.reshape(tf.cast(holds & ~before, tf.int32), [-1]))
    hit = tf.math.unsorted_segment_max(
        tf.reshape(tf.cast(reached, tf.int32), [-1]), run, tf.reduce_max(run) + 1
    )
    further = tf.reshape(tf.gather(hit, run) > 0, tf.shape(holds)) & holds
    return tf.transpose(further, back)


def _at_borders(slices: tf.Tensor) -> tf.Tensor:
    """First and last row and column, bool `(n, rows, cols)`."""
    shape = tf.shape(slices)
    rows, cols = tf.range(shape[1])[:, None], tf.range(shape[2])
    ends = (rows == 0) | (rows == shape[1] - 1) | (cols == 0) | (cols == shape[2] - 1)
    return tf.broadcast_to(ends, shape)


def _count(voxels: tf.Tensor) -> tf.Tensor:
    """How many are true, float64."""
    return tf.cast(tf.math.count_nonzero(voxels), tf.float64)
