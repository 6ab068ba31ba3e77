"""From a net's output at one position to a value, given a uniform number."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from medgen.errors import MedgenError
from medgen.likelihoods import categorical, logistic_mixture

Draw = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

# Stands for a temperature of 0 where it divides.
LOWEST_TEMPERATURE = 1e-6


def categorical_draw(
    temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Draw:
    """Draws a code by inverting the cumulative distribution of the softmax.

    Args:
        temperature: divides the logits; 0 takes the most likely code.
        top_k: only the k most likely codes.
        top_p: only the most likely codes that together reach this probability (nucleus sampling,
            Holtzman et al. 2020).

    Returns:
        Function of logits `(b, k)`, uniforms `(b, 1)` and conditioning to codes `(b,)` int32.

    Raises:
        MedgenError: a value out of range.

    References:
        Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR 2020.
    """
    if temperature < 0:
        raise MedgenError(f"The temperature must be 0 or more, got {temperature}.")
    if top_k is not None and top_k < 1:
        raise MedgenError(f"top-k must be at least 1, got {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise MedgenError(f"top-p must be above 0 and at most 1, got {top_p}.")

    def draw(logits: tf.Tensor, uniform: tf.Tensor, conditioning: tf.Tensor) -> tf.Tensor:
        if temperature == 0:
            return tf.argmax(logits, axis=-1, output_type=tf.int32)
        logits = logits / temperature
        if top_k is not None and top_k < logits.shape[-1]:
            logits = _at_least(logits, tf.math.top_k(logits, top_k).values[:, -1:])
        if top_p is not None:
            logits = _at_least(logits, _nucleus_edge(logits, top_p))
        return categorical.sample(logits, uniform[:, 0])

    return draw


def logistic_mixture_draw(
    levels: int, center: Callable[[tf.Tensor], tf.Tensor], temperature: float = 1.0
) -> Draw:
    """Draws a grey level from a discretised mixture of logistics.

    Args:
        levels: number of levels.
        center: from conditioning `(b, s)` to what the means are relative to, `(b,)` in levels.
        temperature: see `logistic_mixture.temper`; 0 takes the location of the likeliest component.

    Returns:
        Function of parameters `(b, 3k)`, uniforms `(b, 2)` and conditioning to levels `(b,)` int32.

    Raises:
        MedgenError: a negative temperature.
    """
    if temperature < 0:
        raise MedgenError(f"The temperature must be 0 or more, got {temperature}.")

    def draw(params: tf.Tensor, uniform: tf.Tensor, conditioning: tf.Tensor) -> tf.Tensor:
        if temperature != 1:
            params = logistic_mixture.temper(params, max(temperature, LOWEST_TEMPERATURE))
        if temperature == 0:
            uniform = tf.fill(tf.shape(uniform), 0.5)  # the middle of the component
        return logistic_mixture.sample(params, uniform, levels=levels, center=center(conditioning))

    return draw


def _at_least(logits: tf.Tensor, smallest: tf.Tensor) -> tf.Tensor:
    """Exclude codes of lower logits than `smallest` `(b, 1)`."""
    return tf.where(logits < smallest, tf.constant(float("-inf"), logits.dtype), logits)


def _nucleus_edge(logits: tf.Tensor, top_p: float) -> tf.Tensor:
    """Lowest logit `(b, 1)` among the most likely codes that together reach `top_p`."""
    ordered = tf.sort(logits, axis=-1, direction="DESCENDING")
    before = tf.cumsum(tf.nn.softmax(ordered), axis=-1, exclusive=True)
    inside = tf.where(before < top_p, ordered, ordered[:, :1])
    return tf.reduce_min(inside, axis=-1, keepdims=True)


def keep_known(draw: Draw) -> Draw:
    """Draws like `draw`, but leaves known values as they are, whatever the sampler.

    Returns:
        Function of outputs `(b, p)`, numbers `(b, m + 1)` and conditioning `(b, s)` to values
        `(b,)`: the last number is the known value, or below 0 where one is to be drawn from the
        others.
    """

    def kept(outputs: tf.Tensor, numbers: tf.Tensor, conditioning: tf.Tensor) -> tf.Tensor:
        value, known = draw(outputs, numbers[..., :-1], conditioning), numbers[..., -1]
        return tf.where(known < 0, value, tf.cast(known, value.dtype))

    return kept
