"""Signatures of a conditional two-stage model."""

from __future__ import annotations

import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.families.pixelminer.serve import ServedPixelMiner, filled_up
from medgen.families.two_stage.serve import draw_code
from medgen.likelihoods import categorical
from medgen.nets.conditional_vqvae import COMPRESSION
from medgen.sampling.cached import CachedSampler
from medgen.serving.graph import uniforms
from medgen.serving.signatures import IMAGE, ServedModel, Wanted


class ServedConditional(ServedPixelMiner):
    """Signatures of a conditional two-stage model.

    The standard deviation is that of the prediction, given the acquired slices alone.
    """

    def __init__(self, bundle: Bundle):
        ServedModel.__init__(self, bundle)
        self.vqvae, self.prior = bundle.nets["vqvae"], bundle.nets["prior"]
        self.net = self.vqvae.predictor
        self.codes = CachedSampler(self.prior, draw_code)
        config, dtype = self.vqvae.config, self.vqvae.compute_dtype
        known = tf.TensorSpec([None, None, config["conditioner_filters"] + 2], dtype)
        prediction = tf.TensorSpec([None, None, 3 * config["prediction_mixtures"] + 1], dtype)
        width = self.prior.config["conditioner_filters"]
        conditioning = tf.TensorSpec([None, None, width], dtype)
        numbers = tf.TensorSpec([None, None, 2], tf.float32)
        corner = tf.TensorSpec([2], tf.int32)
        self.preparation = (known, prediction, conditioning, numbers, corner, corner)

    def _prepared(self, acquired, wanted):
        first, size = acquired.seen
        end = first + tf.maximum(size, 1)  # a net reads at least one pixel
        window = slice(first[0], end[0]), slice(first[1], end[1])
        shape = tf.shape(acquired.shown)[1:]
        features, params, linear = self.net.read(self._inputs(acquired, wanted, window))
        known = self.net.conditioning(features, params, linear)
        conditioning = self._conditioning(known, wanted.weight, wanted.gap_mm)[0]
        numbers = uniforms(wanted.seed, wanted.place[None], (shape[0], shape[1], 2))[0][window]
        numbers = numbers[::COMPRESSION, ::COMPRESSION, :1]
        numbers = tf.concat([numbers, tf.fill(tf.shape(numbers), wanted.temperature)], axis=-1)
        prediction = tf.concat([params, linear[..., None]], axis=-1)[0]
        coded = -(-shape // COMPRESSION)
        return (
            *(filled_up(maps, shape) for maps in (known[0], prediction)),
            *(filled_up(maps, coded) for maps in (conditioning, numbers)),
            first,
            size,
        )

    def _conditioning(self, known, position, gap_mm):
        """Of the prior, for one slice."""
        place = {"position": position[None], "gap_mm": gap_mm[None]}
        return self.prior.condition({"surroundings": self.vqvae.surroundings(known)[-1], **place})

    def _draw(self, prepared, scale, size):
        def one(example):
            known, prediction, conditioning, numbers, first, inside = example
            pixels = tf.maximum(inside, 1)
            known, prediction = (x[: pixels[0], : pixels[1]][None] for x in (known, prediction))
            codes = -(-pixels // COMPRESSION)
            drawn_from = (x[: codes[0], : codes[1]][None] for x in (conditioning, numbers))
            levels = self._slice(known, *drawn_from)
            deviations = self._deviations(prediction[..., :-1], prediction[..., -1])
            around = tf.stack([first, size - first - inside], axis=1)
            return [
                tf.pad(tf.cast(x[0, : inside[0], : inside[1]], tf.float32), around)
                for x in (levels, deviations)
            ]

        # One by one, as codes beside a box would count in it.
        levels, deviations = tf.map_fn(
            one, prepared, fn_output_signature=[IMAGE, IMAGE], parallel_iterations=1
        )
        return scale.dequantise(levels), deviations * tf.cast(scale.step, tf.float32)

    def _slice(self, known, conditioning, numbers):
        """Levels `(1, h, w)`."""
        # With a spare one behind: products of a single row would round otherwise.
        spare = [[0, 1], [0, 0], [0, 0], [0, 0]]
        codes = self.codes(*(tf.pad(maps, spare) for maps in (conditioning, numbers)))[:-1]
        rows, columns = tf.unstack(tf.shape(known)[1:3])
        mixture = self.vqvae.decode(codes, self.vqvae.surroundings(known))
        return self.vqvae.mean(mixture[:, :rows, :columns], known)

    def _log_prob(self, target, acquired, position, gap_mm):
        wanted = Wanted(0, position, None, gap_mm, None, None)
        inputs = self._inputs(acquired, wanted, (slice(None), slice(None)))
        surroundings = self.vqvae.surroundings(self.vqvae.condition(inputs))
        codes = self.vqvae.encode(acquired.scale.quantise(target)[None], surroundings)
        given = {"codes": codes, "surroundings": surroundings[-1]}
        logits = self.prior({**given, "position": position[None], "gap_mm": gap_mm[None]})
        return tf.cast(categorical.log_prob(logits, codes)[0], tf.float32)
