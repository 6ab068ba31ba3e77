"""From scans to a folder in which nothing tells which picture is which."""

import json
import stat
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.errors import EvaluationError, StudyError
from medgen.evaluation.hanging import hung
from medgen.evaluation.scans import Settings
from medgen.interpolation.recreate import recreators
from medgen.study.prepare import Trial, prepare_study
from medgen.study.study import (
    PRACTICE,
    Study,
    load_codes,
    load_study,
    open_pictures,
)
from medgen.volumes import read_volume, write_volume


@pytest.fixture(scope="module", params=["closer", "real"])
def folder(request, make_study):
    return make_study(design=request.param)


def run(*words) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["study", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def asked(study: Study) -> list:
    """Pairs that are no practice."""
    numbers = {q.pair for own in study.readers for q in own if q.kind != PRACTICE}
    return [study.pairs[number] for number in sorted(numbers)]


def test_what_is_loaded_is_what_was_made(folder):
    study = load_study(folder)
    assert json.loads(study.text()) == json.loads((folder / "study.json").read_text())
    assert study.methods == ("sinc", "nearest", "linear")
    assert [len(own) for own in study.readers] == [10, 10, 10]
    assert [q.kind for q in study.readers[0][:3]] == [PRACTICE] * 3


def test_the_contests_of_each_design(folder):
    study = load_study(folder)
    contests = {(pair.first, pair.second) for pair in asked(study)}
    if study.design == "closer":
        assert contests == {("sinc", "nearest"), ("sinc", "linear")}
        assert all(pair.target is not None for pair in study.pairs)
    else:
        assert contests == {("truth", "sinc"), ("truth", "nearest"), ("truth", "linear")}
        assert all(pair.target is None for pair in study.pairs)


def test_pictures_are_what_the_key_says(folder, scans):
    """The truth, its acquired neighbours, and what nearest and linear make of these."""
    study = load_study(folder)
    seen = set()
    for pair in study.pairs:
        scan = study.scans[pair.scan]
        volume = read_volume(scans / scan.name)
        pictures = open_pictures(folder, scan)

        def slice_of(k, volume=volume):
            return hung(volume.to_physical()[..., k].astype(np.float64), volume.geometry, 2)

        def shown(number, pictures=pictures, scan=scan):
            return pictures[number] * scan.step + scan.low

        k = pair.slice
        close = {"rtol": 0, "atol": scan.step}
        assert k % 2 == 1
        around = {pair.before[-1]: k - 1, pair.behind[0]: k + 1}
        around |= {pair.before[0]: max(k - 3, 0), pair.behind[-1]: min(k + 3, 20)}
        if pair.target is not None:
            around[pair.target] = k
        for number, index in around.items():
            np.testing.assert_allclose(shown(number), slice_of(index), **close)
        for number, name in zip(pair.pictures, (pair.first, pair.second), strict=True):
            seen.add(name.split()[0])
            if name == "truth":
                np.testing.assert_allclose(shown(number), slice_of(k), **close)
            elif name == "nearest":
                others = [slice_of(k - 1), slice_of(k + 1)]
                assert min(np.abs(shown(number) - other).max() for other in others) <= scan.step
            elif name == "linear":
                middle = (slice_of(k - 1) + slice_of(k + 1)) / 2
                np.testing.assert_allclose(shown(number), middle, rtol=0, atol=0.51 + scan.step)
            elif name.startswith("smoothed"):
                assert shown(number).std() < slice_of(k).std()
    assert seen >= {"truth", "nearest", "linear", "smoothed"}


def test_nothing_on_disk_tells_which_is_which(folder):
    """Pictures of a scan lie in one file, all of one size, in an order that says nothing."""
    study = load_study(folder)
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == ["1.npy", "2.npy"]
    for number, scan in enumerate(study.scans):
        pairs = [pair for pair in study.pairs if pair.scan == number]
        pictures = open_pictures(folder, scan)
        assert pictures.shape == (len(pictures), scan.rows, scan.cols)
        assert pictures.max() < 4096
        used = {n for p in pairs for n in (*p.pictures, *p.before, *p.behind, p.target)} - {None}
        assert used == set(range(len(pictures)))
    assert {pair.pictures[0] < pair.pictures[1] for pair in study.pairs} == {True, False}
    for path in (folder, folder / "codes.csv", folder / "pictures"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_practice_is_on_slices_that_are_not_asked(folder):
    study = load_study(folder)
    practised = {q.pair for own in study.readers for q in own if q.kind == PRACTICE}
    places = {(study.pairs[n].scan, study.pairs[n].slice) for n in practised}
    assert len(practised) == 3
    assert not places & {(pair.scan, pair.slice) for pair in asked(study)}


def test_the_same_seed_makes_the_same_study_but_other_codes(make_study):
    one, other, third = (make_study(seed=seed, names=("ct.nii",)) for seed in (5, 5, 6))
    for name in ("study.json", "pictures/1.npy"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert (one / "study.json").read_bytes() != (third / "study.json").read_bytes()
    codes = [load_codes(folder) for folder in (one, other)]
    assert all(len(each) == 3 for each in codes)
    assert not set(codes[0]) & set(codes[1])


def test_the_command(scans, tmp_path):
    (tmp_path / "consent.txt").write_text("I take part of my own free will.\n")
    words = [scans / "ct.nii", "-o", tmp_path / "s", "--method", "sinc", "--method", "linear"]
    code, output = run(*words, "--readers", 4, "--seed", 1, "--consent", tmp_path / "consent.txt")
    folder = tmp_path / "s"
    assert code == 1  # 35 questions each would be as many comparisons as in the paper
    assert "There are 8 pairs to ask 35 questions" in output
    assert list(tmp_path.iterdir()) == [tmp_path / "consent.txt"]
    words += ["--questions", 3, "--readers", 4, "--consent", tmp_path / "consent.txt"]
    code, output = run(*words)
    assert (code, output) == (
        0,
        f"{folder}: 4 readers, 3 questions each, 3 different pairs; codes in {folder}/codes.csv.\n",
    )
    assert load_study(folder).consent == "I take part of my own free will."
    code, output = run(*words)
    assert (code, "exists; choose another name or pass --overwrite" in output) == (1, True)
    assert run(*words, "--overwrite")[0] == 0
    (folder / "answers.sqlite").write_text("")
    code, output = run(*words, "--overwrite")
    assert (code, "has been read, and answers are kept" in output) == (1, True)


def test_a_scan_that_fails_is_told_and_the_rest_is_asked(scans, tmp_path):
    (scans / "broken.nii").write_bytes(b"no")
    words = ["--method", "linear", "--method", "nearest", "--questions", 2, "--readers", 2]
    code, output = run(scans / "mr.nii", scans / "broken.nii", *words, "-o", tmp_path / "s")
    assert code == 0
    assert output.startswith("Warning: broken.nii failed: ")


def test_slices_beside_the_patient_are_not_asked(scans, tmp_path):
    """The lower half of the scan is air with its noise, and nothing else."""
    scan = read_volume(scans / "ct.nii")
    air = np.random.default_rng(0).normal(-1000, 20, scan.shape).astype(scan.array.dtype)
    half = np.where(np.arange(21) < 10, air, scan.array)
    write_volume(scan.with_array(half, scan.geometry), tmp_path / "half.nii")
    trial = Trial("real", readers=2, questions=3)
    methods = recreators(("linear",), 0)
    study = prepare_study([tmp_path / "half.nii"], methods, Settings(), trial, tmp_path / "s")
    assert {pair.slice for pair in study.pairs} <= {11, 13, 15, 17}


def fails(volume, *, factor, slice_axis):
    raise EvaluationError("it does not take this.")


def test_a_method_is_asked_where_it_worked_and_must_have_worked_somewhere(scans):
    methods = recreators(("linear", "nearest", "sinc"), 0)
    trial = Trial("closer", readers=2, questions=4, seed=0)
    paths = [scans / "ct.nii", scans / "mr.nii"]

    def picky(volume, **options):
        work = fails if volume.modality == "mr" else methods["sinc"]
        return work(volume, **options)

    folder = scans / "picky"
    study = prepare_study(paths, methods | {"sinc": picky}, Settings(), trial, folder)
    assert study.warnings == ("mr.nii: sinc failed: it does not take this.",)
    assert {pair.scan for pair in study.pairs if pair.second == "sinc"} == {0}
    with pytest.raises(StudyError, match=r"No scan has slices of sinc\. ct.nii: sinc failed: it"):
        prepare_study(paths, methods | {"sinc": fails}, Settings(), trial, scans / "failing")
    assert not (scans / "failing").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ct.nii", "--method", "linear"], "takes two methods; give --method twice or more"),
        (["ct.nii", "--method", "linear", "--method", "cubic"], "named 'cubic'"),
        (["no.nii", "--method", "linear", "--method", "sinc"], "No scan gives a slice"),
        (
            ["ct.nii", "--method", "linear", "--method", "sinc", "--factor", 10],
            "no inner gap has a slice of the patient to ask about",
        ),
        (["ct.nii", "--method", "linear", "--design", "real", "--consent", "no.txt"], "is no text"),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_nothing(scans, tmp_path, words, message):
    name, *options = words
    code, output = run(scans / name, "-o", tmp_path / "s", *options)
    assert code == 1
    assert output.startswith("Error: ")
    assert output.count("\n") == 1
    assert message in output
    assert list(tmp_path.iterdir()) == []


def test_damaged_folders_are_told(make_study, tmp_path):
    folder = make_study(names=("ct.nii",))
    study = load_study(folder)
    with pytest.raises(StudyError, match="holds no reader study"):
        load_study(tmp_path)
    (folder / "codes.csv").write_text("reader,code\n1,A\n2,A\n")
    with pytest.raises(StudyError, match="has a code twice"):
        load_codes(folder)
    with pytest.raises(StudyError, match=r"expected uint16 of \(n, 32, 33\)"):
        open_pictures(folder, replace(study.scans[0], cols=33))
    for text in ('{"format_version": 1}', "[]", '{"format_version": 9}'):
        (folder / "study.json").write_text(text)
        with pytest.raises(StudyError, match=r"is damaged|has format version 9"):
            load_study(folder)
