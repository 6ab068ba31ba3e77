"""What an exported model can be asked, as graph functions with the sampler inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.sampling.randomness import PLACES
from medgen.serving.bounds import Shape
from medgen.serving.graph import GraphScale, each, require, restore_excess, robust_range
from medgen.serving.outside import GraphOutside, find_outside, is_padding

# Where a request leaves these out. The nets are told the distance of the neighbours, so a request
# that knows it should say it.
POSITION = tf.constant(0.5)
GAP_MM = tf.constant(5.0)
SEED = tf.constant(0, tf.int64)
TEMPERATURE = tf.constant(1.0)

# Slices are drawn so many pixels at once, as most of a small slice's time is the same for several;
# at least one slice.
PIXELS_AT_ONCE = 2**15
# Such groups worked on side by side; a slice of 512 x 512 takes up to half a gigabyte.
AT_ONCE = 2

SLICES = tf.TensorSpec([None, None, None], tf.float32)
# One number for all slices, or one for each.
NUMBERS = tf.TensorSpec(None, tf.float32)
INTEGERS = tf.TensorSpec(None, tf.int64)
POSITIONS = tf.TensorSpec([None], tf.float64)
IMAGE = tf.TensorSpec([None, None], tf.float32)
FLAGS = tf.TensorSpec([None, None], tf.bool)


@dataclass(frozen=True, eq=False)
class Acquired:
    """Slices of one scan.

    Args:
        slices: `(n, rows, cols)` in physical units, as they came.
        shown: likewise, as an interpolator is shown them, without padding.
        outside: where they hold padding and background.
        scale: of their levels.
        seen: what a model sees in them once for all slices between them; its own affair.
    """

    slices: tf.Tensor
    shown: tf.Tensor
    outside: GraphOutside
    scale: GraphScale
    seen: object


@dataclass(frozen=True, eq=False)
class Wanted:
    """A slice between two acquired ones, in scalars.

    Args:
        before: index of the acquired slice before it, int32.
        weight: position between that and the next, float32.
        place: along the slice axis, for its random numbers, int64.
        gap_mm: distance of acquired slices.
        seed: int64.
        temperature: float32.
    """

    before: tf.Tensor
    weight: tf.Tensor
    place: tf.Tensor
    gap_mm: tf.Tensor
    seed: tf.Tensor
    temperature: tf.Tensor


# From an index to a wanted slice and the slices that it lies between.
Of = Callable[[tf.Tensor], tuple[Acquired, Wanted]]


class ServedModel:
    """A bundle's signatures: tensors in, tensors out, in physical units.

    Every answer is what `medgen interpolate` writes for the same slices, of a scan that declares no
    padding, with the same number for a temperature, and depends on nothing but its own slices and
    numbers, whatever else is in the batch. The two are compiled differently, so float32 rounding
    may move a value that is drawn next to the edge between two levels or codes, and then those
    drawn after it. Subclasses say how slices are drawn: what is a slice's own is prepared one by
    one, so that no other slice can change its rounding, and the loop over pixels then goes over
    some at once.

    Args:
        bundle: the model.

    Attributes:
        variables: all that the functions use.
        image_size: side of the slices in pixels, or None if any will do.
        fewest_slices: of a request.
        of_whole_scans: signatures whose answers depend on all slices of a request.
        preparation: what a slice is drawn from, as nested `tf.TensorSpec` of one slice.
    """

    image_size: int | None = None
    fewest_slices = 1
    of_whole_scans: ClassVar[Collection[str]] = ("fill",)
    preparation: object

    def __init__(self, bundle: Bundle):
        self.rule = bundle.rule
        self.low = tf.Variable(bundle.rule.low_hu, trainable=False, dtype=tf.float64)
        self.high = tf.Variable(bundle.rule.high_hu, trainable=False, dtype=tf.float64)
        self.last_level = tf.Variable(bundle.rule.levels - 1, trainable=False, dtype=tf.float64)
        weights = [w.value for net in bundle.nets.values() for w in net.weights]
        self.variables = [self.low, self.high, self.last_level, *weights]

    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """By name, functions with an input signature."""
        return {"serving_default": self.serve, "fill": self.fill, "log_prob": self.log_prob}

    def asked(self, signature: str, shapes: Mapping[str, Shape]) -> Shape:
        """Slices, rows and columns of the answer to inputs of `shapes`."""
        if signature == "fill":
            return (*shapes["positions"], *shapes["acquired"][1:])
        return next(iter(shapes.values()))

    @tf.function(
        autograph=False, input_signature=[SLICES] * 2 + [NUMBERS] * 2 + [INTEGERS, NUMBERS]
    )
    def serve(
        self,
        previous,
        next,
        position=POSITION,
        gap_mm=GAP_MM,
        seed=SEED,
        temperature=TEMPERATURE,
    ):
        """Slices between pairs of neighbours, each pair on its own.

        MR is scaled by the two slices of the pair. A PixelMiner that reads more than one slice a
        side is told that there are no others, as at the ends of a scan. For all slices of a scan
        together there is `fill`.

        Args:
            previous: `(b, rows, cols)` float32 in physical units: HU in CT.
            next: likewise.
            position: of the wanted slice between them, above 0 and below 1, scalar or `(b,)`.
            gap_mm: distance of the two, scalar or `(b,)`.
            seed: scalar or `(b,)` int64, 0 or more.
            temperature: scalar or `(b,)`, 0 or more.

        Returns:
            `slice` and its standard deviation `std`, `(b, rows, cols)` in physical units.
        """
        previous, next = self._alike(previous=previous, next=next)
        count = tf.shape(previous)[0]
        position = self._between(each(position, count, "position"))
        gap_mm, seed, temperature = self._steered(gap_mm, seed, temperature, count)
        places = _places(tf.cast(position, tf.float64))

        def of(i):
            acquired = self._acquired(tf.stack([previous[i], next[i]]))
            return acquired, Wanted(0, position[i], places[i], gap_mm[i], seed[i], temperature[i])

        return self._drawn(of, tf.shape(previous))

    @tf.function(autograph=False, input_signature=[SLICES, POSITIONS, NUMBERS, INTEGERS, NUMBERS])
    def fill(
        self,
        acquired,
        positions,
        gap_mm=GAP_MM,
        seed=SEED,
        temperature=TEMPERATURE,
    ):
        """Slices between those of a whole scan, as `interpolation.contract.Interpolator.fill`.

        Args:
            acquired: `(n, rows, cols)` float32 in physical units, in their order.
            positions: `(m,)` float64 in units of acquired slices, above 0 and below `n - 1`.
            gap_mm: distance of acquired slices, scalar.
            seed: int64 scalar, 0 or more.
            temperature: scalar, 0 or more.

        Returns:
            `slice` and its standard deviation `std`, `(m, rows, cols)` in physical units.
        """
        (acquired,) = self._alike(acquired=acquired)
        last = tf.cast(tf.shape(acquired)[0] - 1, tf.float64)
        inside = tf.reduce_all((positions > 0) & (positions < last)) & (tf.size(positions) > 0)
        positions = require(
            positions, inside, "positions must lie between the first and the last slice"
        )
        gap_mm, seed, temperature = (
            values[0] for values in self._steered(gap_mm, seed, temperature, 1)
        )
        scan = self._acquired(acquired)
        before = tf.cast(positions, tf.int32)
        weights = tf.cast(positions - tf.cast(before, tf.float64), tf.float32)
        places = _places(positions)

        def of(i):
            return scan, Wanted(before[i], weights[i], places[i], gap_mm, seed, temperature)

        return self._drawn(of, tf.concat([tf.shape(positions), tf.shape(acquired)[1:]], 0))

    @tf.function(autograph=False, input_signature=[SLICES, SLICES, SLICES, NUMBERS, NUMBERS])
    def log_prob(
        self,
        target,
        previous,
        next,
        position=POSITION,
        gap_mm=GAP_MM,
    ):
        """How probable the model finds slices between pairs of neighbours.

        Args:
            target: `(b, rows, cols)` float32 in physical units.
            previous: see `serve`, as for all that follow.
            next: likewise.
            position: likewise.
            gap_mm: likewise.

        Returns:
            `log_prob` in nats, of every grey level `(b, rows, cols)` or every code `(b, h, w)`,
            given those before it in raster order. A two-stage model's is of its codes.
        """
        target, previous, next = self._alike(target=target, previous=previous, next=next)
        count = tf.shape(target)[0]
        position = self._between(each(position, count, "position"))
        gap_mm = _positive(each(gap_mm, count, "gap_mm"))

        def one(example):
            target, previous, following, position, gap_mm = example
            acquired = self._acquired(tf.stack([previous, following]))
            return self._log_prob(self._shown(target), acquired, position, gap_mm)

        # One by one: a pass over a whole slice takes far more memory than drawing it.
        values = tf.map_fn(
            one,
            (target, previous, next, position, gap_mm),
            fn_output_signature=IMAGE,
            parallel_iterations=1,
        )
        return {"log_prob": values}

    def _drawn(self, of: Of, shape: tf.Tensor) -> dict[str, tf.Tensor]:
        """`slice` and `std` of `shape` `(m, rows, cols)`, some at once."""
        count, size = shape[0], shape[1:]
        at_once = tf.maximum(PIXELS_AT_ONCE // tf.reduce_prod(size), 1)

        def some(start, images, deviations):
            indices = tf.range(start, tf.minimum(start + at_once, count))
            image, deviation = self._some(of, indices, size)
            images, deviations = (
                images.scatter(indices, image),
                deviations.scatter(indices, deviation),
            )
            return start + at_once, images, deviations

        array = tf.TensorArray(tf.float32, size=count, element_shape=IMAGE.shape)
        _, *arrays = tf.while_loop(
            lambda start, *_: start < count,
            some,
            (0, array, array),
            parallel_iterations=AT_ONCE,
        )
        images, deviations = (tf.reshape(array.stack(), shape) for array in arrays)
        return {"slice": images, "std": deviations}

    def _some(self, of: Of, indices: tf.Tensor, size: tf.Tensor):
        """Slices and standard deviations `(b, rows, cols)` of those at `indices` `(b,)`."""

        def prepared(i):
            acquired, wanted = of(i)
            shown = tuple(acquired.shown[wanted.before + k] for k in range(2))
            held, nearest = acquired.outside.held(wanted.before, wanted.weight)
            kept = held, acquired.slices[nearest]
            bounds = acquired.scale.low, acquired.scale.high
            return self._prepared(acquired, wanted), shown, kept, wanted.weight, bounds

        prepared, shown, (held, kept), weight, bounds = tf.map_fn(
            prepared,
            indices,
            fn_output_signature=(
                self.preparation,
                (IMAGE, IMAGE),
                (FLAGS, IMAGE),
                tf.float32,
                (tf.float64, tf.float64),
            ),
            parallel_iterations=AT_ONCE,
        )
        low, high, weight = (x[:, None, None] for x in (*bounds, weight))
        scale = GraphScale(low, high, tf.convert_to_tensor(self.last_level))
        images, deviations = self._draw(prepared, scale, size)
        before, after = shown
        images = restore_excess(images, before, after, weight, scale)
        return tf.where(held, kept, images), tf.where(held, 0.0, deviations)

    def _alike(self, **slices: tf.Tensor) -> list[tf.Tensor]:
        """`slices` of one shape and of finite values, of the model's size if it has one."""
        names, values = " and ".join(slices), list(slices.values())
        shape = tf.shape(values[0])
        for other in values[1:]:
            alike = tf.shape(other) == shape
            values[0] = require(values[0], alike, f"{names} must be of one shape")
        if self.image_size is not None:
            side = self.image_size
            sentence = f"this model works on slices of {side} x {side} pixels only"
            values[0] = require(values[0], tf.shape(values[0])[1:] == side, sentence)
        finite = "slices must have finite values only"
        return [require(x, tf.math.is_finite(x), finite) for x in values]

    def _between(self, position):
        inside = (position > 0) & (position < 1)
        return require(position, inside, "position must lie between 0 and 1")

    def _steered(self, gap_mm, seed, temperature, count):
        """The three numbers that steer the drawing, one for each of `count`."""
        seed, temperature = each(seed, count, "seed"), each(temperature, count, "temperature")
        possible = (temperature >= 0) & (temperature < math.inf)
        return (
            _positive(each(gap_mm, count, "gap_mm")),
            require(seed, seed >= 0, "seed must be 0 or more"),
            require(temperature, possible, "temperature must be 0 or more"),
        )

    def _acquired(self, slices) -> Acquired:
        outside = find_outside(slices, self.rule.kind)
        shown = outside.without_padding(slices, self.rule.kind.air)
        scale = self._scale(shown)
        return Acquired(slices, shown, outside, scale, self._seen(shown, scale))

    def _shown(self, slice_):
        """A slice on its own as a model is shown it: padding is air."""
        return tf.where(is_padding(slice_, self.rule.kind), self.rule.kind.air, slice_)

    def _scale(self, slices) -> GraphScale:
        last = tf.convert_to_tensor(self.last_level)
        if self.rule.kind.absolute:
            return GraphScale(tf.convert_to_tensor(self.low), tf.convert_to_tensor(self.high), last)
        return GraphScale(*robust_range(slices), last)

    def _seen(self, shown, scale):
        """See `Acquired`."""
        raise NotImplementedError

    def _prepared(self, acquired: Acquired, wanted: Wanted):
        """What a slice is drawn from, as in `preparation`."""
        raise NotImplementedError

    def _draw(self, prepared, scale: GraphScale, size: tf.Tensor):
        """Slices and standard deviations `(b, rows, cols)`, before the excess is restored."""
        raise NotImplementedError

    def _log_prob(self, target, acquired: Acquired, position, gap_mm):
        """`(h, w)` of a target `(rows, cols)` between two slices."""
        raise NotImplementedError


def _places(positions):
    return tf.cast(tf.round(positions * PLACES), tf.int64)


def _positive(gap_mm):
    possible = (gap_mm > 0) & tf.math.is_finite(gap_mm)
    return require(gap_mm, possible, "gap_mm must be above 0")
