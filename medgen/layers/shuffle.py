"""From channels to finer voxels and back: the shuffle of ESPCN in three dimensions."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("medgen")
class VoxelShuffle(keras.layers.Layer):
    """Spread the channels of every voxel over `factor`³ voxels (depth to space).

    With `r = factor`, output channels `f < F` and phases `0 <= u, v, w < r` along the three axes,

        out[b, r i + u, r j + v, r k + w, f] = in[b, i, j, k, ((u r + v) r + w) F + f],

    which is the periodic shuffling of Shi et al. [1], equation 4, with one axis more. The parts of
    voxel `(i, j, k)` fill its space: centres follow `Geometry.subdivide`.

    Args:
        factor: int >= 1.

    Input shape:
        `(b, d, h, w, factor³ F)`.

    Output shape:
        `(b, factor d, factor h, factor w, F)`.

    References:
        [1] Shi et al., Real-time single image and video super-resolution using an efficient
        sub-pixel convolutional neural network, CVPR 2016.
    """

    def __init__(self, factor: int, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        r = self.factor
        b, d, h, w, channels = ops.shape(x)
        x = ops.reshape(x, (b, d, h, w, r, r, r, channels // r**3))
        x = ops.transpose(x, (0, 1, 4, 2, 5, 3, 6, 7))
        return ops.reshape(x, (b, d * r, h * r, w * r, channels // r**3))

    def inverse(self, y):
        """Gather the `factor`³ parts of every voxel in its channels (space to depth).

        Args:
            y: as the output, sides multiples of `factor`.
        """
        r = self.factor
        b, d, h, w, channels = ops.shape(y)
        y = ops.reshape(y, (b, d // r, r, h // r, r, w // r, r, channels))
        y = ops.transpose(y, (0, 1, 3, 5, 2, 4, 6, 7))
        return ops.reshape(y, (b, d // r, h // r, w // r, channels * r**3))

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("medgen")
class ICNR(keras.initializers.Initializer):
    """Kernels whose shuffled output begins as nearest-neighbour interpolation.

    All `factor`³ phases of a channel get one and the same kernel, so that no checkerboard is there
    to be unlearnt [1].

    Args:
        factor: of the `VoxelShuffle` behind the convolution.
        seed: of the kernels.

    References:
        [1] Aitken et al., Checkerboard artifact free sub-pixel convolution, 2017.
    """

    def __init__(self, factor: int, seed: int = 0):
        self.factor = factor
        self.seed = seed

    def __call__(self, shape, dtype=None, **kwargs):
        phases = self.factor**3
        one = keras.initializers.HeNormal(seed=self.seed)((*shape[:-1], shape[-1] // phases), dtype)
        return ops.tile(one, (*[1] * (len(shape) - 1), phases))

    def get_config(self):
        return {"factor": self.factor, "seed": self.seed}


# How far beyond a voxel its cubic interpolation looks.
CUBIC_REACH = 2


@keras.saving.register_keras_serializable("medgen")
class CubicSubdivision(keras.layers.Layer):
    """Cubic interpolation at the centres of the `factor`³ parts of every voxel.

    Keys's cubic convolution [1] with a = -1/2, which brings back every quadratic, along each axis
    in turn; as one convolution with a fixed kernel and a shuffle. Beyond its ends an image is
    mirrored.

    Args:
        factor: int >= 2.

    Input shape:
        `(b, d, h, w, 1)`, sides at least 2.

    Output shape:
        `(b, factor d, factor h, factor w, 1)`.

    References:
        [1] Keys, Cubic convolution interpolation for digital image processing, 1981, equation 15.
    """

    def __init__(self, factor: int, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.shuffle = VoxelShuffle(factor, dtype=self.dtype_policy)
        lines = np.stack([cubic_weights((u + 0.5) / factor - 0.5) for u in range(factor)])
        kernel = np.einsum("ui,vj,wk->ijkuvw", lines, lines, lines)
        self._kernel = kernel.reshape(*kernel.shape[:3], 1, factor**3)

    def call(self, x):
        sides = [[0, 0], *[[CUBIC_REACH, CUBIC_REACH]] * 3, [0, 0]]
        padded = ops.pad(x, sides, mode="symmetric")
        return self.shuffle(ops.conv(padded, ops.cast(self._kernel, x.dtype), padding="valid"))

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def cubic_weights(position: float) -> np.ndarray:
    """Weights of voxels -2 ... 2 in Keys's interpolation at `position`, -1 < position < 1."""
    x = np.abs(np.arange(-CUBIC_REACH, CUBIC_REACH + 1) - position)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
