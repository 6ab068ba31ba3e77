"""What is shown beside a scan: marks, maps, and linear interpolation on the same grid."""

from dataclasses import replace

import numpy as np
import pytest

from medgen.errors import GeometryError, ReadError
from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.jobs.job import Job
from medgen.jobs.outputs import uncertainty_files
from medgen.jobs.run import run_job
from medgen.phantoms.phantom import phantom_volume
from medgen.viewing.described import described, displayable, files_of
from medgen.viewing.scene import open_scene
from medgen.volumes import Geometry, Volume, read_volume, write_volume

SHAPE, SPACING = (20, 16, 5), (2.0, 2.5, 6.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a phantom, an oblique one, and what `nearest` made of it with a mask."""
    folder = tmp_path_factory.mktemp("made")
    phantom = phantom_volume("ct", SHAPE, SPACING, seed=1)
    turn = np.eye(4)
    turn[:3, :3] = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]
    geometry = Geometry(SHAPE, turn @ phantom.geometry.affine)
    write_volume(phantom.with_array(phantom.array, geometry), folder / "scan.nii.gz")
    job = Job(
        folder / "scan.nii.gz",
        folder / "finer.nii.gz",
        model="nearest",
        factor=3,
        mask=folder / "mask.nii.gz",
    )
    run_job(job)
    return folder


def opened(folder, *names, **others):
    scan = read_volume(folder / "scan.nii.gz")
    return open_scene("scan.nii.gz", scan, [folder / name for name in names], **others)


def test_marks_come_from_the_provenance_or_else_from_the_mask(made, tmp_path):
    expected = tuple(k for k in range(13) if k % 3)
    told = opened(made, "finer.nii.gz").panes[1].marks
    assert (told.axis, told.slices) == (2, expected)
    write_volume(read_volume(made / "finer.nii.gz"), tmp_path / "alone.nii.gz")
    scan = read_volume(made / "scan.nii.gz")
    silent = open_scene("scan", scan, [tmp_path / "alone.nii.gz"])
    assert silent.panes[1].marks.slices == ()
    assert any("alone.nii.gz are synthetic nothing tells" in note for note in silent.notes)
    masked = open_scene("scan", scan, [tmp_path / "alone.nii.gz"], mask=made / "mask.nii.gz")
    assert masked.panes[1].marks == told
    np.testing.assert_array_equal(
        told.mask(masked.panes[1].volume.geometry).array, read_volume(made / "mask.nii.gz").array
    )


def test_provenance_of_another_grid_is_not_believed(made, tmp_path):
    finer = read_volume(made / "finer.nii.gz")
    write_volume(finer.with_array(finer.array[:, :, ::2], finer.geometry.resliced(2, 7, 4.0)),
                 tmp_path / "finer.nii.gz")  # fmt: skip
    (tmp_path / "finer.json").write_bytes((made / "finer.json").read_bytes())
    scene = open_scene("scan", read_volume(made / "scan.nii.gz"), [tmp_path / "finer.nii.gz"])
    assert scene.panes[1].marks.slices == ()


def test_a_mask_of_parts_of_slices_and_one_of_another_grid(made, tmp_path):
    scan = read_volume(made / "scan.nii.gz")
    mask = read_volume(made / "mask.nii.gz")
    holed = np.array(mask.array)
    holed[0, 0, 1] = 0
    write_volume(replace(mask, array=holed), tmp_path / "holed.nii.gz")
    with pytest.raises(GeometryError, match="1 in part"):
        open_scene("scan", scan, [made / "finer.nii.gz"], mask=tmp_path / "holed.nii.gz")
    with pytest.raises(GeometryError, match="on the grid of no OUT"):
        open_scene("scan", scan, [made / "scan.nii.gz"], mask=made / "mask.nii.gz")


def test_maps_are_found_by_what_interpolate_was_told(made, tmp_path):
    finer = read_volume(made / "finer.nii.gz")
    spread = Volume(np.full(finer.shape, 7.0, np.float32), finer.geometry)
    write_volume(spread, uncertainty_files(tmp_path / "u")["std"])
    scene = opened(made, "finer.nii.gz", "scan.nii.gz", uncertainty=tmp_path / "u")
    assert [list(pane.maps) for pane in scene.panes] == [[], ["std"], []]
    (told,) = described(scene)["panes"][1]["maps"]
    assert (told["title"], told["unit"], told["high"]) == ("standard deviation", "HU", 7.0)
    with pytest.raises(GeometryError, match="grid of no OUT"):
        opened(made, "scan.nii.gz", uncertainty=tmp_path / "u")
    with pytest.raises(ReadError, match=r"neither .*v_std.nii.gz nor .*v_entropy.nii.gz"):
        opened(made, "finer.nii.gz", uncertainty=tmp_path / "v")


def test_linear_interpolation_is_that_of_the_input(made):
    scene = opened(made, "finer.nii.gz")
    expected = interpolate_volume(
        scene.panes[0].volume, interpolator_named("linear"), factor=3, slice_axis=2
    )
    linear = files_of(scene)["1-linear.nii"]()
    assert linear.geometry == scene.panes[1].volume.geometry
    np.testing.assert_array_equal(linear.array, expected.array)
    assert not np.array_equal(linear.array, scene.panes[1].volume.array)


def test_places_lead_to_slices_and_back(made):
    told = described(opened(made, "finer.nii.gz"))
    for pane, spacing in zip(told["panes"], (6.0, 2.0), strict=True):
        assert pane["spacing_mm"] == pytest.approx(spacing)
        place = np.array([*pane["centre"], 1.0])
        middle = pane["slices"] // 2
        assert np.dot(pane["to_slice"], place) == pytest.approx(middle)
        place[:3] += pane["step"]
        assert np.dot(pane["to_slice"], place) == pytest.approx(middle + 1)
    assert [window["name"] for window in told["windows"]][:2] == ["whole range", "lung"]


def test_voxels_that_graphics_cards_do_not_know_keep_their_values():
    geometry = Geometry.from_spacing((2, 3, 4), (1.0, 1.0, 1.0))
    values = np.arange(24).reshape(2, 3, 4)
    for dtype in (">i2", np.int64, np.float64, bool, np.int8, np.uint16):
        volume = Volume(values.astype(np.dtype(dtype).newbyteorder("=")), geometry, 0.5, -3.0)
        shown = displayable(volume)
        assert shown.array.dtype.name in ("int16", "uint16", "float32")
        np.testing.assert_allclose(shown.to_physical(), volume.to_physical())


def test_too_many(made):
    with pytest.raises(ReadError, match="up to 6 scans"):
        opened(made, *["finer.nii.gz"] * 7)
