import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from commands import assert_refused
from scipy.ndimage import binary_propagation

from medgen.cli import main
from medgen.interpolation import CLASSICAL, interpolate_volume, interpolator_named
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import Geometry, Volume, read_volume, write_volume


def run(*arguments, **options):
    return CliRunner().invoke(main, ["interpolate", *map(str, arguments)], **options)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A CT of unequal sides, as a NIfTI file."""
    path = tmp_path_factory.mktemp("scan") / "ct.nii.gz"
    write_volume(phantom_volume("ct", (16, 14, 5), (20.0, 18.0, 30.0), 1), path)
    return path


@pytest.mark.parametrize("name", CLASSICAL)
def test_doubles_the_slices(scan, tmp_path, name):
    out = tmp_path / "out.nii.gz"
    result = run(scan, "-o", out, "--model", name)
    assert result.stdout == (
        f"{out}: 16 x 14 x 9 voxels of 20 x 18 x 15 mm by {name}, "
        "from 16 x 14 x 5 voxels of 20 x 18 x 30 mm\n"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    before, after = read_volume(scan), read_volume(out)
    np.testing.assert_array_equal(after.array[..., ::2], before.array)
    expected = interpolate_volume(before, interpolator_named(name), factor=2)
    np.testing.assert_array_equal(after.array, expected.array)
    assert after.geometry == before.geometry.refine(2, 2)
    assert (after.array.dtype, after.modality) == (before.array.dtype, "ct")


def test_what_a_finer_scan_leaves_out_is_told_before_the_work(tmp_path):
    """And which of two affines that disagree is used."""
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([1, 1, 4, 1.0]))
    image.header.set_qform(np.diag([1, 1, 3, 1.0]), 1)
    image.header["pixdim"][3] = 3
    image.header.set_dim_info(slice=2)
    image.header["slice_code"], image.header["slice_duration"] = 1, 0.5
    image.header["slice_end"] = 4
    image.header.extensions += [
        nib.nifti1.Nifti1Extension(code, content) for code, content in ((6, b"kept"), (4, b"left"))
    ]
    (tmp_path / "a.nii").write_bytes(image.to_bytes())
    out = tmp_path / "out.nii"
    result = run(tmp_path / "a.nii", "-o", out, "--model", "linear", "--modality", "mr")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-3:] == [
        "Note: sform and qform disagree by up to 4 mm, voxel sizes of 1 x 1 x 4 mm against "
        "1 x 1 x 3 mm; the sform is used.",
        "Note: Slice timing (slice_code 1, slice_end 4, slice_duration 0.5) does not hold for more "
        "slices and is left out.",
        "Note: A header extension (afni, code 4, 8 bytes) may describe slices as they were and is "
        "left out.",
    ]
    header = nib.load(out).header
    assert [extension.get_code() for extension in header.extensions] == [6]
    assert (header["slice_code"], header["slice_end"], header["dim_info"]) == (0, 0, 48)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        (("--factor", 3), (16, 14, 13)),
        (("--spacing", 8), (16, 14, 16)),
        (("--slice-axis", 1), (16, 27, 5)),
        (("--slice-axis", 0, "--factor", 4), (61, 14, 5)),
        (("--seed", 7), (16, 14, 9)),
    ],
)
def test_options(scan, tmp_path, options, shape):
    out = tmp_path / "out.nrrd"
    result = run(scan, "-o", out, "--model", "linear", *options)
    assert result.exit_code == 0, result.output
    assert read_volume(out).shape == shape


def test_picks_a_volume_of_a_4d_file(scan, tmp_path):
    image = nib.load(scan)
    stacked = np.stack([image.get_fdata(), image.get_fdata() + 100], axis=-1).astype(np.int16)
    nib.save(nib.Nifti1Image(stacked, image.affine), tmp_path / "4d.nii")
    out = tmp_path / "out.nii"
    assert_refused(run(tmp_path / "4d.nii", "-o", out, "--model", "nearest"), "--volume")
    result = run(tmp_path / "4d.nii", "-o", out, "--model", "nearest", "--volume", 1)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(
        read_volume(out).array[..., ::2], read_volume(scan).array.astype(int) + 100
    )


def test_same_command_same_bytes(scan, tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        assert run(scan, "-o", tmp_path / name, "--model", "bspline").exit_code == 0
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_progress_only_on_a_terminal(scan, tmp_path):
    result = run(scan, "-o", tmp_path / "out.nii", "--model", "linear", env={"FORCE_COLOR": "1"})
    assert "Slices" in result.stderr
    assert "Slices" not in result.stdout
    words = ("-o", tmp_path / "outs", "--model", "linear")
    result = run(scan.parent, *words, env={"FORCE_COLOR": "1"})
    assert "Scans" in result.stderr
    # What is printed while a bar shows stays where it belongs: standard output is no terminal here.
    assert "ct.nii.gz: 16 x 14 x 9" in result.stdout
    assert "16 x 14 x 9" not in result.stderr


def test_the_output_is_checked_before_anything_is_read(tmp_path):
    missing, taken = tmp_path / "missing.nii", tmp_path / "taken.nii"
    taken.write_bytes(b"mine")
    for out, message in (
        (taken, "taken.nii exists; choose another name or pass --overwrite."),
        (tmp_path / "out.tif", "its name must end in"),
        (tmp_path / "nowhere" / "out.nii", "there is no folder"),
    ):
        assert_refused(run(missing, "-o", out, "--model", "linear"), message)
    assert taken.read_bytes() == b"mine"
    out = tmp_path / "out.nii"
    assert_refused(run(missing, "-o", out, "--model", "linear"), "missing.nii does not exist")


def test_overwrite(scan, tmp_path):
    out = tmp_path / "out.nii"
    out.write_bytes(b"mine")
    assert run(scan, "-o", out, "--model", "linear", "--overwrite").exit_code == 0
    assert read_volume(out).shape == (16, 14, 9)


def test_what_cannot_be_done_leaves_nothing_behind(scan, tmp_path):
    out = tmp_path / "out.nii"
    for options, message in (
        (("--model", "spline"), "There is no folder and no model named 'spline'"),
        (("--model", "sinc", "--temperature", 1), "'sinc' samples nothing"),
        (("--model", "sinc", "--spacing", 30), "must be above 0 and below the present 30 mm"),
    ):
        assert_refused(run(scan, "-o", out, *options), message)
    assert list(tmp_path.iterdir()) == []
    result = run(scan, "-o", out, "--model", "sinc", "--spacing", 3, "--factor", 2)
    assert result.exit_code == 2
    assert "Give --factor or --spacing, not both." in result.stderr


def test_broken_voxels_are_refused(tmp_path):
    array = np.random.default_rng(0).normal(0, 9, (4, 5, 6)).astype(np.float32)
    array[1, 2, 3] = np.nan
    nib.save(nib.Nifti1Image(array, np.diag((1, 1, 3, 1))), tmp_path / "nan.nii")
    options = ("--model", "linear", "--modality", "mr")
    result = run(tmp_path / "nan.nii", "-o", tmp_path / "out.nii", *options)
    assert_refused(result, "Of 120 voxels 1 are NaN or infinite")
    assert not (tmp_path / "out.nii").exists()


@pytest.mark.parametrize(
    "name",
    [
        "odd/ct_30slices_3mm.nii.gz",
        "odd/ct_int16_intercept_m1024.nii",
        "odd/mr_be_float32_oblique.nii",
        "odd/ct_uint8_oblique_pitch.nii.gz",
        "odd/mr_prostate_uint16.nrrd",
        "dicom/ct_ricord_jpegll_signed_pad",
        "dicom/mr_nonsquare_rescale_slope",
        "dicom/mr_two_slices",
    ],
)
@pytest.mark.parametrize("method", ["linear", "sinc"])
def test_real_scans(shared_data, tmp_path, name, method):
    out = tmp_path / "out.nii.gz"
    result = run(shared_data / name, "-o", out, "--model", method)
    assert result.exit_code == 0, result.output
    before, after = read_volume(shared_data / name), read_volume(out)
    axis = before.geometry.slice_axis
    kept = np.moveaxis(after.array, axis, 0)[::2]
    np.testing.assert_array_equal(kept, np.moveaxis(before.array, axis, 0))
    assert after.array.dtype == before.array.dtype
    assert (after.slope, after.intercept) == pytest.approx((before.slope, before.intercept))
    assert after.geometry == before.geometry.refine(axis, 2)
    # Values stay between those of the scan, or overshoot a little.
    lower, upper = after.to_physical().min(), after.to_physical().max()
    low, high = before.to_physical().min(), before.to_physical().max()
    margin = 0 if method == "linear" else 0.3 * (high - low)
    assert low - margin <= lower <= upper <= high + margin


@pytest.mark.parametrize("method", CLASSICAL)
def test_padding_of_a_real_scan(shared_data, tmp_path, method):
    """-3024 HU outside the circle of reconstruction mixes with nothing."""
    scan, out = shared_data / "dicom" / "ct_ricord_jpegll_signed_pad", tmp_path / "out.nii.gz"
    assert run(scan, "-o", out, "--model", method).exit_code == 0
    before, after = read_volume(scan).to_physical(), read_volume(out).to_physical()
    assert np.mean(before == -3024) > 0.05
    assert not np.any((before > -3024) & (before < -1024))
    between = after[..., 1::2]
    both = (before[..., :-1] == -3024) & (before[..., 1:] == -3024)
    np.testing.assert_array_equal(between == -3024, both)
    if method in ("nearest", "linear"):
        assert between[~both].min() >= -1024


@pytest.mark.parametrize(
    ("name", "kept", "method"),
    [
        ("ct_abdomen_acrinflt_001_4p25mm.nii.gz", np.s_[:, :, 10:14], "linear"),
        ("mr_t1ce_brain_figshare7472168.nii.gz", np.s_[30:90, 20:80, 60:72:3], "sinc"),
        ("mr_t1ce_brain_figshare7472168.nii.gz", np.s_[30:90, 20:80, 60:72:3], "mr-pixelminer"),
        ("mr_t1ce_brain_figshare7472168.nii.gz", np.s_[30:90, 20:80, 60:72:3], "mr-two-stage"),
    ],
)
def test_surroundings_of_a_real_scan_stay(shared_data, tmp_path, name, kept, method):
    """-3024 around a CT, 0 around a brain: where both neighbours have it, nothing else is."""
    scan = read_volume(shared_data / name)
    array = scan.array[kept]
    part, out = tmp_path / "part.nii.gz", tmp_path / "out.nii.gz"
    geometry = Geometry.from_spacing(array.shape, (1, 1, 4))
    write_volume(scan.with_array(array, geometry), part)
    assert run(part, "-o", out, "--model", method).exit_code == 0
    value = -3024 if "ct" in name[:2] else 0
    both = (array[..., :-1] == value) & (array[..., 1:] == value)
    frame = np.zeros(array.shape, bool)
    frame[[0, -1]] = frame[:, [0, -1]] = True
    outside = binary_propagation(frame, mask=array == value)
    both &= outside[..., :-1] & outside[..., 1:]
    assert both.sum() > 100
    assert (read_volume(out).array[..., 1::2][both] == value).all()


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.uint32, np.float64])
def test_large_numbers_keep_their_digits(tmp_path, dtype):
    """Acquired slices bit for bit; half-way the mean to the last digit, or a note."""
    scan, out = tmp_path / "scan.nii", tmp_path / "out.nii"
    largest = 2**32 - 1 if dtype == np.uint32 else 2**52
    array = np.random.default_rng(0).integers(largest // 2, largest, (3, 4, 5), np.int64)
    array = array.astype(dtype)
    geometry = Geometry.from_spacing(array.shape, (1, 1, 4))
    write_volume(Volume(array, geometry), scan)
    result = run(scan, "-o", out, "--model", "linear")
    assert result.exit_code == 0, result.output
    assert "2^53" not in result.stderr
    after = read_volume(out).array
    assert after.dtype == dtype
    assert after[..., ::2].tobytes() == array.tobytes()
    sums = array[..., :-1].astype(object) + array[..., 1:].astype(object)
    halves = sums / 2 if dtype == np.float64 else np.vectorize(lambda n: round(n / 2))(sums)
    np.testing.assert_array_equal(after[..., 1::2], halves.astype(dtype))
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        array[0, 0, 0] = 2**62 + 1
        write_volume(Volume(array, geometry), scan, overwrite=True)
        result = run(scan, "-o", out, "--model", "nearest", "--overwrite")
        assert "synthetic slices are right to 53 binary digits" in result.stderr
        assert read_volume(out).array[..., ::2].tobytes() == array.tobytes()


def test_hostile_files_among_others_in_a_folder(tmp_path):
    """Of one that ends SimpleITK's process, and one that names a file elsewhere."""
    folder, out = tmp_path / "scans", tmp_path / "out"
    (folder / "a").mkdir(parents=True)
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5).tobytes()
    (tmp_path / "secret").write_bytes(voxels)
    lines = [
        "NRRD0004", "type: short", "dimension: 3", "sizes: 3 4 5", "encoding: raw",
        "endian: little", "space: LPS", "space directions: (1,0,0) (0,1,0) (0,0,4)",
        "space origin: (0,0,0)",
    ]  # fmt: skip
    for name, line, data in (
        ("a/long.nrrd", f'labels: "{"x" * 700}"', voxels),
        ("broken.nrrd", "endian: " + "x" * 5000, voxels),
        ("elsewhere.nhdr", f"data file: {tmp_path / 'secret'}", b""),
        ("sound.nrrd", "content: nothing odd", voxels),
    ):
        (folder / name).write_bytes("\n".join([*lines, line]).encode() + b"\n\n" + data)
    result = run(folder, "-o", out, "--model", "linear", "--modality", "mr")
    assert result.exit_code == 1
    assert "2 of 4 scans failed" in result.stderr
    finer = sorted(str(path.relative_to(out)) for path in out.rglob("*.nrrd"))
    assert finer == ["a/long.nrrd", "sound.nrrd"]
    np.testing.assert_array_equal(
        read_volume(out / "a" / "long.nrrd").array, read_volume(out / "sound.nrrd").array
    )
    reasons = (out / "failures.csv").read_text()
    assert "broken.nrrd is not a readable NRRD file (its header has endian twice)" in reasons
    assert "which lies outside its folder" in reasons
