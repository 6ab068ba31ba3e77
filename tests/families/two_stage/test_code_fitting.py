"""Training on a small phantom: it learns, repeats, continues, and refuses what it cannot do."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from medgen.bundles.bundle import save_bundle
from medgen.errors import TrainingError
from medgen.families.two_stage.build import pixelcnn_from
from medgen.families.two_stage.fit import PriorTask, measure_prior
from medgen.families.two_stage.recipe import PRIOR_RECIPES
from medgen.families.vqvae.build import vqvae_from
from medgen.families.vqvae.fit import VQVAETask
from medgen.families.vqvae.recipe import VQVAE_RECIPES
from medgen.phantoms.phantom import phantom_volume
from medgen.training.gather import gather_scans
from medgen.training.session import fit
from medgen.volumes import write_volume

VQVAE_RECIPE = replace(
    VQVAE_RECIPES["small"], filters=16, num_embeddings=16, steps=40, validate_every=20, crop=16
)
PRIOR_RECIPE = replace(
    PRIOR_RECIPES["small"], filters=8, blocks=2, steps=40, validate_every=20, crop=6
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "phantom.nii.gz"
    write_volume(phantom_volume("ct", (36, 40, 24), (8.0, 8.0, 9.0), seed=1), path)
    return gather_scans([path], [], rule=None, image_size=None, guard_mm=9.0, seed=0)


@pytest.fixture(scope="module")
def first_stage(scans, tmp_path_factory):
    return fit(VQVAETask(scans, VQVAE_RECIPE), tmp_path_factory.mktemp("vqvae"))


def weights(model) -> list[np.ndarray]:
    return [np.asarray(v) for v in model.weights]


def stop_after(step: int):
    def progress(at: int, share: float, logs: dict[str, float]) -> None:
        if at == step:
            raise KeyboardInterrupt

    return progress


def test_vqvae_learns(scans, tmp_path):
    rows = []
    recipe = replace(VQVAE_RECIPE, steps=120, validate_every=60)
    fit(VQVAETask(scans, recipe), tmp_path, report=rows.append)
    assert [row["step"] for row in rows] == [60, 120]
    assert rows[1]["train_nll"] < rows[0]["train_nll"]
    assert rows[1]["loss"] < rows[0]["loss"]
    assert rows[1]["ssim"] > rows[0]["ssim"]
    assert 0 < rows[1]["codebook_usage"] <= 1
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 3
    assert list((tmp_path / "logs").glob("events*"))


def test_an_interrupted_run_continues_to_the_same_weights(scans, first_stage, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(VQVAETask(scans, VQVAE_RECIPE), tmp_path, progress=stop_after(27))
    with pytest.raises(TrainingError, match="--resume"):
        fit(VQVAETask(scans, VQVAE_RECIPE), tmp_path)
    with pytest.raises(TrainingError, match="another recipe"):
        fit(VQVAETask(scans, replace(VQVAE_RECIPE, crop=20)), tmp_path, resume=True)
    resumed = fit(VQVAETask(scans, VQVAE_RECIPE), tmp_path, resume=True)
    for a, b in zip(
        weights(first_stage.nets["vqvae"]), weights(resumed.nets["vqvae"]), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_prior_learns_and_continues_to_the_same_weights(scans, first_stage, tmp_path):
    rows = []
    whole = fit(PriorTask(scans, first_stage, PRIOR_RECIPE), tmp_path / "a", report=rows.append)
    assert rows[1]["bits_per_code"] < 4.0  # log2 of 16 codes
    assert rows[1]["bits_per_code"] < rows[0]["bits_per_code"]
    with pytest.raises(KeyboardInterrupt):
        fit(PriorTask(scans, first_stage, PRIOR_RECIPE), tmp_path / "b", progress=stop_after(33))
    another = replace(first_stage, nets={"vqvae": vqvae_from(VQVAE_RECIPE, seed=9)})
    with pytest.raises(
        TrainingError, match="another recipe, seed, number of workers or other data"
    ):
        fit(PriorTask(scans, another, PRIOR_RECIPE), tmp_path / "b", resume=True)
    resumed = fit(PriorTask(scans, first_stage, PRIOR_RECIPE), tmp_path / "b", resume=True)
    for a, b in zip(weights(whole.nets["prior"]), weights(resumed.nets["prior"]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.kind == "two-stage"


def test_a_run_begins_with_what_is_trained(scans, first_stage):
    """And leaves its codebook and embedding where they are."""
    first = first_stage.nets["vqvae"]
    task = VQVAETask(scans, VQVAE_RECIPE, seed=5, first=first_stage)
    task.prepare()
    for a, b in zip(weights(task.net), weights(first), strict=True):
        if not np.array_equal(a, b):  # only what counts the codes in use since the last validation
            assert a.shape == (16,)
            assert not a.any()
    prior = {"prior": pixelcnn_from(PRIOR_RECIPE, VQVAE_RECIPE, seed=7)}
    start = replace(first_stage, nets=first_stage.nets | prior, name="trained")
    task = PriorTask(scans, first_stage, PRIOR_RECIPE, seed=5, start=start)
    task.prepare()
    for a, b in zip(weights(task.net), weights(prior["prior"]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert task.identity["start"] == "trained"
    with pytest.raises(TrainingError, match="start from one that train-prior wrote"):
        PriorTask(scans, first_stage, PRIOR_RECIPE, start=first_stage)
    with pytest.raises(TrainingError, match="has no net of this kind and size to begin with"):
        VQVAETask(scans, replace(VQVAE_RECIPE, filters=24), first=first_stage)


def test_a_codebook_larger_than_eight_batches_of_vectors(scans, tmp_path):
    """A batch is one crop of 4 x 4 codes here."""
    recipe = replace(VQVAE_RECIPE, num_embeddings=200, batch_size=1, steps=1)
    bundle = fit(VQVAETask(scans, recipe), tmp_path)
    assert bundle.nets["vqvae"].quantizer.codebook.shape == (200, 8)


def test_measures_of_a_prior_by_hand(two_stage):
    """Also in batches of one triplet, whose neighbours must come from another batch."""
    rng = np.random.default_rng(0)
    batches = [
        {key: rng.integers(0, 16, (1, 4, 5)) for key in ("codes", "previous", "next")}
        | {"position": np.float32([place]), "gap_mm": np.float32([4])}
        for place in (0.25, 0.5, 0.75)
    ]

    def bits(inputs, codes):
        logits = np.asarray(two_stage.nets["prior"](inputs | {"codes": codes}), np.float64)
        chosen = np.take_along_axis(logits, codes[..., None], -1)[..., 0]
        return float(np.mean(np.log2(np.exp(logits).sum(-1))) - np.mean(chosen) / np.log(2))

    measured = measure_prior(two_stage.nets["prior"], batches)
    given = np.mean([bits(batch, batch["codes"]) for batch in batches])
    shuffled = np.mean([bits(batches[k], batches[k - 1]["codes"]) for k in range(3)])
    counts = np.bincount(np.ravel([batch["codes"] for batch in batches]))
    p = counts[counts > 0] / counts.sum()
    assert measured["bits_per_code"] == pytest.approx(given, rel=1e-5)
    assert measured["loss"] == pytest.approx(given * np.log(2), rel=1e-5)
    assert measured["bits_per_code_shuffled"] == pytest.approx(shuffled, rel=1e-5)
    assert measured["unigram_bits"] == pytest.approx(-(p * np.log2(p)).sum())
    assert abs(given - shuffled) > 1e-3


def test_a_loss_that_is_not_finite_ends_the_run(scans, tmp_path):
    hot = replace(VQVAE_RECIPE, learning_rate=1e30)
    with pytest.raises(TrainingError, match="--learning-rate"):
        fit(VQVAETask(scans, hot), tmp_path)


def test_scans_of_both_modalities_are_refused(tmp_path):
    for modality in ("ct", "mr"):
        volume = phantom_volume(modality, (20, 20, 12), (12.0, 12.0, 5.0), seed=1)
        write_volume(volume, tmp_path / f"{modality}.nii.gz")
    with pytest.raises(TrainingError, match=r"one modality.*ct\.nii\.gz.*mr\.nii\.gz"):
        gather_scans([tmp_path], [], rule=None, image_size=None, guard_mm=3.0, seed=0)


def test_a_validation_scan_never_trains(tmp_path):
    paths = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    for seed, path in enumerate(paths):
        write_volume(phantom_volume("mr", (20, 22, 12), (9.0, 9.0, 5.0), seed=seed), path)
    scans = gather_scans(
        [Path(tmp_path)], [paths[1]], rule=None, image_size=None, guard_mm=3.0, seed=0
    )
    assert [slab.stack.name for slab in scans.training] == ["a.nii.gz"]
    assert [slab.stack.name for slab in scans.validation] == ["b.nii.gz"]
    assert scans.rule.modality == "mr"


def test_weights_are_saved_without_the_optimizer(first_stage, tmp_path):
    save_bundle(first_stage, tmp_path, "# Card\n")
    with h5py.File(tmp_path / "vqvae.weights.h5") as file:
        names = []
        file.visit(names.append)
    assert not [name for name in names if name.startswith("optimizer")]
