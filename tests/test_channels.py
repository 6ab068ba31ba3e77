"""Several values a voxel, from the volume through patches and nets to a bundle."""

from dataclasses import replace

import numpy as np
import pytest

from medgen.bundles.bundle import load_bundle, save_bundle
from medgen.bundles.card import model_card
from medgen.errors import BundleError, GeometryError, TrainingError
from medgen.evaluation.recreate import stack_of as evaluated_stack
from medgen.examples.batches import image_batch
from medgen.examples.stacks import Slab, stack_of
from medgen.families.pixelminer.fit import PixelMinerTask
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.vqvae.codes import codes_of
from medgen.families.vqvae.fit import VQVAETask
from medgen.families.vqvae.recipe import VQVAERecipe
from medgen.intensities.rule import IntensityRule
from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.phantoms.phantom import phantom_volume
from medgen.training.gather import TrainingScans
from medgen.training.session import fit
from medgen.volumes import Volume, write_volume

CHANNELS = ("water", "fat")
RECIPE = VQVAERecipe(
    filters=8,
    residual_blocks=1,
    compression=2,
    num_embeddings=8,
    embedding_dim=4,
    crop=8,
    batch_size=2,
    steps=2,
    validate_every=1,
)


@pytest.fixture(scope="module")
def scan() -> Volume:
    """A head of 16 x 12 x 5 voxels, and half its value beside it as fat."""
    water = phantom_volume("mr", (16, 12, 5), (10.0, 10.0, 24.0), 3)
    array = np.stack([water.array, water.array // 2 + 3], axis=-1)
    return replace(water, array=array, channels=CHANNELS)


@pytest.fixture(scope="module")
def scans(scan) -> TrainingScans:
    stack = stack_of(scan, IntensityRule("mr"), "dixon", None)
    return TrainingScans(IntensityRule("mr"), (Slab(stack, 0, 3),), (Slab(stack, 3, 5),))


def test_a_volume_says_what_its_values_are(scan):
    assert scan.shape == (16, 12, 5)
    assert scan.to_physical().shape == (16, 12, 5, 2)
    water, fat = scan.split_channels()
    assert water.channels == ()
    np.testing.assert_array_equal(fat.array, water.array // 2 + 3)
    assert water.split_channels() == (water,)
    for channels in ((), ("one",), ("red", "green", "blue")):
        with pytest.raises(GeometryError, match=r"must be the geometry's \(16, 12, 5\)"):
            replace(scan, channels=channels)


def test_slices_are_filled_in_channel_by_channel(scan):
    linear, seen = interpolator_named("linear"), []
    finer = interpolate_volume(
        scan, linear, factor=2, progress=lambda done, total: seen.append((done, total))
    )
    assert (finer.shape, finer.channels) == ((16, 12, 9), CHANNELS)
    np.testing.assert_array_equal(finer.array[:, :, ::2], scan.array)
    for own, channel in zip(finer.split_channels(), scan.split_channels(), strict=True):
        alone = interpolate_volume(channel, linear, factor=2)
        np.testing.assert_array_equal(own.array, alone.array)
    assert seen == [(k + 1, 8) for k in range(8)]


def test_channels_have_scales_of_their_own(scan, scans):
    unit = scans.training[0].stack.unit
    assert unit.shape == (5, 16, 12, 2)
    for c, channel in enumerate(scan.split_channels()):
        alone = stack_of(channel, IntensityRule("mr"), "one", None)
        np.testing.assert_array_equal(unit[..., c], alone.unit)


def test_crops_hold_all_channels_of_one_place(scan, scans):
    crops = image_batch(scans.training, crop=8, size=6, seed=1, step=0)
    assert crops.shape == (6, 8, 8, 2)
    water = image_batch(
        [Slab(stack_of(scan.split_channels()[0], IntensityRule("mr"), "one", None), 0, 3)],
        crop=8,
        size=6,
        seed=1,
        step=0,
    )
    # Whether a crop is passed over as flat may differ; most are the same place.
    same = [np.array_equal(crops[i, ..., 0], water[i, ..., 0]) for i in range(6)]
    assert sum(same) >= 4


def test_a_net_of_two_channels_is_trained_kept_and_read(scan, scans, tmp_path):
    bundle = fit(VQVAETask(scans, RECIPE), tmp_path / "run")
    assert bundle.recipes["vqvae"].channels == 2
    save_bundle(bundle, tmp_path / "dixon", model_card(bundle, "medgen train-vqvae", []))
    read = load_bundle(tmp_path / "dixon")
    image = scans.validation[0].stack.unit[4]
    codes = codes_of(read).encode_slice(image)
    assert codes.shape == (8, 6)
    np.testing.assert_array_equal(codes, codes_of(bundle).encode_slice(image))
    back = codes_of(read).decode_slice(codes, image.shape)
    assert back.shape == (16, 12, 2)
    assert (back[..., 0] != back[..., 1]).any()
    with pytest.raises(BundleError, match="several channels and cannot be exported"):
        read.family.served(read)


def test_what_takes_one_value_a_voxel_says_so(scan, scans, tmp_path):
    with pytest.raises(GeometryError, match=r"A file takes one value .* has 2 \(water, fat\)"):
        write_volume(scan, tmp_path / "scan.nii")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(GeometryError, match="An evaluation takes one value"):
        evaluated_stack(scan, 2)
    with pytest.raises(TrainingError, match=r"A PixelMiner is trained on one value a voxel, got 2"):
        PixelMinerTask(scans, PIXELMINER_RECIPES["small"], 0)
