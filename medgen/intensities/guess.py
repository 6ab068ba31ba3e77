"""What kind of scan it is: what the file says, held against what its values show.

What a file says (a DICOM tag, a NIfTI intent, the last word of a name, as BIDS has them) is
believed unless its values contradict it. Where it says nothing the values decide, if they leave no
doubt. Whatever is left in doubt is for the user to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medgen.intensities.modality import CT, LABELS, MODALITIES, MR, NAMED, UNKNOWN, Modality
from medgen.intensities.testimony import by_intent, by_name, by_tag

# HU. Between air or lung and soft tissue there is next to nothing but the edges of the body.
AIR, LUNG, BETWEEN, SOFT_TISSUE = (-1100, -900), (-900, -600), (-550, -250), (-150, 150)
PEAK = 3.0  # times the density in between
LEAST_AIR, LEAST_TISSUE = 0.001, 0.01
LOWEST_HU = -8192.0
BELOW_AIR_HU = -1200.0
MOST_BELOW_AIR = 0.05  # edges of padding after resampling
SHIFT = 1024.0
# Of what is no air in a scan of HU + 1024, the share that is soft tissue.
LEAST_SHIFTED_TISSUE = 0.3
# A brain in HU, with noise: its median and where nearly all of it lies.
BRAIN_MEDIAN_HU, BRAIN_HU, MOSTLY = (10, 55), (-30, 100), 0.8
LEAST_BACKGROUND = 0.2
PHASES = ((-4096.0, 4095.0), (0.0, 4095.0), (-np.pi, np.pi), (0.0, 2 * np.pi))
# Neighbours that hold the same value, background apart: noise leaves a quarter at most alike.
PIECES, PERHAPS_PIECES = 0.6, 0.4
MOST_NEGATIVE = 0.02
FEWEST_LEVELS = 16


@dataclass(frozen=True)
class Guess:
    """What the evidence says of a scan.

    Args:
        modality: the likeliest kind, `unknown` if none is likely.
        is_sure: whether the evidence leaves no doubt.
        reasons: clauses, the weightiest first.
        remedy: what else the user can do than to say what it is, empty if nothing.
    """

    modality: str
    is_sure: bool
    reasons: tuple[str, ...]
    remedy: str = ""

    @property
    def taken(self) -> str:
        """The modality to go on with: `unknown` where there is doubt."""
        return self.modality if self.is_sure else UNKNOWN.name

    @property
    def words(self) -> str:
        """The reasons in one clause."""
        return ", and ".join(self.reasons)

    @property
    def note(self) -> str:
        """One sentence for work that goes on without an answer, empty if none is needed."""
        if self.is_sure and not self.remedy:
            return ""
        taken = f"The scan is taken for {MODALITIES[self.modality].title}"
        doubt = taken if self.is_sure else "It is not sure what kind of scan this is"
        return f"{doubt}: {self.words}; {self.remedy or '--modality says it'}."

    @property
    def question(self) -> str:
        """One sentence that asks the user what the scan is."""
        remedy = f"{self.remedy}, or " if self.remedy else ""
        return (
            f"It is not sure what kind of scan this is: {self.words}; {remedy}say what it is with "
            f"--modality {', '.join(NAMED[:-1])} or {NAMED[-1]}."
        )


@dataclass(frozen=True)
class Seen:
    """What values look like.

    Args:
        likely: the likeliest kind.
        is_clear: whether that needs no other evidence.
        allowed: kinds that the values do not contradict.
        words: what was seen, a clause.
        remedy: see `Guess`.
    """

    likely: Modality
    is_clear: bool
    allowed: tuple[Modality, ...]
    words: str
    remedy: str = ""


UNTOLD = Guess(UNKNOWN.name, False, ("nothing tells",))


def guess_modality(
    physical: np.ndarray,
    *,
    said: str | None = None,
    tag: str = "",
    intent: int = 0,
    name: str = "",
    eight_bits: bool = False,
) -> Guess:
    """Guess the modality of a scan from all there is to know.

    Args:
        physical: voxels in physical units, any shape; along memory, neighbours in the scan follow
            each other. NaN and infinite values are left out.
        said: what the user says it is, which no other evidence outweighs; None for nothing.
        tag: Modality of a DICOM header.
        intent: intent code of a NIfTI header.
        name: of the file, with its suffix.
        eight_bits: whether each voxel is stored in 8 bits, unscaled.
    """
    if said is not None:
        return _said(said, look_at(physical, eight_bits))
    told = [part for part in (by_tag(tag), by_intent(intent), by_name(name)) if part is not None]
    words = tuple(part.words for part in told)
    kinds = {part.kind for part in told}
    if UNKNOWN in kinds:
        return Guess(UNKNOWN.name, False, words)
    seen = look_at(physical, eight_bits)
    if not told:
        return Guess(seen.likely.name, seen.is_clear, (seen.words,), seen.remedy)
    if len(kinds) == 1 and kinds <= set(seen.allowed):
        is_sure = all(part.is_enough for part in told)
        return Guess(told[0].kind.name, is_sure, (*words, seen.words))
    return Guess(seen.likely.name, False, (*words, f"yet {seen.words}"), seen.remedy)


def _said(modality: str, seen: Seen) -> Guess:
    """The user's word, and what it takes to make it true."""
    if seen.remedy and seen.likely.name == modality:
        return Guess(modality, True, ("you say so", f"yet {seen.words}"), seen.remedy)
    return Guess(modality, True, ("you say so",))


def look_at(physical: np.ndarray, eight_bits: bool) -> Seen:
    """What the values of a scan look like; see `guess_modality` for the arguments."""
    values = np.asarray(physical, np.float32).ravel(order="K")
    following = np.isfinite(values[1:]) & np.isfinite(values[:-1])
    pairs = np.stack([values[:-1][following], values[1:][following]])  # (2, n), neighbours
    values = values[np.isfinite(values)]
    if not values.size or values.min() == values.max():
        return Seen(UNKNOWN, False, (CT, MR, LABELS), "its values are all the same")
    return next(seen for seen in _looks(values, pairs, eight_bits) if seen is not None)


def _looks(values: np.ndarray, pairs: np.ndarray, eight_bits: bool) -> Iterator[Seen | None]:
    """What values may look like, the most particular first."""
    yield _labels(values, pairs)
    yield _phase(values)
    yield _hu(values)
    yield _shifted_hu(values)
    yield _brain(values)
    if eight_bits:
        words = "its voxels have 8 bits, to which any scan may have been windowed"
        yield Seen(MR, False, (MR,), words)
    yield _magnitude(values)
    yield _inside_body(values)
    low, high = values.min(), values.max()
    yield Seen(UNKNOWN, False, (CT, MR), f"its values, {low:g} to {high:g}, are of no known kind")


def _labels(values: np.ndarray, pairs: np.ndarray) -> Seen | None:
    """Whole numbers from 0, in constant pieces."""
    if values.min() < 0 or not _whole(values):
        return None
    levels, counts = np.unique(values, return_counts=True)
    inside = (pairs != levels[counts.argmax()]).all(axis=0)  # all but the background
    alike = np.mean(pairs[0, inside] == pairs[1, inside]) if inside.any() else 0.0
    if alike < PERHAPS_PIECES:
        return None
    words = f"its values are {levels.size} whole numbers in constant pieces"
    if alike >= PIECES:
        return Seen(LABELS, True, (LABELS,), words)
    return Seen(LABELS, False, (LABELS, MR), f"{words}, small ones")


def _phase(values: np.ndarray) -> Seen | None:
    """Values all over the range of a phase, noise and tissue alike."""
    levels, counts = np.unique(values, return_counts=True)
    spread = values[values != levels[counts.argmax()]]  # a background may be masked out
    for low, high in PHASES:
        margin = 0.01 * (high - low)
        if abs(values.min() - low) > margin or abs(values.max() - high) > margin:
            continue
        shares = np.histogram(spread, 8, (low, high))[0] / spread.size
        if shares.min() >= 0.03:
            words = f"its values lie all over {low:.4g} to {high:.4g}, as an MR phase's do"
            return Seen(MR, False, (), words)
    return None


def _hu(values: np.ndarray) -> Seen | None:
    """Peaks at air or lung and at soft tissue, with little between them."""
    air, tissue = _share(values, (BELOW_AIR_HU, -500)), _share(values, SOFT_TISSUE)
    if not _has_peaks(values) or min(air / LEAST_AIR, tissue / LEAST_TISSUE) < 1:
        return None
    words = f"{air:.1%} of its values lie near -1000 and {tissue:.1%} between -150 and 150"
    return Seen(CT, True, (CT,), f"{words}, as air and soft tissue do in HU")


def _shifted_hu(values: np.ndarray) -> Seen | None:
    """The same peaks, 1024 higher, in a scan without a value below 0."""
    if values.min() < 0 or not _whole(values):
        return None
    hu = values - np.float32(SHIFT)
    body = hu[hu > -300]
    if not body.size or _share(body, SOFT_TISSUE) < LEAST_SHIFTED_TISSUE:
        return None
    if not _has_peaks(hu) or _share(hu, SOFT_TISSUE) < LEAST_TISSUE:
        return None
    return Seen(
        CT,
        False,
        (MR,),
        "its values look like HU + 1024, with peaks near 24 and 1064",
        "if so, add --intercept -1024 to have it read in HU",
    )


def _brain(values: np.ndarray) -> Seen | None:
    """What HU of a brain look like in a background of 0, and some MR, too."""
    inside = values[values != 0]
    if 1 - inside.size / values.size < LEAST_BACKGROUND:
        return None
    low, high = BRAIN_MEDIAN_HU
    if not low <= np.median(inside) <= high or _share(inside, BRAIN_HU) < MOSTLY:
        return None
    words = f"in a background of 0 its values lie around {np.median(inside):.0f}"
    return Seen(CT, False, (CT, MR), f"{words}, as HU of a brain do but those of an MR may, too")


def _magnitude(values: np.ndarray) -> Seen | None:
    """From 0 upwards; resampling rings a little below."""
    levels = np.unique(values).size
    if np.mean(values < 0) > MOST_NEGATIVE or levels < FEWEST_LEVELS:
        return None
    low, high = values.min(), values.max()
    return Seen(
        MR,
        True,
        (MR,),
        f"its {levels} values from {low:g} to {high:g} have no unit, as those of MR",
    )


def _inside_body(values: np.ndarray) -> Seen | None:
    """What HU can be where there is no air, or where they were windowed."""
    low, high = np.percentile(values, (1, 99))
    if low < BELOW_AIR_HU or high > 3071 or high - low < 100 or _share(values, SOFT_TISSUE) < 0.1:
        return None
    words = f"its values, {low:.0f} to {high:.0f}, may be HU without the air that would tell"
    return Seen(CT, False, (CT, MR), words)


def _has_peaks(hu: np.ndarray) -> bool:
    """Whether air or lung, and soft tissue, stand out from what lies between them."""
    lowest = hu.min()
    if lowest < BELOW_AIR_HU and np.mean(hu == lowest) >= LEAST_AIR:
        hu = hu[hu != lowest]  # padding
    if not hu.size or hu.min() < LOWEST_HU or np.mean(hu < BELOW_AIR_HU) > MOST_BELOW_AIR:
        return False
    air, lung, between, tissue = (
        _share(hu, ends) / (ends[1] - ends[0]) for ends in (AIR, LUNG, BETWEEN, SOFT_TISSUE)
    )
    return min(max(air, lung), tissue) > PEAK * between


def _share(values: np.ndarray, ends: tuple[float, float]) -> float:
    """Share of the values between two ends."""
    return float(np.mean((values >= ends[0]) & (values <= ends[1])))


def _whole(values: np.ndarray) -> bool:
    return bool((values == np.rint(values)).all())
