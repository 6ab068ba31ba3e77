"""PSNR as papers on CT slice interpolation measure it, each with what its published code does.

The same slices come out up to 9 dB apart: by the peak, by whether acquired slices, which are right
by construction, count as well, and by what of a slice is looked at. medgen's own PSNR (see
`medgen.evaluation.metrics`) is the mean over removed slices of interior gaps, with a peak of 4095
HU; those here have one mean squared error for a whole scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

OWN = "medgen"


@dataclass(frozen=True)
class Protocol:
    """How a paper measures PSNR.

    Args:
        name: what it is called on the command line.
        title: of the report's table.
        peak: span of values in HU from the lowest on, which what lies beyond is clipped to.
        side: of the square in the middle of a slice that counts, in voxels; None for all of it.
        acquired: whether slices that a method was shown count as well.
        gaps_left_out: how many at each end of a scan do not count.
        slices_left_out: how many at each end of a scan do not count.
        by_slices: whether the mean over scans weighs them by their number of slices.
    """

    name: str
    title: str
    peak: float
    side: int | None = None
    acquired: bool = False
    gaps_left_out: int = 0
    slices_left_out: int = 0
    by_slices: bool = False

    def counted(self, count: int, factor: int) -> list[int]:
        """Indices of the slices that count, of `count`, every `factor`-th of which is acquired."""
        border = self.gaps_left_out * factor + self.slices_left_out
        return [k for k in range(border, count - border) if self.acquired or k % factor]

    def psnr(self, true: np.ndarray, test: np.ndarray, factor: int, *, lower: float) -> float:
        """PSNR of a scan in dB; NaN where no slice of it counts, infinite where none differs.

        Args:
            true: all slices, `(n, rows, cols)`, acquired ones included, in HU.
            test: what a method made of every `factor`-th.
            factor: int >= 2.
            lower: lowest value that counts, HU.
        """
        import numpy as np  # here, as the command line needs the table alone

        errors = []
        for k in self.counted(len(true), factor):
            pair = (self._shown(stack[k], lower) for stack in (true, test))
            errors.append(float(np.square(np.subtract(*pair)).mean()))
        if not errors:
            return float("nan")
        error = float(np.mean(errors))
        return float("inf") if error == 0 else float(10 * np.log10(self.peak**2 / error))

    def mean(self, values: Sequence[float], slices: Sequence[int]) -> float:
        """Mean of the PSNR of several scans, NaN where none has one."""
        import numpy as np

        known = ~np.isnan(values)
        if not known.any():
            return float("nan")
        weights = np.array(slices)[known] if self.by_slices else None
        return float(np.average(np.array(values)[known], weights=weights))

    def _shown(self, image: np.ndarray, lower: float) -> np.ndarray:
        """What counts of a slice `(rows, cols)`, from 0 to `peak`."""
        for axis, size in enumerate(image.shape):
            if self.side is not None and size > self.side:
                start = size // 2 - self.side // 2
                image = image.take(range(start, start + self.side), axis)
        return (image.astype(float) - lower).clip(0, self.peak)


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        # Peng et al., SAINT, CVPR 2020; github.com/cpeng93/SAINT, utility.py.
        Protocol("saint", "SAINT", peak=4000.0, side=256, by_slices=True),
        # Song et al., I3Net, IEEE TMI 2024; github.com/eeeric-code/I3Net, test.py.
        Protocol("i3net", "I3Net", peak=4095.0, side=256, acquired=True, gaps_left_out=1),
        # ACVTT, github.com/khuhm/ACVTT, models/Model.py at its defaults: values of -1024 to 3071 HU
        # brought to 0 ... 1, five slices at each end left out.
        Protocol("acvtt", "ACVTT", peak=4095.0, acquired=True, slices_left_out=5),
    )
}
