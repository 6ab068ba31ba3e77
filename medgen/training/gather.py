"""The scans of a training run, read and checked once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medgen.errors import IntensityError, TrainingError
from medgen.examples.stacks import Slab, Stack, split, stack_of
from medgen.intensities.modality import MODALITIES, UNKNOWN
from medgen.intensities.rule import IntensityRule
from medgen.volumes import Volume, find_scans, read_among

# The window of SSIM, which every validation measures.
SMALLEST_SIDE = 7


@dataclass(frozen=True)
class TrainingScans:
    """Slabs that train and slabs that validate, with the intensities of their model.

    Args:
        rule: intensities.
        training: slabs.
        validation: slabs that are never trained on.
        told: what the user said of the scans that the files do not, by option.
    """

    rule: IntensityRule
    training: tuple[Slab, ...]
    validation: tuple[Slab, ...]
    told: Mapping[str, object] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[str, ...]:
        """What the values of a voxel are, empty where there is but one."""
        return self.training[0].stack.channels

    def require_one_channel(self, what: str) -> None:
        """Raise `TrainingError` if there are several channels, which `what` does not take."""
        if self.channels:
            raise TrainingError(
                f"{what} is trained on one value a voxel, got {len(self.channels)} "
                f"({', '.join(self.channels)}); give scans of one channel."
            )

    def identity(self) -> dict[str, object]:
        """What must be the same when a run is resumed: what was told, a digest of each stack."""
        stacks = {slab.stack.name: slab.stack for slab in (*self.training, *self.validation)}
        return {
            name: hashlib.sha256(np.ascontiguousarray(stack.unit).data).hexdigest()[:16]
            for name, stack in sorted(stacks.items())
        } | dict(self.told)

    def describe(self) -> list[dict[str, object]]:
        """One row for each slab: scan, slices, spacing and what it is for."""
        return [
            {
                "scan": slab.stack.name,
                "slices": f"{slab.start}-{slab.stop - 1}",
                "spacing_mm": [round(s, 4) for s in slab.stack.spacing_mm],
                "use": use,
            }
            for use, slabs in (("training", self.training), ("validation", self.validation))
            for slab in slabs
        ]


def gather_scans(
    data: Sequence[Path],
    validation: Sequence[Path],
    *,
    rule: IntensityRule | None,
    levels: int = IntensityRule.levels,
    image_size: int | None,
    guard_mm: float,
    seed: int,
    volume: int | None = None,
    modality: str | None = None,
    intercept: float | None = None,
) -> TrainingScans:
    """Read all scans in `data` and set some aside for validation.

    Args:
        data: files and folders, searched recursively.
        validation: scans that validate and never train; if none, see `examples.stacks.split`.
        rule: intensities of an existing model, or None to choose by the modality of the scans.
        levels: of a rule that is chosen.
        image_size: see `families.vqvae.recipe.VQVAERecipe`.
        guard_mm: distance kept between training and validation slices of one scan.
        seed: of the split.
        volume: which one of those files that hold several, from 0, see `read_among`.
        modality: what the user says all scans are, see `read_volume`.
        intercept: instead of the files', likewise.

    Raises:
        TrainingError: no scans, scans of both modalities or of another than the model's, too few
            or too small slices, voxels that are not finite.
        ReadError: a file that cannot be read, or holds several volumes while `volume` is None.
    """
    validation_paths = find_scans(validation) if validation else []
    aside = {path.resolve() for path in validation_paths}
    # One that links lead to by several names must not count several times.
    found = {path.resolve(): path for path in reversed(find_scans(data))}
    paths = sorted(path for real, path in found.items() if real not in aside)
    if not paths:
        raise TrainingError("There are no scans to train on besides those set aside to validate.")
    volumes = {
        path: read_among(path, volume=volume, modality=modality, intercept=intercept)
        for path in (*paths, *validation_paths)
    }
    rule = rule or _rule_for(volumes, levels)
    namesakes = Counter(path.name for path in volumes)

    def stacks(of: Sequence[Path]) -> list[Stack]:
        return [
            _stack(
                volumes[path],
                rule,
                path.name if namesakes[path.name] == 1 else str(path),
                image_size,
            )
            for path in of
        ]

    if validation_paths:
        training, held_out = (
            [Slab(stack, 0, len(stack.unit)) for stack in stacks(of)]
            for of in (paths, validation_paths)
        )
    else:
        training, held_out = split(stacks(paths), guard_mm=guard_mm, seed=seed)
    told = {"--volume": volume, "--modality": modality, "--intercept": intercept}
    told = {option: value for option, value in told.items() if value is not None}
    return TrainingScans(rule, tuple(training), tuple(held_out), told)


def _stack(volume: Volume, rule: IntensityRule, name: str, image_size: int | None) -> Stack:
    try:
        rule.require(volume.modality, volume.guess)
        stack = stack_of(volume, rule, name, image_size)
    except IntensityError as error:
        raise TrainingError(f"{name}: {error}") from error
    rows, cols = stack.unit.shape[1:3]
    if min(rows, cols) < SMALLEST_SIDE:
        raise TrainingError(
            f"{name} has slices of {rows} x {cols} pixels along its coarsest axis, and training "
            f"needs {SMALLEST_SIDE} x {SMALLEST_SIDE}; leave it out."
        )
    return stack


def _rule_for(volumes: dict[Path, Volume], levels: int) -> IntensityRule:
    by_modality: dict[str, list[str]] = {}
    for path, volume in volumes.items():
        by_modality.setdefault(volume.modality, []).append(path.name)
        if volume.kind is UNKNOWN:
            raise TrainingError(f"{path.name}: {volume.guess.question}")
    if len(by_modality) != 1 or not all(MODALITIES[name].is_learnt for name in by_modality):
        found = "; ".join(f"{m}: {', '.join(names)}" for m, names in sorted(by_modality.items()))
        raise TrainingError(
            f"A model is trained on scans of one modality, CT or MR; got {found}; say what all of "
            "them are with --modality, or leave some out."
        )
    (modality,) = by_modality
    return IntensityRule(modality, levels)
