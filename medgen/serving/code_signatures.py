"""Signatures of models with codes: a VQ-VAE, alone or with its prior."""

from __future__ import annotations

import math

import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.likelihoods import categorical
from medgen.sampling.cached import CachedSampler
from medgen.sampling.randomness import uniforms
from medgen.serving.graph import GraphScale, each, require
from medgen.serving.signatures import AT_ONCE, SLICES, ServedModel

CODES = tf.TensorSpec([None, None, None], tf.int32)
SCALES = tf.TensorSpec(None, tf.float64)
# Standard deviation of a logistic distribution of scale 1.
LOGISTIC_DEVIATION = math.pi / math.sqrt(3)


class ServedCodes(ServedModel):
    """Signatures of a VQ-VAE: slices to codes and back."""

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        self.vqvae = bundle.nets["vqvae"]
        self.image_size = bundle.recipes["vqvae"].image_size
        # Of a slice whose scale nobody tells: HU in CT, and 0 to 1 where units are the scan's own.
        rule = bundle.rule
        low, high = (rule.low_hu, rule.high_hu) if rule.kind.absolute else (0.0, 1.0)
        low, high = tf.constant(low, tf.float64), tf.constant(high, tf.float64)

        def encode(slices):
            slices = require(
                slices, tf.math.is_finite(slices), "slices must have finite values only"
            )
            slices = self._of_my_size(slices)

            def one(image):
                image = self._shown(image)
                scale = self._scale(image)
                return self._encode(image, scale), scale.low, scale.high

            signature = (tf.TensorSpec([None, None], tf.int32), tf.float64, tf.float64)
            codes, lows, highs = tf.map_fn(one, slices, fn_output_signature=signature)
            return {"codes": codes, "low": lows, "high": highs}

        def decode(codes, low=low, high=high):
            count = tf.shape(codes)[0]
            known = (codes >= 0) & (codes < self.vqvae.config["num_embeddings"])
            codes = require(codes, known, "codes must be those of the codebook")
            scales = each(low, count, "low"), each(high, count, "high")

            def one(example):
                codes, *scale = example
                scale = GraphScale(*scale, tf.convert_to_tensor(self.last_level))
                return scale.from_unit(self.vqvae.decode(codes[None])[0, :, :, 0])

            signature = tf.TensorSpec([None, None], tf.float32)
            return {"slice": tf.map_fn(one, (codes, *scales), fn_output_signature=signature)}

        self.encode = tf.function(encode, autograph=False, input_signature=[SLICES])
        self.decode = tf.function(decode, autograph=False, input_signature=[CODES, SCALES, SCALES])

    def signatures(self):
        """By name, functions with an input signature."""
        return {"serving_default": self.reconstruct, "encode": self.encode, "decode": self.decode}

    @tf.function(autograph=False, input_signature=[SLICES])
    def reconstruct(self, slices):
        """What the codes keep of `slices` `(b, rows, cols)`, in the same units."""
        encoded = self.encode(slices)
        shape = tf.shape(slices)
        decoded = self.decode(encoded["codes"], encoded["low"], encoded["high"])["slice"]
        return {"slice": tf.ensure_shape(decoded[:, : shape[1], : shape[2]], [None, None, None])}

    def _encode(self, image, scale):
        """Codes `(h, w)` of a slice."""
        return self.vqvae.encode(scale.to_unit(image)[None, ..., None])[0]

    def _of_my_size(self, slices):
        size = self.image_size
        if size is None:
            return slices
        return require(
            slices,
            tf.shape(slices)[1:] == size,
            f"this model works on slices of {size} x {size} pixels only",
        )


class ServedTwoStage(ServedCodes):
    """Signatures of a two-stage model.

    The standard deviation is that of the decoder's likelihood, which is one number for all pixels.
    What the choice of codes adds to it shows in answers to several seeds.
    """

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        self.prior = bundle.nets["prior"]

    def signatures(self):
        """By name, functions with an input signature."""
        codes = {"encode": self.encode, "decode": self.decode}
        return {**super(ServedCodes, self).signatures(), **codes}

    def _draw(self, stack, scale, before, weights, places, gap_mm, seed, temperature):
        stack = self._of_my_size(stack)
        codes = tf.map_fn(
            lambda image: self._encode(image, scale),
            stack,
            fn_output_signature=tf.TensorSpec([None, None], tf.int32),
        )

        def condition(slice_):
            i, weight = slice_
            neighbours = {"previous": codes[i][None], "next": codes[i + 1][None]}
            place = {"position": weight[None], "gap_mm": gap_mm[None]}
            return self.prior.condition(neighbours | place)[0]

        width = self.prior.config["conditioner_filters"]
        conditioning = tf.map_fn(
            condition,
            (before, weights),
            fn_output_signature=tf.TensorSpec([None, None, width], tf.float32),
            parallel_iterations=AT_ONCE,
        )
        shape = tf.shape(codes)
        numbers = uniforms(seed, places, (shape[1], shape[2], 1))
        drawn = CachedSampler(self.prior, _code_draw(temperature))(conditioning, numbers)

        def decode(codes):
            unit = self.vqvae.decode(codes[None])[0, : tf.shape(stack)[1], : tf.shape(stack)[2], 0]
            return scale.from_unit(unit)

        images = tf.map_fn(
            decode,
            drawn,
            fn_output_signature=tf.TensorSpec([None, None], tf.float32),
            parallel_iterations=AT_ONCE,
        )
        deviation = LOGISTIC_DEVIATION * tf.exp(self.vqvae.log_scale.value)
        return images, tf.fill(
            tf.shape(images), deviation * tf.cast(scale.high - scale.low, tf.float32)
        )

    def _log_prob(self, target, stack, scale, position, gap_mm):
        codes, previous, following = (
            self._encode(image, scale)[None] for image in (target, stack[0], stack[1])
        )
        neighbours = {"codes": codes, "previous": previous, "next": following}
        logits = self.prior(neighbours | {"position": position, "gap_mm": gap_mm})
        return categorical.log_prob(logits, codes)[0]


def _code_draw(temperature: tf.Tensor):
    """`sampling.draw.categorical_draw` at a temperature that only the request knows."""

    def draw(logits, uniform, conditioning):
        likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)
        cooled = logits * (1.0 / tf.where(temperature > 0, temperature, 1.0))
        return tf.where(temperature > 0, categorical.sample(cooled, uniform[:, 0]), likeliest)

    return draw
