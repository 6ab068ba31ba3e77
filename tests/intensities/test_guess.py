"""What kind of scan it is, by what the file says and by what its values show."""

import numpy as np
import pytest

from medgen.intensities.guess import Guess, guess_modality
from medgen.intensities.modality import MODALITIES, NAMED

RNG = np.random.default_rng(11)
TISSUE = RNG.normal(40, 20, 10_000).round()
AIR = RNG.normal(-1000, 15, 1000).round()
FAT = RNG.normal(-100, 15, 2000).round()
BONE = RNG.normal(700, 200, 500).round()
SIGNAL = RNG.rayleigh(100, 10_000).round()
OUTSIDE = np.full(2000, -3024.0)
BODY = np.concatenate([TISSUE, FAT, BONE])
BRAIN = RNG.normal(34, 6, 4000).round()
# Organs along a line: runs of one value, 40 voxels each, in a background of 0.
ORGANS = np.repeat(RNG.choice([0, 0, 2, 17, 41, 1007, 2035], 400), 40)


def joined(*parts):
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.parametrize(
    ("values", "modality", "is_sure"),
    [
        (joined(TISSUE, AIR), "ct", True),
        (joined(BODY, AIR, OUTSIDE), "ct", True),
        (joined(BODY, AIR, [np.nan, -np.inf]), "ct", True),
        (joined(BODY, RNG.normal(-850, 60, 4000)), "ct", True),  # lungs, cropped within the chest
        (joined(BODY, AIR[:5]), "ct", False),  # cropped inside the body
        (joined(BODY, AIR, [-30000]), "ct", False),  # no air is that dark
        (np.clip(joined(BODY, AIR), -160, 240), "ct", False),  # windowed
        (joined(BODY, AIR, OUTSIDE).clip(-1024) + 1024, "ct", False),
        (joined(BRAIN, np.zeros(9000)), "ct", False),  # all but the brain taken away
        (np.clip(joined(BRAIN, BONE, AIR, AIR), 0, 80), "ct", False),  # a window of the brain
        (joined(SIGNAL), "mr", True),
        (joined(SIGNAL, np.zeros(9000)), "mr", True),
        (joined(SIGNAL, 400 + 10 * SIGNAL), "mr", True),  # some of it at 1064
        (joined(SIGNAL, -SIGNAL[:100]), "mr", True),  # ringing after resampling
        (joined(SIGNAL, -SIGNAL[:1000]), "ct", False),  # as HU could, of soft tissue
        (joined(SIGNAL - 100) / 10, "unknown", False),  # such as a map of a statistic
        (RNG.uniform(-4096, 4095, 10_000).round(), "mr", False),  # phases
        (joined(RNG.uniform(-np.pi, np.pi, 10_000), np.zeros(9000)), "mr", False),
        (RNG.integers(0, 4096, 10_000), "mr", False),
        (ORGANS, "labels", True),
        (ORGANS > 0, "labels", True),
        (np.repeat(RNG.integers(0, 99, 4000), 2), "labels", False),  # pieces of two voxels
        (ORGANS // 7 + RNG.integers(0, 4, ORGANS.size), "mr", True),
        (np.full(10, np.nan), "unknown", False),
        (np.zeros(10), "unknown", False),
    ],
)
def test_values_tell_or_leave_it_open(values, modality, is_sure):
    guess = guess_modality(values)
    assert (guess.modality, guess.is_sure) == (modality, is_sure)
    assert guess.taken == (modality if is_sure else "unknown")


def test_a_shifted_ct_is_named_with_what_mends_it():
    shifted = joined(BODY, AIR) + 1024
    question = guess_modality(shifted.clip(0)).question
    assert question == (
        "It is not sure what kind of scan this is: its values look like HU + 1024, with peaks near "
        "24 and 1064; if so, add --intercept -1024 to have it read in HU, or say what it is with "
        "--modality ct, mr or labels."
    )
    said = guess_modality(shifted.clip(0), said="ct")
    assert (said.taken, said.note) == (
        "ct",
        "The scan is taken for CT: you say so, and yet its values look like HU + 1024, with peaks "
        "near 24 and 1064; if so, add --intercept -1024 to have it read in HU.",
    )
    assert guess_modality(shifted.clip(0), said="mr").note == ""
    assert guess_modality(shifted.clip(0), name="sub-1_T1w.nii").taken == "mr"
    assert not guess_modality(shifted.clip(0), tag="CT").is_sure
    assert guess_modality(shifted - 1024).taken == "ct"


VALUES = {
    "hu": joined(BODY, AIR),
    "inside": joined(BODY),
    "brain": joined(BRAIN, np.zeros(9000)),
    "signal": joined(SIGNAL),
    "organs": ORGANS,
    "phase": RNG.uniform(-4096, 4095, 10_000).round(),
    "zeros": np.zeros(10),
}


@pytest.mark.parametrize(
    ("values", "evidence", "modality", "is_sure"),
    [
        ("hu", {"tag": "CT"}, "ct", True),
        ("hu", {"tag": "MR"}, "ct", False),
        ("hu", {"name": "sub-1_T1w.nii.gz"}, "ct", False),
        ("hu", {"tag": "CT", "intent": 1002}, "ct", False),
        ("inside", {"tag": "CT"}, "ct", True),
        ("inside", {"name": "sub-1_ct.nii.gz"}, "ct", True),
        ("brain", {"name": "case_CT.nrrd"}, "ct", True),
        ("brain", {"name": "sub-1_T1w.nii"}, "mr", True),
        ("signal", {"tag": "MR"}, "mr", True),
        ("signal", {"tag": "CT"}, "mr", False),
        ("signal", {"tag": "PT"}, "unknown", False),
        ("signal", {"name": "sub-1_pet.nii.gz"}, "unknown", False),
        ("signal", {"name": "sub-1_label-GM_probseg.nii.gz"}, "unknown", False),
        ("signal", {"name": "sub-1_phasediff.nii.gz"}, "mr", False),
        ("signal", {"name": "sub-1_part-phase_bold.nii.gz"}, "mr", False),
        ("signal", {"name": "liver_seg.nii.gz"}, "mr", False),
        ("signal", {"intent": 3}, "unknown", False),
        ("signal", {"intent": 1002}, "mr", False),
        ("signal", {"eight_bits": True}, "mr", False),
        ("signal", {"eight_bits": True, "tag": "MR"}, "mr", True),
        ("signal", {"eight_bits": True, "name": "T1.mgz"}, "mr", True),
        ("signal", {"eight_bits": True, "name": "sub-1_ct.nii"}, "mr", False),
        ("organs", {"intent": 1002}, "labels", True),
        ("organs", {"name": "sub-1_dseg.nii.gz", "eight_bits": True}, "labels", True),
        ("organs", {"tag": "SEG"}, "labels", True),
        ("organs", {"tag": "MR"}, "labels", False),
        ("phase", {"tag": "CT"}, "mr", False),
        ("phase", {"tag": "MR"}, "mr", False),
        ("zeros", {"tag": "CT"}, "ct", True),
        ("signal", {"said": "ct"}, "ct", True),
        ("hu", {"said": "labels", "tag": "CT"}, "labels", True),
    ],
)
def test_what_the_file_says_is_believed_unless_its_values_contradict(
    values, evidence, modality, is_sure
):
    guess = guess_modality(VALUES[values], **evidence)
    assert (guess.modality, guess.is_sure) == (modality, is_sure)


def test_reasons_are_told_in_words():
    assert guess_modality(VALUES["hu"], tag="CT").words == (
        "its DICOM header says CT, and 7.4% of its values lie near -1000 and 88.9% between -150 "
        "and 150, as air and soft tissue do in HU"
    )
    assert guess_modality(VALUES["signal"], tag="CT").reasons[0] == "its DICOM header says CT"
    assert guess_modality(VALUES["signal"], tag="CT").reasons[1].startswith("yet its ")
    assert guess_modality(VALUES["phase"]).words == (
        "its values lie all over -4096 to 4095, as an MR phase's do"
    )
    assert guess_modality(VALUES["organs"], name="aparc+aseg.mgz").words == (
        "its name says aparc, and its values are 6 whole numbers in constant pieces"
    )
    assert guess_modality(VALUES["zeros"], said="mr").words == "you say so"
    assert Guess("mr", False, ("nothing tells",)).note == (
        "It is not sure what kind of scan this is: nothing tells; --modality says it."
    )


def test_neighbours_are_those_along_memory():
    pieces = np.zeros((40, 30, 20), np.float32, order="F")
    pieces[5:25, 5:20, 5:15] = 3
    pieces[10:20, 8:15, 8:12] = 9
    assert guess_modality(pieces).taken == "labels"
    assert guess_modality(np.ascontiguousarray(pieces)).taken == "labels"


def test_kinds_have_their_own_names():
    assert all(name == kind.name for name, kind in MODALITIES.items())
    assert NAMED == ("ct", "mr", "labels")
