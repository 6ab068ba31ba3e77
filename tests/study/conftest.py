"""A small study of classical methods on two phantoms, made once."""

import pytest

from medgen.evaluation.scans import Settings
from medgen.interpolation.recreate import recreators
from medgen.phantoms.phantom import phantom_volume
from medgen.study.prepare import Trial, prepare_study
from medgen.volumes import write_volume

METHODS = ("sinc", "nearest", "linear")


@pytest.fixture(scope="session")
def scans(tmp_path_factory):
    """Files: a chest CT and an MR head, of sides that differ."""
    folder = tmp_path_factory.mktemp("scans")
    write_volume(phantom_volume("ct", (40, 32, 21), (9.0, 9.0, 10.0), seed=1), folder / "ct.nii")
    write_volume(phantom_volume("mr", (30, 36, 21), (7.0, 7.0, 8.0), seed=2), folder / "mr.nii")
    return folder


@pytest.fixture(scope="session")
def make_study(scans, tmp_path_factory):
    """Prepare a study of what is wanted, of the design `closer` unless told."""

    def make(folder=None, methods=METHODS, names=("ct.nii", "mr.nii"), **wanted):
        folder = folder or tmp_path_factory.mktemp("studies") / "study"
        options = {"design": "closer", "readers": 3, "questions": 6, "repeats": 1, "seed": 5}
        prepare_study(
            [scans / name for name in names],
            recreators(methods, 0),
            Settings(),
            Trial(**options | wanted),
            folder,
        )
        return folder

    return make
