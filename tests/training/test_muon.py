"""Muon moves hidden kernels alike in all directions, and everything else as Adam does."""

import keras
import numpy as np
import pytest
from keras import ops

from medgen.families.conditional.build import conditional_vqvae_from
from medgen.families.conditional.recipe import ConditionalRecipe
from medgen.families.two_stage.build import pixelcnn_from
from medgen.families.two_stage.recipe import PriorRecipe
from medgen.families.vqvae.build import vqvae_from
from medgen.families.vqvae.recipe import VQVAERecipe
from medgen.training.muon import STEP, Muon, moves_by_muon, orthogonal


def a_net() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(16, 3, name="reads"),
            keras.layers.Conv2D(24, 3, name="hidden"),
            keras.layers.Dense(16, name="hidden_dense"),
            keras.layers.Dense(5, name="writes"),
        ]
    )


def gradients_of(net: keras.Model) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=v.shape).astype(np.float32) for v in net.trainable_variables]


def moved(net: keras.Model, optimizer: keras.optimizers.Optimizer, steps: int = 1) -> dict:
    before = {v.path: ops.convert_to_numpy(v).copy() for v in net.trainable_variables}
    given = [ops.convert_to_tensor(g) for g in gradients_of(net)]
    for _ in range(steps):
        optimizer.apply(given, net.trainable_variables)
    return {v.path: ops.convert_to_numpy(v) - before[v.path] for v in net.trainable_variables}


def test_kernels_between_hidden_layers_are_muons():
    chosen = [v.path.split("/")[-2] for v in a_net().trainable_variables if moves_by_muon(v)]
    assert chosen == ["hidden", "hidden_dense"]


def test_codebooks_and_embeddings_are_not():
    """An entry that nobody uses would move as far as any other; none has an optimizer here."""
    conditional = conditional_vqvae_from(ConditionalRecipe(), levels=64)
    plain, prior = vqvae_from(VQVAERecipe()), pixelcnn_from(PriorRecipe(), VQVAERecipe())
    for vqvae in (conditional, plain):
        moved = [variable.path for variable in vqvae.trainable_variables]
        assert not [path for path in moved if "quantizer" in path]
    chosen = [v.path for net in (conditional, plain, prior) for v in net.trainable_variables
              if moves_by_muon(v)]  # fmt: skip
    assert len(chosen) > 40
    assert all(path.endswith("/kernel") for path in chosen)


@pytest.mark.parametrize("shape", [(144, 24), (24, 144), (32, 32)])
def test_a_matrix_keeps_its_directions_and_loses_their_sizes(shape):
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.normal(size=(shape[0], min(shape))))
    right, _ = np.linalg.qr(rng.normal(size=(shape[1], min(shape))))
    sizes = np.geomspace(1, 0.05, min(shape))
    matrix = ((left * sizes) @ right.T).astype(np.float32)
    found = left.T @ ops.convert_to_numpy(orthogonal(ops.convert_to_tensor(matrix))) @ right
    assert np.all((np.diag(found) > 0.6) & (np.diag(found) < 1.3))
    assert np.abs(found - np.diag(np.diag(found))).max() < 1e-3


def test_a_step_is_as_long_in_every_direction_and_as_large_as_told():
    net, rate = a_net(), 0.01
    steps = moved(net, Muon(rate))
    for path in (p for p in steps if "/kernel" in p and "hidden" in p):
        step = steps[path].reshape(-1, steps[path].shape[-1])
        sizes = np.linalg.svd(step, compute_uv=False) / (rate * STEP * max(step.shape) ** 0.5)
        assert 0.6 < sizes.min() < sizes.max() < 1.3
        (gradient,) = (
            g
            for g, v in zip(gradients_of(net), net.trainable_variables, strict=True)
            if v.path == path
        )
        assert np.sum(step * gradient.reshape(step.shape)) < 0


def test_the_rest_moves_as_by_adam():
    ours, adams = moved(a_net(), Muon(0.01), 3), moved(a_net(), keras.optimizers.Adam(0.01), 3)
    for (path, step), other in zip(ours.items(), adams.values(), strict=True):
        if "hidden" in path and path.endswith("kernel"):
            assert np.abs(step - other).max() > 1e-4
        else:
            np.testing.assert_array_equal(step, other)


def test_rows_without_a_gradient_stay():
    kernel = keras.Variable(np.ones((3, 3, 16, 16), np.float32), name="kernel")
    gradient = np.random.default_rng(0).normal(size=kernel.shape).astype(np.float32)
    gradient[2] = 0
    optimizer = Muon(0.01)
    optimizer.apply([ops.convert_to_tensor(gradient)], [kernel])
    values = ops.convert_to_numpy(kernel)
    assert np.all(values[2] == 1)
    assert np.all(values[:2] != 1)


def test_momentum_is_nesterovs():
    kernel = keras.Variable(np.zeros((16, 16), np.float32), name="kernel")
    first, second = np.random.default_rng(0).normal(size=(2, 16, 16)).astype(np.float32)
    optimizer = Muon(1.0)
    optimizer.apply([ops.convert_to_tensor(first)], [kernel])
    before = ops.convert_to_numpy(kernel).copy()
    optimizer.apply([ops.convert_to_tensor(second)], [kernel])
    ahead = second + 0.95 * (second + 0.95 * first)
    expected = -STEP * 4 * ops.convert_to_numpy(orthogonal(ops.convert_to_tensor(ahead)))
    np.testing.assert_allclose(ops.convert_to_numpy(kernel) - before, expected, atol=1e-4)
