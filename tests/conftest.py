"""Fixtures shared by all tests."""

import os
import random
from pathlib import Path

import hypothesis
import pytest

# No test asserts how fast a machine is.
hypothesis.settings.register_profile("medgen", deadline=None)
hypothesis.settings.load_profile("medgen")

# JAX runs tiny nets in processes of its own: compiling these well takes longer than running them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# Where a Chromium may be that tests of pages drive, and how it runs without a screen or a GPU.
CHROMIUM = [Path("/usr/bin") / name for name in ("chromium", "chromium-browser", "google-chrome")]
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_runtest_setup() -> None:
    """Nets that tests build start from the same weights in every run: Keras draws their seeds."""
    random.seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real scans beside the repository; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no folder of real scans beside the repository")
    return SHARED_DATA


@pytest.fixture(scope="module")  # not longer: Playwright keeps an event loop, others want their own
def browser():
    """Chromium, driven by Playwright; tests that need it skip where one of them is absent."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = [path for path in CHROMIUM if path.exists()]
    if not found:
        pytest.skip("there is no Chromium here")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found[0], args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def two_stage():
    """A two-stage model for CT of 16 codes, one for 4 x 4 pixels; untrained, but of many codes."""
    import numpy as np

    from medgen.bundles.bundle import Bundle
    from medgen.families.two_stage.build import pixelcnn_from
    from medgen.families.two_stage.recipe import PriorRecipe
    from medgen.families.vqvae.build import vqvae_from
    from medgen.families.vqvae.recipe import VQVAERecipe
    from medgen.intensities.rule import IntensityRule

    first = VQVAERecipe(filters=8, residual_blocks=1, num_embeddings=16, embedding_dim=4)
    second = PriorRecipe(filters=8, blocks=2, conditioner_filters=8, conditioner_blocks=1)
    vqvae = vqvae_from(first, seed=1)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 16, 16, 1))
    vqvae.quantizer.set_codebook(vqvae.latents(noise.astype("float32"))[0].numpy().reshape(16, 4))
    return Bundle(
        "two-stage",
        IntensityRule("ct"),
        {"vqvae": first, "prior": second},
        {"vqvae": vqvae, "prior": pixelcnn_from(second, first, seed=2)},
        metrics={"vqvae": {"step": 12000, "ssim": 0.91234}, "prior": {"bits_per_code": 3.5}},
        name="tiny",
    )


@pytest.fixture(scope="session")
def vqvae_alone(two_stage):
    """The first stage of `two_stage`, under the same name."""
    from dataclasses import replace

    only = {key: {"vqvae": getattr(two_stage, key)["vqvae"]} for key in ("recipes", "nets")}
    return replace(two_stage, kind="vqvae", **only)


@pytest.fixture(scope="session")
def exact_two_stage(two_stage):
    """`two_stage` in float64, see `rounding.exact`."""
    from rounding import exact

    return exact(two_stage)


@pytest.fixture(scope="session")
def exact_conditional():
    """A conditional two-stage model for CT, untrained, but of many codes that count; in float64."""
    import numpy as np
    from rounding import exact

    from medgen.bundles.bundle import Bundle
    from medgen.families.conditional.build import conditional_prior_from, conditional_vqvae_from
    from medgen.families.conditional.recipe import ConditionalPriorRecipe, ConditionalRecipe
    from medgen.intensities.rule import IntensityRule

    first = ConditionalRecipe(
        context=2,
        conditioner_filters=6,
        conditioner_blocks=1,
        prediction_mixtures=2,
        filters=12,
        residual_blocks=1,
        mixtures=2,
        num_embeddings=16,
        embedding_dim=4,
    )
    second = ConditionalPriorRecipe(
        filters=6, blocks=2, conditioner_filters=6, conditioner_blocks=1
    )
    vqvae = conditional_vqvae_from(first, 2048, seed=1)
    vqvae.out.kernel.assign(np.random.default_rng(0).normal(size=vqvae.out.kernel.shape))
    nets = {"vqvae": vqvae, "prior": conditional_prior_from(second, first, seed=2)}
    recipes = {"vqvae": first, "prior": second}
    kind = "two-stage-conditional"
    return exact(Bundle(kind, IntensityRule("ct"), recipes, nets, name="tiny"))
