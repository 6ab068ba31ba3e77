"""Training a PixelMiner on a small phantom: it learns, draws at every validation, continues."""

from dataclasses import replace

import numpy as np
import pytest

from medgen.bundles.bundle import Bundle
from medgen.bundles.start import take_over
from medgen.errors import TrainingError
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.fit import PixelMinerTask
from medgen.families.pixelminer.measure import linear_bits_per_dim, measure_samples
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.pixelminer.sampler import sampler_of
from medgen.intensities.rule import IntensityRule
from medgen.phantoms.phantom import phantom_volume
from medgen.sampling.rows import RowSampler
from medgen.sampling.slices import SliceSampler
from medgen.training.gather import gather_scans
from medgen.training.session import fit
from medgen.volumes import write_volume

RECIPE = replace(
    PIXELMINER_RECIPES["small"],
    filters=6,
    conditioner_filters=6,
    crop=16,
    batch_size=4,
    steps=60,
    validate_every=30,
    max_gap_mm=20.0,
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "phantom.nii.gz"
    write_volume(phantom_volume("ct", (36, 40, 24), (8.0, 8.0, 9.0), seed=1), path)
    return gather_scans([path], [], rule=None, image_size=None, guard_mm=9.0, seed=0)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("medgen.families.pixelminer.fit.SAMPLED_WINDOWS", 3)
    monkeypatch.setattr("medgen.families.pixelminer.fit.SAMPLED_SIDE", 12)
    monkeypatch.setattr("medgen.families.pixelminer.fit.VALIDATION_BATCHES", 2)


@pytest.mark.slow
def test_pixelminer_learns_and_continues_to_the_same_weights(scans, tmp_path):
    rows = []
    whole = fit(PixelMinerTask(scans, RECIPE), tmp_path / "a", report=rows.append)
    assert [row["step"] for row in rows] == [30, 60]
    for name in ("bits_per_dim", "prediction_bits_per_dim"):
        assert rows[1][name] < rows[0][name] < 11  # 2048 levels
    for row in rows:
        assert row["loss"] == pytest.approx(row["bits_per_dim"] + np.log2(row["sampled_crps"]))
        assert row["sampled_crps"] < row["sampled_mae"]
        assert row["linear_mae"] == rows[0]["linear_mae"] > 0
    assert whole.kind == "pixelminer"
    assert whole.metrics["pixelminer"]["sampled_mae"] in [row["sampled_mae"] for row in rows]

    def stop(step: int, share: float, logs: dict[str, float]) -> None:
        if step == 41:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(PixelMinerTask(scans, RECIPE), tmp_path / "b", progress=stop)
    resumed = fit(PixelMinerTask(scans, RECIPE), tmp_path / "b", resume=True)
    for a, b in zip(
        whole.nets["pixelminer"].weights, resumed.nets["pixelminer"].weights, strict=True
    ):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_without_autoregression_the_prediction_is_what_is_judged(scans, tmp_path):
    rows = []
    recipe = replace(RECIPE, autoregressive=False, steps=4, validate_every=4)
    fit(PixelMinerTask(scans, recipe), tmp_path, report=rows.append)
    (row,) = rows
    assert "bits_per_dim" not in row
    expected = row["prediction_bits_per_dim"] + np.log2(row["sampled_crps"])
    assert row["loss"] == pytest.approx(expected)


def test_a_run_starts_from_a_net_without_its_trunk(scans):
    alone = pixelminer_from(replace(RECIPE, autoregressive=False), 2048, seed=1)
    bundle = Bundle(
        "pixelminer", scans.rule, {"pixelminer": RECIPE}, {"pixelminer": alone}, name="alone"
    )
    model = pixelminer_from(RECIPE, 2048, seed=2)
    trunk = [weight.numpy() for weight in model.stack.weights]
    take_over(model, bundle, "pixelminer")
    for own, given in (
        (model.conditioner, alone.conditioner),
        (model.prediction, alone.prediction),
        (model.acquired, alone.acquired),
        (model.place, alone.place),
    ):
        for a, b in zip(own.weights, given.weights, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    for before, weight in zip(trunk, model.stack.weights, strict=True):
        np.testing.assert_array_equal(before, weight.numpy())

    wider = pixelminer_from(replace(RECIPE, conditioner_filters=8), 2048)
    with pytest.raises(TrainingError, match="alone has weights pixelminer/"):
        take_over(wider, bundle, "pixelminer")


@pytest.mark.slow
def test_a_partially_causal_net_is_measured_within_bands(scans, tmp_path):
    rows = []
    recipe = replace(RECIPE, partially_causal=True, steps=4, validate_every=4)
    bundle = fit(PixelMinerTask(scans, recipe), tmp_path, report=rows.append)
    (row,) = rows
    assert bundle.nets["pixelminer"].partially_causal
    assert row["band_bits_per_dim"] != row["band_bits_per_dim_alone"]
    # Half of a side at most, in windows that the net has hardly learnt: near all the pixels' bits.
    assert row["band_bits_per_dim_alone"] == pytest.approx(row["bits_per_dim"], rel=0.2)


@pytest.mark.slow
def test_in_plane_a_line_is_drawn_between_lines(scans, tmp_path):
    rows = []
    recipe = replace(RECIPE, in_plane=True, steps=4, validate_every=4)
    bundle = fit(PixelMinerTask(scans, recipe), tmp_path, report=rows.append)
    (row,) = rows
    assert isinstance(sampler_of(recipe, bundle.nets["pixelminer"]), RowSampler)
    assert np.isnan(row["growth_rows"])
    assert np.isfinite([row["loss"], row["sampled_crps"], row["growth_columns"]]).all()


def test_slabs_of_two_slices_are_refused(scans, tmp_path):
    thin = replace(scans, training=(replace(scans.training[0], stop=scans.training[0].start + 2),))
    with pytest.raises(TrainingError, match="three slices"):
        fit(PixelMinerTask(thin, RECIPE), tmp_path)


# === What is measured ===


def windows(target: np.ndarray) -> dict[str, np.ndarray]:
    """A target of any levels between two flat slices at 80 and 120, a third of the way."""
    count, rows, cols = target.shape
    context = np.full((count, rows, cols, 4), 80, np.int32)
    context[..., 2:] = 120
    return {
        "target": target,
        "context": context,
        "present": np.ones((count, 4), np.float32),
        "position": np.full(count, 0.25, np.float32),
        "gap_mm": np.full(count, 4.0, np.float32),
    }


def test_bits_of_linear_interpolation_are_those_of_the_best_scale():
    rng = np.random.default_rng(0)
    target = np.rint(90 + rng.logistic(scale=5.0, size=(4, 60, 70))).astype(np.int32)
    # The entropy of a logistic of scale s is ln s + 2 nats; of levels of width 1, nearly the same.
    expected = (np.log(5.0) + 2) / np.log(2)
    assert linear_bits_per_dim([windows(target)], 256) == pytest.approx(expected, abs=0.02)


class Known(SliceSampler):
    """Draws what it was given."""

    def __init__(self, levels: np.ndarray):
        self.levels = levels

    def __call__(self, inputs, uniforms):
        assert uniforms.shape == (*self.levels.shape, 2)
        return self.levels


@pytest.fixture(scope="module")
def flat_net():
    """A net that predicts the linear interpolation."""
    net = pixelminer_from(RECIPE, 2048)
    for v in net.prediction.trainable_variables:
        v.assign(np.zeros(v.shape))
    return net


def test_errors_of_samples_by_hand(flat_net):
    target = np.full((2, 8, 12), 100, np.int32)
    first, second = np.full_like(target, 104), np.full_like(target, 94)
    first[:, -2:] = 112  # three times the error in the last quarter of the rows
    drawn = np.concatenate([first, second])
    row = measure_samples(flat_net, Known(drawn), windows(target), IntensityRule("ct"), 0)
    assert row["linear_mae"] == pytest.approx(10.0)
    assert row["prediction_mae"] == pytest.approx(10.0, abs=0.01)
    assert row["sampled_mae"] == pytest.approx((6 * 5 + 2 * 9) / 8)
    assert row["sampled_crps"] == pytest.approx((6 * 5 + 2 * 9) / 8 - (6 * 10 + 2 * 18) / 8 / 2)
    assert row["growth_rows"] == pytest.approx(9 / 5, abs=0.01)
    assert row["growth_columns"] == pytest.approx(1.0, abs=0.01)
    assert np.isnan(row["hf_power_ratio"])
    percent = measure_samples(
        flat_net, Known(drawn), windows(target), IntensityRule("mr", levels=201), 0
    )
    assert percent["linear_mae"] == pytest.approx(5.0)
    hu = IntensityRule("ct", levels=1001, low_hu=-1000.0, high_hu=1000.0)
    row = measure_samples(flat_net, Known(drawn), windows(target), hu, 0)
    assert row["linear_mae"] == pytest.approx(20.0)


def test_power_ratio_of_samples_is_relative_to_the_nearest_slices(flat_net):
    rng = np.random.default_rng(0)
    target = np.full((6, 48, 48), 100, np.int32)
    given = windows(target)
    tissue = np.zeros((48, 48, 1))
    tissue[8:-8, 8:-8] = 200
    given["context"] = np.rint(rng.normal(100, 8, given["context"].shape) + tissue).astype(np.int32)
    noise = rng.normal(100, 8 * np.sqrt(2), (12, 48, 48)) + tissue[..., 0]
    drawn = np.rint(noise).astype(np.int32)
    row = measure_samples(flat_net, Known(drawn), given, IntensityRule("ct"), 0)
    assert row["hf_power_ratio"] == pytest.approx(2.0, rel=0.1)
