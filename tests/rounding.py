"""What may differ between two ways of computing the same in float32, and no more."""

from dataclasses import replace

import numpy as np

from medgen.bundles.bundle import Bundle


def exact(bundle: Bundle) -> Bundle:
    """The same model in float64: however it is compiled, rounding moves no draw to another."""
    from medgen.doctor.causality import in_double

    return replace(bundle, nets={stage: in_double(net) for stage, net in bundle.nets.items()})


def assert_levels_alike(actual, expected, *, share: float) -> None:
    """Equal grey levels, but for a `share` that rounding moved to the level beside.

    For levels that are drawn independently of each other; where one leads to the next, compare in
    float64, in which no draw comes as near to an edge as rounding reaches.
    """
    actual, expected = np.asarray(actual, int), np.asarray(expected, int)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max(initial=0) <= 1
    assert np.mean(actual != expected) <= share
