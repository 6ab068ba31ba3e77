"""Finer voxels from an ESPCN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from keras import ops

from medgen.backends import compiled
from medgen.bundles.bundle import Bundle
from medgen.degradation import coarsened
from medgen.interpolation.contract import Progress
from medgen.nets.espcn import ESPCN, ResidualESPCN
from medgen.superresolution.contract import Part, SuperResolver
from medgen.superresolution.excess import finer_excess
from medgen.tiling import tiles
from medgen.volumes.volume import Volume

# Coarse voxels a side of a tile, without its surroundings.
TILE = 48


@dataclass(frozen=True, eq=False)
class ESPCNResolver(SuperResolver):
    """Makes voxels finer tile by tile; tiles see as far beyond themselves as the net does.

    Values beyond the model's range (no metal, little dense bone in CT) are not cut off: what lies
    beyond is made finer linearly and added.

    Args:
        bundle: an ESPCN.
        side: of the tiles.
    """

    bundle: Bundle
    side: int = TILE
    copies: ClassVar = 3

    @property
    def net(self) -> ESPCN | ResidualESPCN:
        """The trained net."""
        net: ESPCN | ResidualESPCN = self.bundle.nets["espcn"]
        return net

    @property
    def name(self) -> str:
        """See `SuperResolver`."""
        return self.bundle.name

    @property
    def tells_uncertainty(self) -> bool:
        """See `SuperResolver`."""
        return self.net.tells_uncertainty

    @property
    def only_factor(self) -> int:
        """See `SuperResolver`."""
        factor: int = self.net.factor
        return factor

    def bytes_needed(self, rows: int, cols: int) -> int:
        """See `SuperResolver`.

        Of a tile: features thrice, as convolutions unfold them; what is shuffled, and its copies.
        """
        channels = 3 * max(getattr(self.net, "filters", 100), 100) + 12 * self.only_factor**3
        return int(4 * channels * (self.side + 2 * self.net.reach) ** 3)

    @cached_property
    def _run(self) -> Any:
        def run(coarse: Any) -> Mapping[str, Any]:
            return self.net({"coarse": coarse})

        return compiled(run, self.net, takes=[((1, None, None, None), "float32")])

    def refine(
        self,
        stack: Volume,
        factor: int,
        progress: Progress,
        *,
        in_plane: bool = False,
        uncertainty: bool = False,
    ) -> Iterator[Part]:
        """See `SuperResolver.refine`.

        In-plane a slice is the mean over those that it is split into. So are the deviation and the
        ends of the interval, as of errors that are the same in all of them: no smaller than it is.

        Raises:
            IntensityError: the scan is of another modality than the model's.
        """
        self.require(factor, in_plane=in_plane, uncertainty=uncertainty)
        self.bundle.rule.require(stack.modality, stack.guess)
        scale = self.bundle.rule.scale_for(stack.array)
        unit, span = scale.to_unit(stack.array), scale.high - scale.low
        cover = list(tiles(stack.shape, self.side, self.net.reach))
        for done, tile in enumerate(cover, start=1):
            outputs = {
                name: ops.convert_to_numpy(values)[0][tile.inner(factor)]
                for name, values in self._run(unit[tile.seen][None]).items()
            }
            beyond = finer_excess(stack.array[tile.seen], scale, factor)
            beyond = beyond if isinstance(beyond, float) else beyond[tile.inner(factor)]
            dtype = stack.array.dtype
            mean = (scale.low + span * (outputs["mean"] + 0.5) + beyond).astype(dtype)
            maps = None
            if uncertainty:
                deviation = (span * outputs["scale"]).astype(dtype)
                half = deviation * dtype.type(ops.convert_to_numpy(self.net.width))
                maps = {"std": deviation, "low": mean - half, "high": mean + half}
            if in_plane:
                mean = coarsened(mean, factor, axes=(0,))
                maps = maps and {n: coarsened(map_, factor, axes=(0,)) for n, map_ in maps.items()}
            progress(done, len(cover))
            yield Part(tile.box, mean, maps)
