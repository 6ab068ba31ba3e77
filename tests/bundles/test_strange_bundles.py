"""Bundles from strangers: whatever they hold, a model or a `BundleError`, and nothing is run."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medgen.bundles.bundle import Bundle, load_bundle, save_bundle
from medgen.errors import BundleError
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.two_stage.recipe import PRIOR_RECIPES, PriorRecipe
from medgen.families.vqvae.build import vqvae_from
from medgen.families.vqvae.recipe import VQVAE_RECIPES, VQVAERecipe
from medgen.intensities.rule import IntensityRule

RECIPE = VQVAERecipe(filters=8, residual_blocks=1, compression=2, num_embeddings=5, embedding_dim=3)
FILES = ("recipe.json", "intensity.json", "metrics.json", "vqvae.weights.h5")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    nets = {"vqvae": vqvae_from(RECIPE, seed=1)}
    metrics = {"vqvae": {"ssim": 0.5}}
    bundle = Bundle("vqvae", IntensityRule("ct"), {"vqvae": RECIPE}, nets, metrics)
    save_bundle(bundle, folder, "# Card\n")
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    for name in FILES:
        (tmp_path / name).write_bytes((sound / name).read_bytes())
    return tmp_path


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# === Descriptions ===

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["format_version", "kind", "modality", "levels", "low_hu", *asdict(RECIPE)]
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(FILES[:3]), field=FIELDS, value=ANYTHING, inside=st.booleans())
def test_any_value_of_any_field(name, field, value, inside, sound, tmp_path):
    for file in FILES:
        (tmp_path / file).write_bytes((sound / file).read_bytes())
    content = json.loads((tmp_path / name).read_text())
    if inside and name == "recipe.json":
        content["vqvae"][field] = value
    else:
        content[field] = value
    (tmp_path / name).write_text(json.dumps(content))
    try:
        bundle = load_bundle(tmp_path)
    except BundleError:
        return
    assert bundle.kind == "vqvae"
    assert np.isfinite([bundle.rule.low_hu, bundle.rule.high_hu]).all()


@pytest.mark.parametrize("name", FILES[:3])
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[" * 100_000, b"1", b"null", b'{"a": ' + b"9" * 5000 + b"}"],
)
def test_any_bytes_for_json(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} is damaged"):
        load_bundle(folder)


def test_a_pipe_does_not_hang(folder):
    (folder / "recipe.json").unlink()
    os.mkfifo(folder / "recipe.json")
    with pytest.raises(BundleError, match=r"recipe\.json is missing"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"filters": 10**6},
        {"residual_blocks": 10**9},
        {"num_embeddings": 10**9},
        {"embedding_dim": 10**12},
        {"filters": 10**30},
    ],
)
def test_a_recipe_for_a_net_of_terabytes_is_not_built(folder, changes):
    edit(folder / "recipe.json", vqvae=asdict(RECIPE) | changes)
    with pytest.raises(BundleError, match="numbers for a net of at least"):
        load_bundle(folder)


def test_no_released_or_named_net_is_taken_for_too_small():
    from medgen.families.pixelminer.build import pixelminer_from
    from medgen.families.two_stage.build import pixelcnn_from

    first = VQVAE_RECIPES["small"]
    nets = {
        RECIPE: vqvae_from(RECIPE),
        first: vqvae_from(first),
        PRIOR_RECIPES["small"]: pixelcnn_from(PRIOR_RECIPES["small"], first),
        PIXELMINER_RECIPES["small"]: pixelminer_from(PIXELMINER_RECIPES["small"], 64),
    }
    least = PixelMinerRecipe(
        context=1, filters=1, blocks=1, mixtures=1, conditioner_filters=1, conditioner_blocks=1,
        prediction_mixtures=1,
    )  # fmt: skip
    nets[least] = pixelminer_from(least, 4)
    least = PriorRecipe(filters=2, blocks=1, conditioner_filters=1, conditioner_blocks=1)
    nets[least] = pixelcnn_from(least, first)
    for recipe, net in nets.items():
        assert 0 < recipe.fewest_numbers <= net.count_params()


# === Weights ===


def arrays_of(file):
    found = []
    file.visititems(
        lambda name, entry: found.append(name) if isinstance(entry, h5py.Dataset) else None
    )
    return found


@pytest.mark.parametrize("way", ["external link", "soft link", "external file", "virtual"])
def test_weights_that_point_elsewhere(folder, way, tmp_path):
    path, other = folder / "vqvae.weights.h5", tmp_path / "secret"
    with h5py.File(path, "r+") as file:
        name = max(arrays_of(file), key=lambda name: file[name].size)
        shape, values = file[name].shape, file[name][()]
        del file[name]
        with h5py.File(other, "w") as elsewhere:
            elsewhere["x"] = values
        if way == "external link":
            file[name] = h5py.ExternalLink(str(other), "/x")
        elif way == "soft link":
            file["moved"] = values
            file[name] = h5py.SoftLink("/moved")
        elif way == "external file":
            file.create_dataset(name, shape, "f4", external=[(str(other), 0, values.nbytes)])
        else:
            layout = h5py.VirtualLayout(shape, "f4")
            layout[...] = h5py.VirtualSource(str(other), "x", shape)
            file.create_virtual_dataset(name, layout)
    with pytest.raises(BundleError, match="links or arrays that are not plain numbers"):
        load_bundle(folder)


def test_weights_of_terabytes_that_are_not_there(folder):
    with h5py.File(folder / "vqvae.weights.h5", "r+") as file:
        file.create_dataset("huge", (1 << 22, 1 << 22), "f4", chunks=(1024, 1024))
    with pytest.raises(BundleError, match="not plain numbers"):
        load_bundle(folder)


def test_a_pickle_in_place_of_numbers_is_not_opened(folder, tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    import pickle

    content = pickle.dumps(Harm())
    for name in FILES:
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        with pytest.raises(BundleError):
            load_bundle(folder)
        (folder / name).write_bytes(before)
    with h5py.File(folder / "vqvae.weights.h5", "r+") as file:
        file.create_dataset("harm", data=np.void(content))
    with pytest.raises(BundleError, match="not plain numbers"):
        load_bundle(folder)
    assert not (tmp_path / "harm").exists()


def test_a_whole_keras_model_with_code_in_it_is_not_loaded(folder, tmp_path):
    """`.keras` archives may hold Lambda layers; a bundle has no place for one."""
    import keras

    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Lambda(lambda x: x)])
    model.save(tmp_path / "model.keras")
    (folder / "vqvae.weights.h5").write_bytes((tmp_path / "model.keras").read_bytes())
    with pytest.raises(BundleError, match=r"vqvae\.weights\.h5 is damaged"):
        load_bundle(folder)


MUTATED = """
import random, resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import mutations
from medgen.errors import BundleError
from medgen.bundles.bundle import load_bundle
folder, count = Path(sys.argv[2]), int(sys.argv[3])
load_bundle(folder)
limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + 500_000
path = folder / "vqvae.weights.h5"
sound = path.read_bytes()
for seed in range(count):
    print(seed, end=" ", flush=True)
    mutations.HEADER = len(sound)
    path.write_bytes(mutations.damaged(sound, random.Random(seed)))
    signal.alarm(60)
    try:
        load_bundle(folder)
        print("read", flush=True)
    except BundleError as error:
        assert "\\n" not in str(error)
        print("refused", flush=True)
    signal.alarm(0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < limit
"""


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_weights(folder, count):
    """In a process of its own, for HDF5 is written in C."""
    mutations = Path(__file__).parents[1] / "volumes"
    done = subprocess.run(
        [sys.executable, "-c", MUTATED, str(mutations), str(folder), str(count)],
        capture_output=True, text=True, check=False, errors="replace",
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{lines[-1:]}\n{done.stderr[-2000:]}"
    assert len(lines) == count
    assert {line.split()[1] for line in lines} == {"read", "refused"}
