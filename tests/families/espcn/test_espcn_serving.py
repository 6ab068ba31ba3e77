"""A served ESPCN answers with the scan that `superresolve` makes."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.families.espcn import FAMILY, serve
from medgen.families.espcn.build import espcn_from
from medgen.families.espcn.recipe import ESPCN_RECIPES
from medgen.families.espcn.refine import ESPCNResolver
from medgen.intensities.rule import IntensityRule
from medgen.serving.batches import answers, fitting
from medgen.serving.bounds import Bounds
from medgen.serving.rest import Request
from medgen.serving.server import ModelServer
from medgen.superresolution import superresolve_volume
from medgen.volumes import Geometry, Volume

SMALL = replace(ESPCN_RECIPES["small"], filters=4)
PAPER = replace(ESPCN_RECIPES["espcn-paper"], factor=2)


def model(recipe=SMALL, modality="ct") -> Bundle:
    net = espcn_from(recipe, seed=1)
    if not recipe.published:
        net.strength.assign(0.7)
        net.width.assign(2.0)
    return Bundle("espcn", IntensityRule(modality), {"espcn": recipe}, {"espcn": net}, name="tiny")


def scan(shape=(11, 9, 14)) -> np.ndarray:
    """Noise beside air, metal in it, and padding."""
    array = np.random.default_rng(0).integers(-900, 900, shape).astype(np.float32)
    array[:, :3] = -1024
    array[-1, -2, -3] = 3000
    array[:, -1, -1] = array[0, -1, 0] = -2500
    return array


@pytest.mark.parametrize(
    ("recipe", "modality"),
    [(SMALL, "ct"), (SMALL, "mr"), (replace(SMALL, factor=3), "ct"), (PAPER, "ct")],
)
def test_the_answer_is_what_superresolve_makes_however_tiles_lie(recipe, modality, monkeypatch):
    monkeypatch.setattr(serve, "TILE", 5)
    bundle, values = model(recipe, modality), scan()
    volume = Volume(values, Geometry.from_spacing(values.shape, (3.0, 1.0, 1.0)), modality=modality)
    expected = superresolve_volume(
        volume, ESPCNResolver(bundle), recipe.factor, uncertainty=not recipe.published
    )
    served = FAMILY.served(bundle)
    answer = served.superresolve(tf.constant(values))
    assert set(answer) == {"scan", *expected.uncertainty}
    np.testing.assert_allclose(answer["scan"], expected.volume.array, atol=0.01)
    for name, values in expected.uncertainty.items():
        np.testing.assert_allclose(answer[name], values.array, atol=0.01)


def test_a_server_tries_it_out_and_answers_scans_one_by_one():
    server = ModelServer(FAMILY.served(model()), "tiny", 10**6, Bounds())
    server.try_out()
    assert server.model.asked("serving_default", {"scan": (4, 5, 6)}) == (8, 10, 12)
    signature = server.signatures["serving_default"]

    def request(array: np.ndarray) -> Request:
        return Request("serving_default", signature, {"scan": array}, rows=False)

    # Slices of two scans that were put behind each other would count for one another.
    assert fitting(request(scan())) is None
    (answer,) = answers([request(scan((4, 5, 6)))])
    assert answer["scan"].shape == answer["std"].shape == (8, 10, 12)
    (refused,) = answers([request(scan()[:1])])
    assert str(refused) == "scan must have 2 or more slices, rows and columns"
