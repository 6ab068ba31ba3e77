"""The images of a run: found, checked, named, set aside."""

import numpy as np
import pytest
from PIL import Image as Pillow

from medgen.errors import ReadError, TrainingError
from medgen.examples.tiles import tile_batch
from medgen.families.autoencoder.recipe import AutoencoderRecipe
from medgen.images.image import Image
from medgen.training.gather_images import TrainingImages, gather_images


def save(path, seed, side=20):
    path.parent.mkdir(exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 256, (side, side + 4, 3), np.uint8)
    Pillow.fromarray(array).save(path)
    return path


@pytest.fixture
def data(tmp_path):
    save(tmp_path / "one" / "a.png", 1)
    save(tmp_path / "two" / "a.png", 2)
    save(tmp_path / "two" / "b.png", 3)
    return tmp_path


def test_images_that_validate_do_not_train(data):
    images = gather_images([data], [data / "two"], crop=16, um_per_pixel=0.5)
    assert list(images.training) == ["a.png"]
    assert list(images.validation) == ["a.png", "b.png"]
    row = {"image": "a.png", "pixels": "20 x 24", "um_per_pixel": "0.5", "use": "training"}
    assert images.describe()[0] == row
    unknown = gather_images([data], [data / "two"], crop=16)
    assert unknown.describe()[0]["um_per_pixel"] == "–"
    assert unknown.identity() != images.identity()


def test_namesakes_are_told_apart_and_links_count_once(data):
    (data / "again").symlink_to(data / "one")
    validation = save(data / "held" / "c.png", 9)
    images = gather_images([data], [validation], crop=16)
    assert len(images.training) == 3
    assert "b.png" in images.training
    assert str(data / "two" / "a.png") in images.training


def test_the_identity_is_that_of_the_pixels(data):
    before = gather_images([data / "two"], [data / "one"], crop=16).identity()
    assert gather_images([data / "two"], [data / "one"], crop=16).identity() == before
    save(data / "two" / "b.png", 4)
    assert gather_images([data / "two"], [data / "one"], crop=16).identity() != before


def test_crops_train_and_middles_validate():
    def image(seed, rows, cols):
        return Image(np.random.default_rng(seed).integers(0, 256, (rows, cols, 3), np.uint8))

    held = {str(k): image(k, 20, 300 + k) for k in range(30)}
    images = TrainingImages({"a": image(50, 30, 40)}, held)
    recipe = AutoencoderRecipe(crop=8, batch_size=2, stain_jitter=0.1)
    expected = tile_batch([images.training["a"].array], crop=8, size=2, jitter=0.1, seed=3, step=4)
    np.testing.assert_array_equal(images.batch(recipe, seed=3, step=4), expected)
    middles = images.held_out()
    assert len(middles) == 24
    np.testing.assert_array_equal(middles[0], held["0"].array[:, 22:278])
    np.testing.assert_array_equal(middles[-1], held["29"].array[:, 36:292])
    assert images.rule.scale_for(np.zeros(3)).high == 255


def test_what_is_refused(data):
    with pytest.raises(TrainingError, match="No image tells of which patient it is"):
        gather_images([data], [], crop=16)
    with pytest.raises(TrainingError, match="no images to train on besides"):
        gather_images([data / "one"], [data / "one"], crop=16)
    with pytest.raises(TrainingError, match=r"a\.png has 20 x 24 pixels and crops of 32 x 32"):
        gather_images([data / "one"], [data / "two"], crop=32)
    save(data / "copy" / "c.png", 1)
    with pytest.raises(TrainingError, match=r"c\.png, which validates, and a\.png, .* one image"):
        gather_images([data / "one"], [data / "copy"], crop=16)
    with pytest.raises(ReadError, match="does not tell how large its pixels are"):
        gather_images([data / "one"], [data / "two"], crop=16, scale_um=0.5)
