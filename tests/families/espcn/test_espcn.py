"""The nets and how they are used: cubic at first, tiles without seams, HU beyond the range kept."""

from dataclasses import replace
from functools import cache

import keras
import numpy as np
import pytest

from medgen.bundles.bundle import Bundle, load_bundle, save_bundle
from medgen.bundles.card import model_card
from medgen.bundles.start import take_over
from medgen.degradation import coarsened
from medgen.errors import BundleError, IntensityError, RecipeError, TrainingError
from medgen.examples.stacks import Slab, Stack
from medgen.families.espcn import FAMILY
from medgen.families.espcn.build import espcn_from
from medgen.families.espcn.examples import held_out_patches, patch_batch
from medgen.families.espcn.recipe import ESPCN_RECIPES, ESPCNRecipe
from medgen.families.espcn.refine import ESPCNResolver
from medgen.intensities.rule import IntensityRule
from medgen.layers.shuffle import CubicSubdivision
from medgen.superresolution import superresolve_volume
from medgen.training.muon import moves_by_muon
from medgen.volumes import Geometry, Volume

SMALL = replace(ESPCN_RECIPES["small"], filters=4)
PAPER = replace(ESPCN_RECIPES["espcn-paper"], factor=2)


@cache
def bundle(recipe=SMALL, modality="ct", strength=0.7):
    net = espcn_from(recipe, seed=1)
    if not recipe.published:
        net.strength.assign(strength)
        net.width.assign(2.0)
    return Bundle("espcn", IntensityRule(modality), {"espcn": recipe}, {"espcn": net}, name="tiny")


def scan(shape=(13, 9, 7), low=-700, high=900):
    array = np.random.default_rng(0).integers(low, high, shape).astype(np.int16)
    return Volume(array, Geometry.from_spacing(shape, (1.0, 1.0, 1.0)), modality="ct")


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_an_untrained_net_is_cubic_interpolation(factor):
    net = espcn_from(replace(SMALL, factor=factor))
    coarse = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 5, 4, 6)).astype(np.float32)
    expected = CubicSubdivision(factor)(coarse[..., None])[..., 0]
    np.testing.assert_array_equal(net({"coarse": coarse})["mean"], expected)


@pytest.mark.parametrize("recipe", [SMALL, PAPER], ids=["small", "paper"])
def test_tiles_are_the_whole(recipe):
    volume, model = scan(), bundle(recipe)
    tiled, whole = (
        superresolve_volume(volume, ESPCNResolver(model, side), 2).volume.array for side in (4, 64)
    )
    # Rounded to whole HU, of which float32 may tip one over.
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    assert np.mean(tiled != whole) < 0.001


def test_without_overlap_tiles_would_show(monkeypatch):
    """So the test above can fail."""
    volume, model = scan(), bundle()
    whole = superresolve_volume(volume, ESPCNResolver(model, 64), 2).volume.array
    monkeypatch.setattr(model.nets["espcn"], "reach", 1)
    tiled = superresolve_volume(volume, ESPCNResolver(model, 4), 2).volume.array
    assert np.mean(tiled != whole) > 0.1


def test_values_beyond_the_range_of_the_model_are_kept():
    array = np.full((9, 8, 7), 40, np.int16)
    array[3:7, 3:6, 2:5] = 2900  # metal
    volume = replace(scan(), array=array, geometry=Geometry.from_spacing(array.shape, (1, 1, 1)))
    made = superresolve_volume(volume, ESPCNResolver(bundle(strength=0.0)), 2).volume.array
    assert abs(int(made[9, 8, 6]) - 2900) < 150
    assert abs(int(made[0, 0, 0]) - 40) <= 1


def test_an_interval_is_as_wide_as_was_measured():
    refined = superresolve_volume(scan(), ESPCNResolver(bundle()), 2, uncertainty=True)
    std, low, high = (refined.uncertainty[name].array for name in ("std", "low", "high"))
    np.testing.assert_allclose(high - low, 4 * std, rtol=1e-3)
    assert std.min() > 0
    middle = (low + high) / 2
    np.testing.assert_allclose(middle, refined.volume.array, atol=0.51)


def test_what_is_refused():
    with pytest.raises(BundleError, match="tiny cannot tell the uncertainty"):
        superresolve_volume(scan(), ESPCNResolver(bundle(PAPER)), 2, uncertainty=True)
    with pytest.raises(IntensityError, match="trained on MR and the scan looks like CT"):
        superresolve_volume(scan(), ESPCNResolver(bundle(modality="mr")), 2)
    with pytest.raises(BundleError, match="is a 3D-ESPCN and cannot fill in slices"):
        FAMILY.interpolator(bundle())
    wrongs = ({"factor": 5}, {"degradation": "mean+box"}, {"patch": 1}, {"gain": 1.0})
    for wrong in (*wrongs, {"degradation": ""}, {"optimizer": "sgd"}):
        with pytest.raises(RecipeError, match=next(iter(wrong))):
            ESPCNRecipe(**wrong)


@pytest.mark.parametrize("recipe", [SMALL, PAPER], ids=["small", "paper"])
def test_a_bundle_comes_back(recipe, tmp_path):
    model = bundle(recipe)
    save_bundle(model, tmp_path / "tiny", model_card(model, "medgen train-espcn", []))
    loaded = load_bundle(tmp_path / "tiny")
    ours, theirs = (
        superresolve_volume(scan(), FAMILY.superresolver(one), 2).volume.array
        for one in (model, loaded)
    )
    np.testing.assert_array_equal(ours, theirs)
    card = (tmp_path / "tiny" / "README.md").read_text()
    assert "estimates by a model" in card
    assert "degradation mean" in card
    assert "Synthetic slices" not in card


def test_a_net_begins_with_the_weights_of_another():
    net = espcn_from(SMALL, seed=5)
    take_over(net, bundle(), "espcn")
    for ours, theirs in zip(net.weights, bundle().nets["espcn"].weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for other in (replace(SMALL, factor=3), replace(SMALL, filters=6), PAPER):
        with pytest.raises(TrainingError, match="tiny has weights espcn/"):
            take_over(espcn_from(other), bundle(), "espcn")
    with pytest.raises(TrainingError, match="start from one that train-pixelminer wrote"):
        take_over(net, bundle(), "pixelminer")


def slab(shape=(20, 40, 36), spacing=(3.0, 1.0, 1.0)):
    unit = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
    return Slab(Stack("scan", unit, spacing), 0, shape[0])


@pytest.mark.parametrize("by", ["mean", "gaussian", "kspace"])
def test_pairs_are_patches_and_what_degradation_makes_of_them(by):
    recipe = replace(SMALL, degradation=by, patch=4, batch_size=6, thick=0.0)
    pair = patch_batch([slab()], recipe, gain=0.0, seed=1, step=2)
    assert pair["coarse"].shape == (6, 4, 4, 4)
    assert pair["fine"].shape == (6, 8, 8, 8)
    again = coarsened(pair["fine"], 2, by, axes=(1, 2, 3))
    inner = slice(1, -1)  # where a point spread stays within the patch, and a sinc does not
    ours, theirs = (values[:, inner, inner, inner] for values in (pair["coarse"], again))
    assert np.abs(ours - theirs).max() < (0.13 if by == "kspace" else 1e-6)
    same = patch_batch([slab()], recipe, gain=0.0, seed=1, step=2)
    np.testing.assert_array_equal(same["fine"], pair["fine"])
    other = patch_batch([slab()], recipe, gain=0.0, seed=1, step=3)
    assert (other["fine"] != pair["fine"]).any()


def test_of_several_degradations_each_makes_as_many_pairs():
    recipe = replace(SMALL, degradation="mean+kspace", patch=4, batch_size=6, thick=0.0)
    for pair in (
        patch_batch([slab()], recipe, gain=0.0, seed=1, step=2),
        held_out_patches([slab()], recipe, 6),
    ):
        means = coarsened(pair["fine"], 2, "mean", axes=(1, 2, 3))
        off = np.abs(pair["coarse"] - means).max(axis=(1, 2, 3))
        np.testing.assert_array_equal(off < 1e-6, [True, False] * 3)


def test_a_thin_scan_is_mirrored_and_thick_voxels_are_means():
    recipe = replace(SMALL, patch=16, batch_size=2, thick=1.0)
    pair = patch_batch([slab((20, 40, 36))], recipe, gain=0.0, seed=0, step=0)
    assert pair["fine"].shape == (2, 32, 32, 32)
    recipe = replace(recipe, patch=2, batch_size=8)
    thick = patch_batch([slab()], recipe, gain=0.0, seed=0, step=0)["fine"]
    thin = patch_batch([slab()], replace(recipe, thick=0.0), gain=0.0, seed=0, step=0)["fine"]
    assert thick.std() < 0.75 * thin.std()  # noise that was averaged


def test_blocks_move_by_muon_and_what_writes_the_likelihood_does_not():
    assert ESPCN_RECIPES["default"].optimizer == "muon"
    assert {ESPCN_RECIPES[name].optimizer for name in ("small", "espcn-paper")} == {"adam"}
    net = espcn_from(ESPCNRecipe(factor=4, filters=16, blocks=1))
    chosen = [v.path for v in net.trainable_variables if moves_by_muon(v)]
    assert chosen == [f"espcn/block_0/{name}/kernel" for name in ("first", "second")]


def test_gradients_of_the_mean_are_those_of_the_squared_error():
    """Whatever the scale says of a voxel; and that of the scale is the likelihood's."""
    net = espcn_from(SMALL)
    fine = np.random.default_rng(0).normal(size=(1, 4, 4, 4)).astype(np.float32)
    scale = np.random.default_rng(1).uniform(0.1, 2, fine.shape).astype(np.float32)

    def loss(mean, scale):
        return net.compute_loss(x={"fine": fine}, y_pred={"mean": mean, "scale": scale})

    from medgen.backends import gradients

    zeros = keras.ops.zeros_like(fine)
    by_mean, by_scale = gradients(loss, [zeros, keras.ops.convert_to_tensor(scale)])
    np.testing.assert_allclose(by_mean, -fine / (scale**2).mean() / fine.size, rtol=1e-4)
    expected = (1 / scale - fine**2 / scale**3) / fine.size
    np.testing.assert_allclose(by_scale, expected, rtol=1e-3, atol=1e-5)
