"""A BIDS data set becomes a derivative that says what is true of it, and nothing else."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.interpolation.options import SamplingOptions
from medgen.interpolation.plan import plan_slices
from medgen.jobs.bids import DataSet, Name, Sidecar, resolution_label, sidecar_beside
from medgen.jobs.folder import survey
from medgen.jobs.job import Job
from medgen.jobs.runners import attempt
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import Geometry, Volume, read_volume, write_volume

OPTIONS = Job(Path(), Path(), "linear")
SPACING = (40.0, 30.0, 60.0)


def write_scan(path, seed=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(phantom_volume("mr", (9, 8, 4), SPACING, seed), path)
    return path


def write_json(path, fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields))


@pytest.fixture
def raw(tmp_path):
    """Two subjects with what scanners give them, sidecars at every level, and junk."""
    root = tmp_path / "raw"
    write_json(
        root / "dataset_description.json",
        {"Name": "Heads", "BIDSVersion": "1.8.0", "DatasetDOI": "doi:10.0.2.3/dfjj.10"},
    )
    (root / "README").write_text("Phantoms of two heads, made to try what becomes of them.\n" * 3)
    (root / "participants.tsv").write_text("participant_id\nsub-01\nsub-02\n")
    write_json(root / "T1w.json", {"EchoTime": 0.004, "Manufacturer": "root"})
    write_json(root / "sub-01" / "sub-01_acq-fast_T1w.json", {"EchoTime": 0.001})
    write_json(root / "sub-02" / "sub-02_T1w.json", {"Manufacturer": "subject"})
    for sub in ("sub-01", "sub-02"):
        write_scan(root / sub / "anat" / f"{sub}_T1w.nii.gz")
    write_json(
        root / "sub-02" / "anat" / "sub-02_T1w.json",
        {"SliceThickness": 50, "SpacingBetweenSlices": 60, "SliceTiming": [0, 1, 2, 3],
         "ImageType": ["ORIGINAL", "PRIMARY", "M"], "FlipAngle": 9},
    )  # fmt: skip
    write_scan(root / "sub-01" / "anat" / "sub-01_acq-fast_T1w.nii.gz")
    write_scan(root / "sub-01" / "anat" / "sub-01_part-mag_T2starw.nii.gz")
    return root


def run(*arguments):
    return CliRunner().invoke(main, ["interpolate", *map(str, arguments), "--model", "linear"])


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# === Names ===


@pytest.mark.parametrize(
    ("name", "sample", "expected"),
    [
        ("sub-01_T1w.nii.gz", None, "sub-01_res-2x_T1w.nii.gz"),
        ("sub-01_ses-a_part-mag_T2starw.nii", None, "sub-01_ses-a_part-mag_res-2x_T2starw.nii"),
        ("sub-01_space-T1w_res-1_desc-preproc_T1w.nii.gz", None,
         "sub-01_space-T1w_res-2x_desc-preproc_T1w.nii.gz"),
        ("sub-01_T1w.nii.gz", 3, "sub-01_res-2x_desc-sample3_T1w.nii.gz"),
        ("sub-01_desc-preproc_T1w.nii.gz", 1, "sub-01_res-2x_desc-preprocSample1_T1w.nii.gz"),
    ],
)  # fmt: skip
def test_names_tell_the_resolution(name, sample, expected):
    assert str(Name.parse(name).with_resolution("2x", sample)) == expected


@pytest.mark.parametrize(
    "name", ["T1 w.nii.gz", "sub01_T1w.nii.gz", "sub-0_1_T1w", "sub-_T1w.nii", "dataset_x.json"]
)
def test_names_that_are_none(name):
    assert Name.parse(name) is None


def test_labels_of_resolutions():
    told = [(None, None), (3, None), (None, 1.5), (None, 10.0), (None, 0.8)]
    assert [resolution_label(*t) for t in told] == ["2x", "3x", "1p5mm", "10mm", "0p8mm"]


# === What is passed over ===

PASSED_OVER = {
    "sub-01/pet/sub-01_pet.nii.gz": "it is PET",
    "sub-01/fmap/sub-01_phasediff.nii.gz": "field map",
    "sub-01/fmap/sub-01_magnitude1.nii.gz": "field map",
    "sub-01/func/sub-01_task-rest_bold.nii.gz": "functional MR",
    "sub-01/dwi/sub-01_dwi.nii.gz": "diffusion-weighted",
    "sub-01/perf/sub-01_asl.nii.gz": "perfusion",
    "sub-01/swim/sub-01_T1w.nii.gz": "it lies in swim",
    "sub-01/anat/sub-01_part-phase_T2starw.nii.gz": "a phase of a signal",
    "sub-01/anat/sub-01_T1map.nii.gz": "it is T1map",
    "sub-01/anat/sub-01_label-GM_probseg.nii.gz": "it is probseg",
    "sub-01/anat/T1.nii.gz": "its name is not one of BIDS",
    "sub-01/anat/sub-01_T2w.mgz": "it is not NIfTI",
    "sub-01/anat/sub-01_run-9_T1w.nii.gz": ".bidsignore names it",
    "extra/sub-03_T1w.nii.gz": ".bidsignore names it",
}


def test_what_is_no_anatomy_is_passed_over_and_named(raw, tmp_path):
    for name in (*PASSED_OVER, "derivatives/x/sub-01_T1w.nii.gz", "sourcedata/x.nii.gz"):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).touch()
    (raw / ".bidsignore").write_text("# what is wrong\nextra/\n*_run-9_*\n!*_run-8_*\n")
    found = survey(raw, tmp_path / "out", OPTIONS)
    assert {str(job.scan.relative_to(raw)) for job in found.jobs} == {
        "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_acq-fast_T1w.nii.gz",
        "sub-01/anat/sub-01_part-mag_T2starw.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz",
    }  # fmt: skip
    told = {str(result.scan.relative_to(raw)): result for result in found.settled}
    assert set(told) == set(PASSED_OVER)
    for name, reason in PASSED_OVER.items():
        assert reason in told[name].line
        assert str(raw / name) in told[name].line
        assert told[name].fate == "passed over"
    result = run(raw, "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout.count("\n")) == (0, 4)
    assert result.stderr.count("Passed over: ") == len(PASSED_OVER)


# === Sidecars ===


def test_sidecars_are_inherited(raw):
    data_set = DataSet.at(raw)

    def told(scan):
        fields = {}
        for file in data_set.sidecar_of(raw / scan).files:
            fields |= json.loads(file.read_text())
        return fields

    assert told("sub-01/anat/sub-01_T1w.nii.gz") == {"EchoTime": 0.004, "Manufacturer": "root"}
    assert told("sub-01/anat/sub-01_acq-fast_T1w.nii.gz") == {
        "EchoTime": 0.001, "Manufacturer": "root"
    }  # fmt: skip
    assert told("sub-01/anat/sub-01_part-mag_T2starw.nii.gz") == {}
    second = told("sub-02/anat/sub-02_T1w.nii.gz")
    assert (second["EchoTime"], second["Manufacturer"], second["FlipAngle"]) == (
        0.004, "subject", 9
    )  # fmt: skip


def fields_of(path, told, axis=2, source=None):
    write_json(path, told)
    before = Geometry.from_spacing((9, 8, 4), SPACING)
    plan = plan_slices(before, factor=3, slice_axis=axis)
    return Sidecar((path,), source).fields(before, plan.geometry, plan.axis)


@pytest.mark.parametrize(
    ("axis", "told", "expected"),
    [(2, 60, 20), (2, 60.2, 20), (2, 30, 30), (2, 7, None), (0, 60, 60), (0, 40, 40 / 3),
     (2, "60", None)],
)  # fmt: skip
def test_spacing_between_slices_is_that_of_the_grid(tmp_path, axis, told, expected):
    """Of the new one along the axis, of another axis where it tells that, else of none."""
    fields = fields_of(tmp_path / "x.json", {"SpacingBetweenSlices": told}, axis)
    assert fields.get("SpacingBetweenSlices") == (expected and pytest.approx(expected))
    assert fields["acquired_slices"] == {"SpacingBetweenSlices": told}


def test_what_no_longer_holds_is_told_of_acquired_slices(tmp_path):
    told = {
        "SliceTiming": [0, 1], "SliceThickness": 50, "ImageType": ["ORIGINAL", "PRIMARY"],
        "EchoTime": 1, "SkullStripped": True, "Resolution": "old",
    }  # fmt: skip
    fields = fields_of(tmp_path / "x.json", told)
    assert fields == {
        "EchoTime": 1,
        "ImageType": ["DERIVED", "PRIMARY"],
        "SkullStripped": True,
        "Resolution": "old",
        "acquired_slices": {
            "SliceTiming": [0, 1], "SliceThickness": 50, "ImageType": ["ORIGINAL", "PRIMARY"],
        },
    }  # fmt: skip
    fields = fields_of(tmp_path / "x.json", told, source="bids:raw:x")
    assert fields["Sources"] == ["bids:raw:x"]
    assert fields["SkullStripped"] is True
    assert fields["Resolution"] == (
        "20 mm between slices along axis 2, where those of the source are 60 mm apart."
    )
    assert fields_of(tmp_path / "x.json", {}, source="bids:raw:x")["SkullStripped"] is False


def test_a_sidecar_outside_a_data_set(tmp_path):
    for name in ("a.nii.gz", "b.nii", "c.v2.nrrd"):
        (tmp_path / name).touch()
    (tmp_path / "a.json").touch()
    (tmp_path / "c.v2.json").touch()
    assert sidecar_beside(tmp_path / "a.nii.gz") == Sidecar((tmp_path / "a.json",))
    assert sidecar_beside(tmp_path / "b.nii") is None
    assert sidecar_beside(tmp_path / "c.v2.nrrd") == Sidecar((tmp_path / "c.v2.json",))


# === The derivative ===

MADE = {
    f"{name}{end}"
    for name in (
        "sub-01/anat/sub-01_res-2x_T1w", "sub-01/anat/sub-01_acq-fast_res-2x_T1w",
        "sub-01/anat/sub-01_part-mag_res-2x_T2starw", "sub-02/anat/sub-02_res-2x_T1w",
    )
    for end in (".nii.gz", ".json")
} | {"dataset_description.json", "README.md", ".bidsignore"}  # fmt: skip


def test_a_data_set_becomes_a_derivative(raw):
    out = raw / "derivatives" / "finer"
    result = run(raw, "-o", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert files(out) == MADE
    told = json.loads((out / "dataset_description.json").read_text())
    assert (told["Name"], told["DatasetType"]) == ("Heads, finer slices", "derivative")
    assert told["GeneratedBy"][0]["Name"] == "medgen"
    assert told["SourceDatasets"] == [{"URL": raw.as_uri(), "DOI": "doi:10.0.2.3/dfjj.10"}]
    assert (out / told["DatasetLinks"]["raw"]).resolve() == raw.resolve()
    fields = json.loads((out / "sub-02" / "anat" / "sub-02_res-2x_T1w.json").read_text())
    assert fields["Sources"] == ["bids:raw:sub-02/anat/sub-02_T1w.nii.gz"]
    assert fields["SpacingBetweenSlices"] == 30
    assert fields["Manufacturer"] == "subject"
    assert fields["synthetic_slices"] == [1, 3, 5]
    assert not {"SliceTiming", "SliceThickness"} & set(fields)
    finer = read_volume(out / "sub-02" / "anat" / "sub-02_res-2x_T1w.nii.gz")
    scan = read_volume(raw / "sub-02" / "anat" / "sub-02_T1w.nii.gz")
    np.testing.assert_array_equal(finer.array[:, :, ::2], scan.array)
    assert run(raw, "-o", out).stdout.count("is there already") == 4


def test_label_maps_are_interpolated_by_shape(raw, tmp_path):
    """Whatever the model and its options, and once however many samples of the images."""
    labels = np.zeros((9, 8, 4), np.int16)
    labels[2:7, 2:6, 1:3] = 7
    place = raw / "sub-02" / "anat" / "sub-02_desc-lesion_mask.nii.gz"
    write_volume(Volume(labels, Geometry.from_spacing((9, 8, 4), SPACING)), place)
    options = replace(OPTIONS, model="mr-pixelminer", sampling=SamplingOptions(0.5), samples=2)
    options = replace(options, adapt_minutes=1, slice_thickness_mm=20)
    jobs = survey(raw, tmp_path / "out", options).jobs
    (job,) = [job for job in jobs if job.scan == place]
    assert job.output.name == "sub-02_res-2x_desc-lesion_mask.nii.gz"
    assert attempt(job).fate == "done"
    finer = read_volume(job.output, modality="labels").array
    assert np.unique(finer).tolist() == [0, 7]
    np.testing.assert_array_equal(finer[:, :, ::2], labels)
    np.testing.assert_array_equal(finer[:, :, 3], labels[:, :, 1])


def test_samples_have_names_of_bids(raw, tmp_path):
    jobs = survey(raw, tmp_path / "out", replace(OPTIONS, samples=2, seed=5)).jobs
    told = {job.output.name: (job.seed, job.samples) for job in jobs if "sub-02" in job.output.name}
    assert told == {
        "sub-02_res-2x_desc-sample1_T1w.nii.gz": (5, 1),
        "sub-02_res-2x_desc-sample2_T1w.nii.gz": (6, 1),
    }


def test_a_sidecar_that_cannot_be_read_fails_its_scan_alone(raw, tmp_path):
    (raw / "sub-02" / "anat" / "sub-02_T1w.json").write_text("[1]")
    result = run(raw, "-o", tmp_path / "out")
    assert "sub-02_T1w.json is no JSON object of fields" in result.stderr
    assert result.stderr.endswith(f"1 of 4 scans failed; {tmp_path}/out/failures.csv tells why.\n")
    assert files(tmp_path / "out") == {
        name for name in MADE if "sub-02" not in name
    } | {"failures.csv"}  # fmt: skip
    assert (tmp_path / "out" / ".bidsignore").read_text() == "failures.csv\n"


def test_what_somebody_wrote_is_not_replaced(raw, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("mine")
    assert run(raw, "-o", out).exit_code == 0
    assert (out / "README.md").read_text() == "mine"

    write_json(out / "dataset_description.json", {"Name": "Theirs", "BIDSVersion": "1.8.0"})
    result = run(raw, "-o", out)
    assert result.exit_code == 1
    assert f"Error: {out} holds another data set" in result.stderr
    assert json.loads((out / "dataset_description.json").read_text())["Name"] == "Theirs"

    other = tmp_path / "other"
    other.mkdir()
    (other / "failures.csv").write_text("my,own\n")
    result = run(raw, "-o", other)
    assert (result.exit_code, files(other)) == (1, {"failures.csv"})
    assert "failures.csv is no list of failures" in result.stderr


VALIDATOR = shutil.which("bids-validator-deno")


@pytest.mark.skipif(VALIDATOR is None, reason="needs the BIDS validator")
def test_the_validator_finds_no_error(raw, tmp_path):
    """As `pip install bids-validator-deno` brings it; version 3.0.2 was tried."""
    assert run(raw, "-o", tmp_path / "out", "--spacing", 25).exit_code == 0
    assert "sub-02_res-25mm_T1w.nii.gz" in {path.name for path in (tmp_path / "out").rglob("*")}
    for folder in (raw, tmp_path / "out"):
        done = subprocess.run(
            [VALIDATOR, "--format", "json", folder], capture_output=True, text=True
        )
        issues = json.loads(done.stdout)["issues"]["issues"]
        assert [issue for issue in issues if issue["severity"] == "error"] == [], folder


@pytest.mark.parametrize("name", ["dataset_description.json", ".bidsignore"])
def test_a_data_set_is_one_before_it_is_fetched(raw, tmp_path, name):
    """Or else it would be worked through as any folder, field maps and all."""
    (raw / name).unlink(missing_ok=True)
    (raw / name).symlink_to(".git/annex/objects/x")
    result = run(raw, "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"Error: {raw / name} is not fetched yet; run: datalad get" in result.stderr


def test_a_sidecar_that_is_not_fetched_is_named(raw, tmp_path):
    sidecar = raw / "sub-02" / "anat" / "sub-02_T1w.json"
    sidecar.write_text("/annex/objects/MD5E-s31--0c65.json")
    result = run(raw, "-o", tmp_path / "out")
    assert result.stdout.count("\n") == 3
    assert f"Failed: {sidecar} is not fetched yet; run: datalad get" in result.stderr


def test_a_damaged_description(raw, tmp_path):
    (raw / "dataset_description.json").write_text("{")
    result = run(raw, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "dataset_description.json is no JSON file" in result.stderr
