"""A scan on disk made finer on disk: formats, provenance, what is never left half done."""

import json
from dataclasses import replace

import numpy as np
import pytest

import medgen
from medgen.bundles.bundle import Bundle, save_bundle
from medgen.errors import BundleError, GeometryError, IntensityError, WriteError
from medgen.families.espcn.build import espcn_from
from medgen.families.espcn.recipe import ESPCN_RECIPES
from medgen.intensities.rule import IntensityRule
from medgen.jobs import superresolve as jobs
from medgen.jobs.methods import methods_of
from medgen.jobs.superresolve import Task, superresolve
from medgen.phantoms.phantom import phantom_volume
from medgen.superresolution.methods import default_method
from medgen.volumes import read_volume, write_volume


@pytest.fixture
def task(tmp_path):
    """A CT of 9 x 8 x 5 voxels to be made finer by linear interpolation."""
    write_volume(phantom_volume("ct", (9, 8, 5), (30.0, 28.0, 40.0), 1), tmp_path / "ct.nii.gz")
    return Task(tmp_path / "ct.nii.gz", tmp_path / "out.nii.gz", "linear")


@pytest.fixture
def model(tmp_path):
    recipe = replace(ESPCN_RECIPES["small"], filters=4, factor=3)
    nets = {"espcn": espcn_from(recipe)}
    save_bundle(Bundle("espcn", IntensityRule("ct"), {"espcn": recipe}, nets), tmp_path / "m", "")
    return tmp_path / "m"


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_files_lie_on_the_subdivided_grid(task, suffix):
    task = replace(task, output=task.output.with_name(f"out{suffix}"), factor=3)
    before = read_volume(task.scan)
    line = superresolve(task).line
    after = read_volume(task.output)
    assert after.geometry == before.geometry.subdivide(3)
    assert line == (
        f"{task.output}: 27 x 24 x 15 voxels of 10 x 9.333 x 13.33 mm by linear, "
        "from 9 x 8 x 5 voxels of 30 x 28 x 40 mm"
    )
    assert after.to_physical().mean() == pytest.approx(before.to_physical().mean(), abs=30)


@pytest.mark.parametrize("axis", [None, 0])
def test_in_plane_slices_stay(task, axis):
    task = replace(task, in_plane=True, slice_axis=axis)
    before = read_volume(task.scan)
    line = superresolve(task).line
    finer = read_volume(task.output)
    kept = 2 if axis is None else axis
    assert finer.geometry == before.geometry.subdivide(2, kept)
    assert (finer.shape == (18, 16, 5)) == (axis is None)
    assert "18 x 16 x 5 voxels of 15 x 14 x 40 mm by linear" in line or axis == 0
    facts = json.loads(task.output.with_name("out.json").read_text())
    assert (facts["factor"], facts["kept_axis"]) == (2, kept)
    (told,) = methods_of(task.output)
    assert told.paragraph.startswith("Every pixel was split into 2 x 2 with medgen")
    after = "15 x 14 x 40" if axis is None else "30 x 14 x 20"
    assert f"voxels of 30 x 28 x 40 mm became ones of {after} mm" in told.paragraph


def test_a_model_says_what_it_did(task, model):
    seen, maps = [], task.output.with_name("u")
    task = replace(task, model=str(model), uncertainty=maps)
    line = superresolve(task, progress=lambda done, total: seen.append((done, total))).line
    assert "27 x 24 x 15 voxels" in line  # its factor, of which nobody spoke
    assert seen == [(1, 1)]
    low, high = (read_volume(maps.with_name(f"u_{end}.nii.gz")) for end in ("low", "high"))
    finer = read_volume(task.output)
    assert low.geometry == high.geometry == finer.geometry
    assert (low.array < finer.array + 1).all()
    assert (high.array > low.array).all()
    facts = json.loads(task.output.with_name("out.json").read_text())
    assert (facts["medgen"], facts["factor"], facts["shape"]) == (
        medgen.__version__, 3, [27, 24, 15]
    )  # fmt: skip
    assert facts["model"]["kind"] == "espcn"
    assert facts["model"]["name"] == "m"
    np.testing.assert_allclose(facts["affine"], finer.geometry.affine, atol=1e-5)
    (told,) = methods_of(task.output)
    assert facts["methods"] == told.paragraph
    assert told.paragraph.startswith("Every voxel was split into 3 x 3 x 3 with medgen")
    assert "voxels of 30 x 28 x 40 mm became ones of 10 x 9.333 x 13.33 mm" in told.paragraph
    assert told.keys == ("medgen", "shi2016", "tanno2017")


def test_nothing_is_replaced_or_left_half_done(task, monkeypatch):
    superresolve(task)
    kept = task.output.read_bytes()
    with pytest.raises(WriteError, match=r"out\.nii\.gz exists"):
        superresolve(replace(task, model="nearest"))
    assert task.output.read_bytes() == kept
    superresolve(replace(task, model="nearest", overwrite=True))
    assert task.output.read_bytes() != kept

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs, "encode_volume", fail)
    other = replace(task, output=task.output.with_name("other.nii"))
    with pytest.raises(WriteError, match="No space left"):
        superresolve(other)
    names = {path.name for path in task.scan.parent.iterdir()}
    assert names == {"ct.nii.gz", "out.nii.gz", "out.json"}


def test_what_is_refused(task, model, tmp_path):
    with pytest.raises(BundleError, match=r"m makes 3 voxels of one along each axis, got .* 2"):
        superresolve(replace(task, model=str(model), factor=2))
    with pytest.raises(BundleError, match="linear cannot tell the uncertainty"):
        superresolve(replace(task, uncertainty=tmp_path / "u"))
    with pytest.raises(WriteError, match=r"its name must end in \.nii, \.nii\.gz"):
        superresolve(replace(task, uncertainty=tmp_path / "u.mha"))
    with pytest.raises(GeometryError, match=r"a DICOM series lie along axis 2, not .* 0"):
        superresolve(replace(task, output=tmp_path / "series", in_plane=True, slice_axis=0))
    with pytest.raises(WriteError, match="is not DICOM, so no series"):
        superresolve(replace(task, output=tmp_path / "series"))
    with pytest.raises(WriteError, match="cannot hold two things"):
        superresolve(replace(task, uncertainty=task.output, output=tmp_path / "out_std.nii.gz"))
    with pytest.raises(IntensityError, match="This model was trained on CT"):
        superresolve(replace(task, model=str(model), modality="mr"))
    assert not task.output.exists()


def test_the_default_follows_modality_and_factor():
    assert default_method("labels", 3) == "nearest"
    assert default_method("ct", 2) == "ct-espcn-x2"
    assert default_method("ct", 2, in_plane=True) == "ct-in-plane"
    assert default_method("mr", 4, in_plane=True) == "mr-espcn-x4"
    with pytest.raises(IntensityError, match="say what it is with --modality"):
        default_method("unknown", 2)
    with pytest.raises(BundleError, match=r"No model comes with medgen .* 7 times as fine"):
        default_method("mr", 7)
