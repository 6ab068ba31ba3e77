"""`medgen interpolate` with a PixelMiner: samples, uncertainty, temperature, and odd scans."""

import json
from dataclasses import replace
from functools import partial

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from commands import assert_refused

from medgen.bundles.bundle import Bundle, save_bundle
from medgen.cli import main
from medgen.evaluation.noise import high_frequency_power_ratio
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.intensities.rule import IntensityRule
from medgen.interpolation import model_folder
from medgen.interpolation.options import SamplingOptions
from medgen.jobs.done import is_done
from medgen.jobs.job import Job
from medgen.jobs.run import run_job
from medgen.sampling.slices import SliceSampler

RECIPE = PixelMinerRecipe(
    context=2,
    filters=4,
    blocks=1,
    mixtures=2,
    conditioner_filters=4,
    conditioner_blocks=1,
    prediction_mixtures=2,
)
MAPS = ("std", "entropy", "low", "high")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained PixelMiner for CT."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    net = pixelminer_from(RECIPE, 2048, seed=2)
    save_bundle(
        Bundle(
            "pixelminer",
            IntensityRule("ct"),
            {"pixelminer": RECIPE},
            {"pixelminer": net},
            name="tiny",
        ),
        folder,
        "",
    )
    assert model_folder(str(folder)) == folder
    return folder


@pytest.fixture(autouse=True)
def not_compiled(monkeypatch):
    monkeypatch.setattr(
        "medgen.families.pixelminer.sampler.SliceSampler", partial(SliceSampler, jit_compile=False)
    )


def ct(shape=(10, 13, 3)) -> np.ndarray:
    """A body of noise around 40 HU, in air."""
    array = np.full(shape, -1000, np.int16)
    rng = np.random.default_rng(0)
    array[1:-1, 1:-1] = 40 + rng.normal(0, 12, array[1:-1, 1:-1].shape)
    return array


AFFINE = np.array([[0.8, 0, 0.1, -7], [0, -0.9, 0, 5], [-0.1, 0, 4, 60], [0, 0, 0, 1.0]])


def write(path, array, affine=AFFINE):
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


@pytest.fixture
def run(model, tmp_path):
    """Runs the command on `scan.nii.gz`, a CT, doubling its slices into `out.nii.gz`."""

    def run(*options, array=None):
        scan = tmp_path / "scan.nii.gz"
        write(scan, ct() if array is None else array)
        command = ["interpolate", scan, "-o", tmp_path / "out.nii.gz", "--model", model, *options]
        return CliRunner().invoke(main, [*map(str, command), "--modality", "ct"])

    return run


def values(path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_samples_and_uncertainty(run, tmp_path):
    done = run("--samples", 2, "--uncertainty", tmp_path / "unc.nii.gz", "--seed", 5)
    assert done.exit_code == 0, done.output
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"scan.nii.gz"} | {f"unc_{name}.nii.gz" for name in MAPS} | {
        f"out_{k}.{suffix}" for k in (1, 2) for suffix in ("nii.gz", "json")
    }
    assert done.stdout.startswith(
        f"{tmp_path / 'out_1.nii.gz'}, {tmp_path / 'out_2.nii.gz'}: 10 x 13 x 5 voxels"
    )
    finer = AFFINE @ np.diag([1, 1, 0.5, 1])
    for name in sorted(written - {"scan.nii.gz", "out_1.json", "out_2.json"}):
        np.testing.assert_allclose(nib.load(tmp_path / name).affine, finer, atol=1e-5)
        assert nib.load(tmp_path / name).shape == (10, 13, 5)
    maps = {name: values(tmp_path / f"unc_{name}.nii.gz") for name in MAPS}
    assert {m.dtype for m in maps.values()} == {np.dtype(np.float32)}
    for name, expected in (("std", 0), ("entropy", 0), ("low", ct()), ("high", ct())):
        np.testing.assert_array_equal(maps[name][..., ::2], expected)
    assert (maps["std"][1:-1, 1:-1, 1::2] > 0).all()
    assert (maps["low"] <= maps["high"]).all()

    drawn = [values(tmp_path / f"out_{k}.nii.gz") for k in (1, 2)]
    for k, seed in ((0, 5), (1, 6)):
        facts = json.loads((tmp_path / f"out_{k + 1}.json").read_text())
        assert (facts["options"]["seed"], facts["options"]["temperature"]) == (seed, "auto")
        assert run("--seed", seed, "--overwrite").exit_code == 0
        np.testing.assert_array_equal(values(tmp_path / "out.nii.gz"), drawn[k])
    assert (drawn[0] != drawn[1]).any()


def test_prefix_for_maps(run, tmp_path):
    assert run("--decode", "mean", "--uncertainty", tmp_path / "sure").exit_code == 0
    assert all((tmp_path / f"sure_{name}.nii.gz").exists() for name in MAPS)


def test_either_sampler_gives_the_same_slices(run, tmp_path):
    assert run().exit_code == 0
    cached = values(tmp_path / "out.nii.gz")
    assert run("--sampler", "fixed-point", "--overwrite").exit_code == 0
    np.testing.assert_array_equal(values(tmp_path / "out.nii.gz"), cached)


def test_texture_is_matched_unless_a_temperature_is_given(run, tmp_path):
    array = ct((40, 44, 3))
    made = {}
    for options in ((), ("--temperature", "auto"), ("--temperature", 1)):
        done = run(*options, "--overwrite", array=array)
        assert done.exit_code == 0, done.output
        made[options[1:]] = values(tmp_path / "out.nii.gz")[..., 1::2]
    drawn, matched = made[(1,)], made[("auto",)]
    np.testing.assert_array_equal(made[()], matched)
    for k, expected in enumerate(np.moveaxis(drawn, 2, 0)):
        neighbours = np.moveaxis(array[..., k : k + 2], 2, 0)
        assert neighbours.min() <= matched[..., k].min()
        far, near = (
            abs(np.log(high_frequency_power_ratio(neighbours, one)))
            for one in (expected, matched[..., k])
        )
        assert near < far / 2


def test_the_default_temperature_is_known_to_be_done(model, tmp_path):
    job = Job(write(tmp_path / "scan.nii", ct()), tmp_path / "out.nii", str(model))
    run_job(job)
    assert is_done(job)
    assert is_done(replace(job, sampling=SamplingOptions("auto")))
    assert not is_done(replace(job, sampling=SamplingOptions(1.0)))


def test_nothing_to_match(run, tmp_path):
    done = run(array=np.full((10, 13, 3), 40, np.int16))
    assert done.exit_code == 0, done.output
    assert (values(tmp_path / "out.nii.gz") == 40).all()


# === Odd scans ===


@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 1, 2), (3, 2, 2), (9, 1, 4)])
def test_small_slices_and_few_of_them(run, tmp_path, shape):
    array = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
    done = run("--slice-axis", 2, "--uncertainty", tmp_path / "unc", array=array)
    assert done.exit_code == 0, done.output
    out = values(tmp_path / "out.nii.gz")
    assert out.shape == (*shape[:2], 2 * shape[2] - 1)
    np.testing.assert_array_equal(out[..., ::2], array)


@pytest.mark.parametrize("value", [-1024, 40, 3000])
def test_constant_scans(run, tmp_path, value):
    done = run(array=np.full((6, 9, 4), value, np.int16))
    assert done.exit_code == 0, done.output
    out = values(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(out[..., ::2], value)
    if value != 40:  # air, and beyond the range: nothing to draw
        assert (out == value).all()


def rgb() -> np.ndarray:
    return np.zeros((6, 9, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])


def with_one(value: float) -> np.ndarray:
    array = ct().astype(np.float32)
    array[4, 5, 1] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (ct((10, 13, 1)), "slices"),
        (with_one(np.nan), "Of 390 voxels 1 are NaN or infinite"),
        (with_one(-np.inf), "Of 390 voxels 1 are NaN or infinite"),
        (rgb(), "colour"),
    ],
)
def test_what_is_refused_leaves_nothing(run, tmp_path, array, message):
    done = run("--slice-axis", 2, "--uncertainty", tmp_path / "unc", array=array)
    assert_refused(done, message)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


# === Options that do not go together ===


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "linear", "--samples", 2), "linear draws nothing at random"),
        (("--model", "linear", "--uncertainty", "unc"), "linear draws nothing at random"),
        (("--model", "linear", "--temperature", "auto"), "takes no temperature, got auto"),
        (("--decode", "mean", "--samples", 2), " does not vary; ask for one sample"),
        (("--decode", "mean", "--temperature", 1), "takes no temperature, got 1.0"),
        (("--uncertainty", "unc.nrrd"), "its name must end in .nii, .nii.gz"),
    ],
)
def test_options_that_do_not_go_together(run, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert_refused(run(*options), message)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_outputs_that_exist_or_collide(run, tmp_path):
    (tmp_path / "out_2.nii.gz").write_bytes(b"mine")
    assert_refused(run("--samples", 2), "out_2.nii.gz exists")
    (tmp_path / "unc_low.nii.gz").write_bytes(b"mine")
    assert_refused(run("--uncertainty", tmp_path / "unc.nii.gz"), "unc_low.nii.gz exists")
    mask = tmp_path / "own_std.nii.gz"
    done = run("--uncertainty", tmp_path / "own.nii.gz", "--mask", mask)
    assert_refused(done, "own_std.nii.gz cannot hold two things")


def test_a_temperature_is_a_number_or_auto(run):
    for value in ("-1", "warm"):
        done = run("--temperature", value)
        assert done.exit_code == 2
        assert "--temperature" in done.stderr
