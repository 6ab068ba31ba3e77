"""Scans that do not fit are refused in one sentence, before the work."""

import shutil
import tracemalloc

import numpy as np
import pytest
from click.testing import CliRunner

from medgen import memory
from medgen.cli import main
from medgen.errors import ResourceError
from medgen.interpolation import CLASSICAL, interpolator_named
from medgen.interpolation.insert import insert
from medgen.interpolation.needs import ALWAYS, bytes_needed
from medgen.interpolation.plan import plan_slices
from medgen.jobs.job import Job
from medgen.jobs.run import run_job
from medgen.memory import available_bytes, require_memory
from medgen.volumes import Geometry, Volume, read_volume, write_volume

MIB = 2**20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of which files tell what it has, with 8 GiB free and no control groups."""
    for name, path in (("MEMINFO", "meminfo"), ("CGROUPS", "groups"), ("MOUNT", "mount")):
        monkeypatch.setattr(memory, name, tmp_path / path)
    (tmp_path / "meminfo").write_text(
        "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n"
    )
    return tmp_path


def limit(folder, limit_name, usage_name, most, used, cache=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / limit_name).write_text(f"{most}\n")
    (folder / usage_name).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{cache}")


def test_what_the_kernel_says(machine):
    assert available_bytes() == 8 * 2**30
    (machine / "meminfo").write_text("MemTotal: 5 kB\n")
    assert available_bytes() is None
    (machine / "meminfo").unlink()
    assert available_bytes() is None
    require_memory(1e18, "Anything")  # where nothing is known nothing is refused


def test_the_narrowest_control_group_counts(machine):
    (machine / "groups").write_text("0::/job/step\n")
    names = "memory.max", "memory.current"
    limit(machine / "mount" / "job" / "step", *names, "max", 900 * MIB)
    limit(machine / "mount" / "job", *names, 1000 * MIB, 900 * MIB, f"inactive_file {50 * MIB}\n")
    limit(machine / "mount", *names, 4000 * MIB, 950 * MIB)
    assert available_bytes() == 150 * MIB


def test_control_groups_of_version_1(machine):
    (machine / "groups").write_text("5:cpu:/a\n4:memory:/box\n0::/\n")
    names = "memory.limit_in_bytes", "memory.usage_in_bytes"
    limit(machine / "mount" / "memory" / "box", *names, 700 * MIB, 100 * MIB)
    limit(machine / "mount" / "memory", *names, 2**63 - 4096, 5000 * MIB)
    assert available_bytes() == 600 * MIB


def test_the_sentence(machine):
    require_memory(8 * 2**30, "This")
    with pytest.raises(
        ResourceError, match=r"This needs about 9\.0 GiB of memory, but 8\.0 GiB are free; "
    ):
        require_memory(9 * 2**30, "This")


def test_a_large_scan_is_refused_or_done_by_method():
    """1024 x 1024 x 600 to twice as many slices: 5.8 GiB by sinc, 19.8 by B-splines."""
    shape = (1024, 1024, 600)
    geometry = Geometry.from_spacing(shape, (0.4, 0.4, 1.0))
    volume = Volume(np.broadcast_to(np.int16(0), shape), geometry)
    plan = plan_slices(geometry, factor=2)
    needed = {name: bytes_needed(volume, plan, m) / 2**30 for name, m in CLASSICAL.items()}
    voxels = 1024 * 1024 * 600
    assert needed["sinc"] * 2**30 == voxels * 5 + 1024 * 1024 * 1199 * 2 + ALWAYS
    assert needed["sinc"] < 6
    assert 15 < needed["bspline"] < 24
    several = bytes_needed(volume, plan, CLASSICAL["sinc"], samples=3, uncertainty=True)
    assert several - needed["sinc"] * 2**30 == 1024 * 1024 * 1199 * (2 * 2 + 16)


@pytest.mark.parametrize("factor", [2, 10])
def test_what_a_gap_of_a_label_map_takes(factor):
    """Beyond stack and finer scan, which all methods take; numpy's share of it, by measurement."""
    shape = (400, 300, 2)
    rows, columns, slices = np.indices(shape)
    array = (np.hypot(rows - 200, columns - 150 + 9 * slices) < 120).astype(np.int16)
    volume = Volume(array, Geometry.from_spacing(shape, (1, 1, 3)), modality="labels")
    plan, method = plan_slices(volume.geometry, factor=factor), interpolator_named("shape")
    expected = 400 * 300 * (2 * 5 + (factor + 1) * 2 + 60 * (factor - 1))
    assert bytes_needed(volume, plan, method) == expected + ALWAYS
    tracemalloc.start()
    insert(volume, method, plan)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert expected / 5 < taken < expected


def scan_of(tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    array = np.arange(40 * 30 * 20, dtype=np.int16).reshape(40, 30, 20)
    write_volume(Volume(array, Geometry.from_spacing(array.shape, (1, 1, 3))), path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_reading_is_refused(machine, suffix):
    scan = scan_of(machine, suffix)
    (machine / "meminfo").write_text("MemAvailable: 90 kB\n")  # of 94 for twice the voxels
    with pytest.raises(ResourceError, match=f"Reading .*scan{suffix} needs"):
        read_volume(scan)
    (machine / "meminfo").write_text("MemAvailable: 95 kB\n")
    assert read_volume(scan).shape == (40, 30, 20)


def test_a_series_is_refused(machine, shared_data):
    scan = shared_data / "dicom" / "mr_two_slices"  # 256 x 256 x 2, 16 bits
    (machine / "meminfo").write_text("MemAvailable: 511 kB\n")
    with pytest.raises(ResourceError, match=r"Reading .*mr_two_slices needs"):
        read_volume(scan)


def test_the_work_is_refused_before_it_starts(machine):
    scan, out = scan_of(machine, ".nii"), machine / "out.nii"
    (machine / "meminfo").write_text(f"MemAvailable: {ALWAYS // 1024} kB\n")
    with pytest.raises(
        ResourceError, match=r"Making 40 x 30 x 39 voxels of .* of .*scan.nii needs"
    ):
        run_job(Job(scan, out, "linear"))
    shown = CliRunner().invoke(main, ["interpolate", str(scan), "-o", str(out), "--model", "sinc"])
    assert shown.exit_code == 1
    assert shown.stderr.startswith("Error: Making ")
    assert shown.stderr.count("\n") == 1
    assert not out.exists()
    assert not (machine / "out.json").exists()
    (machine / "meminfo").write_text(f"MemAvailable: {ALWAYS // 1024 + 1000} kB\n")
    run_job(Job(scan, out, "linear"))
    assert out.exists()


def test_a_label_map_is_refused_before_its_scan_is_worked_on(machine):
    scan, labels = scan_of(machine, ".nii"), machine / "labels.nii"
    shutil.copy(scan, labels)
    (machine / "meminfo").write_text(f"MemAvailable: {ALWAYS // 1024} kB\n")
    job = Job(scan, machine / "out.nii", "sinc", labels=labels, labels_out=machine / "finer.nii")
    with pytest.raises(ResourceError, match=r"Making 40 x 30 x 39 voxels of .* of .*labels.nii"):
        run_job(job)
    assert {path.name for path in machine.glob("*.nii")} == {"scan.nii", "labels.nii"}


def test_memory_that_ends_all_the_same(machine, monkeypatch):
    def insert(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("medgen.jobs.run.insert", insert)
    out = machine / "out.nii"
    shown = CliRunner().invoke(
        main, ["interpolate", str(scan_of(machine, ".nii")), "-o", str(out), "--model", "sinc"]
    )
    assert shown.exit_code == 1
    assert shown.stderr.startswith("Error: There is not enough memory for this; ")
    assert shown.stderr.count("\n") == 1
    assert not out.exists()
