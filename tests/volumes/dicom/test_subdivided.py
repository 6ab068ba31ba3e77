"""A series of finer voxels: where every pixel lies, and what the headers say."""

import numpy as np
import pydicom
import SimpleITK as sitk
from dicom_slices import COLUMNS, COUNT, PATIENT, ROWS, SERIES, make_slice, save

from medgen.jobs.superresolve import Task, superresolve
from medgen.volumes import read_volume


def made(tmp_path, in_plane=False, **attributes):
    scan = save(
        tmp_path / "scan",
        [make_slice(k, SliceLocation=3.0 * k, **attributes) for k in range(COUNT)],
    )
    superresolve(Task(scan, tmp_path / "finer", "nearest", factor=2, in_plane=in_plane))
    return read_volume(scan), tmp_path / "finer"


def test_voxels_lie_where_the_subdivided_grid_has_them(tmp_path):
    before, folder = made(tmp_path)
    after = read_volume(folder)
    assert after.shape == (2 * COLUMNS, 2 * ROWS, 2 * COUNT)
    assert after.geometry == before.geometry.subdivide(2)
    split = before.array.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(after.array, split)
    assert after.metadata["slice_thickness_mm"] == 2.5
    # Another reader has them there, too.
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    corner = np.array(image.TransformIndexToPhysicalPoint((0, 0, 0)))
    ends = [after.geometry.affine @ (0, 0, k, 1) for k in (0, 2 * COUNT - 1)]
    assert min(np.abs(corner - end[:3] * (-1, -1, 1)).max() for end in ends) < 1e-3
    np.testing.assert_allclose(image.GetSpacing(), after.spacing, rtol=1e-5)


def test_in_plane_every_slice_is_where_it_was(tmp_path):
    before, folder = made(tmp_path, in_plane=True)
    after = read_volume(folder)
    assert after.geometry == before.geometry.subdivide(2, kept=2)
    np.testing.assert_array_equal(after.array, before.array.repeat(2, 0).repeat(2, 1))
    headers = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    locations = sorted(float(h.SliceLocation) for h in headers)
    np.testing.assert_allclose(locations, 3.0 * np.arange(COUNT), atol=1e-9)
    for header in headers:
        np.testing.assert_allclose(header.PixelSpacing, [0.45, 0.35])
        assert float(header.SliceThickness) == 5.0
        np.testing.assert_allclose(header.SpacingBetweenSlices, 3.0, rtol=1e-6)
        (made_by,) = header.ContributingEquipmentSequence
        assert made_by.ContributionDescription.startswith("Pixels made finer, slices as they were")


def test_headers_say_what_the_slices_are(tmp_path):
    _, folder = made(tmp_path, ImageComments="as acquired", SmallestImagePixelValue=1)
    headers = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    assert [int(h.InstanceNumber) for h in headers] == list(range(1, 2 * COUNT + 1))
    assert len({h.SOPInstanceUID for h in headers}) == 2 * COUNT
    locations = sorted(float(h.SliceLocation) for h in headers)
    np.testing.assert_allclose(locations, 1.5 * np.arange(2 * COUNT) - 0.75)
    for header in headers:
        assert header.SeriesInstanceUID != SERIES
        assert header.PatientName == PATIENT
        assert (header.Rows, header.Columns) == (2 * ROWS, 2 * COLUMNS)
        np.testing.assert_allclose(header.PixelSpacing, [0.45, 0.35])
        np.testing.assert_allclose(header.SpacingBetweenSlices, 1.5, rtol=1e-6)
        assert float(header.SliceThickness) == 2.5
        assert list(header.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert header.ImageComments.startswith("SYNTHETIC SLICE, not acquired: voxels made finer")
        assert "factor 2" in header.DerivationDescription
        assert "SmallestImagePixelValue" not in header
        (source,) = header.SourceImageSequence
        assert source.ReferencedSOPInstanceUID
