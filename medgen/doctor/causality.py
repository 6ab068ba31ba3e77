"""What a net's outputs at one place depend on, by gradients and by changing an input.

A gradient of exactly 0 says that a place is not looked at; where padding, strides or a slip in the
code have broken the order, or left a blind spot, it shows at once. All of it wants float64, where
places that are far but seen do not vanish (`in_double`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from medgen.backends import Tensor
from medgen.backends import gradients as gradients_of
from medgen.doctor.findings import Inputs

Place = tuple[int, int]


def in_double(net: keras.Model) -> keras.Model:
    """The same net with the same weights, computed in float64."""
    double = type(net)(**net.get_config(), dtype="float64")
    double.build()
    for ours, theirs in zip(double.weights, net.weights, strict=True):
        ours.assign(np.asarray(keras.ops.convert_to_numpy(theirs), ours.dtype))
    return double


def gradients(
    net: keras.Model,
    known: Tensor,
    values: np.ndarray,
    places: Sequence[Place],
    directions: np.ndarray,
    training: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of a net's output at each place, along each direction.

    The outputs are looked at in copies of one image, so that one pass gives all gradients; a last
    copy, which nothing is asked of, gets the gradient that leaks from image to image.

    Args:
        net: with `embed(values, conditioning)`, `stack(embedded, conditioning, training)` and
            `head(features, conditioning)`, in float64.
        known: conditioning of one image, `(1, h, w, s)`.
        values: of that image, `(1, h, w)`.
        places: rows and columns.
        directions: `(n, p)`, in the space of the net's `p` outputs; the identity for each alone.
        training: whether units are dropped.

    Returns:
        With respect to the embedded values, `(len(places), n, h, w, c)`; to the conditioning,
        `(len(places), n, h, w, s)`; and to the embedded values of the last copy, `(h, w, c)`.
    """
    count = len(places) * len(directions)
    known = ops.repeat(known, count + 1, axis=0)
    embedded = net.embed(np.repeat(values, count + 1, axis=0), known)
    # Of each copy the sum of its outputs at its place, along its direction.
    weights = np.zeros((count + 1, *values.shape[1:], directions.shape[-1]))
    for i, place in enumerate(places):
        for j, direction in enumerate(directions):
            weights[i * len(directions) + j, *place] = direction

    def asked(embedded: Tensor, known: Tensor) -> Tensor:
        outputs = net.head(net.stack(embedded, known, training=training), known)
        return ops.sum(outputs * ops.convert_to_tensor(weights, outputs.dtype))

    by_value, by_known = map(ops.convert_to_numpy, gradients_of(asked, [embedded, known]))
    shape = (len(places), len(directions))
    return (
        by_value[:-1].reshape(*shape, *by_value.shape[1:]),
        by_known[:-1].reshape(*shape, *by_known.shape[1:]),
        by_value[-1],
    )


def earlier(shape: tuple[int, int], place: Place) -> np.ndarray:
    """Bool `shape`: which places come before `place` in raster order."""
    return np.arange(np.prod(shape)).reshape(shape) < place[0] * shape[1] + place[1]


def near(shape: tuple[int, int], place: Place, field: tuple[int, int]) -> np.ndarray:
    """Bool `shape`: which places are at most `field` rows and columns from `place`."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (abs(rows - place[0]) <= field[0]) & (abs(columns - place[1]) <= field[1])


def reach(where: np.ndarray, place: Place) -> tuple[int, int, int, int]:
    """How far `where` (bool) extends from `place`: up, down, left and right; 0 if it does not."""
    rows, columns = np.nonzero(where)
    if not rows.size:
        return 0, 0, 0, 0
    distances = (
        place[0] - rows.min(), rows.max() - place[0],
        place[1] - columns.min(), columns.max() - place[1],
    )  # fmt: skip
    up, down, left, right = (max(0, int(distance)) for distance in distances)
    return up, down, left, right


def changed_by(
    keys: Sequence[str], read: Callable[[Inputs], Tensor], inputs: Inputs, place: Place
) -> np.ndarray:
    """Where `read(inputs)` changes when some of its maps do at one place.

    Args:
        keys: of the maps `(1, h, w)` or `(1, h, w, n)`, positive levels or codes.
        read: from inputs to `(1, h, w, c)`.
        inputs: of a net, for one image.
        place: row and column.

    Returns:
        Bool `(h, w)`.
    """
    other = {key: np.array(values) for key, values in inputs.items()}
    for key in keys:
        value = other[key][:, *place]
        other[key][:, *place] = np.where(value > 0, value - 1, value + 1)  # stays on the scale
    before, after = (ops.convert_to_numpy(read(given)) for given in (inputs, other))
    return np.abs(after - before).max((0, -1)) > 0
