"""The node of nipype takes every option of the command, and runs it."""

import json
import os
import pickle
import shlex

import click
import numpy as np
import pytest

from medgen.cli.boutiques import OTHERS
from medgen.cli.interpolate import interpolate
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume

os.environ.setdefault("NO_ET", "1")  # or it asks the internet for a newer version
pytest.importorskip("nipype")

from nipype import Node

from medgen.cli.nipype import Interpolate


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_volume(phantom_volume("ct", (12, 10, 5), (20.0, 18.0, 30.0), 1), tmp_path / "ct.nii.gz")
    return tmp_path


def test_every_option_is_an_input():
    given = Interpolate().inputs.copyable_trait_names()
    for parameter in interpolate.params:
        if parameter.name in OTHERS:
            continue
        names = [parameter.name]
        if isinstance(parameter, click.Option) and parameter.is_flag:
            flags = (parameter.opts[-1], *parameter.secondary_opts)
            names = [flag.removeprefix("--").replace("-", "_") for flag in flags]
        assert set(names) <= set(given), names


def test_the_command_line_is_what_click_takes(place):
    node = Interpolate(
        scan="ct.nii.gz", output="out.nii.gz", spacing=2.5, slice_axis="1", decode="mean",
        no_check=True, samples=3, overwrite=True,
    )  # fmt: skip
    words = shlex.split(node.cmdline)[3:]
    assert words[0] == "interpolate"
    assert words[1].endswith("ct.nii.gz")
    options = interpolate.make_context("interpolate", words[1:]).params
    assert (options["spacing"], options["slice_axis"], options["decode"]) == (2.5, 1, "mean")
    assert (options["check"], options["samples"], options["overwrite"]) == (False, 3, True)


def test_a_shell_reads_what_was_given(place):
    os.rename("ct.nii.gz", "the scan; 1.nii.gz")
    node = Interpolate(
        scan="the scan; 1.nii.gz", output="$out 2.nii.gz", model="my model", spacing=0.9765625
    )
    words = shlex.split(node.cmdline)[4:]
    options = interpolate.make_context("interpolate", words).params
    assert options["scan"].name == "the scan; 1.nii.gz"
    assert (str(options["output"]), options["model"]) == ("$out 2.nii.gz", "my model")
    assert options["spacing"] == 0.9765625


def test_a_node_of_a_workflow_runs(place):
    """Which is pickled, and has a folder of its own."""
    interface = Interpolate(
        scan=str(place / "ct.nii.gz"), output="out.nii.gz", model="linear", mask="mask.nii.gz"
    )
    assert pickle.loads(pickle.dumps(interface)).cmdline == interface.cmdline
    outputs = Node(interface, name="finer", base_dir=str(place)).run().outputs
    assert outputs.outputs == [str(place / "finer" / "out.nii.gz")]
    assert read_volume(*outputs.outputs).shape == (12, 10, 9)
    (told,) = outputs.provenance
    with open(told) as file:
        assert json.load(file)["synthetic_slices"] == [1, 3, 5, 7]
    assert np.unique(read_volume(outputs.mask).array).tolist() == [0, 1]


def test_what_a_run_leaves_is_named(place):
    node = Interpolate(scan="ct.nii.gz", output="out.nii.gz", samples=2, uncertainty="sure.nii.gz")
    names = node._list_outputs()
    assert [os.path.basename(path) for path in names["outputs"]] == ["out_1.nii.gz", "out_2.nii.gz"]
    assert names["uncertainty"]["low"] == str(place / "sure_low.nii.gz")


def test_wrong_inputs_are_refused_before_the_run(place):
    with pytest.raises(Exception, match="decode"):
        Interpolate(decode="best")
    with pytest.raises(ValueError, match="requires a value for input 'output'"):
        Interpolate(scan="ct.nii.gz").run()
