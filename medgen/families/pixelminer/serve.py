"""Signatures of a PixelMiner."""

from __future__ import annotations

import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.likelihoods import logistic_mixture
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.sampling.draw import LOWEST_TEMPERATURE
from medgen.sampling.wavefront import WavefrontSampler
from medgen.serving.graph import occupied, uniforms
from medgen.serving.signatures import IMAGE, ServedModel, Wanted

# Pixels whose standard deviations are computed at a time, as the quadrature takes much memory.
MEASURED_AT_ONCE = 2**11


class ServedPixelMiner(ServedModel):
    """Signatures of a PixelMiner.

    The standard deviation is of the mixture that a pixel was drawn from, which is given the pixels
    drawn before it, at temperature 1.

    Nothing is drawn outside the box that holds all voxels above the lowest level. Boxes lie at the
    top left of what is prepared, so that slices with boxes of several sizes are drawn together.
    """

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        self.net: PixelMinerLean = bundle.nets["pixelminer"]
        config = self.net.config
        if self.net.autoregressive:
            channels = config["conditioner_filters"] + 2
            self.sampler = WavefrontSampler(self.net, _draw(self.net.levels, self.net.center))
        else:
            channels = 3 * config["prediction_mixtures"] + 1
        maps = tf.TensorSpec([None, None, channels], self.net.compute_dtype)
        numbers = tf.TensorSpec([None, None, 3], tf.float32)
        corner = tf.TensorSpec([2], tf.int32)
        self.preparation = (maps, numbers, corner, corner)

    def _seen(self, shown, scale):
        """First row and column, and size, of the box."""
        return occupied(scale.quantise(shown))

    def _prepared(self, acquired, wanted):
        first, size = acquired.seen
        end = first + tf.maximum(size, 1)  # a net reads at least one pixel
        window = slice(first[0], end[0]), slice(first[1], end[1])
        shape = tf.shape(acquired.shown)[1:]
        maps = self._read(self._inputs(acquired, wanted, window))
        numbers = uniforms(wanted.seed, wanted.place[None], (shape[0], shape[1], 2))[0][window]
        temperature = tf.fill([*tf.unstack(tf.shape(numbers)[:2]), 1], wanted.temperature)
        numbers = tf.concat([numbers, temperature], axis=-1)
        return filled_up(maps, shape), filled_up(numbers, shape), first, size

    def _inputs(self, acquired, wanted, window):
        """Of the net, for one slice."""
        count, context = tf.shape(acquired.shown)[0], self.net.context
        indices = wanted.before + tf.range(2 * context) - context + 1
        present = (indices >= 0) & (indices < count)
        around = tf.gather(acquired.shown, tf.clip_by_value(indices, 0, count - 1))
        levels = acquired.scale.quantise(around[:, *window])
        return {
            "context": tf.transpose(levels, (1, 2, 0))[None],
            "present": tf.cast(present, tf.float32)[None],
            "position": wanted.weight[None],
            "gap_mm": wanted.gap_mm[None],
        }

    def _read(self, inputs):
        """Conditioning; or parameters and what they are relative to, if pixels are on their own."""
        if self.net.autoregressive:
            return self.net.condition(inputs)[0]
        _, params, linear = self.net.read(inputs)
        return tf.concat([params, linear[..., None]], axis=-1)[0]

    def _draw(self, prepared, scale, size):
        maps, numbers, firsts, sizes = prepared
        canvas = tf.maximum(tf.reduce_max(sizes, axis=0), 1)
        maps, numbers = (x[:, : canvas[0], : canvas[1]] for x in (maps, numbers))
        if self.net.autoregressive:
            levels, params = self.sampler.with_outputs(maps, numbers, sizes)
            center = self.net.center(maps)
        else:
            params, center = maps[..., :-1], maps[..., -1]
            draw = _draw(self.net.levels, lambda linear: linear[..., 0])
            levels = draw(params, numbers, maps[..., -1:])
        deviations = self._deviations(params, center)

        def placed(example):
            levels, deviations, first, inside = example
            around = tf.stack([first, size - first - inside], axis=1)
            return [tf.pad(x[: inside[0], : inside[1]], around) for x in (levels, deviations)]

        levels, deviations = tf.map_fn(
            placed,
            (levels, deviations, firsts, sizes),
            fn_output_signature=[tf.TensorSpec([None, None], tf.int32), IMAGE],
        )
        return scale.dequantise(levels), deviations * tf.cast(scale.step, tf.float32)

    def _deviations(self, params, center):
        """Standard deviation of each mixture in levels, `(b, h, w)`."""
        shape = tf.shape(center)
        count = tf.reduce_prod(shape)
        parts = -(-count // MEASURED_AT_ONCE)
        missing = parts * MEASURED_AT_ONCE - count
        params = tf.pad(tf.reshape(params, [count, params.shape[-1]]), [[0, missing], [0, 0]])
        center = tf.pad(tf.reshape(center, [count]), [[0, missing]])

        def measured(part):
            params, center = part
            variance = logistic_mixture.variance(params, levels=self.net.levels, center=center)
            return tf.cast(tf.sqrt(variance), tf.float32)

        measured = tf.map_fn(
            measured,
            (
                tf.reshape(params, [parts, MEASURED_AT_ONCE, params.shape[-1]]),
                tf.reshape(center, [parts, MEASURED_AT_ONCE]),
            ),
            fn_output_signature=tf.float32,
        )
        return tf.reshape(tf.reshape(measured, [-1])[:count], shape)

    def _log_prob(self, target, acquired, position, gap_mm):
        levels = acquired.scale.quantise(target)[None]
        wanted = Wanted(0, position, None, gap_mm, None, None)
        inputs = self._inputs(acquired, wanted, (slice(None), slice(None)))
        outputs = self.net(inputs | {"target": levels})
        params, center = (
            ("mixture", "center") if self.net.autoregressive else ("prediction", "linear")
        )
        log_prob = logistic_mixture.log_prob(
            outputs[params], levels, levels=self.net.levels, center=outputs[center]
        )
        return tf.cast(log_prob[0], tf.float32)


def _draw(levels: int, center):
    """`sampling.draw.logistic_mixture_draw` at a temperature that is the last of the numbers."""

    def draw(params, numbers, conditioning):
        uniform, temperature = numbers[..., :-1], numbers[..., -1]
        params = logistic_mixture.temper(params, tf.maximum(temperature, LOWEST_TEMPERATURE))
        uniform = tf.where(temperature[..., None] > 0, uniform, 0.5)
        return logistic_mixture.sample(params, uniform, levels=levels, center=center(conditioning))

    return draw


def filled_up(maps, shape):
    """`(h, w, c)` with zeros below and to the right up to `shape`."""
    missing = shape - tf.shape(maps)[:2]
    return tf.pad(maps, [[0, missing[0]], [0, missing[1]], [0, 0]])
