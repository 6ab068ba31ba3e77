"""A machine reader tells, before people do, how a study may end."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.evaluation.budgets import BUDGETS


@pytest.fixture
def words(scans, tmp_path, monkeypatch):
    tiny = replace(BUDGETS["strong"], side=16, steps=3, batch=2, squares=2, filters=(4, 6))
    monkeypatch.setitem(BUDGETS, "strong", tiny)
    return [
        *("study", str(scans / "ct.nii"), "-o", str(tmp_path / "study"), "--readers", "2"),
        *("--questions", "4", "--method", "sinc", "--method", "nearest"),
        *("--machine-reader", "strong"),
    ]


def test_each_method_is_read_and_the_study_is_made(words, scans, tmp_path):
    result = CliRunner().invoke(main, [*words, str(scans / "mr.nii"), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["machine_reader"]
    assert list(told) == ["sinc", "nearest"]
    for row in told.values():
        assert row["low"] <= row["told"] <= row["high"]
        assert row["pairs"] == 2 * row["slices"]
        assert list(row["scans"]) == ["ct.nii", "mr.nii"]
        np.testing.assert_allclose(np.mean(list(row["scans"].values())), row["told"])
    study = (tmp_path / "study" / "study.json").read_text()
    assert "told" not in study


def test_one_scan_is_refused_before_the_work(words, tmp_path):
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert result.output.startswith("Error: A machine reader learns on other scans")
    assert not (tmp_path / "study").exists()
