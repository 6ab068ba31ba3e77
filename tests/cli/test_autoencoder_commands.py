"""An autoencoder trained, examined and used by commands alone."""

import csv
import json

import numpy as np
import pytest
import tifffile
from commands import refuse, succeed
from PIL import Image as Pillow
from skimage.data import immunohistochemistry
from skimage.metrics import peak_signal_noise_ratio

from medgen.bundles.bundle import load_bundle
from medgen.families.autoencoder.encode import decoded

RECIPE = {
    "fine": 4,
    "coarse": 4,
    "narrow": 4,
    "blocks": 1,
    "crop": 24,
    "batch_size": 2,
    "steps": 4,
    "validate_every": 2,
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Three tiles of a stained tissue, one of them with a scale, and a recipe."""
    folder = tmp_path_factory.mktemp("tiles")
    tissue = immunohistochemistry()
    (folder / "data").mkdir()
    for k, options in enumerate(({}, {}, {"dpi": (50800, 50800)})):
        tile = tissue[100 * k : 100 * k + 50, 60:121]
        Pillow.fromarray(tile).save(folder / "data" / f"tile{k}.png", **options)
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    return folder


def training(work, output, *more):
    held_out = work / "data" / "tile2.png"
    return (
        *("train-autoencoder", work / "data", "-o", work / output, "--validation", held_out),
        *("--recipe", work / "recipe.json", *more),
    )


@pytest.fixture(scope="module")
def trained(work):
    """What training printed."""
    return succeed(*training(work, "model")).stdout


def test_training_tells_its_likeness_and_leaves_a_bundle(work, trained):
    lines = trained.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["step", "2"], ["step", "4"]]
    assert all(f"  {name} " in lines[0] for name in ("loss", "psnr_db", "ssim"))
    card = (work / "model" / "README.md").read_text()
    assert card.startswith("# Microscopy autoencoder for H&E images\n")
    assert "| tile1.png | 50 x 61 | – | training |" in card
    assert "| tile2.png | 50 x 61 | 0.5 | validation |" in card
    bundle = load_bundle(work / "model")
    assert bundle.rule.scale_for(np.zeros(3)).high == 255
    assert set(bundle.metrics["autoencoder"]) == {"step", "loss", "psnr_db", "ssim"}


def test_doctor_examines_it(work, trained):
    lines = succeed("doctor", work / "model").stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("ok ") for line in lines)


def test_encodings_are_written_in_three_views(work, trained):
    command = ("encode", work / "data", "--model", work / "model", "-o", work / "seen")
    printed = succeed(*command).stdout
    kinds = ("encoding.npy", "plain.png", "stretched.png", "equalised.png", "reconstruction.png")
    names = {f"tile{k}_{kind}" for k in range(3) for kind in kinds}
    assert {path.name for path in (work / "seen").iterdir()} == names | {"likeness.csv"}
    net = load_bundle(work / "model").nets["autoencoder"]
    with open(work / "seen" / "likeness.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["um_per_pixel"] for row in rows][:2] == ["", ""]
    assert float(rows[2]["um_per_pixel"]) == pytest.approx(0.5, rel=1e-4)
    for k, row in enumerate(rows):
        image = np.array(Pillow.open(work / "data" / f"tile{k}.png"))
        result = decoded(net, image)
        encoding = np.load(work / "seen" / f"tile{k}_encoding.npy")
        assert (encoding.shape, encoding.dtype) == ((13, 16), np.float32)
        np.testing.assert_allclose(encoding, result.encoding, atol=1e-5)
        back = np.array(Pillow.open(work / "seen" / f"tile{k}_reconstruction.png"))
        np.testing.assert_allclose(back, result.image, atol=1)
        psnr = peak_signal_noise_ratio(image, back)
        assert float(row["psnr_db"]) == pytest.approx(psnr, abs=0.01)
        assert f"tile{k}.png  PSNR {psnr:.1f}" in printed
    assert printed.splitlines()[3].startswith("mean       PSNR ")
    answered = json.loads(succeed(*command, "--overwrite", "--json").stdout)["images"]
    assert [one["um_per_pixel"] is None for one in answered] == [True, True, False]
    assert [f"{one['ssim']:.6g}" for one in answered] == [row["ssim"] for row in rows]
    with Pillow.open(work / "seen" / "tile2_plain.png") as picture:
        assert 25400 / picture.info["dpi"][0] == pytest.approx(2.0, rel=1e-3)


def test_views_spread_the_greys(work, trained):
    succeed("encode", work / "data" / "tile0.png", "--model", work / "model", "-o", work / "one")
    encoding = np.load(work / "one" / "tile0_encoding.npy")
    plain, stretched, equalised = (
        np.array(Pillow.open(work / "one" / f"tile0_{view}.png")).astype(float)
        for view in ("plain", "stretched", "equalised")
    )
    np.testing.assert_allclose(plain, np.clip((encoding + 0.5) * 255, 0, 255), atol=0.51)
    low, high = np.percentile(encoding, (2, 98))
    expected = np.clip((encoding - low) / (high - low) * 255, 0, 255)
    np.testing.assert_allclose(stretched, expected, atol=0.51)
    # Greys of an equalised picture are ranks.
    ranks = encoding.ravel().argsort().argsort().reshape(encoding.shape) / encoding.size
    np.testing.assert_allclose(equalised / 255, ranks, atol=0.05)


def test_what_is_refused(work, trained, tmp_path):
    data, model = work / "data", work / "model"
    refuse(
        "No image tells of which patient it is",
        *("train-autoencoder", data, "-o", tmp_path / "a"),
    )
    refuse(
        "tile9.png does not exist",
        "encode",
        data / "tile9.png",
        "--model",
        model,
        "-o",
        tmp_path / "a",
    )
    refuse("encodes no images", "encode", data, "--model", "mr-two-stage", "-o", tmp_path / "a")
    words = ("encode", data, "--model", model, "-o", data)
    refuse("choose another name or pass --overwrite", *words)
    refuse("holds no likeness.csv, so --overwrite does not replace it", *words, "--overwrite")
    (data / "likeness.csv").touch()
    refuse("which is read; choose another output", *words, "--overwrite")
    (data / "likeness.csv").unlink()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tile0.tif").touch()
    refuse(
        "would have the same outputs",
        *("encode", data, tmp_path / "other", "--model", model, "-o", tmp_path / "a"),
    )
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(bytes(400))
    refuse("is no PNG, JPEG or TIFF", "encode", scan, "--model", model, "-o", tmp_path / "a")
    assert not (tmp_path / "a").exists()
    refuse("cannot fill in slices", "interpolate", scan, "-o", tmp_path / "b.nii", "--model", model)


def test_a_model_of_a_scale_asks_how_large_pixels_are(work, trained, tmp_path):
    recipe = json.loads((work / "model" / "recipe.json").read_text())
    recipe["autoencoder"]["scale_um"] = 1.0
    for path in (work / "model").iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    told, untold = work / "data" / "tile2.png", work / "data" / "tile0.png"
    succeed("encode", told, "--model", tmp_path, "-o", tmp_path / "seen")
    assert np.load(tmp_path / "seen" / "tile2_encoding.npy").shape == (7, 8)
    words = ("encode", untold, "--model", tmp_path, "-o", tmp_path / "other")
    refuse("say it with --um-per-pixel", *words)
    succeed(*words, "--um-per-pixel", 0.5)
    assert np.load(tmp_path / "other" / "tile0_encoding.npy").shape == (7, 8)


def test_a_slide_is_trained_on_and_encoded_tile_by_tile(work, trained, tmp_path, monkeypatch):
    pytest.importorskip("openslide")
    monkeypatch.setattr("medgen.images.slide.TILE", 64)
    tissue = np.full((256, 256, 3), 240, np.uint8)
    tissue[64:192, 64:192] = immunohistochemistry()[:128, :128]
    tifffile.imwrite(
        tmp_path / "a.svs", tissue, tile=(64, 64), photometric="rgb", metadata=None,
        description="Aperio Image Library v1\n256x256|MPP = 0.25",
    )  # fmt: skip
    succeed("encode", tmp_path / "a.svs", "-o", tmp_path / "made", "--model", work / "model")
    with open(tmp_path / "made" / "likeness.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    places = [f"x{x}_y{y}" for y in (64, 128) for x in (64, 128)]
    assert [row["image"] for row in rows] == [f"a.svs_{place}" for place in places]
    assert {row["um_per_pixel"] for row in rows} == {"0.25"}
    assert np.load(tmp_path / "made" / "a_x64_y128_encoding.npy").shape == (16, 16)
    held_out = ("--validation", work / "data" / "tile2.png", "--recipe", work / "recipe.json")
    succeed("train-autoencoder", tmp_path / "a.svs", "-o", tmp_path / "model", *held_out)
    assert "a.svs_x64_y128" in (tmp_path / "model" / "README.md").read_text()
