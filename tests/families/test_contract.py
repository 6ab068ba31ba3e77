"""What everybody may rely on who has slices filled in, or voxels made finer, whoever does it."""

import tempfile
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rounding import exact

from medgen import superresolution
from medgen.bundles.bundle import Bundle
from medgen.bundles.families import FAMILIES, Family, family_of
from medgen.errors import BundleError
from medgen.families.espcn.build import espcn_from
from medgen.families.espcn.recipe import ESPCN_RECIPES
from medgen.families.espcn.refine import ESPCNResolver
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.fill import PixelMinerInterpolator
from medgen.families.pixelminer.in_plane import InPlaneInterpolator
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.pixelminer.subdivide import InPlaneResolver
from medgen.families.two_stage.fill import TwoStage
from medgen.intensities.rule import IntensityRule
from medgen.interpolation import CLASSICAL
from medgen.interpolation.contract import AUTO, UNCERTAINTY
from medgen.interpolation.gaps import AcrossGaps
from medgen.interpolation.insert import stack_slices
from medgen.jobs.keeping import KeepingInterpolator, Partial
from medgen.sampling.slices import SliceSampler
from medgen.volumes import Geometry, Volume

RECIPE = PixelMinerRecipe(
    context=1,
    filters=4,
    blocks=1,
    mixtures=2,
    conditioner_filters=4,
    conditioner_blocks=1,
    prediction_mixtures=2,
)
POSITIONS = np.array([0.5, 1.5, 2.5])
SLICES = 4


@pytest.fixture(autouse=True)
def not_compiled(monkeypatch):
    monkeypatch.setattr(
        "medgen.families.pixelminer.sampler.SliceSampler", partial(SliceSampler, jit_compile=False)
    )


@pytest.fixture(scope="module")
def stack():
    array = np.random.default_rng(0).integers(-700, 900, (8, 12, SLICES)).astype(np.int16)
    array[:2] = -1024
    geometry = Geometry.from_spacing(array.shape, (0.8, 0.9, 4.0))
    return stack_slices(Volume(array, geometry, modality="ct"), 2)[0]


@cache
def bundle(*, in_plane: bool) -> Bundle:
    recipe = replace(RECIPE, in_plane=in_plane)
    nets = {"pixelminer": pixelminer_from(recipe, 2048, seed=2)}
    rule = IntensityRule("ct")
    return exact(Bundle("pixelminer", rule, {"pixelminer": recipe}, nets, name="tiny"))


def pixels(seed, *, in_plane=False, **options):
    return PixelMinerInterpolator(bundle(in_plane=in_plane), seed=seed, **options)


# From a seed to an interpolator; what needs a fixture takes it.
KINDS = {
    **{name: lambda seed, codes, folder, name=name: CLASSICAL[name] for name in CLASSICAL},
    "pixelminer": lambda seed, codes, folder: pixels(seed),
    "pixelminer, matched": lambda seed, codes, folder: pixels(seed, temperature=AUTO),
    "pixelminer, mean": lambda seed, codes, folder: pixels(seed, decode="mean"),
    "in-plane": lambda seed, codes, folder: InPlaneInterpolator(pixels(seed, in_plane=True)),
    "two-stage": lambda seed, codes, folder: TwoStage(codes, seed=seed, temperature=3.0),
    "across gaps": lambda seed, codes, folder: AcrossGaps(pixels(seed), 2 * np.arange(SLICES)),
    "kept": lambda seed, codes, folder: KeepingInterpolator(
        pixels(seed), Partial(Path(tempfile.mkdtemp(dir=folder)), "same")
    ),
}


@pytest.fixture(params=KINDS)
def make(request, exact_two_stage, tmp_path):
    return lambda seed=3: KINDS[request.param](seed, exact_two_stage, tmp_path)


def filled(interpolator, stack, positions=POSITIONS, **options):
    seen = []
    fillings = [
        replace(filling, images=filling.images.copy())
        for filling in interpolator.fill(
            stack, positions, lambda done, total: seen.append((done, total)), **options
        )
    ]
    assert len(fillings) == len(positions)
    assert seen[-1] == (len(positions), len(positions))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    return fillings


def test_slices_are_of_the_stack_s_kind(make, stack):
    for filling in filled(make(), stack):
        assert filling.images.shape == (1, *stack.shape[1:])
        assert filling.images.dtype == stack.array.dtype
        assert np.isfinite(filling.images).all()
        assert filling.uncertainty is None


def test_a_slice_is_the_same_alone_and_in_company(make, stack):
    together = filled(make(), stack)
    for position, one in zip(POSITIONS[::-1], together[::-1], strict=True):
        (alone,) = filled(make(), stack, np.array([position]))
        np.testing.assert_array_equal(alone.images, one.images)


def test_samples_are_those_of_the_next_seeds(make, stack):
    if not make().draws:
        with pytest.raises(BundleError, match=r"draws nothing at random|does not vary"):
            make().require(samples=2, uncertainty=False)
        return
    several = filled(make(), stack, samples=3)
    for k in range(3):
        for one, own in zip(several, filled(make(3 + k), stack), strict=True):
            np.testing.assert_array_equal(one.images[k], own.images[0])
    assert (several[0].images[0] != several[0].images[1]).any()


def test_uncertainty_is_told_by_those_who_know(make, stack):
    interpolator = make()
    if not interpolator.tells_uncertainty:
        with pytest.raises(BundleError, match=r"an uncertainty|the uncertainty of pixels"):
            interpolator.require(samples=1, uncertainty=True)
        return
    interpolator.require(samples=1, uncertainty=True)
    for filling in filled(interpolator, stack, uncertainty=True):
        assert tuple(filling.uncertainty) == UNCERTAINTY
        for map_ in filling.uncertainty.values():
            assert map_.shape == stack.shape[1:]
            assert np.isfinite(map_).all()


def test_a_prediction_makes_no_draw(make, stack):
    prediction = make().prediction()
    if prediction is not None:
        assert not prediction.draws
        for one, other in zip(
            filled(prediction, stack), filled(make(9).prediction(), stack), strict=True
        ):
            np.testing.assert_array_equal(one.images, other.images)


def test_memory_is_told(make):
    interpolator = make()
    assert isinstance(interpolator.name, str)
    assert 0 <= interpolator.bytes_per_voxel < 100
    assert 0 <= interpolator.bytes_per_pixel < 1000


# === What makes voxels finer ===


@cache
def finer(*, published: bool) -> Bundle:
    recipe = replace(ESPCN_RECIPES["espcn-paper"], factor=2)
    if not published:
        recipe = replace(ESPCN_RECIPES["small"], filters=4)
    net = espcn_from(recipe, seed=2)
    return Bundle("espcn", IntensityRule("ct"), {"espcn": recipe}, {"espcn": net}, name="tiny")


@cache
def splitting() -> Bundle:
    recipe = replace(RECIPE, in_plane=True, subdivides=2, autoregressive=False)
    nets = {"pixelminer": pixelminer_from(recipe, 2048, seed=3)}
    return Bundle("pixelminer", IntensityRule("ct"), {"pixelminer": recipe}, nets, name="rows")


# From nothing to a super-resolver.
RESOLVERS = {
    **{
        name: lambda name=name: superresolution.CLASSICAL[name]
        for name in superresolution.CLASSICAL
    },
    "espcn": lambda: ESPCNResolver(finer(published=False), side=3),
    "espcn, published": lambda: ESPCNResolver(finer(published=True), side=3),
    "in-plane": lambda: InPlaneResolver(splitting()),
}


@pytest.fixture(params=RESOLVERS)
def resolver(request):
    return RESOLVERS[request.param]()


@pytest.mark.parametrize("in_plane", [False, True])
def test_parts_make_up_the_finer_scan(resolver, stack, in_plane):
    """Each voxel once, finite, of the stack's kind, and the work told to its end."""
    seen, done = np.zeros(stack.shape, int), []

    def told(n, total):
        done.append((n, total))

    if resolver.only_in_plane and not in_plane:
        with pytest.raises(BundleError, match="add --in-plane"):
            next(resolver.refine(stack, 2, told))
        return
    for part in resolver.refine(stack, 2, told, in_plane=in_plane):
        seen[part.box] += 1
        deep, *rest = seen[part.box].shape
        assert part.values.shape == (deep * (1 if in_plane else 2), *(2 * n for n in rest))
        assert part.values.dtype == stack.array.dtype
        assert np.isfinite(part.values).all()
        assert part.uncertainty is None
    assert (seen == 1).all()
    assert done[-1][0] == done[-1][1]
    assert done == sorted(done)


def test_a_resolver_tells_what_it_knows(resolver, stack):
    options = {"in_plane": resolver.only_in_plane}
    assert isinstance(resolver.name, str)
    assert resolver.only_factor in (None, 2)
    assert 0 <= resolver.bytes_needed(64, 64) < 2**30
    if resolver.only_factor is not None:
        with pytest.raises(BundleError, match="makes 2 voxels of one"):
            resolver.require(3, **options)
    if not resolver.tells_uncertainty:
        with pytest.raises(BundleError, match="cannot tell the uncertainty of voxels"):
            next(resolver.refine(stack, 2, lambda *_: None, uncertainty=True, **options))
        return
    for part in resolver.refine(stack, 2, lambda *_: None, uncertainty=True, **options):
        assert tuple(part.uncertainty) == superresolution.contract.UNCERTAINTY
        for map_ in part.uncertainty.values():
            assert map_.shape == part.values.shape
            assert np.isfinite(map_).all()
        assert (part.uncertainty["low"] < part.values).all()
        assert (part.values < part.uncertainty["high"]).all()


def test_what_a_family_does_not_do_it_says_in_a_sentence():
    """Filling in slices, or making voxels finer; a PixelMiner does either, by its recipe."""
    both = []
    for kind in FAMILIES:
        bundle = SimpleNamespace(name="model", kind=kind, recipes={}, nets={})
        family = family_of(kind)
        splits = type(family).superresolver is not Family.superresolver
        fills = type(family).interpolator is not Family.interpolator
        if splits and fills:
            both.append(kind)
        if not splits:
            with pytest.raises(BundleError, match=r"^model is a .* cannot make voxels finer"):
                family.superresolver(bundle)
        if not fills:
            with pytest.raises(BundleError, match=r"^model is a .* cannot fill in slices"):
                family.interpolator(bundle)
    assert both == ["pixelminer", "pixelminer-paper"]
