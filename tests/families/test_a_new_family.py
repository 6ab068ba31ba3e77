"""A family of models in one file: trained, saved, examined, filling in slices, exported."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from medgen.bundles import families
from medgen.bundles.bundle import Bundle, load_bundle, save_bundle
from medgen.bundles.card import model_card
from medgen.cli import main
from medgen.doctor.findings import Finding
from medgen.errors import BundleError
from medgen.intensities.rule import IntensityRule
from medgen.interpolation import Deterministic
from medgen.recipes import Recipe, to_json
from medgen.training.checkpoint import FolderStore
from medgen.training.schedule import Plan
from medgen.training.session import train
from medgen.volumes import Geometry, Volume, read_volume, write_volume

POSITION = 0.25


@dataclass(frozen=True)
class BlendRecipe(Recipe):
    """How to learn by how much a slice is like the one before it."""

    pixels: int = 6
    batch_size: int = 4
    steps: int = 2
    learning_rate: float = 0.1
    validate_every: int = 1

    @property
    def fewest_numbers(self) -> int:
        return 1


class Blend(keras.Model):
    """A share of the slice before, the rest of the one after."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.share = self.add_weight(name="share", shape=(), initializer="zeros")
        self.built = True

    def call(self, inputs, training=False):
        share = keras.ops.sigmoid(self.share)
        return share * inputs["before"] + (1 - share) * inputs["after"]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean((y_pred - x["target"]) ** 2)


class BlendTask:
    """Targets at a quarter of the way, so that three quarters is the best share."""

    averages_weights = False

    def __init__(self, recipe):
        self.recipe, self.net = recipe, Blend(name="blend")
        self.identity = {"recipe": to_json(recipe)}

    def batch(self, step):
        rng = np.random.default_rng(step)
        shape = (2, self.recipe.batch_size, self.recipe.pixels, self.recipe.pixels)
        before, after = rng.normal(size=shape).astype(np.float32)
        target = before + POSITION * (after - before)
        return {"before": before, "after": after, "target": target}

    def prepare(self):
        pass

    def measure(self):
        x = self.batch(1000)
        return {"loss": float(self.net.compute_loss(x=x, y_pred=self.net(x)))}


class Blender(Deterministic):
    """An interpolator by a `Blend`, whatever the position."""

    def __init__(self, bundle):
        self.name, self.net = bundle.name, bundle.nets["blend"]

    def slices(self, stack, positions, progress):
        for position in positions:
            before, after = stack.array[int(position)], stack.array[int(position) + 1]
            yield np.asarray(self.net({"before": before, "after": after}))


class BlendFamily(families.Family):
    kind = "blend"
    title = "Blend"
    measured = "`loss` is a mean squared error."
    stages: ClassVar = {"blend": BlendRecipe}

    def build(self, recipes, levels, seed=0):
        return {"blend": Blend(name="blend")}

    def checks(self, stage, net):
        share = float(keras.ops.sigmoid(net.share))
        yield Finding(f"{stage} share", 0 < share < 1, f"{share:.3f}")

    def interpolator(self, bundle, **options):
        return Blender(bundle)

    def served(self, bundle):
        net = bundle.nets["blend"]
        maps = tf.TensorSpec([None, None, None], tf.float32)

        @tf.function(input_signature=[maps, maps])
        def blend(before, after):
            return {"slice": net({"before": before, "after": after})}

        return SimpleNamespace(
            variables=[weight.value for weight in net.weights],
            signatures=lambda: {"serving_default": blend},
        )


FAMILY = BlendFamily()


@pytest.fixture
def known(monkeypatch):
    """The family, for as long as a test runs."""
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))
    families.register("blend", f"{__name__}:FAMILY")


@pytest.fixture
def folder(known, tmp_path):
    """A model that was trained for two steps."""
    recipe = BlendRecipe()
    task = BlendTask(recipe)
    rows = train(task, Plan.of(recipe), FolderStore(tmp_path / "run"))
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[1]["loss"] < rows[0]["loss"]
    metrics = {"blend": {"loss": rows[1]["loss"]}}
    bundle = Bundle("blend", IntensityRule("ct"), {"blend": recipe}, {"blend": task.net}, metrics)
    save_bundle(bundle, tmp_path / "blend", model_card(bundle, "medgen train-blend", []))
    return tmp_path / "blend"


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_is_saved_with_a_card_and_loaded(folder):
    bundle = load_bundle(folder)
    assert (bundle.kind, bundle.name, bundle.recipes["blend"]) == ("blend", "blend", BlendRecipe())
    card = (folder / "README.md").read_text()
    assert card.startswith("# Blend for CT\n")
    assert "`loss` is a mean squared error." in card
    assert "- blend: pixels 6, batch_size 4, steps 2" in card


def test_doctor_examines_it(folder):
    first, second = run("doctor", folder).splitlines()
    assert first.split(maxsplit=3) == ["ok", "blend", "weights", "1 numbers, all finite"]
    assert second.split()[:3] == ["ok", "blend", "share"]
    # Two steps of Adam towards ln 3.
    assert 0.5 < float(second.split()[3]) < 0.75


def test_it_fills_in_slices_and_is_exported(folder, tmp_path):
    array = np.random.default_rng(0).integers(-900, 900, (5, 4, 3)).astype(np.int16)
    geometry = Geometry.from_spacing(array.shape, (1.0, 1.0, 4.0))
    write_volume(Volume(array, geometry, modality="ct"), tmp_path / "scan.nii")
    finer = tmp_path / "finer.nii"
    options = ("--modality", "ct", "--model", folder)
    run("interpolate", tmp_path / "scan.nii", "-o", finer, *options)
    share = 1 / (1 + np.exp(-float(load_bundle(folder).nets["blend"].share)))
    before, after = (np.moveaxis(array, 2, 0).astype(float)[k : k + 2] for k in (0, 1))
    expected = np.rint(share * before + (1 - share) * after)
    drawn = np.moveaxis(read_volume(finer).array, 2, 0)
    assert np.abs(drawn[1::2] - expected).max() <= 1

    run("export", folder, "-o", tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served" / "1")).signatures["serving_default"]
    maps = {"before": tf.constant(before, tf.float32), "after": tf.constant(after, tf.float32)}
    slices = served(**maps)["slice"].numpy()
    np.testing.assert_allclose(slices, share * before + (1 - share) * after, atol=1e-3)


def test_nobody_knows_it_any_more():
    with pytest.raises(BundleError, match="got 'blend', and this medgen knows vqvae, two-stage"):
        families.family_of("blend")
