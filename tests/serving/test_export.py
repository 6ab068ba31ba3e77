"""An exported model gives what `medgen interpolate` gives, in a process without medgen or Keras."""

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from rounding import exact
from tensorflow.core.protobuf import saved_model_pb2

from medgen.bundles.bundle import Bundle
from medgen.families.conditional.sampler import CodeSampler
from medgen.families.espcn.build import espcn_from
from medgen.families.espcn.recipe import ESPCN_RECIPES
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.vqvae.codes import codes_of
from medgen.intensities.rule import IntensityRule
from medgen.interpolation import interpolate_volume
from medgen.likelihoods.tfp import DiscretizedLogisticMixture
from medgen.sampling.slices import SliceSampler
from medgen.serving import graph
from medgen.serving.export import export_bundle
from medgen.superresolution import superresolve_volume
from medgen.volumes import Geometry, Volume

RECIPE = PixelMinerRecipe(
    context=2,
    filters=4,
    blocks=1,
    mixtures=2,
    conditioner_filters=4,
    conditioner_blocks=1,
    prediction_mixtures=2,
)
GAP_MM = 3.5

# Runs with TensorFlow alone.
CLIENT = """
import sys
from functools import cache
for name in ("medgen", "keras", "tf_keras", "tensorflow_probability"):
    sys.modules[name] = None  # as if it were not installed
import numpy as np
import tensorflow as tf

requests = np.load(sys.argv[1])
answers, load = {}, cache(tf.saved_model.load)
for key in {key.rsplit("/", 1)[0] for key in requests}:
    folder, signature, _ = key.split("|")
    inputs = {k.rsplit("/", 1)[1]: tf.constant(requests[k]) for k in requests if k.startswith(key)}
    for name, values in load(folder).signatures[signature](**inputs).items():
        answers[f"{key}/{name}"] = values.numpy()
np.savez(sys.argv[2], **answers)
"""


@pytest.fixture(scope="module")
def pixelminer() -> Bundle:
    net = pixelminer_from(RECIPE, 2048, seed=2)
    return Bundle(
        "pixelminer",
        IntensityRule("ct"),
        {"pixelminer": RECIPE},
        {"pixelminer": net},
        name="direct",
    )


@pytest.fixture(scope="module")
def espcn() -> Bundle:
    recipe = replace(ESPCN_RECIPES["small"], filters=4)
    net = espcn_from(recipe, seed=1)
    net.strength.assign(0.7)
    return Bundle("espcn", IntensityRule("ct"), {"espcn": recipe}, {"espcn": net}, name="finer")


@pytest.fixture(scope="module")
def bundles(exact_two_stage, exact_conditional, pixelminer) -> dict[str, Bundle]:
    """In float64, so that what is drawn is the same however it is compiled."""
    return {
        "codes": exact_two_stage,
        "mr": replace(exact_two_stage, rule=IntensityRule("mr")),
        "direct": exact(pixelminer),
        "beside": exact_conditional,
    }


@pytest.fixture(scope="module")
def folders(bundles, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("exported")
    return {
        name: export_bundle(bundle, root / name, card="# Card\n")
        for name, bundle in bundles.items()
    }


@pytest.fixture(scope="module")
def loaded(folders) -> dict:
    return {name: tf.saved_model.load(str(folder)) for name, folder in folders.items()}


def slices(count=2, seed=0, shape=(11, 14)) -> np.ndarray:
    """Noise in air, some of it beyond the models' range, and padding."""
    array = np.full((count, *shape), -1024, np.float32)
    rng = np.random.default_rng(seed)
    array[:, 2:-1, 3:-2] = rng.integers(-900, 900, (count, shape[0] - 3, shape[1] - 5))
    array[:, 4, 5] = 3000
    array[0, 5, 5] = 1500
    array[:, 0, 0] = -2000
    array[0, 0, 1] = -2000
    return array


def filled(bundle: Bundle, acquired, factor=2, **options) -> np.ndarray:
    """What `medgen interpolate` puts between `acquired`, stored as float32."""
    geometry = Geometry.from_spacing(acquired.shape, (GAP_MM, 0.8, 0.9))
    volume = Volume(acquired, geometry, modality=bundle.rule.modality)
    interpolator = bundle.family.interpolator(bundle, **{"temperature": 1.0} | options)
    after = interpolate_volume(volume, interpolator, factor=factor, slice_axis=0)
    return np.delete(after.array, np.s_[::factor], axis=0)


def pairs(count: int) -> dict[str, np.ndarray]:
    """Request for one slice between each of `count` pairs."""
    both = np.stack([slices(seed=seed) for seed in range(count)])
    return {
        "previous": both[:, 0],
        "next": both[:, 1],
        "position": np.full(count, 0.5, np.float32),
        "gap_mm": np.full(count, GAP_MM, np.float32),
        "seed": np.arange(count),
        "temperature": np.ones(count, np.float32),
    }


def assert_same_slices(actual, expected, name="") -> None:
    """To a hundredth of a HU: less than half a level, or than another code would make."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=0.01, err_msg=name)


def ask(model, signature: str, inputs: dict) -> dict[str, np.ndarray]:
    answer = model.signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
    return {name: values.numpy() for name, values in answer.items()}


def test_equals_interpolate_in_a_process_with_tensorflow_alone(
    bundles, espcn, folders, tmp_path, monkeypatch
):
    """Other sizes than the graph was made with, several pairs at once, every kind of model."""
    not_compiled = partial(SliceSampler, jit_compile=False)
    monkeypatch.setattr("medgen.families.pixelminer.sampler.SliceSampler", not_compiled)
    not_compiled = partial(CodeSampler, jit_compile=False)
    monkeypatch.setattr("medgen.families.conditional.fill.CodeSampler", not_compiled)
    requests, expected = {}, {}
    for name, folder in folders.items():
        for signature, inputs, answer in (
            (
                "serving_default",
                pairs(2),
                [filled(bundles[name], slices(seed=seed), seed=seed)[0] for seed in range(2)],
            ),
            (
                "fill",
                {
                    "acquired": slices(5, shape=(9, 18)),
                    "positions": np.array([0.5, 1.5, 2.5, 3.5]),
                    "gap_mm": np.float32(GAP_MM),
                    "seed": np.int64(7),
                    "temperature": np.float32(0.7),
                },
                filled(bundles[name], slices(5, shape=(9, 18)), seed=7, temperature=0.7),
            ),
        ):
            key = f"{folder}|{signature}|"
            expected[f"{key}/slice"] = np.stack(answer)
            requests |= {f"{key}/{k}": v for k, v in inputs.items()}
    key, scan = f"{export_bundle(espcn, tmp_path / 'finer')}|serving_default|", slices(6)
    requests[f"{key}/scan"] = scan
    volume = Volume(scan, Geometry.from_spacing(scan.shape, (GAP_MM, 0.8, 0.9)), modality="ct")
    refined = superresolve_volume(volume, espcn.family.superresolver(espcn), 2, uncertainty=True)
    expected[f"{key}/scan"] = refined.volume.array
    expected |= {f"{key}/{k}": made.array for k, made in refined.uncertainty.items()}
    np.savez(tmp_path / "requests.npz", **requests)
    command = [sys.executable, "-c", CLIENT, tmp_path / "requests.npz", tmp_path / "answers.npz"]
    subprocess.run(command, check=True, timeout=600)
    answers = np.load(tmp_path / "answers.npz")
    for key, values in expected.items():
        assert_same_slices(answers[key], values, key)


def test_in_float32_rounding_moves_few_voxels(pixelminer):
    """One that is moved may lead to others, which are drawn after it."""
    acquired = slices(shape=(30, 34))
    served = pixelminer.family.served(pixelminer)
    request = {"acquired": acquired, "positions": np.array([0.5]), "gap_mm": np.float32(GAP_MM)}
    answer = served.fill(**{key: tf.constant(x) for key, x in request.items()})["slice"]
    expected = filled(pixelminer, acquired)
    drawn = np.abs(expected) < 1000
    assert drawn.sum() > 400
    assert np.mean(answer.numpy()[drawn] != expected[drawn]) <= 0.05


def test_needs_no_compiler_and_no_operations_of_python(folders):
    for folder in folders.values():
        saved = saved_model_pb2.SavedModel()
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
        functions = saved.meta_graphs[0].graph_def.library.function
        nodes = [node for function in functions for node in function.node_def]
        operations = {node.op for node in nodes}
        assert "While" in operations or "StatelessWhile" in operations
        assert not {op for op in operations if "Xla" in op or "PyFunc" in op}
        assert not any(node.attr["_XlaMustCompile"].b for node in nodes)


@pytest.mark.parametrize("name", ["codes", "mr", "direct", "beside"])
def test_seed_temperature_position_and_gap_count(loaded, name):
    request = pairs(2)
    request["previous"][1], request["next"][1] = request["previous"][0], request["next"][0]
    request["seed"][:] = 4
    same = ask(loaded[name], "serving_default", request)["slice"]
    np.testing.assert_array_equal(same[0], same[1])
    for key, value in (("seed", 5), ("position", 0.25), ("gap_mm", 9.0), ("temperature", 0.0)):
        changed = {k: v.copy() for k, v in request.items()}
        changed[key][1] = value
        other = ask(loaded[name], "serving_default", changed)["slice"]
        np.testing.assert_array_equal(other[0], same[0])
        assert (other[1] != same[1]).any(), key
    greedy = request | {"temperature": np.zeros(2, np.float32)}
    first, second = (
        ask(loaded[name], "serving_default", greedy | {"seed": np.full(2, seed)})["slice"]
        for seed in (1, 2)
    )
    np.testing.assert_array_equal(first, second)


def test_one_number_does_for_all_slices(loaded):
    request = pairs(2)
    scalars = {key: value[0] if value.ndim == 1 else value for key, value in request.items()}
    np.testing.assert_array_equal(
        ask(loaded["codes"], "serving_default", scalars)["slice"],
        ask(loaded["codes"], "serving_default", request | {"seed": np.zeros(2, int)})["slice"],
    )


def test_deviation_of_a_pixelminer(loaded, pixelminer):
    """Zero in air outside the box; inside, that of the mixtures given what was drawn."""
    request = pairs(1)
    answer = ask(loaded["direct"], "serving_default", request)
    inside = np.zeros((11, 14), bool)
    inside[2:-1, 3:-2] = True
    assert (answer["std"][0][~inside] == 0).all()
    net = pixelminer.nets["pixelminer"]
    drawn = np.clip(answer["slice"], -1024, 1023)[:, 2:-1, 3:-2] + 1024
    acquired = np.stack([request["previous"], request["next"]], -1)[:, 2:-1, 3:-2]
    levels = np.clip(acquired, -1024, 1023).astype(int)[..., [0, 0, 1, 1]] + 1024
    outputs = net(
        {
            "target": drawn,
            "context": levels,
            "present": np.array([[0.0, 1, 1, 0]]),
            "position": request["position"],
            "gap_mm": request["gap_mm"],
        }
    )
    mixture = DiscretizedLogisticMixture(outputs["mixture"], levels=2048, center=outputs["center"])
    # Voxels beyond the range are not what was drawn; those after them in reach do not tell.
    np.testing.assert_allclose(
        answer["std"][0, 2:4, 3:-2], mixture.stddev()[0, :2], rtol=1e-3, atol=1e-3
    )


def test_log_prob_of_levels_sums_to_one(loaded):
    """Of the first pixel, over all its levels."""
    acquired = np.full((1, 3, 4), 40, np.float32)
    total = 0.0
    for first in range(0, 2048, 512):
        target = np.repeat(acquired, 512, axis=0)
        target[:, 0, 0] = np.arange(first, first + 512) - 1024
        request = {
            "target": target,
            "previous": np.repeat(acquired, 512, axis=0),
            "next": np.repeat(acquired + 30, 512, axis=0),
            "position": np.float32(0.5),
            "gap_mm": np.float32(GAP_MM),
        }
        nats = ask(loaded["direct"], "log_prob", request)["log_prob"]
        assert nats.shape == (512, 3, 4)
        total += np.exp(nats[:, 0, 0].astype(float)).sum()
    assert total == pytest.approx(1, abs=1e-3)


def test_log_prob_of_codes(loaded, exact_two_stage):
    request = pairs(1)
    target = slices(seed=9)[:1]
    inputs = {key: request[key] for key in ("previous", "next", "position", "gap_mm")}
    answer = ask(loaded["codes"], "log_prob", inputs | {"target": target})["log_prob"]
    rule, model = exact_two_stage.rule, codes_of(exact_two_stage)
    to_unit = rule.scale_for(target).to_unit
    codes = {
        name: model.encode_slice(to_unit(image[0]))[None]
        for name, image in (
            ("codes", target),
            ("previous", request["previous"]),
            ("next", request["next"]),
        )
    }
    place = {"position": request["position"], "gap_mm": request["gap_mm"]}
    logits = exact_two_stage.nets["prior"](codes | place).numpy()
    expected = np.take_along_axis(tf.nn.log_softmax(logits).numpy(), codes["codes"][..., None], -1)
    np.testing.assert_allclose(answer, expected[..., 0], atol=1e-5)


def test_log_prob_of_codes_beside_the_acquired_slices(loaded, exact_conditional):
    acquired, target = (np.clip(slices(seed=seed), -1024, 1023) for seed in (0, 9))
    request = {"previous": acquired[:1], "next": acquired[1:], "position": np.float32(0.5)}
    request |= {"target": target[:1], "gap_mm": np.float32(GAP_MM)}
    answer = ask(loaded["beside"], "log_prob", request)["log_prob"]
    vqvae, prior = (exact_conditional.nets[name] for name in ("vqvae", "prior"))
    place = {"position": np.array([0.5]), "gap_mm": np.array([GAP_MM])}
    context = np.moveaxis(acquired[[0, 0, 1, 1]], 0, -1)[None].astype(int) + 1024
    known = vqvae.condition({"context": context, "present": np.array([[0.0, 1, 1, 0]]), **place})
    surroundings = vqvae.surroundings(known)
    codes = vqvae.encode(target[:1].astype(int) + 1024, surroundings)
    logits = prior({"codes": codes, "surroundings": surroundings[-1], **place}).numpy()
    expected = np.take_along_axis(tf.nn.log_softmax(logits).numpy(), codes.numpy()[..., None], -1)
    np.testing.assert_allclose(answer, expected[..., 0], atol=1e-5)


@pytest.mark.parametrize("name", ["codes", "mr"])
def test_encode_and_decode(loaded, bundles, name):
    images = np.clip(slices(3), -1024, 1023)
    encoded = ask(loaded[name], "encode", {"slices": images})
    decoded = ask(loaded[name], "decode", encoded)["slice"]
    model = codes_of(bundles[name])
    assert decoded.shape == (3, 12, 16)
    for image, codes, slice_ in zip(images, encoded["codes"], decoded, strict=True):
        scale = bundles[name].rule.scale_for(image)
        np.testing.assert_array_equal(codes, model.encode_slice(scale.to_unit(image)))
        unit = model.decode_slice(codes, (12, 16))
        assert_same_slices(slice_, scale.from_unit(unit))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"position": np.float32(1.0)}, "position must lie between 0 and 1"),
        ({"gap_mm": np.float32(0.0)}, "gap_mm must be above 0"),
        ({"seed": np.int64(-1)}, "seed must be 0 or more"),
        ({"temperature": np.float32(-1.0)}, "temperature must be 0 or more"),
        ({"previous": np.full((2, 11, 14), np.nan, np.float32)}, "finite values"),
        ({"next": np.zeros((2, 11, 13), np.float32)}, "previous and next must be of one shape"),
        ({"seed": np.zeros(3, int)}, "seed must be one number or one a slice"),
    ],
)
def test_what_makes_no_sense_is_refused(loaded, change, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        ask(loaded["codes"], "serving_default", pairs(2) | change)


def test_versions_count_up_and_carry_the_card(vqvae_alone, tmp_path):
    alone = exact(vqvae_alone)
    first, second = (export_bundle(alone, tmp_path / "out", card=text) for text in ("a", "b"))
    assert [p.relative_to(tmp_path) for p in (first, second)] == [Path("out/1"), Path("out/2")]
    assert (first / "assets.extra" / "README.md").read_text() == "a"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["1", "2"]
    images = np.clip(slices(2), -1024, 1023)
    model = tf.saved_model.load(str(second))
    assert set(model.signatures) == {"serving_default", "encode", "decode"}
    seen = ask(model, "serving_default", {"slices": images})["slice"]
    assert seen.shape == images.shape
    decoded = ask(model, "decode", ask(model, "encode", {"slices": images}))["slice"]
    assert_same_slices(seen, decoded[:, :11, :14])


@pytest.mark.parametrize("size", [2, 3, 200, 201, 12345])
def test_range_of_mr_is_numpys(size):
    rng = np.random.default_rng(size)
    for values in (rng.gamma(2, 100, size), rng.integers(0, 900, size), np.full(size, 7)):
        values = values.astype(np.float32)
        scale = IntensityRule("mr").scale_for(values)
        low, high = graph.robust_range(tf.constant(values))
        assert low.dtype == high.dtype == tf.float64
        assert (float(low), float(high)) == pytest.approx((scale.low, scale.high), rel=1e-12)
