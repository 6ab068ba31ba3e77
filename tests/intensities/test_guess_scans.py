"""The guess at real scans, of which the names tell the truth; and at what users make of them."""

from pathlib import Path

import numpy as np
import pytest

from medgen.errors import MedgenError
from medgen.intensities.guess import guess_modality
from medgen.volumes import find_scans, read_volume
from medgen.volumes.files import sampled

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
# Where only the user can tell, and why.
UNCLEAR = {
    "ct_uint8_oblique_pitch.nii.gz": "its voxels have 8 bits",
    "mr_be_uint8_avg152.nii.gz": "its voxels have 8 bits",
    "mr_labelled_ct_2mm_17slices": "its DICOM header says CT, and yet",
}


def scans() -> list[Path]:
    if not SHARED_DATA.is_dir():
        return []
    folders = (SHARED_DATA, SHARED_DATA / "odd", SHARED_DATA / "dicom")
    found = (path for folder in folders for path in folder.iterdir())
    known = {path for path in found if path.name[:3] in ("ct_", "mr_")}
    return [path for path in find_scans([SHARED_DATA]) if path in known]


def read(path: Path):
    try:
        return read_volume(path)
    except MedgenError as error:
        if "choose one with --volume" not in str(error):
            pytest.skip("no scan by design")
        return read_volume(path, volume=0)


@pytest.mark.parametrize("path", scans(), ids=lambda path: path.name)
def test_real_scans_are_known_for_what_they_are(path):
    scan = read(path)
    if path.name in UNCLEAR:
        assert scan.modality == "unknown"
        assert scan.guess.words.startswith(UNCLEAR[path.name])
        return
    assert scan.modality == path.name[:2], scan.guess.words
    if scan.modality != "ct" or scan.shape[2] == 1:
        return
    hu = scan.to_physical(sampled(scan.array))
    hu = hu[np.isfinite(hu)]
    # Stored as HU + 1024, or what a window of soft tissue leaves, it is not sure, and never MR.
    for made in (np.maximum(hu + 1024, 0), np.clip(hu, -160, 240)):
        guess = guess_modality(made)
        assert (guess.modality, guess.is_sure) == ("ct", False), guess.words
    assert "--intercept -1024" in guess_modality(np.maximum(hu + 1024, 0)).question
    assert guess_modality(np.maximum(hu + 1024, 0), name="sub-1_ct.nii").taken == "unknown"


@pytest.mark.parametrize(
    ("name", "modality", "is_sure", "words"),
    [
        ("label-map-25-organs-intent-label.nii.gz", "labels", True, "its NIfTI intent says labels"),
        ("aparc-aseg-like-labels.mgz", "labels", True, "its name says aparc"),
        ("ct-head-skull-stripped-background-0.nii.gz", "ct", False, "in a background of 0"),
        ("ct-plus-1024-no-intercept.nii.gz", "ct", False, "its values look like HU + 1024"),
        ("mr-phase-minus4096-4095.nii.gz", "mr", False, "its values lie all over -4096 to 4095"),
    ],
)
def test_inputs_that_were_taken_for_something_else(shared_data, name, modality, is_sure, words):
    path = shared_data.parent / "bugs" / name
    if not path.exists():
        pytest.skip("no such file beside the repository")
    guess = read_volume(path).guess
    assert (guess.modality, guess.is_sure) == (modality, is_sure)
    assert guess.words.startswith(words)
