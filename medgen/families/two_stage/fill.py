"""Slices from the two-stage model: codes of the neighbours, codes of the gap, pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from keras import ops

from medgen.bundles.bundle import Bundle
from medgen.errors import BundleError, GeometryError
from medgen.families.vqvae.codes import codes_of
from medgen.interpolation.contract import AUTO, Filling, Interpolator, Progress, Temperature
from medgen.interpolation.excess import restore_excess
from medgen.interpolation.matching import Texture
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw
from medgen.sampling.randomness import PLACES, uniforms
from medgen.volumes.volume import Volume

# Code positions sampled at once (memory).
POSITIONS_AT_ONCE = 2**20


@dataclass(frozen=True, eq=False)
class TwoStage(Interpolator):
    """Draws the codes of missing slices from the prior and decodes them.

    Intensities beyond the model's range come from the neighbours, see `restore_excess`.

    Args:
        bundle: a two-stage model.
        seed: the same seed gives the same slice at the same position, whatever else is sampled (but
            for codes whose uniform number lies within float32 rounding of the next code's).
        temperature: divides the logits of the prior; `auto` to draw at 1 and give what is decoded
            the texture of the acquired slices beside it, see `Texture`.
        top_k: see `categorical_draw`.
        top_p: see `categorical_draw`.

    Raises:
        BundleError: the bundle has no prior.
        MedgenError: temperature, top_k or top_p out of range.
    """

    bundle: Bundle
    seed: int = 0
    temperature: Temperature = 1.0
    top_k: int | None = None
    top_p: float | None = None
    _sampler: CachedSampler = field(init=False, repr=False)

    def __post_init__(self) -> None:
        codes_of(self.bundle)  # refuses a model that has none
        if "prior" not in self.bundle.nets:
            raise BundleError(
                f"{self.bundle.name} is a VQ-VAE without a prior and cannot fill in slices; train "
                "one with medgen train-prior."
            )
        temperature = 1.0 if self.temperature == AUTO else self.temperature
        draw = categorical_draw(temperature, self.top_k, self.top_p)
        object.__setattr__(self, "_sampler", CachedSampler(self.bundle.nets["prior"], draw))

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.bundle.name

    @property
    def draws(self) -> bool:
        """Always."""
        return True

    def fill(
        self,
        stack: Volume,
        positions: np.ndarray,
        progress: Progress,
        *,
        samples: int = 1,
        uncertainty: bool = False,
    ) -> Iterator[Filling]:
        """Yield what belongs at each of `positions`; see `Interpolator.fill`.

        Raises:
            IntensityError: the scan is of another modality than the model's.
            GeometryError: the model is for slices of another size.
        """
        self.bundle.rule.require(stack.modality, stack.guess)
        model = codes_of(self.bundle)
        size = model.recipe.image_size
        if size is not None and stack.shape[1:] != (size, size):
            raise GeometryError(
                f"{self.name} works on slices of {size} x {size} pixels only, got "
                f"{stack.shape[1]} x {stack.shape[2]}; use a model for full resolution."
            )
        scale = self.bundle.rule.scale_for(stack.array)
        dtype = stack.array.dtype
        codes = np.stack([model.encode_slice(scale.to_unit(image)) for image in stack.array])
        at_once = max(1, POSITIONS_AT_ONCE // codes[0].size)
        done = 0
        for start in range(0, len(positions), at_once):
            chunk = positions[start : start + at_once]
            sampled = self.sample_codes(codes, chunk, stack.spacing[0], samples)
            for i, position in enumerate(chunk):
                done += 1
                progress(done, len(positions))
                units = (model.decode_slice(drawn[i], stack.shape[1:]) for drawn in sampled)
                images = [
                    restore_excess(scale.from_unit(unit, dtype), stack, position, scale)
                    for unit in units
                ]
                if self.temperature == AUTO:
                    before = int(position)
                    neighbours = stack.array[before : before + 2]
                    linear = neighbours[0] + (position - before) * (neighbours[1] - neighbours[0])
                    texture = Texture(neighbours)
                    images = [texture.given_to(image, linear) for image in images]
                yield Filling(np.stack(images).astype(dtype))

    def sample_codes(
        self, codes: np.ndarray, positions: np.ndarray, gap_mm: float, samples: int = 1
    ) -> np.ndarray:
        """Draw codes between acquired slices.

        Args:
            codes: of the acquired slices, `(n, h, w)`.
            positions: `(m,)`, see `Interpolator.fill`.
            gap_mm: spacing of the acquired slices.
            samples: how often to draw them.

        Returns:
            `(samples, m, h, w)` int32.
        """
        prior = self.bundle.nets["prior"]
        # A slice a pass, so that rounding in the convolutions does not depend on the other slices.
        conditioning = ops.concatenate(
            [
                prior.condition(
                    {
                        "previous": codes[k : k + 1],
                        "next": codes[k + 1 : k + 2],
                        "position": np.array([position - k], np.float32),
                        "gap_mm": np.array([gap_mm], np.float32),
                    }
                )
                for position, k in zip(positions, positions.astype(int), strict=True)
            ],
            axis=0,
        )
        places = np.rint(positions * PLACES).astype(np.int64)
        shape = (*codes.shape[1:], 1)
        numbers = (uniforms(self.seed + k, places, shape) for k in range(samples))
        drawn = [self._sampler(conditioning, one) for one in numbers]
        return np.stack([ops.convert_to_numpy(codes) for codes in drawn])
