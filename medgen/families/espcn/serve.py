"""Signatures of an ESPCN."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.families.espcn.refine import TILE
from medgen.serving.graph import require
from medgen.serving.signatures import SLICES, ServedModel

AXES = (0, 1, 2)


class ServedESPCN(ServedModel):
    """Signatures of an ESPCN: a scan of finer voxels, as `medgen superresolve` makes it."""

    of_whole_scans: ClassVar = ("serving_default",)
    fewest_slices = 2

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        self.net = bundle.nets["espcn"]
        self.factor: int = self.net.factor
        self.maps = ("mean", "scale") if self.net.tells_uncertainty else ("mean",)

    def signatures(self):
        """By name, functions with an input signature."""
        return {"serving_default": self.superresolve}

    def asked(self, signature, shapes):
        """See `ServedModel.asked`."""
        slices, rows, cols = shapes["scan"]
        return slices * self.factor, rows * self.factor, cols * self.factor

    @tf.function(autograph=False, input_signature=[SLICES])
    def superresolve(self, scan):
        """Finer voxels of a whole scan.

        Args:
            scan: `(n, rows, cols)` float32 in physical units, 2 or more along each axis. The first
                axis is that of the slices; MR is scaled by all of it.

        Returns:
            `scan` `(f n, f rows, f cols)` in physical units, with `f` the model's factor, on the
            grid of `Geometry.subdivide`. Of a net that tells how sure it is also its standard
            deviation `std`, and `low` and `high`, both ends of a 90 % interval, of the same shape.
        """
        (scan,) = self._alike(scan=scan)
        two = "scan must have 2 or more slices, rows and columns"
        scan = require(scan, tf.shape(scan) >= 2, two)
        acquired = self._acquired(scan)
        low, high = (tf.cast(x, tf.float32) for x in (acquired.scale.low, acquired.scale.high))
        made = self._tiled(acquired.scale.to_unit(acquired.shown))
        mean = low + (high - low) * (made[..., 0] + 0.5)
        mean += linear(acquired.shown - acquired.scale.clip(acquired.shown), self.factor)
        held = repeated(acquired.outside.padding | acquired.outside.background, self.factor)
        kept = repeated(scan, self.factor)
        answer = {"scan": tf.where(held, kept, mean)}
        if self.net.tells_uncertainty:
            std = tf.where(held, 0.0, (high - low) * made[..., 1])
            half = std * tf.cast(self.net.width, tf.float32)
            answer |= {"std": std, "low": answer["scan"] - half, "high": answer["scan"] + half}
        return answer

    def _seen(self, shown, scale):
        """Nothing besides; see `Acquired`."""

    def _tiled(self, unit):
        """All maps of the net, `(f n, f rows, f cols, maps)`, axis by axis in tiles."""

        def made(part):
            outputs = self.net({"coarse": part[None]})
            return tf.stack([tf.cast(outputs[name][0], tf.float32) for name in self.maps], -1)

        for axis in reversed(AXES):
            made = self._along(axis, made)
        return made(unit)

    def _along(self, axis: int, made: Callable[[tf.Tensor], tf.Tensor]):
        """What `made` makes of a scan, in tiles along one axis that overlap by the net's reach."""
        first = [axis, *(other for other in (*AXES, 3) if other != axis)]
        back = [first.index(k) for k in (*AXES, 3)]
        all_maps = tf.TensorShape([None, None, None, len(self.maps)])

        def whole(values):
            length = tf.shape(values)[axis]

            def tile(number, parts):
                start, stop = number * TILE, tf.minimum((number + 1) * TILE, length)
                seen_from = tf.maximum(start - self.net.reach, 0)
                seen_to = tf.minimum(stop + self.net.reach, length)
                seen = tf.gather(values, tf.range(seen_from, seen_to), axis=axis)
                finer = tf.transpose(made(seen), first)
                inner = finer[(start - seen_from) * self.factor : (stop - seen_from) * self.factor]
                return number + 1, parts.write(number, inner)

            count = -(-length // TILE)
            parts = tf.TensorArray(
                tf.float32, size=count, element_shape=all_maps, infer_shape=False
            )
            _, parts = tf.while_loop(
                lambda number, _: number < count, tile, (0, parts), parallel_iterations=1
            )
            return tf.ensure_shape(tf.transpose(parts.concat(), back), all_maps)

        return whole


def linear(values: tf.Tensor, factor: int) -> tf.Tensor:
    """Linear interpolation at the parts of every voxel; beyond the outermost centres the nearest.

    Args:
        values: `(n, rows, cols)`.
        factor: parts of a voxel along each axis.
    """
    for axis in AXES:
        length = tf.shape(values)[axis]
        before, after = (
            tf.gather(values, tf.clip_by_value(tf.range(length) + step, 0, length - 1), axis=axis)
            for step in (-1, 1)
        )
        parts = []
        for part in range(factor):
            place = (part + 0.5) / factor - 0.5
            beside = before if place < 0 else after
            parts.append((1 - abs(place)) * values + abs(place) * beside)
        values = _interleaved(parts, axis)
    return values


def repeated(values: tf.Tensor, factor: int) -> tf.Tensor:
    """Every voxel of `(n, rows, cols)` in each of its parts."""
    for axis in AXES:
        values = _interleaved([values] * factor, axis)
    return values


def _interleaved(parts: list[tf.Tensor], axis: int) -> tf.Tensor:
    """Parts of voxels one after the other along an axis."""
    shape = tf.tensor_scatter_nd_update(
        tf.shape(parts[0]), [[axis]], [tf.shape(parts[0])[axis] * len(parts)]
    )
    return tf.reshape(tf.stack(parts, axis + 1), shape)
