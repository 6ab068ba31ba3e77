"""Bits per pixel that slices of a scan cost, given the slices around them.

    python benchmarks/likelihood.py SCAN [--gap 4] [--model NAME|BUNDLE]... [--method NAME]...

As by `medgen evaluate`, slices are taken out of the scan, so that those left lie `--gap` mm apart.
Each `--model` tells how probable it finds the true levels of what was taken out: a PixelMiner pixel
by pixel, given the true pixels before; a conditional two-stage model by its evidence lower bound:
the codes, and every pixel given the codes; both by the prediction, every pixel on its own. Around
the slices of each `--method` (linear, sinc, a two-stage model ...) a logistic is laid whose one
scale is the best for the scan. Counted are the interior gaps, within the smallest box that holds
the patient; all in the levels of the first `--model`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from medgen.bundles.bundle import load_bundle
from medgen.evaluation.plan import Plan, plan_scan
from medgen.evaluation.recreate import take_slices
from medgen.examples.contexts import inputs_left_out
from medgen.families.conditional.examples import CodesOfWindows
from medgen.interpolation import interpolate_volume, interpolator_named, model_folder
from medgen.interpolation.insert import stack_slices
from medgen.likelihoods import bits_per_dim, categorical, logistic_mixture
from medgen.likelihoods.baseline import logistic_bits_per_dim
from medgen.volumes import Volume, read_volume


def levels_of(volume: Volume, plan: Plan, bundle) -> np.ndarray:
    """Levels of all slices of the truth, `(n, rows, cols)`."""
    stack, _ = stack_slices(volume, plan.axis)
    scale = bundle.rule.scale_for(stack.array)
    return scale.quantise(stack.array[list(plan.truth)])


def model_bits(bundle, levels: np.ndarray, plan: Plan, removed: list[int]) -> dict[str, float]:
    """Mean bits per pixel of the slices `removed`, by likelihood."""
    net = bundle.nets["pixelminer" if "pixelminer" in bundle.nets else "vqvae"]
    codes_of = CodesOfWindows(net) if "prior" in bundle.nets else None
    step, bits = plan.factor, {}
    for t in removed:
        before = t - t % step
        inputs = inputs_left_out(levels, t, before, step, plan.gap_mm, net.context)
        outputs = net(inputs)
        for params, center in (("prediction", "linear"), ("mixture", "center")):
            if params in outputs:
                log_prob = logistic_mixture.log_prob(
                    outputs[params], levels[None, t], levels=net.levels, center=outputs[center]
                )
                bits.setdefault(params, []).append(float(bits_per_dim(log_prob)))
        if codes_of is not None:
            given = codes_of(inputs)
            log_prob = categorical.log_prob(bundle.nets["prior"](given), given["codes"])
            share = given["codes"].size / levels[t].size
            codes = share * float(bits_per_dim(log_prob))
            bits.setdefault("codes", []).append(codes)
            bits.setdefault("lower bound", []).append(codes + bits["mixture"][-1])
    return {params: float(np.mean(values)) for params, values in bits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", type=Path)
    parser.add_argument("--gap", type=float)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--method", action="append", default=[])
    options = parser.parse_args()

    volume = read_volume(options.scan)
    plan = plan_scan(volume.geometry, gap_mm=options.gap)
    removed = [t for t in plan.removed if plan.where(t) == "interior"]
    bundles = {name: load_bundle(model_folder(name)) for name in options.model}
    first = next(iter(bundles.values()))
    levels = levels_of(volume, plan, first)
    occupied = levels.any(axis=0)
    box = np.ix_(
        range(len(levels)), np.flatnonzero(occupied.any(1)), np.flatnonzero(occupied.any(0))
    )

    bits = {}
    acquired = take_slices(volume, plan.axis, plan.truth[:: plan.factor])
    for method in options.method:
        interpolator = interpolator_named(method)
        after = interpolate_volume(acquired, interpolator, factor=plan.factor, slice_axis=plan.axis)
        stack, _ = stack_slices(after, plan.axis)
        center = first.rule.scale_for(stack.array).quantise(stack.array)
        bits[f"logistic around {interpolator.name}"] = logistic_bits_per_dim(
            levels[box][removed], center[box][removed].astype(np.float32), first.rule.levels
        )
    for bundle in bundles.values():
        for likelihood, value in model_bits(bundle, levels[box], plan, removed).items():
            bits[f"{bundle.name}, {likelihood}"] = value
    print(f"{options.scan.name}: {len(removed)} slices in gaps of {plan.gap_mm:g} mm")
    for name, value in sorted(bits.items(), key=lambda item: -item[1]):
        print(f"  {value:6.3f} bits per pixel: {name}")
    print(json.dumps(bits))


if __name__ == "__main__":
    main()
