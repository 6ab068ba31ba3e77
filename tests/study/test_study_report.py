"""From answers to tables."""

import csv
import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from simulated import answer_all

from medgen.cli import main
from medgen.study.answers import Answers
from medgen.study.report import write_study_report
from medgen.study.statistics import mrmc_interval
from medgen.study.study import ANSWERS, load_study


def run(*words) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.fixture(scope="module", params=["closer", "real"])
def prepared(request, make_study):
    folder = make_study(design=request.param, readers=6, questions=8, repeats=2)
    answer_all(folder, lambda reader, pair: 0.9 if pair.second == "nearest" else 0.5, seed=1)
    return folder


@pytest.fixture
def folder(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "study")


def rows_of(report: Path, name="answers.csv") -> list[dict]:
    with open(report / name, newline="") as file:
        return list(csv.DictReader(file))


def test_every_answer_is_in_the_table_beside_the_key(folder, tmp_path):
    write_study_report(folder, tmp_path / "report")
    study = load_study(folder)
    rows = rows_of(tmp_path / "report")
    assert len(rows) == sum(len(own) for own in study.readers) == 6 * 13
    for row in rows:
        question = study.readers[int(row["reader"]) - 1][int(row["number"]) - 1]
        pair = study.pairs[question.pair]
        assert row["kind"] == question.kind
        assert row["scan"] == study.scans[pair.scan].name
        assert int(row["slice"]) == pair.slice
        shown = [row["shown_1"], row["shown_2"]]
        assert shown == (
            [pair.second, pair.first] if question.swapped else [pair.first, pair.second]
        )
        assert row["chosen"] == shown[int(row["choice"]) - 1]
        assert row["chose_first"] == str(int(row["chosen"] == pair.first))
        assert float(row["seconds"]) == int(row["number"])
        assert row["role"] in ("radiologist", "radiation oncologist")
        assert (row["screen_width"], row["pixel_ratio"], row["picture_width"]) == (
            "1920",
            "1",
            "600",
        )


def test_the_summary_counts_the_table(folder, tmp_path):
    summary = write_study_report(folder, tmp_path / "report")
    assert json.loads((tmp_path / "report" / "summary.json").read_text()) == summary
    rows = [row for row in rows_of(tmp_path / "report") if row["kind"] == "question"]
    assert summary["overall"]["answers"] == len(rows) == 48
    assert summary["overall"]["chosen"] == sum(row["chose_first"] == "1" for row in rows)
    seconds = np.median([float(row["seconds"]) for row in rows])
    assert summary["seconds"]["median"] == pytest.approx(seconds)
    others = [row["second"] for row in summary["contests"]]
    closer = summary["design"] == "closer"
    assert others == (["nearest", "linear"] if closer else ["sinc", "nearest", "linear"])
    for contest in summary["contests"]:
        own = [row for row in rows if row["second"] == contest["second"]]
        share = np.mean([row["chose_first"] == "1" for row in own])
        assert (contest["answers"], contest["share"]) == (len(own), pytest.approx(share))
        for name in ("exact", "wilson", "bootstrap"):
            low, high = contest[name]
            assert 0 <= low <= share <= high <= 1
    assert [row["published"] for row in summary["contests"] if closer] == [68, 96] * closer
    assert [row["answers"] for row in summary["readers"]] == [10] * 6
    assert [row["practice_right"] for row in summary["readers"]] == [3] * 6
    assert {row["role"]: row["answers"] for row in summary["roles"]} == {
        "radiologist": 24,
        "radiation oncologist": 24,
    }
    assert summary["own_agreement"]["questions"] == 12
    twice = {}
    for row in rows_of(tmp_path / "report"):
        if row["kind"] in ("question", "repeat"):
            key = (row["reader"], row["scan"], row["slice"], row["second"])
            twice.setdefault(key, []).append(row["chosen"])
    alike = [len(set(both)) == 1 for both in twice.values() if len(both) == 2]
    assert summary["own_agreement"]["share"] == pytest.approx(np.mean(alike))


def test_detection_of_the_real_slice(make_study, tmp_path):
    """Readers who always see it, and one who always takes slice 1."""
    folder = make_study(design="real", names=("ct.nii",), readers=2, questions=6, repeats=0)
    answer_all(folder, lambda reader, pair: 1.0, readers=1)
    study = load_study(folder)
    answers = Answers(folder / ANSWERS)
    screen = {"width": 1, "height": 1, "ratio": 1, "pane": 1}
    profile = {"role": "other", "years": 0, "screen": screen, "consent": ""}
    answers.add(1, 0, "begin", note=profile)
    for number in range(len(study.readers[1])):
        answers.add(1, number + 1, "answer", question=number, choice=0, seconds=2.0, note=screen)
    answers.close()
    summary = write_study_report(folder, tmp_path / "report")
    sure, sided = summary["readers"]
    assert sure["share"] == 1
    assert sure["d_prime"] > 1.5
    assert sure["criterion"] == pytest.approx(0)
    assert sided["share"] == 0.5
    assert sided["d_prime"] == pytest.approx(0)
    assert sided["criterion"] < -1
    assert sided["chose_1"] == 1


def test_imrmc_computes_the_same_share_and_interval(folder, tmp_path):
    """By its definition of the area under the curve, from its columns."""
    summary = write_study_report(folder, tmp_path / "report")
    rows = rows_of(tmp_path / "report", "imrmc.csv")
    truth = {row["caseID"]: row["score"] for row in rows if row["readerID"] == "truth"}
    assert set(truth.values()) == {"0", "1"}
    assert len(rows) == len({(r["readerID"], r["caseID"], r["modalityID"]) for r in rows})
    for contest in summary["contests"]:
        own = [
            row
            for row in rows
            if row["readerID"] != "truth" and row["modalityID"] == contest["second"]
        ]
        absent = {r["readerID"]: float(r["score"]) for r in own if truth[r["caseID"]] == "0"}
        present = [row for row in own if truth[row["caseID"]] == "1"]
        areas = [float(row["score"]) > absent[row["readerID"]] for row in present]
        assert np.mean(areas) == pytest.approx(contest["share"])
        readers = sorted({row["readerID"] for row in present})
        cases = sorted({row["caseID"] for row in present})
        scores = np.full((len(readers), len(cases)), np.nan)
        for row, area in zip(present, areas, strict=True):
            scores[readers.index(row["readerID"]), cases.index(row["caseID"])] = area
        interval = mrmc_interval(scores)
        expected = None if interval is None else pytest.approx([interval.low, interval.high])
        assert contest["mrmc"] == expected


def test_the_command_and_its_page(folder, tmp_path):
    code, output = run("study-report", folder, "-o", tmp_path / "report")
    assert code == 0
    lines = output.splitlines()
    assert lines[-1] == f"Report written to {tmp_path / 'report'}."
    assert lines[-2].split()[:2] == ["all", "48"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "http" not in page.replace("https://github.com", "")
    assert "data:image/png;base64," in page
    for word in ("bootstrap", "Wilson", "Holm", "Fleiss", "nearest", "radiation oncologist"):
        assert word in page
    assert ("d′" in page) == (load_study(folder).design == "real")
    code, output = run("study-report", folder, "-o", tmp_path / "report")
    assert (code, "exists; pass --overwrite to replace it" in output) == (1, True)
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    assert run("study-report", folder, "-o", tmp_path / "report", "--overwrite")[0] == 0
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    code, output = run("study-plan", "--pilot", tmp_path / "report", "--questions", 8)
    assert code == 0
    share = json.loads(before["summary.json"])["overall"]["share"]
    assert output.startswith(f"{100 * share:.0f} % of 8 questions a reader; deviation of readers")


def test_a_study_that_goes_on(make_study, tmp_path):
    folder = make_study(names=("ct.nii",))
    code, output = run("study-report", folder, "-o", tmp_path / "report")
    assert (code, "has no answers; let readers answer" in output) == (1, True)
    Answers(folder / ANSWERS).close()
    code, output = run("study-report", folder, "-o", tmp_path / "report")
    assert (code, "has no answers yet" in output) == (1, True)
    answer_all(folder, lambda reader, pair: 1.0, readers=1)
    code, output = run("study-report", folder, "-o", tmp_path / "report")
    assert code == 0
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert [row["answers"] for row in summary["readers"]] == [7, 0, 0]
    assert summary["overall"]["bootstrap"] is None  # one reader says nothing of others
    assert summary["overall"]["mrmc"] is None
    assert "1 of 3 readers" in " ".join((tmp_path / "report" / "report.html").read_text().split())


def test_what_was_changed_is_not_reported(folder, tmp_path):
    connection = sqlite3.connect(folder / ANSWERS)
    connection.executescript("DROP TRIGGER no_update; UPDATE steps SET choice = 1 - choice;")
    connection.close()
    code, output = run("study-report", folder, "-o", tmp_path / "report")
    assert (code, "was changed after it was written" in output) == (1, True)
    assert not (tmp_path / "report").exists()


def test_facts_instead_of_sentences(folder, tmp_path):
    code, output = run("study-report", folder, "-o", tmp_path / "report", "--json")
    facts = json.loads(output)
    assert (code, facts.pop("output")) == (0, str(tmp_path / "report"))
    assert facts == json.loads((tmp_path / "report" / "summary.json").read_text())
    facts = json.loads(run("study-plan", "--json")[1])
    assert (facts["share"], facts["questions"], len(facts["plans"])) == (0.6, 12, 16)
    assert facts["plans"][0].keys() == {"readers", "cases", "half_width", "power"}


def test_a_plan_in_numbers():
    code, output = run("study-plan", "--share", 0.72)
    assert code == 0
    lines = output.splitlines()
    assert lines[0].startswith("72 % of 12 questions a reader; deviation of readers 10 %, of cases")
    assert [line.split()[0] for line in lines[1:]] == ["readers", "4", "8", "16", "32"]
