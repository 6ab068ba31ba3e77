"""Microscopy images made finer, by commands alone."""

import csv
import json
import warnings

import numpy as np
import pytest
from commands import refuse, succeed
from PIL import Image as Pillow
from skimage.data import immunohistochemistry
from skimage.metrics import peak_signal_noise_ratio

RECIPE = {
    "filters": 4,
    "blocks": 1,
    "crop": 24,
    "batch_size": 2,
    "steps": 2,
    "validate_every": 2,
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Two tiles of a stained tissue, and a model trained with features."""
    folder = tmp_path_factory.mktemp("tiles")
    tissue = immunohistochemistry()
    (folder / "data").mkdir()
    for k in range(2):
        tile = tissue[100 * k : 100 * k + 50, 60:121]
        Pillow.fromarray(tile).save(folder / "data" / f"tile{k}.png", dpi=(50800, 50800))
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    printed = succeed(
        *("train-image-espcn", folder / "data", "-o", folder / "model"),
        *("--validation", folder / "data" / "tile1.png", "--recipe", folder / "recipe.json"),
        *("--feature-loss", "he-autoencoder"),
    ).stdout
    for name in ("train_features", "psnr_db", "spectrum_db", "bicubic_psnr_db"):
        assert f"  {name} " in printed
    return folder


def test_the_card_says_whose_features(work):
    card = (work / "model" / "README.md").read_text()
    assert card.startswith("# Super-resolution net for H&E images\n")
    assert "--feature-loss he-autoencoder" in card
    assert "feature_weight 20.0" in card


def test_doctor_examines_it(work):
    lines = succeed("doctor", work / "model").stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("ok ") for line in lines)


def test_an_image_becomes_finer(work):
    tile = work / "data" / "tile0.png"
    succeed("refine-images", tile, "--model", work / "model", "-o", work / "fine")
    with Pillow.open(work / "fine" / "tile0_model.png") as picture:
        assert picture.size == (244, 200)
        assert 25400 / picture.info["dpi"][0] == pytest.approx(0.125, rel=1e-3)


def test_restored_images_are_compared_with_the_truth(work):
    words = ("refine-images", work / "data", "--model", work / "model", "--degrade")
    printed = succeed(*words, "-o", work / "restored").stdout.splitlines()
    titles = ["PSNR", "SSIM", "edges", "texture", "spectrum", "nuclei", "same"]
    assert printed[0].split() == titles
    assert [line.split()[0] for line in printed[1:3]] == ["bicubic", "model"]
    with open(work / "restored" / "images.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["method"]) for row in rows] == [
        (f"tile{k}", method) for k in range(2) for method in ("bicubic", "model")
    ]
    truth = np.array(Pillow.open(work / "data" / "tile1.png"))[:48, :60]
    fine = np.array(Pillow.open(work / "restored" / "tile1_model.png"))
    expected = peak_signal_noise_ratio(truth, fine)
    assert float(rows[3]["psnr_db"]) == pytest.approx(expected, abs=1e-3)
    bicubic = [row for row in rows if row["method"] == "bicubic"]
    true, test, same = (
        sum(int(row[f"nuclei_{key}"]) for row in bicubic) for key in ("true", "test", "same")
    )
    assert 0 < same <= true
    told = [float(word) for word in printed[1].split()[-2:]]
    assert told == pytest.approx([test / true, 2 * same / (true + test)], rel=1e-3)
    answered = json.loads(succeed(*words, "-o", work / "restored", "--overwrite", "--json").stdout)
    assert len(answered["images"]) == 4


def test_a_model_of_a_scale_learns_and_restores_at_it(work, tmp_path):
    """0.5 µm in files; a model that is taught 1 µm sees them half as large."""
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(RECIPE | {"scale_um": 1.0}))
    model, data = tmp_path / "coarser", work / "data"
    train = ("train-image-espcn", data, "--validation", data / "tile1.png", "--recipe", recipe)
    succeed(*train, "-o", model)
    assert "| tile0.png | 25 x 30 | 1 | training |" in (model / "README.md").read_text()
    words = ("refine-images", data / "tile0.png", "--model", model)
    succeed(*words, "--degrade", "-o", tmp_path / "restored")
    with Pillow.open(tmp_path / "restored" / "tile0_coarser.png") as picture:
        assert picture.size == (28, 24)
        assert 25400 / picture.info["dpi"][0] == pytest.approx(1.0, rel=1e-3)
    succeed(*words, "-o", tmp_path / "fine")
    with Pillow.open(tmp_path / "fine" / "tile0_coarser.png") as picture:
        assert picture.size == (244, 200)  # of an image as it is
    refuse("one factor and one scale_um", *words, "--model", work / "model", "--degrade", "-o", "a")


def test_what_is_refused(work, tmp_path):
    data, model = work / "data", work / "model"
    make = ("refine-images", data, "-o", tmp_path / "a")
    refuse("makes no images finer", *make, "--model", "he-autoencoder")
    refuse("Several models are for --degrade", *make, "--model", model, "--model", model)
    refuse("have names of their own", *make, "--model", model, "--model", model, "--degrade")
    train = ("train-image-espcn", data, "-o", tmp_path / "b", "--validation", data / "tile1.png")
    (tmp_path / "recipe.json").write_text('{"feature_weight": 1.0}')
    refuse("name an autoencoder with --feature-loss", *train, "--recipe", tmp_path / "recipe.json")
    refuse(
        "encodes no images", *train, "--recipe", work / "recipe.json", "--feature-loss", "oasis-80"
    )
    Pillow.new("RGB", (40, 11)).save(tmp_path / "strip.png")
    strip = ("refine-images", tmp_path / "strip.png", "-o", tmp_path / "a", "--model", model)
    refuse("strip has 11 x 40 pixels and comparing takes 12 x 12", *strip, "--degrade")
    assert not (tmp_path / "a").exists()


def test_glass_without_edges_has_no_mean_and_no_warning(work, tmp_path):
    Pillow.new("RGB", (64, 64), "white").save(tmp_path / "glass.png")
    words = ("refine-images", tmp_path / "glass.png", "--model", work / "model", "--degrade")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        printed = succeed(*words, "-o", tmp_path / "made").stdout.splitlines()
    assert printed[1].split()[:4] == ["bicubic", "inf", "1", "nan"]
