"""Windows made on a device are those that the host cuts, choice for choice, and as often."""

import numpy as np
import pytest
from keras import ops
from scipy.ndimage import gaussian_filter
from scipy.stats import ks_2samp

from medgen.errors import TrainingError
from medgen.examples import contexts
from medgen.examples.augmentation import Augmentation
from medgen.examples.contexts import Choice, context_batch
from medgen.examples.stacks import Slab, Stack
from medgen.training import windows_on_device
from medgen.training.windows_on_device import WindowsOnDevice

LEVELS = 2048
OPTIONS = {"levels": LEVELS, "crop": 24, "context": 3, "max_gap_mm": 8.0, "seed": 3}
TURNS = ("mirrored_rows", "mirrored_columns", "upside_down")
ALL = Augmentation(edge=0.3, other_axes=0.4, thickness=1.0, zoom=0.3, noise=0.02, kernel=0.8)


def smooth(shape, seed):
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
    return np.clip(noise * 0.25 / noise.std(), -0.5, 0.5).astype(np.float32)


@pytest.fixture(scope="module")
def slabs():
    """Sides of unequal length, one shorter than a window, axes in several orders, few levels."""
    thick, thin = smooth((20, 70, 90), 0), np.asfortranarray(smooth((70, 64, 66), 1))
    low = np.round(np.abs(smooth((30, 20, 40), 2)) * 4) / (LEVELS - 1) - 0.5  # air
    low = np.concatenate([low, smooth((12, 20, 40), 3)]).astype(np.float32)
    stacks = [
        Stack("thick", thick, (2.5, 0.8, 0.7)),
        Stack("thin", np.moveaxis(thin, 2, 0), (0.6, 1.0, 1.1)),
        Stack("low", low, (1.0, 1.0, 1.0)),
    ]
    limits = (0, 3, 20), (1, 0, 30), (1, 34, 66), (2, 0, 42)
    return [Slab(stacks[i], start, stop) for i, start, stop in limits]


def chosen_by_the_host(slabs, augmentation, count, monkeypatch, cut=contexts.cut):
    """A batch of `context_batch` and what was chosen for it."""
    seen = []

    def watching(slab, choice, *options):
        seen.append(choice)
        return cut(slab, choice, *options)

    monkeypatch.setattr(contexts, "cut", watching)
    batch = context_batch(slabs, size=count, augmentation=augmentation, step=1, **OPTIONS)
    return batch, Choice._make(np.stack(field) for field in zip(*seen, strict=True))


def as_tensors(choice):
    kinds = {"f": "float32", "i": "int32", "b": "bool"}
    return Choice._make(ops.convert_to_tensor(x.astype(kinds[x.dtype.kind])) for x in choice)


def in_numpy(tensors):
    return {key: ops.convert_to_numpy(x) for key, x in tensors.items()}


@pytest.mark.parametrize("augmentation", [Augmentation(), ALL], ids=["plain", "augmented"])
def test_the_same_choices_give_the_same_windows(slabs, augmentation, monkeypatch):
    expected, choice = chosen_by_the_host(slabs, augmentation, 48, monkeypatch)
    windows = WindowsOnDevice(slabs, size=48, augmentation=augmentation, **OPTIONS)
    got = in_numpy(windows.cut(windows.tensors, as_tensors(choice)))
    assert set(got) == set(expected)
    for key in ("present", "position", "gap_mm"):
        np.testing.assert_allclose(got[key], expected[key], rtol=1e-6)
    for key in ("target", "context"):
        # Half a step of an int16 may tip a value to the next level.
        assert got[key].dtype == np.int32
        assert np.abs(got[key] - expected[key]).max() <= 1, key
        assert np.mean(got[key] != expected[key]) < 0.05, key
    if augmentation == ALL:  # each change is among those compared
        for field in ("hidden", "strength", "amount", *TURNS):
            assert 0 < np.mean(getattr(choice, field) != 0) < 1, field
        assert choice.half.max() > 2
        assert choice.side.min() < 24 < choice.side.max()


def test_choices_are_as_often_as_the_hosts(slabs, monkeypatch):
    """Two samples of every field, and of fields that depend on each other, are of one kind."""
    _, host = chosen_by_the_host(slabs, ALL, 600, monkeypatch, cut=lambda *choice: {})
    windows = WindowsOnDevice(slabs, size=1200, augmentation=ALL, **OPTIONS)
    drawn = windows.choose(windows.tensors, 5)
    device = Choice._make(ops.convert_to_numpy(x) for x in drawn)

    def facts(choice):
        noisy, sharpened = choice.strength > 0, choice.amount != 0
        return {
            "slab": choice.slab,
            "target": 100 * choice.slab + choice.before + choice.offset,  # seldom in air
            "gap": 100 * choice.slab + choice.gap,
            "position": choice.offset / choice.gap,
            "row": 100 * choice.slab + choice.row,
            "column": 100 * choice.slab + choice.column,
            "side": choice.side,
            "thickness": 2 * choice.half / choice.gap,
            "sigma": choice.sigma[noisy],
            "kernel": choice.kernel_sigma[sharpened],
        } | {name: getattr(choice, name) for name in ("hidden", "strength", "amount", *TURNS)}

    ours, theirs = facts(device), facts(host)
    for name, values in ours.items():
        assert ks_2samp(values.astype(float), theirs[name].astype(float)).pvalue > 0.001, name
    assert abs(device.white.mean()) < 0.01
    assert abs(device.white.std() - 1) < 0.01
    turns = np.stack([getattr(device, name) for name in TURNS])
    assert np.abs(np.corrcoef(turns) - np.eye(3)).max() < 0.1


def test_a_batch_is_its_seed_and_step(slabs):
    windows = WindowsOnDevice(slabs, size=4, augmentation=ALL, **OPTIONS)
    first, again, other = (in_numpy(windows(windows.tensors, step)) for step in (5, 5, 6))
    for key, values in first.items():
        np.testing.assert_array_equal(values, again[key])
    assert (first["target"] != other["target"]).any()
    elsewhere = WindowsOnDevice(slabs, size=4, augmentation=ALL, **OPTIONS | {"seed": 4})
    assert (first["target"] != in_numpy(elsewhere(elsewhere.tensors, 5))["target"]).any()


def test_voxels_lie_there_once(slabs, monkeypatch):
    windows = WindowsOnDevice(slabs, size=4, augmentation=ALL, **OPTIONS)
    stacks = {id(slab.stack): slab.stack.unit.size for slab in slabs}
    assert windows.tensors["voxels"].shape == (sum(stacks.values()),)
    monkeypatch.setattr(windows_on_device, "MOST_VOXELS", 1000)
    with pytest.raises(TrainingError, match="holds 1,000 voxels to train on, got 4"):
        WindowsOnDevice(slabs, size=4, **OPTIONS)
