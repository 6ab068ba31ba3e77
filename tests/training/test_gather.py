"""The scans of a run: found, checked, named, set aside."""

import numpy as np
import pytest

from medgen.errors import ReadError, TrainingError
from medgen.intensities.rule import IntensityRule
from medgen.phantoms.phantom import phantom_volume
from medgen.training.gather import gather_scans
from medgen.volumes import Geometry, Volume, write_volume


@pytest.fixture
def data(tmp_path):
    """Two CT of 20 and 1 slices in a folder each, under the same name."""
    for folder, slices in (("first", 20), ("second", 1)):
        (tmp_path / folder).mkdir()
        volume = phantom_volume("ct", (16, 14, slices), (20.0, 22.0, 25.0), seed=slices)
        write_volume(volume, tmp_path / folder / "ct.nii.gz")
    return tmp_path


def gather(*paths, validation=(), rule=None, image_size=None, seed=0, **told):
    return gather_scans(
        paths, validation, rule=rule, image_size=image_size, guard_mm=30.0, seed=seed, **told
    )


def broken(path, shape=(9, 10, 6), value=np.nan):
    array = np.full(shape, -1000, np.float32)
    array[1:, 2, 3] = value
    write_volume(Volume(array, Geometry.from_spacing(shape, (1, 1, 3))), path)


def test_namesakes_are_told_apart(data):
    scans = gather(data)
    names = {str(data / "first" / "ct.nii.gz"), str(data / "second" / "ct.nii.gz")}
    assert scans.identity().keys() == names
    assert {row["scan"] for row in scans.describe()} == names
    assert gather(data / "first").identity().keys() == {"ct.nii.gz"}


def test_a_scan_of_several_names_counts_once(data):
    (data / "again").symlink_to(data / "first")
    (data / "link.nii.gz").symlink_to(data / "first" / "ct.nii.gz")
    (data / "second" / "ct.nii.gz").unlink()
    assert gather(data).identity().keys() == {"ct.nii.gz"}


def test_a_model_may_have_other_levels_than_the_usual(data):
    assert gather(data / "first").rule == IntensityRule("ct", 2048)
    scans = gather_scans(
        [data / "first"], [], rule=None, levels=256, image_size=None, guard_mm=30.0, seed=0
    )
    assert scans.rule == IntensityRule("ct", 256)


def test_the_identity_is_that_of_the_voxels(data):
    before = gather(data / "first").identity()
    assert gather(data / "first", seed=5).identity() == before
    other = phantom_volume("ct", (16, 14, 20), (20.0, 22.0, 25.0), seed=21)
    write_volume(other, data / "first" / "ct.nii.gz", overwrite=True)
    after = gather(data / "first").identity()
    assert after.keys() == before.keys()
    assert after != before


def test_a_scan_of_one_slice_trains_beside_longer_ones(data):
    scans = gather(data)
    assert [row["slices"] for row in scans.describe() if "second" in row["scan"]] == ["0-0"]
    # Of 20 slices 3 are held out, with 2 slices (of 25 mm, for 30 mm) on either side unused.
    (held_out,) = scans.validation
    assert (len(held_out.stack.unit), len(held_out)) == (20, 3)
    for slab in scans.training:
        if slab.stack is held_out.stack:
            assert slab.stop + 2 <= held_out.start or slab.start - 2 >= held_out.stop
    with pytest.raises(TrainingError, match=r"too few slices .* --validation"):
        gather(data / "second")


def test_rows_of_the_card(data):
    scans = gather(data / "first", validation=[data / "second"])
    first, second = (str(data / name / "ct.nii.gz") for name in ("first", "second"))
    spacing = [25.0, 20.0, 22.0]
    assert scans.describe() == [
        {"scan": first, "slices": "0-19", "spacing_mm": spacing, "use": "training"},
        {"scan": second, "slices": "0-0", "spacing_mm": spacing, "use": "validation"},
    ]


def test_the_rule_of_a_model_is_kept(data):
    rule = IntensityRule("ct", 256, -200.0, 200.0)
    scans = gather(data, rule=rule)
    assert scans.rule is rule
    assert gather(data).rule == IntensityRule("ct")
    with pytest.raises(TrainingError, match=r"ct\.nii\.gz: This model was trained on MR"):
        gather(data, rule=IntensityRule("mr"))


def test_a_broken_scan_is_named(data):
    broken(data / "nan.nii")
    with pytest.raises(TrainingError, match=r"nan\.nii: The scan has 8 NaN or infinite voxels"):
        gather(data, modality="ct")


def test_a_scan_of_slivers_is_named(data):
    broken(data / "thin.nii", shape=(5, 90, 6), value=-500)
    with pytest.raises(TrainingError, match=r"thin\.nii has slices of 5 x 90 pixels"):
        gather(data, modality="ct")
    # As axial squares they are large enough.
    small = gather(data, image_size=16, modality="ct")
    assert small.training[0].stack.unit.shape[1:] == (16, 16)


def test_a_scan_of_a_kind_that_is_not_sure_is_asked_for(data):
    broken(data / "dim.nii", value=-500)
    with pytest.raises(TrainingError, match=r"dim\.nii: It is not sure what kind of scan this is"):
        gather(data)


def test_what_was_told_is_part_of_the_identity(data):
    plain, told = gather(data / "first"), gather(data / "first", modality="ct")
    assert told.identity() == plain.identity() | {"--modality": "ct"}
    mr = gather(data / "first", modality="mr", intercept=-1024.0)
    assert mr.rule.modality == "mr"
    assert mr.told == {"--modality": "mr", "--intercept": -1024.0}


def test_no_scans(data):
    (data / "empty").mkdir()
    with pytest.raises(ReadError, match=r"No scan in .*empty"):
        gather(data / "empty")
    with pytest.raises(ReadError, match=r"No scan in .*empty"):
        gather(data / "first", validation=[data / "empty"])
    with pytest.raises(ReadError, match="missing does not exist"):
        gather(data / "first", data / "missing")
    with pytest.raises(TrainingError, match="no scans to train on besides those set aside"):
        gather(data / "first", validation=[data])
