"""Signatures of a VQ-VAE."""

from __future__ import annotations

import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.families.vqvae.codes import codes_of
from medgen.serving.graph import GraphScale, each, require
from medgen.serving.signatures import IMAGE, SLICES, ServedModel

CODES = tf.TensorSpec([None, None, None], tf.int32)
CODES_OF_ONE = tf.TensorSpec([None, None], tf.int32)
SCALES = tf.TensorSpec(None, tf.float64)


class ServedCodes(ServedModel):
    """Signatures of a VQ-VAE: slices to codes and back."""

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        self.vqvae, recipe = bundle.nets["vqvae"], codes_of(bundle).recipe
        self.image_size, self.compression = recipe.image_size, recipe.compression
        # Of a slice whose scale nobody tells: HU in CT, and 0 to 1 where units are the scan's own.
        rule = bundle.rule
        low, high = (rule.low_hu, rule.high_hu) if rule.kind.absolute else (0.0, 1.0)
        low, high = tf.constant(low, tf.float64), tf.constant(high, tf.float64)

        def encode(slices):
            (slices,) = self._alike(slices=slices)

            def one(image):
                image = self._shown(image)
                scale = self._scale(image)
                return self._encode(image, scale), scale.low, scale.high

            signature = (CODES_OF_ONE, tf.float64, tf.float64)
            codes, lows, highs = tf.map_fn(one, slices, fn_output_signature=signature)
            return {"codes": codes, "low": lows, "high": highs}

        def decode(codes, low=low, high=high):
            count = tf.shape(codes)[0]
            known = (codes >= 0) & (codes < self.vqvae.config["num_embeddings"])
            codes = require(codes, known, "codes must be those of the codebook")
            scales = each(low, count, "low"), each(high, count, "high")

            def one(example):
                codes, low, high = example
                scale = GraphScale(low, high, tf.convert_to_tensor(self.last_level))
                return scale.from_unit(self.vqvae.decode(codes[None])[0, :, :, 0])

            return {"slice": tf.map_fn(one, (codes, *scales), fn_output_signature=IMAGE)}

        self.encode = tf.function(encode, autograph=False, input_signature=[SLICES])
        self.decode = tf.function(decode, autograph=False, input_signature=[CODES, SCALES, SCALES])

    def signatures(self):
        """By name, functions with an input signature."""
        return {"serving_default": self.reconstruct, "encode": self.encode, "decode": self.decode}

    def asked(self, signature, shapes):
        """See `ServedModel.asked`."""
        if signature != "decode":
            return super().asked(signature, shapes)
        count, *sides = shapes["codes"]
        return (count, *(side * self.compression for side in sides))

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
