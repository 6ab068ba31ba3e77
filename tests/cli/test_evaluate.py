import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from medgen.bundles.bundle import Bundle, save_bundle
from medgen.cli import main
from medgen.evaluation.budgets import BUDGETS
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.intensities.rule import IntensityRule
from medgen.interpolation.options import SamplingOptions, parsed
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import Geometry, Volume, write_volume


def run(*arguments) -> tuple[int, str]:
    """Exit code, and standard output and error together."""
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments), "--jobs", "1"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def run_json(*arguments) -> dict:
    """What `--json` gives."""
    words = ["evaluate", *map(str, arguments), "--jobs", "1", "--json"]
    return json.loads(CliRunner().invoke(main, words).stdout)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Files: a chest CT, an MR head, and a CT without any body."""
    folder = tmp_path_factory.mktemp("scans")
    write_volume(phantom_volume("ct", (48, 40, 9), (8.0, 8.0, 10.0), seed=1), folder / "ct.nii")
    write_volume(phantom_volume("mr", (30, 34, 9), (7.0, 7.0, 10.0), seed=1), folder / "mr.nii")
    noise = np.random.default_rng(0).normal(-1000, 5, (20, 22, 9)).astype(np.int16)
    air = Volume(noise, Geometry.from_spacing(noise.shape, (1, 1, 5)), modality="ct")
    write_volume(air, folder / "air.nii")
    write_volume(air.with_array(np.zeros_like(noise), air.geometry), folder / "zeros.nii")
    return folder


def test_writes_a_report_of_the_classical_methods(scans, tmp_path):
    code, output = run(scans / "ct.nii", "-o", tmp_path / "report")
    assert code == 0
    lines = output.splitlines()
    assert lines[0].split() == ["PSNR", "SSIM", "MAE", "edges", "noise", "texture", "won"]
    assert [line.split()[0] for line in lines[1:5]] == ["nearest", "linear", "bspline", "sinc"]
    assert lines[-1] == f"Report written to {tmp_path / 'report'}."
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "features.csv",
        "figures",
        "report.html",
        "slices.csv",
        "summary.json",
    ]
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    mae = summary["metrics"]["interior"]["mae"]
    assert lines[2].split()[3] == f"{mae['linear']['mean']:.4g}"
    assert mae["linear"]["mean"] < mae["nearest"]["mean"]
    texture = summary["texture"]
    assert lines[2].split()[-2:] == [
        f"{texture[key]['linear']:.4g}" for key in ("nrmse_median", "features_won")
    ]


def test_linear_at_half_the_gap_is_the_mean_of_its_neighbours(scans, tmp_path):
    run(scans / "ct.nii", "-o", tmp_path / "report", "--method", "linear")
    rows = list(csv.DictReader((tmp_path / "report" / "slices.csv").open()))
    scan = phantom_volume("ct", (48, 40, 9), (8.0, 8.0, 10.0), seed=1).to_physical()
    assert [int(row["slice"]) for row in rows] == [1, 3, 5, 7]
    for row in rows:
        k = int(row["slice"])
        middle = np.rint((scan[..., k - 1] + scan[..., k + 1]) / 2)
        expected = np.abs(middle - scan[..., k]).mean()
        assert float(row["mae"]) == pytest.approx(expected, abs=0.26)  # halves may round either way


def test_options_reach_the_report(scans, tmp_path):
    options = [
        "--method", "nearest", "--factor", 2, "--gap", 40, "--slice-axis", 2, "--seed", 7,
        "--mask", scans / "ct.nii", "--thickness", 30, "--bin-count", 16, "--msmfe",
    ]  # fmt: skip
    code, output = run(scans / "ct.nii", "-o", tmp_path / "report", *options)
    assert code == 0
    assert (
        "Warning: ct.nii: Removed slices lie 20 mm from acquired ones but are 30 mm thick" in output
    )
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    scan = summary["scans"][0]
    assert summary["methods"] == ["nearest"]
    assert summary["settings"]["seed"] == 7
    assert (scan["gap_mm"], scan["texture"], scan["region"]) == (40, "16 levels", "ct.nii")
    assert summary["texture_maps"] is not None


def test_a_failing_scan_is_told_and_the_rest_is_written(scans, tmp_path):
    (scans / "broken.nii").write_bytes(b"no")
    code, output = run(
        scans / "broken.nii", scans / "ct.nii", "-o", tmp_path / "r", "--method", "nearest"
    )
    assert code == 0
    assert "Warning: broken.nii failed: " in output
    assert (tmp_path / "r" / "report.html").exists()


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["ct.nii"], ["--factor", 9], "leaves only 1 of the scan's 9 slices"),
        (["ct.nii"], ["--gap", 5], "leaves them at least 20 mm apart, got --gap 5"),
        (["ct.nii", "mr.nii"], [], "must be of one modality, got ct in ct.nii, mr in mr.nii"),
        (["ct.nii"], ["--mask", "zeros.nii"], "does not lie on the grid"),
        (["air.nii"], ["--mask", "zeros.nii"], "zeros.nii is empty; give another mask"),
        (["air.nii"], [], "The region of interest is empty"),
        (["ct.nii"], ["--method", "cubic"], "named 'cubic'"),
        (["nowhere.nii"], [], "does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(scans, tmp_path, names, options, message):
    options = [scans / option if option == "zeros.nii" else option for option in options]
    code, output = run(*[scans / name for name in names], "-o", tmp_path / "report", *options)
    assert code == 1
    assert output.startswith("Error: ")
    assert output.count("\n") == 1
    assert message in output
    assert list(tmp_path.iterdir()) == []


def test_contradicting_bins_are_a_usage_error(scans, tmp_path):
    code, output = run(
        scans / "ct.nii", "-o", tmp_path / "report", "--bin-width", 10, "--bin-count", 8
    )
    assert code == 2
    assert "Give --bin-width or --bin-count, not both." in output


def test_existing_report_is_refused_before_the_work(scans, tmp_path):
    (tmp_path / "report").mkdir()
    code, output = run(scans / "nowhere.nii", "-o", tmp_path / "report")
    assert code == 1
    assert output == f"Error: {tmp_path / 'report'} exists; pass --overwrite to replace it.\n"


def test_help_names_every_option():
    code, output = run("--help")
    assert code == 0
    for option in ("--method", "--factor", "--gap", "--mask", "--seed", "--jobs", "--overwrite"):
        assert option in output


@pytest.mark.slow
def test_trained_models_are_methods_too(scans, tmp_path):
    from medgen.bundles.bundle import Bundle, save_bundle
    from medgen.families.two_stage.build import pixelcnn_from
    from medgen.families.two_stage.recipe import PriorRecipe
    from medgen.families.vqvae.build import vqvae_from
    from medgen.families.vqvae.recipe import VQVAERecipe
    from medgen.intensities.rule import IntensityRule

    first = VQVAERecipe(filters=16, residual_blocks=1, num_embeddings=9, embedding_dim=4)
    second = PriorRecipe(filters=6, blocks=2, conditioner_filters=4, conditioner_blocks=1)
    bundle = Bundle(
        "two-stage",
        IntensityRule("ct", 4096, -1024.0, 3071.0),
        {"vqvae": first, "prior": second},
        {"vqvae": vqvae_from(first, seed=1), "prior": pixelcnn_from(second, first, seed=1)},
    )
    save_bundle(bundle, tmp_path / "tiny", "# Card\n")
    methods = ["--method", tmp_path / "tiny", "--method", "linear"]
    code, output = run(scans / "ct.nii", "-o", tmp_path / "report", *methods)
    assert code == 0, output
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["methods"] == ["tiny", "linear"]
    code, output = run(scans / "mr.nii", "-o", tmp_path / "mr", *methods)
    assert code == 0
    assert "Warning: mr.nii: tiny failed: " in output

    arguments = ["audit", scans / "ct.nii", "--model", tmp_path / "tiny", "--calibration"]
    result = CliRunner().invoke(main, [*map(str, arguments), "--jobs", "1"])
    assert result.exit_code == 0
    assert "Of the region's true values, 50% intervals hold " in result.output


def test_options_of_a_method_stand_behind_a_colon(scans, tmp_path):
    assert parsed("models/a:b") == ("models/a:b", SamplingOptions())
    assert parsed("m:temperature=auto,top_k=3") == ("m", SamplingOptions("auto", top_k=3))
    for method, message in (
        ("linear:warmth=1", "no method has an option 'warmth'; there are temperature, top_k"),
        ("linear:top_k=1.5", "'1.5' is no top_k"),
    ):
        code, output = run(scans / "ct.nii", "-o", tmp_path / "report", "--method", method)
        assert code == 2
        assert message in output
    code, output = run(scans / "ct.nii", "-o", tmp_path / "report", "--method", "linear:top_k=2")
    assert code == 1
    assert "'linear' samples nothing and takes no top_k" in output


def test_one_model_with_two_sets_of_options_is_two_methods(scans, tmp_path):
    folder = tmp_path / "tiny"
    recipe = replace(PIXELMINER_RECIPES["small"], filters=4, conditioner_filters=4)
    net = pixelminer_from(recipe, 2048)
    save_bundle(
        Bundle("pixelminer", IntensityRule("ct"), {"pixelminer": recipe}, {"pixelminer": net}),
        folder,
        "card",
    )
    methods = [str(folder), f"{folder}:decode=mean", f"{folder}:decode=mean,temperature=auto"]
    options = [word for method in methods for word in ("--method", method)]
    code, output = run(scans / "ct.nii", "-o", tmp_path / "report", *options)
    assert code == 0
    names = [line.split()[0] for line in output.splitlines()[1:4]]
    assert names == ["tiny", "tiny:decode=mean", "tiny:decode=mean,temperature=auto"]
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    mae = summary["metrics"]["interior"]["mae"]
    assert len({mae[name]["mean"] for name in names}) == 3
    assert output.splitlines()[0].split()[-3:] == ["coverage", "texture", "won"]
    covered = {
        cell["mean"] for cell in summary["metrics"]["interior"]["interval_coverage"].values()
    }
    assert len(covered) == 1  # the prediction's interval, whatever is decoded
    assert 0 < covered.pop() < 1


def test_protocols_of_papers_are_columns_of_their_own(scans, tmp_path):
    words = ("--method", "linear", "--protocol", "acvtt", "--protocol", "saint")
    code, output = run(scans / "ct.nii", "-o", tmp_path / "report", *words)
    assert code == 0
    head, row = (line.split() for line in output.splitlines()[:2])
    assert head[:3] == ["PSNR", "saint", "acvtt"]
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert list(summary["protocols"]) == ["saint", "acvtt"]
    assert row[2] == f"{summary['protocols']['saint']['linear']:.4g}"
    assert row[3] == "–"  # a scan of 9 slices has none that count
    answer = run_json(scans / "ct.nii", "-o", tmp_path / "report", "--overwrite", *words)
    assert answer == summary | {"output": str(tmp_path / "report")}
    assert "PSNR by the protocols of papers" in (tmp_path / "report" / "report.html").read_text()
    code, output = run(scans / "mr.nii", "-o", tmp_path / "mr", *words)
    assert code == 1
    assert "are for CT in HU, got MR" in output


def test_a_machine_reader_reads_scans_by_each_other(scans, tmp_path, monkeypatch):
    tiny = replace(BUDGETS["default"], side=16, steps=3, batch=2, squares=2, filters=(4, 6))
    monkeypatch.setitem(BUDGETS, "default", tiny)
    write_volume(phantom_volume("ct", (48, 40, 9), (8.0, 8.0, 10.0), seed=2), tmp_path / "b.nii")
    words = [scans / "ct.nii", tmp_path / "b.nii", "--method", "linear", "--method", "sinc"]
    code, output = run(*words, "-o", tmp_path / "report", "--machine-reader")
    assert code == 0
    titles, *rows = output.splitlines()[:3]
    told = json.loads((tmp_path / "report" / "summary.json").read_text())["machine_reader"]
    at = titles.split().index("told")
    for row, method in zip(rows, ("linear", "sinc"), strict=True):
        assert row.split()[1 + at] == format(told["methods"][method]["told"], ".4g")
        assert list(told["methods"][method]["scans"]) == ["ct.nii", "b.nii"]


def test_a_machine_reader_needs_two_scans(scans, tmp_path):
    code, output = run(scans / "ct.nii", "-o", tmp_path / "report", "--machine-reader", "strong")
    assert code == 1
    assert output.startswith("Error: A machine reader learns on other scans")
    assert "got 1; give further scans or leave out --machine-reader." in output
    words = [scans / "ct.nii", scans / "zeros.nii", "--method", "linear", "--modality", "ct"]
    code, output = run(*words, "-o", tmp_path / "report", "--machine-reader")
    assert code == 0
    assert "Warning: one scan is left, so the machine reader reads none." in output
    assert json.loads((tmp_path / "report" / "summary.json").read_text())["machine_reader"] is None
