"""Sound nets pass; each fault is found by the check that is there for it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.doctor import examine
from medgen.doctor.checks import (
    check_causality,
    check_codebook,
    check_conditioner,
    check_normalisation,
    check_samplers,
)
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.checks import subject_of
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.intensities.rule import IntensityRule
from medgen.layers.causal import CausalInput, GatedBlock
from medgen.likelihoods import logistic_mixture

RECIPE = PixelMinerRecipe(
    context=2, filters=4, blocks=2, mixtures=2, conditioner_filters=4, conditioner_blocks=1
)


def findings(bundle: Bundle) -> dict[str, tuple[bool, str]]:
    return {finding.check: (finding.passed, finding.detail) for finding in examine(bundle)}


@pytest.fixture
def net():
    return pixelminer_from(RECIPE, 300)


subject = partial(subject_of, "net")


def test_a_sound_two_stage_model(two_stage):
    found = findings(two_stage)
    assert list(found) == [
        "vqvae weights", "vqvae codebook", "prior weights", "prior normalisation",
        "prior conditioning", "prior causality", "prior sampling",
    ]  # fmt: skip
    assert all(passed for passed, _ in found.values())
    # The first layer reaches 3, each of 2 blocks 1 more; the conditioner 1 and 1.
    assert found["prior causality"][1].endswith("5 rows up, 5 columns left, 5 right")
    assert found["prior conditioning"][1].endswith("2 up, 2 down, 2 left, 2 right")
    assert found["vqvae codebook"][1].startswith("16 different entries of 16, 100% used")
    assert found["prior sampling"][1].endswith("72 values")


@pytest.mark.parametrize("autoregressive", [True, False])
def test_a_sound_pixelminer(autoregressive):
    recipe = replace(RECIPE, autoregressive=autoregressive)
    nets = {"pixelminer": pixelminer_from(recipe, 300)}
    found = findings(Bundle("pixelminer", IntensityRule("ct", 300), {"pixelminer": recipe}, nets))
    checks = ["weights", "normalisation", "conditioning", "causality", "sampling"]
    assert list(found) == [f"pixelminer {c}" for c in checks[: 5 if autoregressive else 3]]
    assert all(passed for passed, _ in found.values())
    if autoregressive:
        assert found["pixelminer causality"][1].endswith("5 rows up, 5 columns left, 5 right")


def test_weights_that_are_not_finite(two_stage):
    kernel = two_stage.nets["prior"].out.kernel
    whole = kernel.numpy()
    broken = whole.copy()
    broken[0, 0] = np.nan
    kernel.assign(broken)
    found = findings(two_stage)
    kernel.assign(whole)
    assert found["prior weights"] == (False, "NaN or infinite in prior/out/kernel")
    assert list(found)[-1] == "prior weights"
    assert found["vqvae weights"][0]


def test_equal_codes_and_a_codebook_of_one(two_stage):
    quantizer = two_stage.nets["vqvae"].quantizer
    codebook, counts = quantizer.codebook.numpy(), quantizer.ema_counts.numpy()
    quantizer.codebook.assign(codebook[[0, 0, *range(2, 16)]])
    doubled = check_codebook("vqvae", quantizer)
    quantizer.codebook.assign(codebook)
    quantizer.ema_counts.assign(np.eye(16)[3])
    single = check_codebook("vqvae", quantizer)
    quantizer.ema_counts.assign(counts)
    assert not doubled.passed
    assert doubled.detail.startswith("15 different entries of 16, 100% used")
    assert not single.passed
    assert single.detail.startswith("16 different entries of 16, 6% used")


def test_a_first_layer_that_sees_the_current_pixel(net, monkeypatch):
    def call(self, x):
        rows = tf.pad(x, [[0, 0], [self.halo, 0], [0, 0], [0, 0]])[:, :-1]
        columns = tf.pad(x, [[0, 0], [0, 0], [self.halo - 1, 0], [0, 0]])
        return self.rows(rows), self.horizontal(columns)

    monkeypatch.setattr(CausalInput, "call", call)
    causality, sampling = check_causality(subject(net)), check_samplers(subject(net))
    assert not causality.passed
    # Moved right by a column less, the layer also reaches one less far.
    assert causality.detail == (
        "sees the current or later positions; does not see 1 of the earlier positions within reach"
    )
    assert not sampling.passed


def test_a_blind_spot(net, monkeypatch):
    """Without the link from the vertical stack no row above is seen."""
    rows = GatedBlock.rows

    def unlinked(self, vertical, conditioning, training=False):
        seen, injected = rows(self, vertical, conditioning, training)
        return seen, 0 * injected

    monkeypatch.setattr(GatedBlock, "rows", unlinked)
    found = check_causality(subject(net))
    assert not found.passed
    # 5 rows of 11.
    assert found.detail == "does not see 55 of the earlier positions within reach"


def test_images_that_see_each_other(net, monkeypatch):
    call = CausalInput.call

    def normalised(self, x):
        vertical, horizontal = call(self, x)
        return vertical - tf.reduce_mean(vertical, axis=0, keepdims=True), horizontal

    monkeypatch.setattr(CausalInput, "call", normalised)
    found = check_causality(subject(net))
    assert not found.passed
    assert "sees other images of the batch" in found.detail


def test_a_likelihood_that_does_not_sum_to_1(net, monkeypatch):
    log_prob = logistic_mixture.log_prob
    monkeypatch.setattr(
        logistic_mixture, "log_prob", lambda *args, **given: log_prob(*args, **given) + 0.01
    )
    found = check_normalisation(subject(net))
    assert not found.passed
    assert found.detail.endswith("at most 1.0e-02 off")


def test_acquired_slices_that_are_not_read(net, monkeypatch):
    condition = type(net).condition

    def blind(self, inputs):
        return condition(self, inputs | {"context": np.full_like(inputs["context"], 5)})

    monkeypatch.setattr(type(net), "condition", blind)
    found = check_conditioner(subject(net))
    assert not found.passed
    assert found.detail.endswith("counts 0 up, 0 down, 0 left, 0 right")


def test_known_pixels_that_are_not_shown(net):
    """As of a net that is not partially causal."""
    found = check_conditioner(subject(net), known=True)
    assert (found.check, found.passed) == ("net known pixels", False)
    recipe = replace(RECIPE, partially_causal=True)
    found = check_conditioner(subject(pixelminer_from(recipe, 300)), known=True)
    assert found.passed


def test_a_fast_sampler_that_forgets_the_pixel_to_the_left(net, monkeypatch):
    step = GatedBlock.step
    forget = np.array([[[0.0], [1.0]]])
    monkeypatch.setattr(
        GatedBlock, "step", lambda self, columns, added: step(self, columns * forget, added)
    )
    found = check_samplers(subject(net))
    assert not found.passed
    assert "fast and raster sampler differ in" in found.detail
