"""What an exported model can be asked, as graph functions with the sampler inside."""

from __future__ import annotations

import math

import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.likelihoods import logistic_mixture
from medgen.nets.pixelminer_lean import PixelMiner
from medgen.sampling.draw import LOWEST_TEMPERATURE
from medgen.sampling.randomness import PLACES, uniforms
from medgen.sampling.wavefront import WavefrontSampler
from medgen.serving.graph import (
    GraphScale,
    each,
    occupied,
    require,
    restore_excess,
    robust_range,
)

# Where a request leaves these out. The nets are told the distance of the neighbours, so a request
# that knows it should say it.
POSITION = tf.constant(0.5)
GAP_MM = tf.constant(5.0)
SEED = tf.constant(0, tf.int64)
TEMPERATURE = tf.constant(1.0)

# Slices worked on side by side, as `medgen interpolate` does; each takes up to half a gigabyte.
AT_ONCE = 2

SLICES = tf.TensorSpec([None, None, None], tf.float32)
# One number for all slices, or one for each.
NUMBERS = tf.TensorSpec(None, tf.float32)
INTEGERS = tf.TensorSpec(None, tf.int64)
NUMBER = tf.TensorSpec([], tf.float32)
INTEGER = tf.TensorSpec([], tf.int64)
POSITIONS = tf.TensorSpec([None], tf.float64)


class ServedModel:
    """A bundle's signatures: tensors in, tensors out, in physical units.

    Every answer equals what `medgen interpolate` writes for the same slices with the same number
    for a temperature, and depends on nothing but its own slices and numbers, whatever else is in
    the batch. Subclasses say how slices are drawn.

    Args:
        bundle: the model.

    Attributes:
        variables: all that the functions use.
        image_size: side of the slices in pixels, or None if any will do.
    """

    image_size: int | None = None

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
        alike = tf.shape(previous) == tf.shape(next)
        previous = require(previous, alike, "previous and next must be of one shape")
        shape = tf.shape(previous)
        position, gap_mm, seed, temperature = (
            each(values, shape[0], name)
            for values, name in (
                (position, "position"),
                (gap_mm, "gap_mm"),
                (seed, "seed"),
                (temperature, "temperature"),
            )
        )
        between = (position > 0) & (position < 1)
        position = require(position, between, "position must lie between 0 and 1")

        def one(example):
            previous, following, position, *numbers = example
            acquired = tf.stack([previous, following])
            images, deviations = self._fill(acquired, tf.cast(position, tf.float64)[None], *numbers)
            return images[0], deviations[0]

        images, deviations = tf.map_fn(
            one,
            (previous, next, position, gap_mm, seed, temperature),
            fn_output_signature=(tf.float32, tf.float32),
            parallel_iterations=AT_ONCE,
        )
        return {"slice": tf.reshape(images, shape), "std": tf.reshape(deviations, shape)}

    @tf.function(autograph=False, input_signature=[SLICES, POSITIONS, NUMBERS, INTEGERS, NUMBERS])
    def fill(
        self,
        acquired,
        positions,
        gap_mm=GAP_MM,
        seed=SEED,
        temperature=TEMPERATURE,
    ):
        """Slices between those of a whole scan, as `interpolation.engine.Interpolator.fill`.

        Args:
            acquired: `(n, rows, cols)` float32 in physical units, in their order.
            positions: `(m,)` float64 in units of acquired slices, above 0 and below `n - 1`.
            gap_mm: distance of acquired slices, scalar.
            seed: int64 scalar, 0 or more.
            temperature: scalar, 0 or more.

        Returns:
            `slice` and its standard deviation `std`, `(m, rows, cols)` in physical units.
        """
        last = tf.cast(tf.shape(acquired)[0] - 1, tf.float64)
        inside = (positions > 0) & (positions < last)
        positions = require(
            positions, inside, "positions must lie between the first and the last slice"
        )
        gap_mm, seed, temperature = (
            each(values, 1, name)[0]
            for values, name in ((gap_mm, "gap_mm"), (seed, "seed"), (temperature, "temperature"))
        )
        images, deviations = self._fill(acquired, positions, gap_mm, seed, temperature)
        return {"slice": images, "std": deviations}

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
        batch = tf.shape(target)[0]
        numbers = (each(position, batch, "position"), each(gap_mm, batch, "gap_mm"))

        def one(example):
            target, previous, following, position, gap_mm = example
            stack = self._shown(tf.stack([previous, following]))
            scale = self._scale(stack)
            target = self._shown(target)
            return self._log_prob(target, stack, scale, position[None], gap_mm[None])

        values = tf.map_fn(
            one,
            (target, previous, next, *numbers),
            fn_output_signature=tf.TensorSpec([None, None], tf.float32),
            parallel_iterations=AT_ONCE,
        )
        return {"log_prob": values}

    # A function of its own, so that `serve` and `fill` share one graph of the sampler.
    @tf.function(autograph=False, input_signature=[SLICES, POSITIONS, NUMBER, INTEGER, NUMBER])
    def _fill(self, acquired, positions, gap_mm, seed, temperature):
        is_finite = tf.math.is_finite
        acquired = require(acquired, is_finite(acquired), "slices must have finite values only")
        gap_mm = require(gap_mm, (gap_mm > 0) & is_finite(gap_mm), "gap_mm must be above 0")
        seed = require(seed, seed >= 0, "seed must be 0 or more")
        temperature = require(
            temperature,
            (temperature >= 0) & (temperature < math.inf),
            "temperature must be 0 or more",
        )
        padding = self._is_padding(acquired)
        stack = self._shown(acquired)
        scale = self._scale(stack)
        before = tf.cast(positions, tf.int32)
        weights = tf.cast(positions - tf.cast(before, tf.float64), tf.float32)
        places = tf.cast(tf.round(positions * PLACES), tf.int64)
        images, deviations = self._draw(
            stack, scale, before, weights, places, gap_mm, seed, temperature
        )

        def finish(drawn):
            image, i, weight = drawn
            image = restore_excess(image, stack[i], stack[i + 1], weight, scale)
            return tf.where(padding[i] & padding[i + 1], acquired[i], image)

        finished = tf.map_fn(finish, (images, before, weights), fn_output_signature=tf.float32)
        shape = [tf.size(positions), tf.shape(acquired)[1], tf.shape(acquired)[2]]
        return tf.reshape(finished, shape), tf.reshape(deviations, shape)

    def _is_padding(self, slices):
        kind = self.rule.kind
        return slices < kind.air if kind.absolute else tf.zeros_like(slices, tf.bool)

    def _shown(self, slices):
        """Slices as an interpolator is shown them: padding is air."""
        return tf.where(self._is_padding(slices), self.rule.kind.air, slices)

    def _scale(self, slices) -> GraphScale:
        last = tf.convert_to_tensor(self.last_level)
        if self.rule.kind.absolute:
            return GraphScale(tf.convert_to_tensor(self.low), tf.convert_to_tensor(self.high), last)
        return GraphScale(*robust_range(slices), last)

    def _draw(self, stack, scale, before, weights, places, gap_mm, seed, temperature):
        """Slices and standard deviations `(m, rows, cols)`, before the excess is restored."""
        raise NotImplementedError

    def _log_prob(self, target, stack, scale, position, gap_mm):
        raise NotImplementedError


class ServedPixelMiner(ServedModel):
    """Signatures of a PixelMiner.

    The standard deviation is of the mixture that a pixel was drawn from, which is given the pixels
    drawn before it, at temperature 1.
    """

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        self.net: PixelMiner = bundle.nets["pixelminer"]

    def _draw(self, stack, scale, before, weights, places, gap_mm, seed, temperature):
        levels = scale.quantise(stack)
        rows, cols = tf.shape(levels)[1], tf.shape(levels)[2]
        first, size = occupied(levels)
        inside = levels[:, first[0] : first[0] + size[0], first[1] : first[1] + size[1]]
        around = [
            [first[0], rows - first[0] - size[0]],
            [first[1], cols - first[1] - size[1]],
        ]

        def one(slice_):
            i, weight, place = slice_
            numbers = uniforms(seed, place[None], (rows, cols, 2))
            numbers = numbers[:, first[0] : first[0] + size[0], first[1] : first[1] + size[1]]
            drawn, deviations = tf.cond(
                tf.reduce_all(size > 0),
                lambda: self._box(inside, i, weight[None], gap_mm[None], numbers, temperature),
                lambda: (tf.zeros(size, tf.int32), tf.zeros(size)),
            )
            image = scale.dequantise(tf.pad(drawn, around))
            return image, tf.pad(deviations, around) * tf.cast(scale.step, tf.float32)

        return tf.map_fn(
            one,
            (before, weights, places),
            fn_output_signature=(tf.float32, tf.float32),
            parallel_iterations=AT_ONCE,
        )

    def _box(self, levels, before, position, gap_mm, numbers, temperature):
        """Levels and standard deviations `(h, w)` of one slice within the box."""
        net = self.net
        inputs = self._inputs(levels, before, position, gap_mm)
        if net.autoregressive:
            known = net.condition(inputs)
            draw = _mixture_draw(net.levels, net.center, temperature)
            drawn, params = WavefrontSampler(net, draw).with_outputs(known, numbers)
            center = net.center(known)
        else:
            _, params, center = net.read(inputs)
            draw = _mixture_draw(net.levels, lambda linear: linear[..., 0], temperature)
            drawn = draw(params, numbers, center[..., None])

        def deviation(row):
            return tf.sqrt(logistic_mixture.variance(row[0], levels=net.levels, center=row[1]))

        deviations = tf.map_fn(  # by rows, as the quadrature takes much memory
            deviation, (params[0], center[0]), fn_output_signature=tf.float32
        )
        return drawn[0], deviations

    def _inputs(self, levels, before, position, gap_mm):
        """Of the net, for one slice behind slice `before` of `levels` `(n, h, w)`."""
        count, context = tf.shape(levels)[0], self.net.context
        indices = before + tf.range(2 * context) - context + 1
        present = (indices >= 0) & (indices < count)
        acquired = tf.gather(levels, tf.clip_by_value(indices, 0, count - 1))
        return {
            "context": tf.transpose(acquired, (1, 2, 0))[None],
            "present": tf.cast(present, tf.float32)[None],
            "position": position,
            "gap_mm": gap_mm,
        }

    def _log_prob(self, target, stack, scale, position, gap_mm):
        levels = scale.quantise(target)[None]
        inputs = self._inputs(scale.quantise(stack), 0, position, gap_mm)
        outputs = self.net(inputs | {"target": levels})
        params, center = (
            ("mixture", "center") if self.net.autoregressive else ("prediction", "linear")
        )
        return logistic_mixture.log_prob(
            outputs[params], levels, levels=self.net.levels, center=outputs[center]
        )[0]


def _mixture_draw(levels: int, center, temperature: tf.Tensor):
    """`sampling.draw.logistic_mixture_draw` at a temperature that only the request knows."""

    def draw(params, uniform, conditioning):
        params = logistic_mixture.temper(params, tf.maximum(temperature, LOWEST_TEMPERATURE))
        uniform = tf.where(temperature > 0, uniform, 0.5)
        return logistic_mixture.sample(params, uniform, levels=levels, center=center(conditioning))

    return draw
