"""The voxel shuffle by its formula, its inverse, and cubic interpolation on the shuffled grid."""

import itertools

import keras
import numpy as np
import pytest

from medgen.layers.shuffle import ICNR, CubicSubdivision, VoxelShuffle


@pytest.mark.parametrize(("factor", "features"), [(2, 3), (3, 1), (4, 2)])
def test_channels_go_where_the_formula_says(factor, features):
    r, shape = factor, (2, 3, 2, 4)
    x = np.random.default_rng(0).normal(size=(*shape, r**3 * features)).astype(np.float32)
    layer = VoxelShuffle(r)
    out = keras.ops.convert_to_numpy(layer(x))
    assert out.shape == (2, 3 * r, 2 * r, 4 * r, features)
    for u, v, w, f in itertools.product(range(r), range(r), range(r), range(features)):
        channel = ((u * r + v) * r + w) * features + f
        np.testing.assert_array_equal(out[:, u::r, v::r, w::r, f], x[..., channel])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.inverse(out)), x)


def test_shuffled_kernels_begin_alike_in_all_phases():
    kernel = keras.ops.convert_to_numpy(ICNR(2, seed=1)((3, 3, 3, 4, 16)))
    phases = kernel.reshape(3, 3, 3, 4, 8, 2)
    np.testing.assert_array_equal(phases, phases[..., :1, :].repeat(8, axis=-2))
    assert (phases[..., 0, 0] != phases[..., 0, 1]).all()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_quadratic_comes_back(factor):
    """Keys's interpolation has none of its own error there, and so shows every shift."""

    def image(n, size, start):
        x, y, z = np.meshgrid(*(start + size * np.arange(m) for m in n), indexing="ij")
        return 0.01 * x * x - 0.02 * y * z + 0.3 * z + 0.1 * y - 0.5

    shape = (7, 6, 8)
    coarse = image(shape, 1.0, 0.0).astype(np.float32)
    out = CubicSubdivision(factor)(coarse[None, ..., None])
    fine = image([n * factor for n in shape], 1 / factor, (1 / factor - 1) / 2)
    inner = slice(2 * factor, -2 * factor)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(out)[0, inner, inner, inner, 0],
        fine[inner, inner, inner],
        atol=1e-5,
    )


def test_layers_are_told_by_their_configuration():
    for layer in (VoxelShuffle(3), CubicSubdivision(3)):
        assert type(layer).from_config(layer.get_config()).factor == 3
    assert ICNR(**ICNR(2, seed=5).get_config()).seed == 5
