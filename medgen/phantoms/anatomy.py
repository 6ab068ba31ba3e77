"""Torso and head of the phantoms, put together from ellipsoids, branching tubes and random waves.

All lengths are those of a body of usual size, in mm right, anterior and superior of its centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Point = Sequence[float] | np.ndarray
Points = tuple[np.ndarray, ...]  # x, y, z that broadcast against each other

BLUR_MM = 2.0  # width of the transition between two tissues


class RandomField:
    """Stationary, isotropic, band-limited Gaussian-like field of mean 0 and variance 1.

    A sum of plane waves with random directions, phases and wavelengths: smooth, the same at a point
    whatever else is evaluated, and without a period.

    Args:
        rng: where the waves come from.
        wavelengths: shortest and longest, mm; wave numbers are spread evenly between.
        waves: how many.
    """

    def __init__(
        self, rng: np.random.Generator, wavelengths: tuple[float, float], waves: int
    ) -> None:
        directions = rng.normal(size=(waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        numbers = 2 * np.pi * rng.uniform(1 / wavelengths[1], 1 / wavelengths[0], (waves, 1))
        self.waves = np.hstack([directions * numbers, rng.uniform(0, 2 * np.pi, (waves, 1))])

    def __call__(self, points: Points) -> np.ndarray:
        """Value at `points`; on an open grid only the product of two factors is made in full."""
        x, y, z = points
        total = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape))
        for kx, ky, kz, phase in self.waves:
            along_x, rest = kx * x, ky * y + (kz * z + phase)
            total += np.cos(along_x) * np.cos(rest)
            total -= np.sin(along_x) * np.sin(rest)
        return total * np.sqrt(2 / len(self.waves))


@dataclass(frozen=True)
class Segment:
    """Straight piece of a vessel: a capsule whose radius changes from `radii[0]` to `radii[1]`."""

    start: np.ndarray
    end: np.ndarray
    radii: tuple[float, float]

    def distance(self, points: Points) -> np.ndarray:
        """Distance in mm to its surface, negative inside."""
        course = self.end - self.start
        offsets = [p - s for p, s in zip(points, self.start, strict=True)]
        along = sum(o * c for o, c in zip(offsets, course, strict=True)) / (course @ course)
        along = np.clip(along, 0, 1)
        apart = sum((o - along * c) ** 2 for o, c in zip(offsets, course, strict=True))
        return np.sqrt(apart) - self.radii[0] - along * (self.radii[1] - self.radii[0])


def grow_tree(
    rng: np.random.Generator,
    start: Point,
    direction: Point,
    length: float,
    radius: float,
    generations: int,
) -> list[Segment]:
    """A vessel that wanders in two steps, then branches in two, shorter and thinner each time."""
    segments = []
    place, heading = np.asarray(start, float), np.asarray(direction, float)
    for taper in (0.95, 0.9):
        heading = heading / np.linalg.norm(heading) + rng.normal(0, 0.18, 3)
        end = place + heading / np.linalg.norm(heading) * length * rng.uniform(0.4, 0.6)
        segments.append(Segment(place, end, (radius, radius * taper)))
        place, radius = end, radius * taper
    if generations > 1:
        fork = np.cross(heading, rng.normal(size=3))
        fork *= rng.uniform(0.5, 0.8) / np.linalg.norm(fork)
        for side in (fork, -fork):
            segments += grow_tree(
                rng, place, heading + side, length * 0.82, radius * 0.82, generations - 1
            )
    return segments


def inside(distance: np.ndarray, blur: float = BLUR_MM) -> np.ndarray:
    """Share of a tissue at signed `distance` mm from its surface: 1 inside, 0 outside, smooth."""
    share = np.clip(0.5 - distance / blur, 0, 1)
    return share * share * (3 - 2 * share)


def ellipsoid(points: Points, center: Point, radii: Point) -> np.ndarray:
    """Signed distance in mm to an ellipsoid's surface, or a column's of x and y, to first order."""
    scaled = [(p - c) / r for p, c, r in zip(points, center, radii, strict=True)]
    level = np.sqrt(sum(s * s for s in scaled))
    slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True)))
    return np.where(slope > 0, level * (level - 1) / np.maximum(slope, 1e-12), -min(radii))


def vessels(points: Points, segments: Sequence[Segment]) -> np.ndarray:
    """Share of vessels at `points`; segments out of reach of all their heights are passed over."""
    z = points[2]
    share = np.zeros(np.broadcast_shapes(*(p.shape for p in points)))
    for segment in segments:
        reach = max(segment.radii) + BLUR_MM
        low, high = sorted((segment.start[2], segment.end[2]))
        if z.max() > low - reach and z.min() < high + reach:
            np.maximum(share, inside(segment.distance(points)), out=share)
    return share


class Torso:
    """Contrast-enhanced chest and upper abdomen in HU, with the noise of a CT scanner."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.size = rng.uniform(0.94, 1.04)
        self.sway = rng.uniform(0, 2 * np.pi, 2)
        self.dome = rng.uniform(38, 52, 2)
        self.heart = np.array((-18, 22, -2)) + rng.normal(0, 4, 3)
        self.liver = np.array((58, 8, -88)) + rng.normal(0, 5, 3)
        self.lung_vessels, self.liver_vessels = [], []
        for side in (1, -1):
            for direction in ((0.4, -0.3, 1), (1, 0.5, 0.2), (0.7, -0.5, -0.9), (0.3, 0.9, 0.6)):
                self.lung_vessels += grow_tree(
                    rng, (side * 28, -2, 22), np.multiply(direction, (side, 1, 1)), 27, 5, 6
                )
        for direction in ((1, 0.2, 0.5), (0.5, -0.6, -0.4), (-0.3, 0.9, 0.2)):
            self.liver_vessels += grow_tree(rng, (35, 0, -75), direction, 45, 6, 4)
        self.bronchi = [Segment(np.array((0, -12, 40)), np.array((2, -8, 400)), (8.5, 8.5))]
        for side in (1, -1):
            self.bronchi += grow_tree(rng, (0, -12, 42), (side, 0.1, -0.7), 50, 6.5, 3)
        self.aorta = [
            Segment(np.array(start, float), np.array(end, float), (radius, radius))
            for start, end, radius in (
                ((-8, 20, 15), (2, 26, 62), 15),
                ((2, 26, 62), (-14, -18, 74), 14),
                ((-14, -18, 74), (-22, -44, 40), 13),
                ((-22, -44, 40), (-12, -44, -60), 12),
                ((-12, -44, -60), (-6, -40, -400), 10),
                ((24, 14, 20), (26, 16, 400), 9),  # superior and inferior vena cava
                ((22, -10, -20), (18, -30, -400), 11),
            )
        ]
        self.bowel = RandomField(rng, (35, 90), 48)
        self.texture = RandomField(rng, (5, 16), 96)
        self.noise = RandomField(rng, (3, 9), 256)

    def intensity(self, points: Points) -> np.ndarray:
        """HU at `points`, noise included."""
        points = tuple(p / self.size for p in points)
        texture = self.texture(points)
        hu, inner = self.organs(points, texture)
        return hu + (8 + 8 * inner) * self.noise(points)

    def organs(self, points: Points, texture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """HU without noise, painted from the skin inwards, and the share inside the ribs."""
        x, y, z = points
        x = x - 4 * np.sin(z / 70 + self.sway[0])
        y = y - 3 * np.sin(z / 90 + self.sway[1])
        here = (x, y, z)
        taper = 1 - 0.22 * inside(150 - z, 160)  # towards the shoulders the cage narrows

        skin = ellipsoid((x, y), (0, 0), (172, 122))
        cage = ellipsoid((x / taper, y / taper), (0, 0), (132, 92))
        hu = -1000.0 + 905 * inside(skin)
        hu = paint(hu, inside(skin + 13 + 5 * np.sin(z / 60)), 55 + 6 * texture)
        inner = inside(cage + 6)

        # Below the diaphragm: fat, bowel, organs; above it: lungs and what lies between.
        right, left = (
            height * np.exp(-(((x - 68 * side) / 62) ** 2) - ((y - 5) / 75) ** 2)
            for side, height in zip((1, -1), self.dome, strict=True)
        )
        diaphragm = z - (right + left - 62)
        hu = paint(hu, inner, -100 + 5 * texture)
        abdomen = inner * inside(diaphragm + 3)
        hu = paint(hu, abdomen * inside(15 - 18 * self.bowel(here)), 38 + 8 * texture)
        liver = abdomen * inside(ellipsoid(here, self.liver, (88, 78, 88)))
        hu = paint(hu, liver, 108 + 6 * texture)
        hu = paint(hu, liver * vessels(here, self.liver_vessels), 170)
        spleen = abdomen * inside(ellipsoid(here, (-88, -28, -62), (30, 42, 45)))
        hu = paint(hu, spleen, 122 + 6 * texture)
        stomach = ellipsoid(here, (-52, 28, -70), (38, 34, 46))
        hu = paint(hu, abdomen * inside(stomach), 60)
        hu = paint(hu, abdomen * inside(stomach + 4), 15)
        hu = paint(hu, abdomen * inside(np.maximum(stomach + 4, 45 - y)), -980)
        for side in (1, -1):
            kidney = ellipsoid(here, (side * 58, -48, -125), (26, 24, 50))
            hu = paint(hu, abdomen * inside(kidney), 175 + 8 * texture)
            hu = paint(hu, abdomen * inside(kidney + 15), 20)

        chest = inner * inside(-diaphragm)
        hu = paint(hu, inner * inside(np.abs(diaphragm) - 2), 50)
        lungs = np.zeros(hu.shape)
        for side in (1, -1):
            lung = ellipsoid(here, (side * 72, -4, 10), (56, 84, 135))
            lungs = np.maximum(lungs, chest * inside(lung))
        hu = paint(hu, lungs, -860 + 30 * texture - 0.25 * y)
        hu = paint(hu, lungs * vessels(here, self.lung_vessels), 60)
        walls = [
            Segment(s.start, s.end, (s.radii[0] + 1.5, s.radii[1] + 1.5)) for s in self.bronchi
        ]
        hu = paint(hu, chest * vessels(here, walls), 20)
        hu = paint(hu, chest * vessels(here, self.bronchi), -985)
        heart = ellipsoid(here, self.heart, (52, 44, 50))
        hu = paint(hu, chest * inside(heart), 95 + 6 * texture)
        for chamber, radii in (((-12, 2, 4), (22, 20, 26)), ((22, 6, 2), (16, 20, 24))):
            blood = ellipsoid(here, self.heart + chamber, radii)
            hu = paint(hu, chest * inside(blood), 190)
        hu = paint(hu, inside(cage) * vessels(here, self.aorta), 195)
        return self.bones(here, hu, cage, texture), inner

    def bones(
        self, points: Points, hu: np.ndarray, cage: np.ndarray, texture: np.ndarray
    ) -> np.ndarray:
        """Paint ribs, breast bone and spine: dense shells around marrow."""
        x, y, z = points
        # Ribs lie in planes 27 mm apart that fall towards the front.
        height = z + 0.45 * y
        height = (height - 27 * np.rint(height / 27)) / 1.1
        rib = 5 * (np.hypot(cage / 5, height / 7.5) - 1)
        rib = np.maximum(rib, -z - 105)
        breast_bone = ellipsoid(points, (0, 88, 55), (19, 6, 80))
        level = z - 28 * np.rint(z / 28)
        waist = 2 * np.cos(2 * np.pi * level / 28)
        vertebra = ellipsoid((x, y), (0, -66), (22, 17)) + waist
        hu = paint(hu, inside(vertebra), 85 + 8 * texture)
        vertebra = np.maximum(vertebra, np.abs(level) - 11)
        arch = np.maximum(np.abs(np.hypot(x, y + 92) - 12) - 3, np.abs(level) - 10)
        spine = np.maximum(ellipsoid((x, y), (0, -112), (4, 16)), np.abs(level + 4) - 7)
        for bone, shell, marrow in (
            (rib, 2.0, 230),
            (breast_bone, 1.5, 160),
            (arch, 1.5, 400),
            (spine, 1.5, 300),
            (vertebra, 1.8, 190),
        ):
            hu = paint(hu, inside(bone), 720)
            hu = paint(hu, inside(bone + shell), marrow + 45 * texture)
        return paint(hu, inside(np.hypot(x, y + 92) - 9), 30)


class Head:
    """T1-weighted head in arbitrary units, with Rician noise and the shading of a receive coil."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.size = rng.uniform(0.95, 1.03, 3)
        self.tilt = rng.normal(0, 0.04, 2)
        self.ventricle = rng.uniform(0.8, 1.5)
        self.folds = RandomField(rng, (17, 34), 96)
        self.leaves = RandomField(rng, (7, 14), 64)
        self.texture = RandomField(rng, (4, 14), 96)
        self.shading = RandomField(rng, (180, 400), 12)
        self.noise = [RandomField(rng, (2.5, 7), 192) for _ in range(2)]
        self.arteries = [
            Segment(np.array((side * 14, 2, -200.0)), np.array((side * 12, 8, -22.0)), (3.2, 2.6))
            for side in (1, -1)
        ]
        for side in (1, -1):
            for direction in ((side, 0.1, 0.3), (0.1 * side, 1, 0.6), (0.5 * side, -1, 0.2)):
                self.arteries += grow_tree(rng, (side * 12, 8, -22), direction, 34, 2.4, 5)

    def intensity(self, points: Points) -> np.ndarray:
        """Magnitude at `points`: signal in one channel, noise in both."""
        points = tuple(p / s for p, s in zip(points, self.size, strict=True))
        signal = self.tissues(points) * (1 + 0.1 * self.shading(points))
        real, imaginary = (14 * noise(points) for noise in self.noise)
        return np.hypot(signal + real, imaginary)

    def tissues(self, points: Points) -> np.ndarray:
        """Signal without noise, painted from the skin inwards."""
        x, y, z = points
        x = x - self.tilt[0] * z
        y = y - self.tilt[1] * z
        here = (x, y, z)
        texture = self.texture(here)
        skull = ellipsoid(here, (0, 0, 0), (76, 95, 82))
        neck = ellipsoid((x, y), (0, -12), (62, 68))
        neck = np.maximum(neck, z + 40)
        head = np.minimum(skull - 9, neck)
        signal = 620 * inside(head)
        signal = paint(signal, inside(head + 4), 420 + 25 * texture)
        signal = paint(signal, inside(skull - 4), 60)
        signal = paint(signal, inside(np.abs(skull - 0.5) - 1.2), 380)
        # The skull's floor lies higher at the front than below the cerebellum.
        cavity = np.maximum(skull + 5, 24 * inside(-5 - y, 30) - 70 - z)
        signal = paint(signal, inside(cavity), 170)

        base = -42 + 0.5 * np.maximum(0, 10 - y) + 0.4 * np.maximum(0, y - 25)
        cerebrum = np.maximum(ellipsoid(here, (0, 2, 6), (67, 86, 68)), base - z)
        grey = self.cortex(here, cerebrum)
        signal = paint(signal, inside(grey), 540 + 12 * texture)
        signal = paint(signal, inside(grey + 3.2), 800 + 14 * texture)
        cerebellum = ellipsoid(here, (0, -46, -42), (52, 34, 26))
        cerebellum = np.maximum(cerebellum, 0.5 - 2.2 * np.abs(self.leaves(here)))
        signal = paint(signal, inside(cerebellum), 560 + 12 * texture)
        signal = paint(signal, inside(cerebellum + 2), 760)
        stem = ellipsoid((x, y), (0, -18), (13, 14))
        stem = np.maximum(stem, z + 8)
        signal = paint(signal, inside(stem), 740 + 14 * texture)
        for side in (1, -1):
            for center, radii, value in (
                ((11 * side, -10, 6), (9, 15, 10), 610),  # thalamus
                ((25 * side, 5, 4), (7, 19, 12), 590),  # putamen
                ((13 * side, 20, 14), (6, 12, 10), 570),  # caudate
            ):
                signal = paint(signal, inside(ellipsoid(here, center, radii)), value + 12 * texture)
            # Lateral ventricles bend outwards and down towards the back.
            bend = (x - side * (7 - 0.1 * y + 0.002 * y * y), y, z - 16 + 0.004 * y * y)
            lateral = ellipsoid(bend, (0, -4, 0), (5 * self.ventricle, 42, 9 * self.ventricle))
            signal = paint(signal, inside(lateral), 165)
        third = ellipsoid(here, (0, -8, 2), (2.5 * self.ventricle, 14, 11))
        signal = paint(signal, inside(third), 165)
        return paint(signal, inside(cavity) * vessels(here, self.arteries), 980)

    def cortex(self, points: Points, surface: np.ndarray) -> np.ndarray:
        """Signed distance to the folded surface of the brain, in mm, negative inside.

        Sulci are the sheets where a random field is 0, cut 16 mm deep from the brain's `surface`;
        the fissure between the hemispheres is the sheet x = 0 above the deep nuclei.
        """
        x, _, z = points
        # Where it is 0, a field of 24 mm waves rises by 1 in about 5 mm.
        sheet = 5 * np.abs(self.folds(points))
        sulci = np.hypot(sheet, np.maximum(0, -surface - 16))
        fissure = np.hypot(x - 1.5 * np.sin(z / 30), np.maximum(0, 30 - z))
        return np.maximum(surface, np.maximum(0.9 - sulci, 1.2 - fissure))


def paint(values: np.ndarray, share: np.ndarray, tissue: np.ndarray | float) -> np.ndarray:
    """Replace `share` of what is there by `tissue`."""
    return values + share * (tissue - values)
