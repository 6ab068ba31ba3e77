"""The checks of `medgen doctor`, each with what it found on one line."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from medgen.backends import double_precision
from medgen.bundles.bundle import Bundle
from medgen.doctor.causality import changed_by, earlier, gradients, near, reach
from medgen.doctor.findings import Finding, Likelihood, Subject
from medgen.layers.quantizer import VectorQuantizer, codebook_statistics
from medgen.sampling.randomness import uniforms
from medgen.sampling.raster import RasterSampler

# Rows and columns drawn by both samplers: the slow one makes a full pass for each position.
DRAWN = (9, 8)
# Probabilities are float32: over thousands of levels their sum may stray so far from 1.
MOST_OFF = 1e-4
# Seed of everything random here.
SEED = 0


def examine(bundle: Bundle) -> Iterator[Finding]:
    """Check every net of `bundle`, the quick checks first.

    A net with weights that are not finite is not examined further.
    """
    findings = _findings(bundle)
    while True:
        with double_precision():  # while a check runs, and not while the caller looks at it
            finding = next(findings, None)
        if finding is None:
            return
        yield finding


def _findings(bundle: Bundle) -> Iterator[Finding]:
    for stage, net in bundle.nets.items():
        finding = check_weights(stage, net)
        yield finding
        if finding.passed:
            yield from bundle.family.checks(stage, net)


def examine_net(subject: Subject) -> Iterator[Finding]:
    """All that holds for a net that slices are drawn from."""
    yield check_normalisation(subject)
    yield check_conditioner(subject)
    if subject.known:
        yield check_conditioner(subject, known=True)
    if subject.causal:
        yield check_causality(subject)
        yield check_samplers(subject)


def check_weights(stage: str, net: keras.Model) -> Finding:
    """All weights are finite."""
    broken = [
        weight.path
        for weight in net.weights
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all()
    ]
    count = sum(int(np.prod(weight.shape)) for weight in net.weights)
    detail = f"{count:,} numbers, all finite"
    if broken:
        detail = f"NaN or infinite in {', '.join(broken[:3])}"
        detail += f" and {len(broken) - 3} more" if len(broken) > 3 else ""
    return Finding(f"{stage} weights", not broken, detail)


def check_codebook(stage: str, quantizer: VectorQuantizer) -> Finding:
    """No two entries are equal, and more than one is in use."""
    codebook = keras.ops.convert_to_numpy(quantizer.codebook)
    counts = keras.ops.convert_to_numpy(quantizer.ema_counts)
    used = codebook_statistics(np.where(counts >= quantizer.revival_threshold, counts, 0))
    distinct = len(np.unique(codebook, axis=0))
    return Finding(
        f"{stage} codebook",
        distinct == len(codebook) and used["perplexity"] > 1,
        f"{distinct} different entries of {len(codebook)}, {used['usage']:.0%} used at the end of "
        f"training, perplexity {used['perplexity']:.0f}",
    )


def check_normalisation(subject: Subject) -> Finding:
    """Probabilities over all codes or levels sum to 1, in every likelihood of the net."""
    likelihoods = subject.likelihoods(subject.example(4, 5))
    worst = max(map(_furthest_from_1, likelihoods))
    return Finding(
        f"{subject.stage} normalisation",
        bool(worst <= MOST_OFF),
        f"probabilities of all {likelihoods[0].what} sum to 1, at most {worst:.1e} off",
    )


def check_conditioner(subject: Subject, known: bool = False) -> Finding:
    """Outputs know the acquired slices, or the `known` pixels of what is drawn, on all sides."""
    place = (subject.side // 2, subject.side // 2)
    keys, what, inputs = (
        subject.acquired,
        "an acquired value",
        subject.example(subject.side, subject.side),
    )
    if known:
        keys, what, inputs = ["known"], "a known pixel", {**inputs, "known": inputs[subject.drawn]}
    extent = reach(changed_by(keys, subject.read, inputs, place), place)
    up, down, left, right = (_length(far, subject.side // 2) for far in extent)
    return Finding(
        f"{subject.stage} {'known pixels' if known else 'conditioning'}",
        all(extent),
        f"{what} counts {up} up, {down} down, {left} left, {right} right",
    )


def check_causality(subject: Subject) -> Finding:
    """Each output depends on all earlier values in the receptive field and on no other."""
    field = subject.field
    place = field[0] + 1, field[1] + 1
    shape = place[0] + 2, 2 * place[1] + 1
    inputs = subject.example(*shape)
    # Along a random direction no two outputs cancel.
    directions = np.random.default_rng(SEED).normal(size=(4, subject.outputs))
    by_value, _, leaked = gradients(
        subject.net, subject.net.condition(inputs), inputs[subject.drawn], [place], directions
    )
    depends = (by_value[0] != 0).any(-1)  # (directions, rows, columns)
    seen, before = depends.any(0), earlier(shape, place)
    blind = np.count_nonzero(before & near(shape, place, field) & ~depends.all(0))
    faults = []
    if np.count_nonzero(seen & ~before):
        faults.append("sees the current or later positions")
    if blind:
        faults.append(f"does not see {blind} of the earlier positions within reach")
    if leaked.any():
        faults.append("sees other images of the batch")
    up, _, left, right = reach(seen & before, place)
    measured = (
        f"{_length(up, place[0])} rows up, {_length(left, place[1])} columns left, "
        f"{_length(right, place[1])} right"
    )
    detail = f"sees all earlier positions and no other: {measured}"
    return Finding(f"{subject.stage} causality", not faults, "; ".join(faults) or detail)


def check_samplers(subject: Subject) -> Finding:
    """The fast sampler draws what the slow reference draws, number for number."""
    draw = subject.draw
    assert draw is not None  # as it is causal
    conditioning = subject.net.condition(subject.example(*DRAWN))
    random = uniforms(SEED, [1], (*DRAWN, subject.numbers))
    expected, drawn = (
        ops.convert_to_numpy(kind(subject.net, draw)(conditioning, random))
        for kind in (RasterSampler, subject.fast)
    )
    different = np.count_nonzero(drawn != expected)
    detail = f"fast and raster sampler draw the same {expected.size} values"
    if different:
        detail = f"fast and raster sampler differ in {different} of {expected.size} values"
    return Finding(f"{subject.stage} sampling", not different, detail)


def _furthest_from_1(likelihood: Likelihood) -> float:
    values = ops.arange(likelihood.values)  # all of them at each position
    params = ops.repeat(likelihood.params[..., None, :], likelihood.values, axis=-2)
    log_prob = likelihood.log_prob(params, ops.broadcast_to(values, params.shape[:-1]))
    total = np.exp(ops.convert_to_numpy(log_prob).astype(np.float64)).sum(-1)
    return float(np.abs(total - 1).max())


def _length(far: int, most: int) -> str:
    """A distance, which may be longer where the map has ended."""
    return f"at least {far}" if far == most else str(far)
