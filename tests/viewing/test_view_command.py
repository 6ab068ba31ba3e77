"""The command's server, and its page in a real browser where there is one."""

import http.client
import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A phantom and what linear interpolation and a spline made of it."""
    folder = tmp_path_factory.mktemp("scans")
    write_volume(phantom_volume("mr", (40, 32, 5), (4.0, 4.0, 9.0), seed=2), folder / "scan.nii.gz")
    words = ["interpolate", folder / "scan.nii.gz", "-o", folder / "finer.nii.gz"]
    result = CliRunner().invoke(main, [*map(str, words), "--model", "bspline"])
    assert result.exit_code == 0, result.output
    return folder


@contextmanager
def running(*words):
    """The address that the command prints; afterwards it must end in order."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "medgen", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines = iter(process.stdout.readline, "")
        line = next((line for line in lines if line.startswith("Look at ")), "")
        address = re.fullmatch(r"Look at (http://127.0.0.1:\d+/[\w-]{20,}/); Ctrl-C stops.\n", line)
        assert address, process.stderr.read()
        yield address[1]
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out == "The viewer has ended; nothing of the scans is left behind.\n"


def asked(address, path, host=None):
    port = int(address.split(":")[2].split("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def test_only_the_page_and_the_named_volumes_are_served(folder, tmp_path):
    with running(
        "view", folder / "scan.nii.gz", folder / "finer.nii.gz", "--no-browser"
    ) as address:
        base = "/" + address.split("/", 3)[3]
        code, page, headers = asked(address, base)
        assert (code, b"<canvas" in page) == (200, True)
        policy = headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self';" in policy
        told = json.loads(asked(address, base + "scene.json")[1])
        code, nifti, headers = asked(address, f"{base}volumes/{told['panes'][1]['linear']}")
        (tmp_path / "linear.nii").write_bytes(nifti)
        assert (code, "content-security-policy" in headers) == (200, True)
        assert nib.load(tmp_path / "linear.nii").shape == (40, 32, 9)
        for host in ("evil.example", "evil.example:80", ""):
            assert asked(address, base, host)[0] == 421
        assert asked(address, base, "localhost:9")[0] == 200  # at the end of a tunnel
        for path in (
            *("/", "/scene.json", "/x" + base[1:], base + "volumes/9-scan.nii"),
            base + "volumes/..%2f..%2f..%2fetc%2fpasswd",
            base + "niivue.LICENSE.txt",
        ):
            assert asked(address, path)[0] == 404, path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["view", "missing.nii"], "missing.nii does not exist"),
        (["view", "scan.nii.gz", "--uncertainty", "u"], "neither u_std.nii.gz"),
        (["interpolate", ".", "-o", "out", "--view"], "--view shows one scan"),
    ],
)
def test_what_cannot_be_shown(folder, monkeypatch, words, sentence):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(main, words)
    assert result.exit_code in (1, 2)
    assert sentence in result.output


def test_a_browser_shows_marks_and_turns_to_linear_interpolation_and_back(browser, folder):
    """After `interpolate --view`, of a scan whose slices are twice as many by a spline."""
    words = ("interpolate", folder / "scan.nii.gz", "-o", folder / "viewed.nii.gz")
    with running(*words, "--model", "bspline", "--view", "--overwrite") as address:
        page = browser.new_page(viewport={"width": 900, "height": 500})
        page.set_default_timeout(120_000)
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        panes = page.locator(".pane")
        titles = panes.locator("h2")
        assert panes.count() == 2

        def pictures() -> list[bytes]:
            return [panes.nth(n).locator(".screen").screenshot() for n in range(2)]

        page.keyboard.press("n")  # from the middle slice, an acquired one, to the next
        page.wait_for_selector(".pane.marked")
        assert "synthetic slice 6 of 9" in titles.nth(1).inner_text()
        assert "acquired slice 4 of 5, 4.50 mm away" in titles.nth(0).inner_text()
        own = pictures()
        page.keyboard.press(" ")
        page.wait_for_selector(".pane.blinked")
        assert "linear interpolation slice 6 of 9" in titles.nth(1).inner_text()
        linear = pictures()
        assert (linear[0] == own[0], linear[1] == own[1]) == (True, False)
        page.keyboard.press(" ")
        page.wait_for_selector(".pane.marked")
        assert pictures() == own
        value = float(re.search(r"· (\S+)", titles.nth(1).inner_text())[1])
        assert value == pytest.approx(value_at(folder / "viewed.nii.gz", 5), rel=1e-3)
        page.keyboard.press("ArrowDown")
        page.wait_for_selector(".pane:not(.marked) >> nth=1")
        assert "acquired slice 5 of 9" in titles.nth(1).inner_text()
        page.close()
        assert complaints == []


def value_at(path: Path, k: int) -> float:
    """What a file holds in the middle of slice `k`, where the page begins."""
    scan = read_volume(path)
    return float(scan.to_physical()[scan.shape[0] // 2, scan.shape[1] // 2, k])


def test_sigterm_leaves_nothing_behind(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "medgen", "view", folder / "scan.nii.gz", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    assert len(list(tmp_path.iterdir())) == 1
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert (line[:8], process.returncode) == ("Look at ", 0)
    assert out.startswith("The viewer has ended")
    assert list(tmp_path.iterdir()) == []
