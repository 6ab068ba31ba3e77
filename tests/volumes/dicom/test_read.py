"""DICOM series made here: geometry against SimpleITK, and every refusal."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid
from scipy.spatial.transform import Rotation

from medgen.errors import GeometryError, MedgenError, ReadError
from medgen.volumes import describe, read_volume

COLUMNS, ROWS, COUNT = 4, 5, 6
SERIES = "1.2.826.0.1.3680043.8.498.1"
VOXELS = np.random.default_rng(7).integers(0, 3000, (COLUMNS, ROWS, COUNT)).astype(np.int16)
OBLIQUE = Rotation.from_euler("xyz", (12, -7, 31), degrees=True).as_matrix()
ORIGIN = np.array([-120.3, 88.8, -412.25])
PATIENT = "Doe^Jane"


def make_slice(k=0, step=3.0, turn=OBLIQUE, position=None, pixels=None, **attributes):
    """Slice k of a series whose rows run along the first column of `turn`; None deletes."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    header.SeriesInstanceUID = SERIES
    header.StudyInstanceUID = "1.2.3"
    header.PatientName, header.PatientID, header.PatientBirthDate = PATIENT, "4711", "19700101"
    header.Modality = "CT"
    header.Rows, header.Columns = ROWS, COLUMNS
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = 1
    header.PixelSpacing = [0.9, 0.7]  # between rows, between columns
    header.SliceThickness = 5.0
    header.RescaleSlope, header.RescaleIntercept = 1, -1024
    header.ImageOrientationPatient = [*map(float, turn[:, 0]), *map(float, turn[:, 1])]
    place = ORIGIN + k * step * turn[:, 2] if position is None else np.asarray(position)
    header.ImagePositionPatient = [round(float(x), 6) for x in place]
    header.InstanceNumber = 100 - k
    pixels = VOXELS[:, :, k].T if pixels is None else pixels
    header.PixelData = np.ascontiguousarray(pixels).tobytes()
    for name, value in attributes.items():
        if value is None:
            delattr(header, name)
        else:
            setattr(header, name, value)
    return header


def save(folder, headers, name="{:03d}.dcm"):
    """Write in an order that has nothing to do with the positions."""
    folder.mkdir(exist_ok=True)
    order = np.random.default_rng(1).permutation(len(headers))
    for number, k in enumerate(order):
        headers[k].save_as(folder / name.format(number), enforce_file_format=True)
    return folder


def series(folder, count=COUNT, **attributes):
    return save(folder, [make_slice(k, **attributes) for k in range(count)])


# === What is read ===


@pytest.mark.parametrize("flips", [(1, 1), (-1, 1), (1, -1)])
def test_oblique_series_lies_where_itk_puts_it(tmp_path, flips):
    turn = OBLIQUE * [flips[0], flips[1], flips[0] * flips[1]]
    folder = series(tmp_path / "scan", turn=turn)
    scan = read_volume(folder)
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.array.dtype == np.int16
    assert (scan.slope, scan.intercept, scan.modality) == (1.0, -1024.0, "ct")
    np.testing.assert_allclose(scan.spacing, (0.7, 0.9, 3.0), rtol=1e-6)

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, VOXELS - 1024)
    for index in ((0, 0, 0), (3, 0, 0), (0, 4, 0), (0, 0, 5), (3, 4, 5)):
        lps = image.TransformIndexToPhysicalPoint(index)
        ours = (scan.geometry.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(ours, np.array(lps) * [-1, -1, 1], atol=1e-4)


def test_spacing_is_that_of_the_positions_not_the_thickness(tmp_path):
    facts = describe(read_volume(series(tmp_path / "scan", step=3.0, SliceThickness=5.0)))
    assert facts["slice_spacing_mm"] == pytest.approx(3.0, abs=1e-5)
    assert facts["slice_thickness_mm"] == 5.0
    assert facts["gap_mm"] == pytest.approx(-2.0, abs=1e-5)


def test_names_without_suffix_and_strangers_in_the_folder(tmp_path):
    folder = save(tmp_path / "scan", [make_slice(k) for k in range(COUNT)], "1.2.3.{}")
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.dcm").write_bytes(b"junk")
    report = make_slice(0, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", SeriesInstanceUID="1.9")
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    make_slice(0).save_as(folder / "DICOMDIR", enforce_file_format=True)
    np.testing.assert_array_equal(read_volume(folder).array, VOXELS)


def test_file_without_preamble(tmp_path):
    folder = series(tmp_path / "scan")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    np.testing.assert_array_equal(read_volume(folder).array, VOXELS)


def test_rescale_that_varies_gives_physical_values(tmp_path):
    slopes = [0.0010346139, 0.0010206557, 0.001298346, 0.0029214132, 0.5, 2.0]
    headers = [make_slice(k, RescaleSlope=slope) for k, slope in enumerate(slopes)]
    scan = read_volume(save(tmp_path / "scan", headers))
    assert scan.array.dtype == np.float32
    assert (scan.slope, scan.intercept) == (1.0, 0.0)
    np.testing.assert_array_equal(scan.array, (VOXELS * np.array(slopes) - 1024).astype(np.float32))
    assert "differs between slices" in scan.metadata["notes"][0]


def test_without_rescale_stored_values_are_physical(tmp_path):
    folder = series(tmp_path / "scan", RescaleSlope=None, RescaleIntercept=None, Modality="MR")
    scan = read_volume(folder)
    assert not scan.is_scaled
    np.testing.assert_array_equal(scan.physical(), VOXELS)


@pytest.mark.parametrize("signed", [0, 1])
def test_bits_beyond_those_stored_do_not_count(tmp_path, signed):
    values = VOXELS % 4096 - 2048 * signed
    dirty = values.astype(np.uint16) & 0x0FFF | 0xA000  # an overlay in the upper four bits
    headers = [
        make_slice(
            k, pixels=dirty[:, :, k].T, BitsStored=12, HighBit=11, PixelRepresentation=signed
        )
        for k in range(COUNT)
    ]
    scan = read_volume(save(tmp_path / "scan", headers))
    assert scan.array.dtype == (np.int16 if signed else np.uint16)
    np.testing.assert_array_equal(scan.array, values)


def test_run_length_encoding(tmp_path):
    headers = [make_slice(k) for k in range(COUNT)]
    for header in headers:
        header.compress(RLELossless, encoding_plugin="pydicom")
    np.testing.assert_array_equal(read_volume(save(tmp_path / "scan", headers)).array, VOXELS)


@pytest.mark.parametrize("padding", [-2000, 63536])  # the same bits, read as signed and unsigned
def test_padding_is_kept_and_told_in_physical_units(tmp_path, padding):
    headers = [make_slice(k, pixels=np.maximum(VOXELS[:, :, k].T, 500)) for k in range(COUNT)]
    for header in headers:
        pixels = np.frombuffer(header.PixelData, np.int16).copy()
        pixels[:5] = -2000
        header.PixelData = pixels.tobytes()
        header.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    scan = read_volume(save(tmp_path / "scan", headers))
    assert scan.metadata["padding_value"] == -3024.0
    assert scan.array.min() == -2000
    assert describe(scan)["padding_fraction"] == 0.25


def test_one_slice_takes_its_thickness_for_spacing(tmp_path):
    make_slice(2).save_as(tmp_path / "one.dcm", enforce_file_format=True)
    scan = read_volume(tmp_path / "one.dcm")
    np.testing.assert_array_equal(scan.array, VOXELS[:, :, 2:3])
    np.testing.assert_allclose(scan.spacing, (0.7, 0.9, 5.0))
    assert "give its folder" in scan.metadata["notes"][0]
    assert "notes" not in read_volume(tmp_path).metadata


@pytest.mark.parametrize("jitter_mm", [0.0, 0.045, 0.095])
def test_rounded_positions_are_taken_and_their_deviation_told(tmp_path, jitter_mm):
    normal = OBLIQUE[:, 2]
    headers = [
        make_slice(k, position=ORIGIN + normal * (3.0 * k + jitter_mm * (k == 2)))
        for k in range(COUNT)
    ]
    scan = read_volume(save(tmp_path / "scan", headers))
    assert scan.metadata["position_deviation_mm"] == pytest.approx(jitter_mm, abs=1e-5)
    np.testing.assert_allclose(scan.spacing[2], 3.0, atol=1e-5)


def test_a_shift_in_plane_within_the_tolerance_is_no_tilt(tmp_path):
    # 0.05 mm over a gap of 1 mm: 2.9 degrees, but no more than a rounded position.
    shifted = ORIGIN + OBLIQUE[:, 2] + 0.05 * OBLIQUE[:, 0]
    scan = read_volume(save(tmp_path / "scan", [make_slice(0), make_slice(1, position=shifted)]))
    assert not scan.geometry.is_sheared
    np.testing.assert_allclose(scan.spacing, (0.7, 0.9, 1.0), atol=1e-5)


def test_a_modality_that_the_values_belie(tmp_path):
    folder = series(tmp_path / "scan", RescaleIntercept=0)
    scan = read_volume(folder)
    assert scan.modality == "mr"
    assert scan.metadata["modality_tag"] == "CT"
    assert scan.metadata["modality_guess"] == "mr"
    assert "taken for MR" in scan.metadata["notes"][0]


@pytest.mark.parametrize(("tag", "modality"), [("MR", "mr"), ("PT", "unknown"), ("", "ct")])
def test_modality_is_the_headers_or_else_a_guess(tmp_path, tag, modality):
    assert read_volume(series(tmp_path / "scan", Modality=tag)).modality == modality


def enhanced(order, slopes=None, **attributes):
    """Multi-frame file whose frames have their own position, in any order."""
    header = make_slice(
        0, pixels=np.stack([VOXELS[:, :, k].T for k in order]), NumberOfFrames=len(order),
        ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None,
        SliceThickness=None, RescaleSlope=None, RescaleIntercept=None, **attributes,
    )  # fmt: skip
    plain = make_slice()

    def group(**values):
        item = Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        return Sequence([item])

    shared = Dataset()
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=plain.ImageOrientationPatient)
    shared.PixelMeasuresSequence = group(PixelSpacing=[0.9, 0.7], SliceThickness=5.0)
    shared.PixelValueTransformationSequence = group(RescaleSlope=1, RescaleIntercept=-1024)
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in order:
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=make_slice(k).ImagePositionPatient)
        if slopes is not None:
            frame.PixelValueTransformationSequence = group(
                RescaleSlope=slopes[k], RescaleIntercept=0
            )
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return header


def test_multi_frame_file_is_read_by_its_functional_groups(tmp_path):
    enhanced((3, 0, 5, 1, 4, 2)).save_as(tmp_path / "frames.dcm", enforce_file_format=True)
    scan, same = read_volume(tmp_path / "frames.dcm"), read_volume(series(tmp_path / "scan"))
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.geometry == same.geometry
    assert (scan.slope, scan.intercept) == (1.0, -1024.0)
    assert scan.metadata["slice_thickness_mm"] == 5.0


def test_multi_frame_file_with_a_rescale_for_each_frame(tmp_path):
    slopes = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    enhanced((5, 4, 3, 2, 1, 0), slopes).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    scan = read_volume(tmp_path / "a.dcm")
    np.testing.assert_array_equal(scan.array, VOXELS * np.float32(slopes))


def test_nothing_of_the_patient_comes_out(tmp_path):
    folder = series(tmp_path / "scan")
    scan = read_volume(folder)
    texts = [json.dumps(describe(scan)), repr(scan), str(dict(scan.metadata))]
    make_slice(0, SeriesInstanceUID="1.2.9").save_as(folder / "x.dcm", enforce_file_format=True)
    with pytest.raises(ReadError) as error:
        read_volume(folder)
    for text in (*texts, str(error.value)):
        assert not any(secret in text for secret in ("Doe", "Jane", "4711", "1970"))


# === What is refused ===


def test_several_series_are_listed_and_one_can_be_picked(tmp_path):
    headers = [make_slice(k, SeriesDescription="thick lung") for k in range(COUNT)]
    headers += [make_slice(k, SeriesInstanceUID="1.2.9", Modality="MR") for k in range(2)]
    folder = save(tmp_path / "scan", headers)
    listing = (
        rf"2 series; choose one with --series UID: {SERIES} \(CT, thick lung, 6 images\); "
        r"1\.2\.9 \(MR, 2 images\)\."
    )
    with pytest.raises(ReadError, match=listing):
        read_volume(folder)
    assert read_volume(folder, series=SERIES).shape == (4, 5, 6)
    assert read_volume(folder, series="1.2.9").shape == (4, 5, 2)
    with pytest.raises(ReadError, match=r"no series 7\.7; choose one"):
        read_volume(folder, series="7.7")


def test_a_series_is_volume_zero(tmp_path):
    folder = series(tmp_path / "scan")
    assert read_volume(folder, volume=0).shape == (4, 5, 6)
    with pytest.raises(ReadError, match="no volume 1"):
        read_volume(folder, volume=1)


def place(k, along=3.0, shift=(0.0, 0.0, 0.0)):
    return ORIGIN + k * along * OBLIQUE[:, 2] + np.asarray(shift)


STACKS = {
    "missing": (
        [make_slice(k) for k in (0, 1, 2, 4, 5)],
        r"lacks slices: they are 3 mm apart, but 6 mm between \d+\.dcm and \d+\.dcm; add",
    ),
    "missing of three": ([make_slice(k) for k in (0, 1, 3)], "lacks slices"),
    "repeated": (
        [make_slice(k) for k in (0, 1, 2)] * 2,
        "6 slices for 3 positions: several volumes",
    ),
    "all at one place": ([make_slice(0)] * 3, "3 slices for 1 position:"),
    "tilted": (
        [make_slice(k, position=place(k, shift=k * 0.5 * OBLIQUE[:, 1])) for k in range(COUNT)],
        r"sheared stack.* 9\.46 degrees \(gantry tilt\); correct the tilt",
    ),
    "irregular": (
        [make_slice(k, position=place(k + 0.04 * (k == 2))) for k in range(COUNT)],
        r"irregular slice positions, up to 0\.12 mm off .* 0\.1 mm are tolerated",
    ),
    "shifted in plane": (
        [
            make_slice(k, position=place(k, shift=(k == 2) * 0.15 * OBLIQUE[:, 0]))
            for k in range(COUNT)
        ],
        r"irregular slice positions, up to 0\.15 mm off",
    ),
    "mixed orientation": (
        [make_slice(0), make_slice(1), make_slice(2, turn=np.eye(3))],
        "different orientations",
    ),
    "mixed spacing": (
        [make_slice(0), make_slice(1, PixelSpacing=[0.9, 0.8])],
        "different sizes or pixel spacings",
    ),
    "mixed size": (
        [make_slice(0), make_slice(1, Rows=COLUMNS, Columns=ROWS)],
        "different sizes or pixel spacings",
    ),
    "skewed directions": (
        [make_slice(k, ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0]) for k in (0, 1)],
        "not two unit vectors",
    ),
    "one slice of unknown thickness": (
        [make_slice(0, SliceThickness=None)],
        "single slice without a SliceThickness",
    ),
    "zero pixel spacing": ([make_slice(k, PixelSpacing=[0, 0.7]) for k in (0, 1)], "zero length"),
}


@pytest.mark.parametrize("name", STACKS)
def test_stacks_that_are_no_volume(tmp_path, name):
    headers, words = STACKS[name]
    folder = save(tmp_path / "scan", headers)
    with pytest.raises(GeometryError, match=words) as error:
        read_volume(folder)
    assert str(folder) in str(error.value)


def colour():
    return make_slice(
        0, pixels=np.zeros((ROWS, COLUMNS, 3), np.uint8), SamplesPerPixel=3, PlanarConfiguration=0,
        PhotometricInterpretation="RGB", BitsAllocated=8, BitsStored=8, HighBit=7,
        PixelRepresentation=0,
    )  # fmt: skip


IMAGES = {
    "colour": (colour(), r"colour image \(RGB\)"),
    "palette": (make_slice(PhotometricInterpretation="PALETTE COLOR"), "PALETTE COLOR"),
    "inverted": (make_slice(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1.*convert it"),
    "segmentation": (make_slice(Modality="SEG"), "segmentation"),
    "mosaic": (make_slice(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "mosaic"),
    "colour map": (
        make_slice(PixelPresentation="COLOR", ImageType=["DERIVED", "PRIMARY", "PERFUSION"]),
        r"colour-coded map \(DERIVED PRIMARY PERFUSION\)",
    ),
    "table of values": (make_slice(ModalityLUTSequence=Sequence([Dataset()])), "by a table"),
    "no position": (make_slice(ImagePositionPatient=None), "no ImagePositionPatient"),
    "no orientation": (make_slice(ImageOrientationPatient=None), "no ImageOrientationPatient"),
    "no pixel spacing": (make_slice(PixelSpacing=None), "no PixelSpacing"),
    "slope of 0": (make_slice(RescaleSlope=0), "RescaleSlope of 0"),
    "too few pixels": (make_slice(pixels=VOXELS[:, :3, 0].T), "cannot be decoded"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_that_are_no_scan(tmp_path, name):
    header, words = IMAGES[name]
    header.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    for path in (tmp_path / "a.dcm", tmp_path):
        with pytest.raises(ReadError, match=words):
            read_volume(path)


def test_malformed_numbers(tmp_path):
    for name, old, new in (
        ("ImagePositionPatient", b"-412.25", b"nan    "),
        ("RescaleIntercept", b"-1024", b"inf  "),
        ("SliceThickness", b"5.0", b"5,0"),
    ):
        make_slice(0).save_as(tmp_path / "a.dcm", enforce_file_format=True)
        raw = (tmp_path / "a.dcm").read_bytes()
        assert raw.count(old) == 1
        (tmp_path / "a.dcm").write_bytes(raw.replace(old, new))
        with pytest.raises(ReadError, match="malformed DICOM header"):
            read_volume(tmp_path / "a.dcm")
        assert name in pydicom.dcmread(tmp_path / "a.dcm", stop_before_pixels=True)


def test_folders_without_images(tmp_path):
    with pytest.raises(ReadError, match="no DICOM image"):
        read_volume(tmp_path)
    (tmp_path / "a.dcm").write_bytes(b"")
    with pytest.raises(ReadError, match=r"a\.dcm is not a"):
        read_volume(tmp_path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_truncated_file(tmp_path, kept):
    make_slice(0).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    raw = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(raw[: int(len(raw) * kept)])
    with pytest.raises(MedgenError):
        read_volume(tmp_path / "a.dcm")


# === Missing slices ===


@pytest.mark.parametrize("missing", [(2,), (1, 3), (1, 2), (3, 4)])
def test_gaps_are_read_where_allowed(tmp_path, missing):
    kept = [k for k in range(COUNT) if k not in missing]
    folder = save(tmp_path / "scan", [make_slice(k) for k in kept])
    with pytest.raises(GeometryError, match=r"lacks slices.*--fill-gaps"):
        read_volume(folder)
    whole = read_volume(series(tmp_path / "whole"))
    scan = read_volume(folder, gaps=True)
    assert scan.metadata["missing_slices"] == missing
    assert scan.geometry == whole.geometry
    np.testing.assert_array_equal(scan.array[..., kept], VOXELS[..., kept])
    for k in missing:
        nearest = min(kept, key=lambda other: (abs(other - k), other))
        np.testing.assert_array_equal(scan.array[..., k], VOXELS[..., nearest])


def test_gaps_that_are_none_or_too_many(tmp_path):
    with pytest.raises(GeometryError, match="so lacks 0; --fill-gaps is for one at least"):
        read_volume(series(tmp_path / "whole"), gaps=True)
    far = save(tmp_path / "far", [make_slice(k, pixels=VOXELS[:, :, 0].T) for k in (0, 1, 2, 200)])
    with pytest.raises(GeometryError, match="has 4 slices, most of them 3 mm apart, and so lacks"):
        read_volume(far, gaps=True)
    odd = save(
        tmp_path / "odd",
        [make_slice(k, pixels=VOXELS[:, :, 0].T, InstanceNumber=1) for k in (0, 1, 2, 3.5, 4.5)],
    )
    with pytest.raises(GeometryError, match="irregular slice positions"):
        read_volume(odd, gaps=True)
