"""From a net's output at one position to a value, given a uniform number."""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from medgen.backends import Tensor
from medgen.errors import MedgenError
from medgen.likelihoods import categorical, logistic_mixture
from medgen.sampling.protocols import Draw

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

    def draw(logits: Tensor, uniform: Tensor, conditioning: Tensor) -> Tensor:
        if temperature == 0:
            return ops.cast(ops.argmax(logits, axis=-1), "int32")
        logits = logits / temperature
        if top_k is not None and top_k < logits.shape[-1]:
            logits = _at_least(logits, ops.top_k(logits, top_k)[0][:, -1:])
        if top_p is not None:
            logits = _at_least(logits, _nucleus_edge(logits, top_p))
        return categorical.sample(logits, uniform[:, 0])

    return draw


def logistic_mixture_draw(
    levels: int, center: Callable[[Tensor], Tensor], temperature: float = 1.0
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

    def draw(params: Tensor, uniform: Tensor, conditioning: Tensor) -> Tensor:
        if temperature != 1:
            params = logistic_mixture.temper(params, max(temperature, LOWEST_TEMPERATURE))
        if temperature == 0:
            uniform = ops.full_like(uniform, 0.5)  # the middle of the component
        return logistic_mixture.sample(params, uniform, levels=levels, center=center(conditioning))

    return draw


def _at_least(logits: Tensor, smallest: Tensor) -> Tensor:
    """Exclude codes of lower logits than `smallest` `(b, 1)`."""
    return ops.where(logits < smallest, float("-inf"), logits)


def _nucleus_edge(logits: Tensor, top_p: float) -> Tensor:
    """Lowest logit `(b, 1)` among the most likely codes that together reach `top_p`."""
    ordered = ops.flip(ops.sort(logits, axis=-1), axis=-1)
    reached = ops.cumsum(ops.softmax(ordered), axis=-1)
    before = ops.pad(reached[:, :-1], [[0, 0], [1, 0]])
    inside = ops.where(before < top_p, ordered, ordered[:, :1])
    return ops.min(inside, axis=-1, keepdims=True)


def keep_known(draw: Draw) -> Draw:
    """Draws like `draw`, but leaves known values as they are, whatever the sampler.

    Returns:
        Function of outputs `(b, p)`, numbers `(b, m + 1)` and conditioning `(b, s)` to values
        `(b,)`: the last number is the known value, or below 0 where one is to be drawn from the
        others.
    """

    def kept(outputs: Tensor, numbers: Tensor, conditioning: Tensor) -> Tensor:
        value, known = draw(outputs, numbers[..., :-1], conditioning), numbers[..., -1]
        return ops.where(known < 0, value, ops.cast(known, value.dtype))

    return kept
