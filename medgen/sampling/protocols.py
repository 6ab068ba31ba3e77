"""What samplers ask of a net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from keras import ops

from medgen.backends import Tensor
from medgen.layers.stack import CausalStack

# From outputs `(b, p)`, uniform numbers `(b, m)` and conditioning `(b, s)` to values `(b,)`.
Draw = Callable[[Tensor, Tensor, Tensor], Tensor]


class AutoregressiveNet(Protocol):
    """A net whose output at a position depends on earlier values through a causal stack.

    Attributes:
        stack: its causal part.
    """

    stack: CausalStack

    def embed(self, values: Tensor, conditioning: Tensor) -> Tensor:
        """What the stack is shown of values `(...)`, given conditioning `(..., s)`: `(..., c)`."""

    def head(self, features: Tensor, conditioning: Tensor) -> Tensor:
        """Outputs `(..., p)` that values are drawn from, of the stack's features `(..., f)`."""


def embedded_channels(net: AutoregressiveNet, conditioning: Tensor) -> int:
    """Length of an embedded value, given conditioning of maps `(b, h, w, s)`."""
    value = ops.zeros((1,), "int32")
    return net.embed(value, ops.zeros_like(conditioning[:1, 0, 0])).shape[-1]
