"""Signatures of a two-stage model."""

from __future__ import annotations

import math

import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.families.vqvae.serve import CODES_OF_ONE, ServedCodes
from medgen.likelihoods import categorical
from medgen.sampling.cached import CachedSampler
from medgen.serving.graph import uniforms
from medgen.serving.signatures import AT_ONCE, IMAGE

# Standard deviation of a logistic distribution of scale 1.
LOGISTIC_DEVIATION = math.pi / math.sqrt(3)


class ServedTwoStage(ServedCodes):
    """Signatures of a two-stage model.

    The standard deviation is that of the decoder's likelihood, which is one number for all pixels.
    What the choice of codes adds to it shows in answers to several seeds.
    """

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        self.prior = bundle.nets["prior"]
        self.sampler = CachedSampler(self.prior, draw_code)
        width = self.prior.config["conditioner_filters"]
        conditioning = tf.TensorSpec([None, None, width], self.prior.compute_dtype)
        self.preparation = conditioning, tf.TensorSpec([None, None, 2], tf.float32)

    def signatures(self):
        """By name, functions with an input signature."""
        codes = {"encode": self.encode, "decode": self.decode}
        return {**super(ServedCodes, self).signatures(), **codes}

    def _seen(self, shown, scale):
        """Codes of the slices."""
        return tf.map_fn(
            lambda image: self._encode(image, scale), shown, fn_output_signature=CODES_OF_ONE
        )

    def _prepared(self, acquired, wanted):
        codes, before = acquired.seen, wanted.before
        conditioning = self.prior.condition(
            {
                "previous": codes[before][None],
                "next": codes[before + 1][None],
                "position": wanted.weight[None],
                "gap_mm": wanted.gap_mm[None],
            }
        )
        h, w = tf.unstack(tf.shape(codes)[1:])
        numbers = uniforms(wanted.seed, wanted.place[None], (h, w, 1))[0]
        return conditioning[0], tf.concat([numbers, tf.fill([h, w, 1], wanted.temperature)], -1)

    def _draw(self, prepared, scale, size):
        # With a spare one behind: products of a single row would round otherwise.
        spare = [[0, 1], [0, 0], [0, 0], [0, 0]]
        codes = self.sampler(*(tf.pad(maps, spare) for maps in prepared))[:-1]

        def decoded(codes):
            return self.vqvae.decode(codes[None])[0, : size[0], : size[1], 0]

        units = tf.map_fn(decoded, codes, fn_output_signature=IMAGE, parallel_iterations=AT_ONCE)
        images = scale.from_unit(units)
        log_scale = tf.cast(self.vqvae.log_scale.value, tf.float32)
        deviation = LOGISTIC_DEVIATION * tf.exp(log_scale)
        width = tf.cast(scale.high - scale.low, tf.float32)
        return images, tf.broadcast_to(deviation * width, tf.shape(images))

    def _log_prob(self, target, acquired, position, gap_mm):
        codes = self._encode(target, acquired.scale)[None]
        previous, following = acquired.seen[:1], acquired.seen[1:]
        place = {"position": position[None], "gap_mm": gap_mm[None]}
        logits = self.prior({"codes": codes, "previous": previous, "next": following} | place)
        return tf.cast(categorical.log_prob(logits, codes)[0], tf.float32)


def draw_code(logits, numbers, conditioning):
    """`sampling.draw.categorical_draw` at a temperature that is the last of the numbers."""
    uniform, temperature = numbers[:, 0], numbers[:, 1]
    likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)
    temperature = tf.cast(temperature, logits.dtype)
    cooled = logits * (1.0 / tf.where(temperature > 0, temperature, 1.0))[:, None]
    return tf.where(temperature > 0, categorical.sample(cooled, uniform), likeliest)
