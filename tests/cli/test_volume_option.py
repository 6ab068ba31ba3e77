"""`--volume` of the commands that read many scans: of those files that hold several."""

import json

import nibabel as nib
import numpy as np
import pytest
from commands import run, succeed

from medgen.bundles.bundle import load_bundle
from medgen.cli import COMMANDS, main
from medgen.errors import ReadError, SeveralVolumesError
from medgen.phantoms.phantom import phantom_volume
from medgen.training.checkpoint import FolderStore
from medgen.training.gather import gather_scans
from medgen.volumes import read_among, read_volume, write_volume

SHAPE, SPACING = (20, 22, 14), (12.0, 11.0, 15.0)
NOT_OF_SCANS = {"train-autoencoder", "train-image-espcn"}
READERS = {
    *("info", "interpolate", "superresolve", "adapt", "reconstruct", "evaluate", "audit", "study"),
    "view",
} | {name for name in COMMANDS if name.startswith("train-") and name not in NOT_OF_SCANS}
RECIPE = {
    "filters": 8,
    "residual_blocks": 1,
    "num_embeddings": 16,
    "embedding_dim": 4,
    "crop": 16,
    "batch_size": 4,
    "steps": 4,
    "validate_every": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """`one.nii`, 3-D; `four.nii`, of two volumes; `zero.nii` and `second.nii`, each alone."""
    folder = tmp_path_factory.mktemp("data")
    one, zero, second = (phantom_volume("ct", SHAPE, SPACING, seed=seed) for seed in range(3))
    for name, volume in (("one", one), ("zero", zero), ("second", second)):
        write_volume(volume, folder / f"{name}.nii")
    both = np.stack([zero.array, second.array], axis=-1)
    nib.save(nib.Nifti1Image(both, nib.load(folder / "zero.nii").affine), folder / "four.nii")
    return folder


def gather(*paths, volume=None):
    return gather_scans(paths, [], rule=None, image_size=None, guard_mm=30.0, seed=0, volume=volume)


def test_every_command_that_reads_scans_has_it_in_the_same_words():
    said = {}
    for name in COMMANDS:
        for option in main.get_command(None, name).params:
            if "--volume" in option.opts:
                said[name] = (option.help, option.metavar, option.type.min)
    assert said == dict.fromkeys(READERS, ("Which volume of a 4-D file, from 0.", "N", 0))


def test_among_scans_it_chooses_where_there_are_several(data):
    for volume, name in ((0, "zero"), (1, "second")):
        expected = read_volume(data / f"{name}.nii").array
        np.testing.assert_array_equal(read_among(data / "four.nii", volume=volume).array, expected)
    one = read_volume(data / "one.nii").array
    for volume in (None, 0, 1, 7):
        np.testing.assert_array_equal(read_among(data / "one.nii", volume=volume).array, one)
    with pytest.raises(SeveralVolumesError, match="holds 2 volumes; choose one with --volume N"):
        read_among(data / "four.nii")
    with pytest.raises(ReadError, match=r"four\.nii has no volume 2; choose one .* from 0 to 1"):
        read_among(data / "four.nii", volume=2)


def test_what_trains_is_the_volume_asked_for(data):
    with pytest.raises(ReadError, match=r"four\.nii holds 2 volumes; choose one with --volume N"):
        gather(data / "one.nii", data / "four.nii")
    alone = gather(data / "one.nii", data / "second.nii").identity()
    chosen = gather(data / "one.nii", data / "four.nii", volume=1).identity()
    assert chosen == {
        "one.nii": alone["one.nii"],
        "four.nii": alone["second.nii"],
        "--volume": 1,
    }


def test_training_tells_it_and_a_resumed_run_keeps_it(data, tmp_path, monkeypatch):
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    out = tmp_path / "model"
    call = ("train-vqvae", data / "four.nii", "-o", out, "--recipe", tmp_path / "recipe.json")
    assert "choose one with --volume N" in run(*call).stderr
    keep = FolderStore.keep

    def interrupt(*arguments):
        keep(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "keep", interrupt)
        assert run(*call, "--volume", 1).exit_code == 130
    assert json.loads((out / "run.json").read_text())["scans"]["--volume"] == 1
    assert "or other data" in run(*call, "--volume", 0, "--resume").stderr
    succeed(*call, "--volume", 1, "--resume")
    assert " --volume 1 " in (out / "README.md").read_text()
    alone = tmp_path / "alone"
    succeed(*call[:1], data / "second.nii", "-o", alone, *call[4:])
    for one, other in zip(
        load_bundle(out).nets["vqvae"].weights,
        load_bundle(alone).nets["vqvae"].weights,
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_evaluate_compares_the_volume_asked_for(data, tmp_path):
    def slices(scan, *words):
        report = tmp_path / "report"
        succeed(
            *("evaluate", data / scan, data / "one.nii", "-o", report, "--method", "linear"),
            *("--jobs", 1, "--overwrite", *words),
        )
        settings = json.loads((report / "summary.json").read_text())["settings"]
        return settings, (report / "slices.csv").read_text().replace(scan, "scan")

    settings, of_four = slices("four.nii", "--volume", 1)
    assert settings["volume"] == 1
    assert of_four == slices("second.nii")[1]
    result = run("evaluate", data / "four.nii", "-o", tmp_path / "none", "--jobs", 1)
    assert result.exit_code == 1
    assert "four.nii holds 2 volumes; choose one with --volume N" in result.stderr
