"""What tags, intents and names say."""

import pytest

from medgen.intensities.testimony import by_intent, by_name, by_tag


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sub-01_ses-2_T1w.nii.gz", "mr"),
        ("sub-01_task-rest_run-1_bold.nii", "mr"),
        ("sub-01_acq-hires_T2starw.nii.gz", "mr"),
        ("T1w.nii", "mr"),
        ("patient.7_CT.nii.gz", "ct"),
        ("sub-01_ct.nrrd", "ct"),
        ("sub-01_space-T1w_dseg.nii.gz", "labels"),
        ("sub-01_desc-brain_mask.nii.gz", "labels"),
        ("liver_label.nii.gz", "labels"),
        ("aseg.mgz", "labels"),
        ("aseg.presurf.mgz", "labels"),
        ("lh.ribbon.mgz", "labels"),
        ("aparc.a2009s+aseg.mgz", "labels"),
        ("aparc-aseg-like-labels.mgz", "labels"),
        ("brainmask.mgz", "mr"),  # FreeSurfer's is the masked scan
        ("orig.mgz", "mr"),
        ("sub-01_pet.nii.gz", "unknown"),
        ("sub-01_label-WM_probseg.nii.gz", "unknown"),
        ("brainmask.nii.gz", None),
        ("ct_chest_0001.nii.gz", None),  # not at its end
        ("t1_of_ct-head.mha", None),
        ("scan.nii.gz", None),
        ("maskable_scan.nii", None),
        ("", None),
    ],
)
def test_names(name, kind):
    told = by_name(name)
    assert (told and told.kind.name) == kind
    assert told is None or told.is_enough


@pytest.mark.parametrize("word", ["phase", "phase1", "phasediff", "fieldmap"])
def test_a_phase_is_mr_but_no_scan_for_models(word):
    told = by_name(f"sub-01_{word}.nii.gz")
    assert (told.kind.name, told.is_enough) == ("mr", False)


def test_tags_and_intents():
    tags = {"CT": "ct", "MR": "mr", "SEG": "labels", "PT": "unknown", "OT": "unknown"}
    assert {tag: by_tag(tag).kind.name for tag in tags} == tags
    assert by_tag("") is None
    assert by_intent(1002).kind.name == by_intent(1005).kind.name == "labels"
    assert by_intent(5).kind.name == "unknown"
    assert by_intent(0) is by_intent(1001) is None
