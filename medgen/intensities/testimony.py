"""What a file says of itself: its DICOM tag, its NIfTI intent, its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from medgen.errors import quoted
from medgen.intensities.modality import CT, LABELS, MR, UNKNOWN, Modality

TAGS = {"CT": CT, "MR": MR, "SEG": LABELS}
LABEL_INTENTS = (1002, 1005)  # NIFTI_INTENT_LABEL, NIFTI_INTENT_NEURONAME
STATISTICS = range(2, 25)  # NIFTI_FIRST_STATCODE to NIFTI_LAST_STATCODE

# The last word of a name, behind its last underscore: those of BIDS, and what else is in use.
MR_WORDS = {
    "t1w", "t2w", "pdw", "t2starw", "flair", "pdt2", "inplanet1", "inplanet2", "unit1", "angio",
    "swi", "bold", "cbv", "sbref", "dwi", "asl", "m0scan", "epi", "magnitude", "magnitude1",
    "magnitude2", "mp2rage", "mprage", "mpm", "mts", "mese", "megre", "vfa", "irt1",
    "t1map", "t2map", "t2starmap", "r1map", "r2map", "r2starmap", "pdmap", "mtrmap", "mtsat",
    "t1rho", "mr", "mri",
}  # fmt: skip
CT_WORDS = {"ct"}
LABEL_WORDS = {
    "dseg", "seg", "segmentation", "mask", "defacemask", "label", "labels", "labelmap", "parc",
}  # fmt: skip
PHASE_WORDS = {"phase", "phase1", "phase2", "phasediff", "fieldmap"}
OTHER_WORDS = {"pet": "PET", "probseg": "probabilities"}
# Of FreeSurfer, in names such as aparc.a2009s+aseg.mgz and in whole names.
FREESURFER_LABELS = {"aseg", "aparc", "wmparc", "ribbon"}
FREESURFER_MR = {"orig", "rawavg", "nu", "t1", "norm", "brain", "brainmask"}
FREESURFER_SUFFIXES = (".mgz", ".mgh")


@dataclass(frozen=True)
class Testimony:
    """What one part of a file says.

    Args:
        kind: of scan; `UNKNOWN` if it is one that medgen does not know.
        words: a clause.
        is_enough: whether that makes it a scan that models can be given.
    """

    kind: Modality
    words: str
    is_enough: bool = True


def by_tag(tag: str) -> Testimony | None:
    """What Modality of a DICOM header says, None if it is empty."""
    return (
        Testimony(TAGS.get(tag, UNKNOWN), f"its DICOM header says {quoted(tag)}") if tag else None
    )


def by_intent(code: int) -> Testimony | None:
    """What the intent code of a NIfTI header says, None if nothing of the kind."""
    if code in LABEL_INTENTS:
        return Testimony(LABELS, "its NIfTI intent says labels")
    if code in STATISTICS:
        return Testimony(UNKNOWN, "its NIfTI intent says a statistic")
    return None


def by_name(name: str) -> Testimony | None:
    """What a file's name says, None if nothing."""
    path = PurePath(name.lower().removesuffix(".gz"))
    stem, word = path.stem, path.stem.rpartition("_")[2]
    if path.suffix in FREESURFER_SUFFIXES and stem in FREESURFER_MR:
        return Testimony(MR, f"its name is FreeSurfer's {stem}")
    labels = ({word} & LABEL_WORDS) | (set(re.split("[^a-z0-9]+", stem)) & FREESURFER_LABELS)
    if labels:
        return Testimony(LABELS, f"its name says {min(labels)}")
    if word in PHASE_WORDS or "_part-phase_" in stem:
        return Testimony(MR, "its name says phase or field", is_enough=False)
    if word in OTHER_WORDS:
        return Testimony(UNKNOWN, f"its name says {OTHER_WORDS[word]}")
    if word in MR_WORDS | CT_WORDS:
        return Testimony(MR if word in MR_WORDS else CT, f"its name says {word}")
    return None
