import numpy as np
import pytest

from medgen.errors import EvaluationError
from medgen.evaluation.regions import body_mask, lung_mask, region_for
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import Geometry, Volume, read_volume

SHAPE, SPACING = (100, 76, 20), (4.0, 4.0, 8.0)


def grid():
    return np.meshgrid(
        *[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(SHAPE, SPACING, strict=True)],
        indexing="ij",
    )


def ball(center, radii):
    return sum(((x - c) / r) ** 2 for x, c, r in zip(grid(), center, radii, strict=True)) < 1


TORSO = ball((0, 0, 0), (160, 110, 1e6))
LUNGS = ball((75, 0, 10), (50, 75, 60)) | ball((-75, 0, 10), (50, 75, 60))
VESSEL = ball((75, 10, 0), (4.5, 4.5, 1e6)) & LUNGS
HEART = ball((0, 10, 10), (20, 50, 50)) & ~LUNGS
GAS = ball((30, -20, -68), (40, 30, 12)) & ~LUNGS
COUCH = np.abs(grid()[1] + 116) < 3


def torso(lungs=True):
    """A chest in HU with a vessel in one lung, gas in the bowel, and a couch that it lies on."""
    hu = np.full(SHAPE, -1000.0)
    hu[TORSO] = 40
    if lungs:
        hu[LUNGS] = -850
        hu[VESSEL] = 60
    hu[HEART] = 60
    hu[GAS] = -990
    hu[COUCH] = 100
    hu += np.random.default_rng(5).normal(0, 15, SHAPE)
    hu[:3, :3] = -3024  # outside of the reconstruction circle
    return Volume(
        np.rint(hu).astype(np.int16), Geometry.from_spacing(SHAPE, SPACING), modality="ct"
    )


def test_lungs_hold_their_vessels_but_not_the_gas_of_the_bowel():
    lungs = lung_mask(torso())
    assert lungs.shape == SHAPE
    assert lungs.dtype == bool
    assert not lungs[~TORSO].any()
    assert not lungs[GAS].any()
    assert lungs[VESSEL].all()
    assert lungs[LUNGS].mean() > 0.995
    assert lungs[~LUNGS].mean() < 0.005


def test_the_body_holds_its_lungs_and_gas_but_not_the_couch():
    body = body_mask(torso())
    assert body[TORSO & ~COUCH].mean() > 0.995
    assert body[LUNGS | GAS].all()
    assert not body[COUCH & ~TORSO].any()
    assert body[~TORSO].mean() < 0.005


def test_a_chest_gets_its_lungs():
    region = region_for(torso())
    assert region.name == "lungs"
    np.testing.assert_array_equal(region.mask, lung_mask(torso()))


def test_an_abdomen_gets_its_body():
    volume = torso(lungs=False)
    region = region_for(volume)
    assert region.name == "body"
    np.testing.assert_array_equal(region.mask, body_mask(volume))


def test_the_rim_of_the_lungs_does_not_make_a_chest():
    low = torso().with_array(
        torso().array[:, :, :5].copy(), Geometry.from_spacing((100, 76, 5), SPACING)
    )
    assert lung_mask(low).any()
    assert region_for(low).name == "body"


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 2, 0), (0, 2, 1)])
def test_the_region_does_not_depend_on_the_order_of_axes(order):
    volume = torso()
    affine = np.array(volume.geometry.affine)[:, [*order, 3]]
    turned = volume.with_array(
        volume.array.transpose(order), Geometry([SHAPE[axis] for axis in order], affine)
    )
    np.testing.assert_array_equal(lung_mask(turned), lung_mask(volume).transpose(order))
    np.testing.assert_array_equal(body_mask(turned), body_mask(volume).transpose(order))


def test_stored_numbers_need_not_be_hu():
    volume = torso()
    shifted = Volume(
        (volume.array.astype(np.int32) + 4000) * 2,
        volume.geometry,
        slope=0.5,
        intercept=-4000,
        modality="ct",
    )
    np.testing.assert_array_equal(region_for(shifted).mask, region_for(volume).mask)


def test_a_head_in_mr_gets_its_body():
    shape, spacing = (60, 72, 12), (3.0, 3.0, 6.0)
    region = region_for(phantom_volume("mr", shape, spacing, seed=2))
    assert region.name == "body"
    # An outline without holes, like the head: filled in the middle, empty in the corners.
    assert region.mask[25:35, 30:42, 6].all()
    assert not region.mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert 0.2 < region.mask.mean() < 0.9


def test_a_phantom_of_the_chest_gets_its_lungs():
    volume = phantom_volume("ct", (96, 72, 10), (4.0, 4.0, 5.0), seed=1)
    region = region_for(volume)
    assert region.name == "lungs"
    assert -900 < np.median(volume.to_physical()[region.mask]) < -700


@pytest.mark.parametrize("modality", ["ct", "mr", "unknown"])
def test_a_scan_of_nothing_is_refused(modality):
    volume = Volume(
        np.full((9, 8, 7), -1000.0),
        Geometry.from_spacing((9, 8, 7), (1.0, 1.0, 1.0)),
        modality=modality,
    )
    with pytest.raises(EvaluationError, match="region of interest is empty"):
        region_for(volume)


def test_a_scan_full_of_body_is_all_body():
    rng = np.random.default_rng(1)
    volume = Volume(
        rng.normal(400, 30, (19, 28, 7)).astype(np.float32),
        Geometry.from_spacing((19, 28, 7), (2.0, 2.0, 3.0)),
        modality="ct",
    )
    assert region_for(volume).mask.all()


def test_voxels_that_are_not_numbers_belong_to_nothing():
    volume = torso()
    array = volume.array.astype(np.float32)
    array[50, 38, 3:5] = np.nan
    body = body_mask(volume.with_array(array, volume.geometry))
    assert body[49, 38, 3]
    with pytest.raises(EvaluationError, match="region of interest is empty"):
        region_for(volume.with_array(np.full(SHAPE, np.nan), volume.geometry))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scan", "name", "litres"),
    [
        ("ct_chest_cmbcrc_01068_lungkernel.nii.gz", "lungs", (4.4, 5.0)),
        ("ct_chest_riderpilot_0117.nii.gz", "lungs", (1.65, 1.85)),
        ("ct_abdomen_acrinflt_001_4p25mm.nii.gz", "body", (11.0, 13.0)),
        ("ct_body_totalseg_example_3mm.nii.gz", "body", (22.0, 26.0)),
        ("mr_t2_niivue_register_2mm.nii.gz", "body", (2.5, 3.0)),
    ],
)
def test_region_of_a_real_scan(shared_data, scan, name, litres):
    volume = read_volume(shared_data / scan)
    region = region_for(volume)
    assert region.name == name
    assert litres[0] < region.mask.sum() * np.prod(volume.spacing) / 1e6 < litres[1]
