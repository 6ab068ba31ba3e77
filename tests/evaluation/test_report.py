import csv
import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from medgen.cli.evaluate import echo_summary
from medgen.errors import EvaluationError, WriteError
from medgen.evaluation import report
from medgen.evaluation.budgets import BUDGETS
from medgen.evaluation.metrics import METRICS, Metric
from medgen.evaluation.reading import Reading, tell
from medgen.evaluation.report import render, require_writable, write_report, write_slices
from medgen.evaluation.scans import Settings, evaluate_scans
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import Volume, write_volume


def repeat(volume: Volume, *, factor: int, slice_axis: int) -> Volume:
    geometry = volume.geometry.refine(slice_axis, factor)
    indices = np.arange(geometry.shape[slice_axis]) // factor
    return volume.with_array(np.take(volume.array, indices, slice_axis), geometry)


def mean(volume: Volume, *, factor: int, slice_axis: int) -> Volume:
    before = repeat(volume, factor=factor, slice_axis=slice_axis)
    behind = np.roll(before.array, -1, slice_axis)
    return before.with_array((before.array + behind) // 2, before.geometry)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two chest phantoms by two methods, one of them thick-sliced, and a file that is no scan."""
    folder = tmp_path_factory.mktemp("scans")
    for name, seed in (("one", 1), ("two<b>", 2)):
        scan = phantom_volume("ct", (48, 40, 9), (8.0, 8.0, 10.0), seed=seed)
        write_volume(scan, folder / f"{name}.nii")
    (folder / "no.nii").write_bytes(b"")
    paths = sorted(folder.iterdir())
    settings = Settings(thickness_mm=15.0, mapped=True)
    return evaluate_scans(paths, {"repeat": repeat, "mean": mean}, settings)


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    """The folder of the report, and the summary returned."""
    folder = tmp_path_factory.mktemp("out") / "deeper" / "report"
    return folder, write_report(study, folder)


class Page(HTMLParser):
    """Tags that are open at the end, table cells, and sources of images."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.cells, self.images = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs)["src"])
        elif tag not in ("meta", "wbr", "input"):
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def test_slices_csv_has_every_slice_method_and_metric(study, written):
    rows = list(csv.DictReader((written[0] / "slices.csv").open()))
    assert len(rows) == 2 * 4 * 2  # scans, removed slices, methods
    assert list(rows[0]) == [
        *("scan", "slice", "position_mm", "where", "method"),
        *METRICS,
    ]
    scores = [score for scan in study.scans for score in scan.scores if score.metrics]
    for row, score in zip(rows, scores, strict=True):
        assert (int(row["slice"]), row["method"], row["where"]) == (
            score.index,
            score.method,
            score.where,
        )
        for name, value in score.metrics.items():
            assert float(row[name]) == pytest.approx(value, rel=1e-8, nan_ok=True)


def test_features_csv_has_truth_and_methods(study, written):
    rows = list(csv.DictReader((written[0] / "features.csv").open()))
    assert {row["method"] for row in rows} == {"truth", "repeat", "mean"}
    row = next(r for r in rows if r["method"] == "truth" and r["feature"] == "glcm_Contrast")
    first = study.scans[0].scores[0]
    assert float(row["value"]) == pytest.approx(first.features["glcm_Contrast"], rel=1e-8)
    mapped = [r for r in rows if r["feature"] == "msmfe_glcm_Contrast"]
    assert {row["method"] for row in mapped} == {"repeat", "mean"}


def test_names_are_no_formulas_and_numbers_stay(study, tmp_path):
    (first, *_) = study.scans
    named = replace(first, name="=1+1.nii")
    write_slices(tmp_path / "slices.csv", [named])
    rows = list(csv.DictReader((tmp_path / "slices.csv").open()))
    assert {row["scan"] for row in rows} == {"'=1+1.nii"}
    assert {row["method"] for row in rows} == {"repeat", "mean"}
    distances = [float(row["spectrum_distance_db"]) for row in rows]
    assert distances == pytest.approx(
        [score.metrics["spectrum_distance_db"] for score in first.scores if score.metrics], rel=1e-8
    )


def test_summary_json_is_what_was_returned(written):
    folder, summary = written
    assert json.loads((folder / "summary.json").read_text()) == json.loads(json.dumps(summary))
    assert summary["format_version"] == 1
    assert summary["settings"]["thickness_mm"] == 15
    assert list(summary["failed"]) == ["no.nii"]
    assert summary["methods"] == ["repeat", "mean"]


def test_page_is_whole_and_needs_no_other_file(written):
    folder, summary = written
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    figures = list((folder / "figures").glob("*.png"))
    assert len(page.images) == len(figures) + 2 * text.count('<section class="scrubber">')
    assert len(figures) == 6
    assert all(source.startswith("data:image/png;base64,") for source in page.images)
    assert "://" not in text
    assert f"{summary['metrics']['interior']['mae']['mean']['mean']:.4g} ±" in "".join(page.cells)


def test_page_tells_what_carries_the_mean_texture_error(written):
    folder, summary = written
    cells = Page((folder / "report.html").read_text(encoding="utf-8")).cells
    part = summary["texture"]["mean_carried_by"]["repeat"][0]
    place = cells.index(part["feature"])
    assert cells[place + 1 : place + 5] == [
        f"{part['nrmse']:.4g}",
        f"{100 * part['of_mean']:.0f}",
        part["case"],
        f"{100 * part['of_error']:.0f}",
    ]
    median = f"{summary['texture']['nrmse_median']['mean']:.4g}"
    assert median in cells


def test_page_tells_gap_thickness_warning_and_failure(written):
    text = (written[0] / "report.html").read_text(encoding="utf-8")
    cells = Page(text).cells
    place = cells.index("one.nii")
    assert cells[place : place + 5] == ["one.nii", "ct", "48 × 40 × 9", "20", "15"]
    assert "10 mm from acquired ones but are 15 mm thick" in text
    assert "no.nii failed:" in text
    assert "two&lt;b&gt;.nii" in text  # names are escaped
    assert "two<b>" not in text


def test_same_study_same_bytes(study, written, tmp_path):
    write_report(study, tmp_path / "again")
    files = sorted(p.relative_to(written[0]) for p in written[0].rglob("*") if p.is_file())
    assert len(files) == 10
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (written[0] / file).read_bytes(), file


def test_overwrites_only_when_asked_and_only_a_report(study, tmp_path):
    folder = tmp_path / "report"
    write_report(study, folder)
    (folder / "stale.txt").write_text("old")
    with pytest.raises(EvaluationError, match="exists; pass --overwrite"):
        write_report(study, folder)
    assert (folder / "stale.txt").exists()
    write_report(study, folder, overwrite=True)
    assert not (folder / "stale.txt").exists()
    assert (folder / "report.html").exists()

    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(EvaluationError, match="is not a report and will not be replaced"):
        write_report(study, precious, overwrite=True)
    assert (precious / "thesis.txt").exists()
    (tmp_path / "empty").mkdir()
    require_writable(tmp_path / "empty", overwrite=True)


def test_nothing_is_left_when_writing_fails(study, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "render", fail)
    with pytest.raises(WriteError, match=r"Cannot write .*report: No space left on device"):
        write_report(study, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_a_new_metric_is_in_files_page_and_console(tmp_path, monkeypatch, capsys):
    """One line in the table, and everything shows it."""
    worst = Metric(
        "worst", "Largest error", "low", 1, lambda p: float(abs(p.test - p.true).max()), "worst"
    )
    monkeypatch.setitem(METRICS, "worst", worst)
    write_volume(phantom_volume("ct", (48, 40, 9), (8.0, 8.0, 10.0), seed=1), tmp_path / "one.nii")
    study = evaluate_scans([tmp_path / "one.nii"], {"repeat": repeat, "mean": mean}, Settings())
    summary = write_report(study, tmp_path / "report")
    rows = list(csv.DictReader((tmp_path / "report" / "slices.csv").open()))
    values = [float(row["worst"]) for row in rows if row["method"] == "mean"]
    assert all(value >= float(row["mae"]) for value, row in zip(values, rows[1::2], strict=True))
    told = json.loads((tmp_path / "report" / "summary.json").read_text())
    where = told["where"]
    kept = [float(r["worst"]) for r in rows if (r["method"], r["where"]) == ("mean", where)]
    assert told["metrics"][where]["worst"]["mean"]["mean"] == pytest.approx(np.mean(kept))
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<th>Largest error</th>") >= 1
    echo_summary(summary, tmp_path / "report")
    titles, _, row, _ = capsys.readouterr().out.splitlines()
    assert row.split()[1 + titles.split().index("worst")] == format(np.mean(kept), ".4g")


def test_what_a_machine_reader_says_is_on_the_page(written):
    budget = replace(BUDGETS["strong"], steps=1234)
    hits, slices = np.array([1, 1, 0.5, 0]), (2, 2, 4, 4)
    reading = Reading(hits, ("one.nii", "one.nii", "two<b>.nii", "two<b>.nii"), slices)
    told = tell({"mean": reading}, budget, fewest_scans=6)
    row = told["methods"]["mean"]
    assert (row["told"], row["pairs"], row["slices"]) == (0.625, 4, 2)
    assert row["scans"] == {"one.nii": 1.0, "two<b>.nii": 0.25}
    text = render({**written[1], "machine_reader": told}, [], [])
    page = Page(text)
    assert page.open == []
    cells = ["0.625", f"{row['low']:.4g} – {row['high']:.4g}", "4", "2", "1", "0.25"]
    assert cells in [page.cells[n : n + 6] for n in range(len(page.cells))]
    assert "1,234 steps of 4 pairs, seed 0" in text.replace("\n", " ")
    assert "with the slices before and behind" in text.replace("\n", " ")


def test_cases_are_scrolled_through_by_keys(written, browser):
    """In a real browser, from the page alone."""
    text = (written[0] / "report.html").read_text(encoding="utf-8")
    page = browser.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_content(text)
    boxes = page.locator(".scrubber")
    assert boxes.count() == 3
    assert [title.split()[0] for title in boxes.locator("h3").all_inner_texts()] == [
        "Worst",
        "Median",
        "Best",
    ]
    box = boxes.first
    true, test = box.locator(".true"), box.locator(".test")
    start = int(box.locator("output").inner_text().split()[0])
    assert box.locator("output").inner_text() == f"{start} (removed)"
    before = true.get_attribute("src"), test.get_attribute("src")
    assert before[0] != before[1]
    box.locator("input").press("ArrowRight")
    assert box.locator("output").inner_text() == f"{start + 1} (acquired)"
    assert true.get_attribute("src") == test.get_attribute("src") != before[0]
    box.locator("input").press("ArrowLeft")
    assert (true.get_attribute("src"), test.get_attribute("src")) == before
    box.locator("select").select_option("mean")
    assert true.get_attribute("src") == before[0]
    assert test.get_attribute("src") not in before
    page.close()
    assert complaints == []
