"""The checks of `medgen doctor`, each with what it found on one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from medgen.bundles.bundle import Bundle
from medgen.doctor.causality import (
    Inputs,
    changed_by,
    earlier,
    gradients,
    in_double,
    near,
    reach,
)
from medgen.layers.quantizer import VectorQuantizer, codebook_statistics
from medgen.likelihoods import categorical, logistic_mixture
from medgen.nets.pixelcnn import PixelCNN
from medgen.nets.pixelminer_lean import PixelMiner
from medgen.nets.pixelminer_published.net import PixelMinerPaper
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw, logistic_mixture_draw
from medgen.sampling.randomness import uniforms
from medgen.sampling.raster import RasterSampler
from medgen.sampling.staged import StagedSampler

# Rows and columns of the map on which the reach of an acquired voxel is measured.
READ_SIDE = 97
# Rows and columns drawn by both samplers: the slow one makes a full pass for each position.
DRAWN = (9, 8)
# Probabilities are float32: over thousands of levels their sum may stray so far from 1.
MOST_OFF = 1e-4
# Seed of everything random here.
SEED = 0

Generative = PixelCNN | PixelMiner | PixelMinerPaper


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        check: what was checked, with the net's name.
        passed: whether it is as it should be.
        detail: what was measured, in a few words.
    """

    check: str
    passed: bool
    detail: str


def examine(bundle: Bundle) -> Iterator[Finding]:
    """Check every net of `bundle`, the quick checks first.

    A net with weights that are not finite is not examined further.
    """
    for stage, (_, net) in bundle.model.stages.items():
        finding = check_weights(stage, net)
        yield finding
        if not finding.passed:
            continue
        if isinstance(net, Generative):
            yield from examine_net(stage, net)
        else:
            yield check_codebook(stage, net.quantizer)


def examine_net(stage: str, net: Generative) -> Iterator[Finding]:
    """All that holds for a net that slices are drawn from, checked in float64."""
    double = in_double(net)
    yield check_normalisation(stage, double)
    yield check_conditioner(stage, double)
    if isinstance(net, PixelMiner) and net.partially_causal:
        yield check_conditioner(stage, double, known=True)
    if _is_causal(net):
        yield check_causality(stage, double)
        yield check_samplers(stage, double)


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


def check_normalisation(stage: str, net: Generative) -> Finding:
    """Probabilities over all codes or levels sum to 1, in every likelihood of the net."""
    outputs = net(_inputs(net, 4, 5))
    if isinstance(net, PixelCNN):
        worst, what = _furthest_from_1(outputs, net.config["num_embeddings"]), "codes"
    else:
        pairs = {"mixture": "center", "prediction": "linear"}
        worst = max(
            _furthest_from_1(outputs[name], net.levels, outputs[center])
            for name, center in pairs.items()
            if name in outputs
        )
        what = "levels"
    return Finding(
        f"{stage} normalisation",
        bool(worst <= MOST_OFF),
        f"probabilities of all {what} sum to 1, at most {worst:.1e} off",
    )


def check_conditioner(stage: str, net: Generative, known: bool = False) -> Finding:
    """Outputs know the acquired slices, or the `known` pixels of the target, on all sides."""
    published = isinstance(net, PixelMinerPaper)  # has no conditioner apart from its outer slices
    read = (lambda inputs: net(inputs)["mixture"]) if published else net.condition
    side = 2 * net.receptive_field[0] + 1 if published else READ_SIDE
    place = (side // 2, side // 2)
    inputs = _inputs(net, side, side)
    if known:
        keys, what, inputs = ["known"], "a known pixel", inputs | {"known": inputs["target"]}
    else:
        keys = ["previous", "next"] if isinstance(net, PixelCNN) else ["context"]
        what = "an acquired value"
    extent = reach(changed_by(keys, read, inputs, place), place)
    up, down, left, right = (_length(far, side // 2) for far in extent)
    return Finding(
        f"{stage} {'known pixels' if known else 'conditioning'}",
        all(extent),
        f"{what} counts {up} up, {down} down, {left} left, {right} right",
    )


def check_causality(stage: str, net: Generative) -> Finding:
    """Each output depends on all earlier values in the receptive field and on no other."""
    field = net.receptive_field if isinstance(net, PixelMinerPaper) else net.stack.receptive_field
    place = field[0] + 1, field[1] + 1
    shape = place[0] + 2, 2 * place[1] + 1
    inputs = _inputs(net, *shape)
    values = inputs["codes" if isinstance(net, PixelCNN) else "target"]
    # Along a random direction no two outputs cancel.
    directions = np.random.default_rng(SEED).normal(size=(4, _outputs(net)))
    by_value, _, leaked = gradients(net, net.condition(inputs), values, [place], directions)
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
    return Finding(f"{stage} causality", not faults, "; ".join(faults) or detail)


def check_samplers(stage: str, net: Generative) -> Finding:
    """The fast sampler draws what the slow reference draws, number for number."""
    if isinstance(net, PixelCNN):
        draw, numbers = categorical_draw(), 1
    else:
        draw, numbers = logistic_mixture_draw(net.levels, net.center), 2
    fast = StagedSampler if isinstance(net, PixelMinerPaper) else CachedSampler
    conditioning = net.condition(_inputs(net, *DRAWN))
    random = uniforms(SEED, tf.constant([1], tf.int64), (*DRAWN, numbers))
    expected, drawn = (
        np.asarray(kind(net, draw)(conditioning, random)) for kind in (RasterSampler, fast)
    )
    different = np.count_nonzero(drawn != expected)
    detail = f"fast and raster sampler draw the same {expected.size} values"
    if different:
        detail = f"fast and raster sampler differ in {different} of {expected.size} values"
    return Finding(f"{stage} sampling", not different, detail)


def _is_causal(net: Generative) -> bool:
    return not isinstance(net, PixelMiner) or net.autoregressive


def _outputs(net: Generative) -> int:
    if isinstance(net, PixelCNN):
        return net.config["num_embeddings"]
    return 3 * net.config["mixtures"]


def _inputs(net: Generative, height: int, width: int) -> Inputs:
    """One example of smooth random slices; codes have no order and are all random."""
    rng = np.random.default_rng(SEED)
    place = {"position": np.array([0.4]), "gap_mm": np.array([4.0])}
    if isinstance(net, PixelCNN):
        maps = rng.integers(0, net.config["num_embeddings"], (3, 1, height, width))
        return dict(zip(("codes", "previous", "next"), maps, strict=True)) | place
    context = net.config.get("context", 1)
    noise = rng.normal(size=(2 * context + 1, height, width))
    smooth = gaussian_filter(noise, (1.0, 2.0, 2.0), mode="wrap")
    units = 0.5 + 0.1 * smooth / smooth.std() + 0.01 * noise
    levels = np.rint(np.clip(units, 0, 1) * (net.levels - 1)).astype(np.int32)
    return place | {
        "target": levels[:1],
        "context": np.moveaxis(levels[1:], 0, -1)[None],
        "present": np.ones((1, 2 * context)),
    }


def _furthest_from_1(params, count: int, center=None) -> float:
    values = tf.range(count)  # all of them at each position
    params = tf.repeat(params[..., None, :], count, axis=-2)
    values = tf.broadcast_to(values, params.shape[:-1])
    if center is None:
        log_prob = categorical.log_prob(params, values)
    else:
        log_prob = logistic_mixture.log_prob(params, values, levels=count, center=center[..., None])
    total = np.exp(np.asarray(log_prob, np.float64)).sum(-1)
    return float(np.abs(total - 1).max())


def _length(far: int, most: int) -> str:
    """A distance, which may be longer where the map has ended."""
    return f"at least {far}" if far == most else str(far)
