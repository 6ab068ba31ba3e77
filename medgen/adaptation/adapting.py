"""An interpolator that learns from the slices it is given before it fills in others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from medgen.adaptation import judging
from medgen.adaptation.calibration import as_wide
from medgen.adaptation.judging import Judge, Standing, lines_left_out, slices_left_out
from medgen.bundles.bundle import Bundle
from medgen.examples.alone import ScanExamples, gap_in_rows
from medgen.examples.stacks import Stack
from medgen.families.pixelminer.adapt import ALONE, AdaptationTask, blended, gently, untaught
from medgen.families.pixelminer.fill import PixelMinerInterpolator
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.intensities.modality import MR
from medgen.intensities.rule import IntensityRule
from medgen.interpolation.classical import CLASSICAL
from medgen.interpolation.contract import (
    Around,
    Deterministic,
    Filling,
    Interpolator,
    Learnt,
    Progress,
)
from medgen.profiles.estimate import estimate_profile
from medgen.profiles.shape import SliceProfile
from medgen.training.checkpoint import FolderStore, MemoryStore, Store
from medgen.training.schedule import Plan
from medgen.training.session import best_of, train
from medgen.volumes.volume import Volume

if TYPE_CHECKING:
    import keras

# Weights that are tried between those of the released model and those of the adapted one.
SHARES = (0.5, 1.0)
# How long a model learns if the user says nothing.
MINUTES = 5.0
# Steps that a bar of learning has.
SHOWN = 1000
# Bytes for each float32 of the stack, beside the model's: unit range, other axes, their blur.
LEARNING_BYTES = 20


@dataclass(frozen=True)
class Learning:
    """How a scan teaches a model.

    Args:
        steps: gradient steps.
        minutes: of training, `MINUTES` if neither is given; what is repeated by as many steps as
            they took.
        seed: of everything random.
        thickness_mm: of the scan's slices; None for what the scan tells, or else their distance.
        tell: receives a sentence on what came of it.
        folder: where checkpoints are kept meanwhile, see `FolderStore`; None for memory.
        resume: go on from a checkpoint that is there.
        progress: called with what is done, how much of it and how much there is.
    """

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    thickness_mm: float | None = None
    tell: Callable[[str], None] = lambda sentence: None
    folder: Path | None = None
    resume: bool = False
    progress: Callable[[str, int, int], None] = lambda name, done, total: None

    @property
    def store(self) -> Store:
        """Where the training keeps what it needs."""
        return MemoryStore() if self.folder is None else FolderStore(self.folder)

    def plan(self, recipe: PixelMinerRecipe) -> Plan:
        """How long and how fast."""
        every, rate, optimizer = recipe.validate_every, recipe.learning_rate, recipe.optimizer
        minutes = MINUTES if self.steps is None and self.minutes is None else self.minutes
        return Plan(self.steps, every, rate, minutes, steady=True, optimizer=optimizer)


@dataclass(frozen=True, eq=False)
class Verdict(Learnt):
    """What came of learning, and what to use.

    Args:
        bundle: the model; None where a classical method is better.
        held_out: what it did not learn from, in words.
    """

    bundle: Bundle | None
    held_out: str


class Lessons:
    """Teaches a model, and remembers what came of the latest stack: the model learns it once.

    Args:
        learning: how.
    """

    def __init__(self, learning: Learning):
        self.learning = learning
        self.latest: Verdict | None = None
        self._seen = ""

    def adapted(self, interpolator: PixelMinerInterpolator, stack: Volume) -> Verdict:
        """A released model that went on to learn from `stack`, if that made it better."""
        return self._once(stack, lambda: self._adapt(interpolator, stack))

    def alone(self, stack: Volume) -> Verdict:
        """A model that learnt from nothing but `stack`, if it is better than classical methods."""
        return self._once(stack, lambda: self._teach(stack))

    def _once(self, stack: Volume, learn: Callable[[], Verdict]) -> Verdict:
        seen = hashlib.sha256(np.ascontiguousarray(stack.array).data).hexdigest()
        if self.latest is None or seen != self._seen:
            self.latest, self._seen = None, seen  # of an earlier scan nothing is kept meanwhile
            self.latest = learn()
            self.learning.tell(self.latest.sentence)
        return self.latest

    def _adapt(self, interpolator: PixelMinerInterpolator, stack: Volume) -> Verdict:
        bundle = interpolator.bundle
        bundle.rule.require(stack.modality, stack.guess)
        lesson = _lesson(bundle.rule, stack, self.learning.thickness_mm, own_gap=True)
        net, facts = self._train(bundle, gently(bundle), lesson)
        judge = lesson.judge
        released = _standing(judge, interpolator)
        tried = {share: blended(bundle, net, share) for share in SHARES}
        guesses = {
            share: judge.guess(replace(interpolator, bundle=one)).psnr_db
            for share, one in tried.items()
        }
        best = max(guesses, key=lambda share: guesses[share])
        taught = as_wide(tried[best], bundle, stack)
        adapted = _standing(judge, replace(interpolator, bundle=taught))
        loss = adapted.loses_to(released, lesson.ahead_db)
        facts |= {
            "share": 0.0 if loss else best,
            "released": released.facts,
            "adapted": adapted.facts,
            "linear": judge.guess(CLASSICAL["linear"]).facts,
            "interval_held": (bundle if loss else taught).recipes["pixelminer"].held,
        }
        if loss:
            sentence = (
                f"{bundle.name} is used as it is: adapted to this scan in {facts['steps']} steps "
                f"it is not ahead where {lesson.left_out} ({loss})."
            )
            return Verdict(bundle.name, sentence, facts, bundle, lesson.held_out)
        sentence = (
            f"{bundle.name} adapted to this scan in {facts['steps']} steps: where "
            f"{lesson.left_out}, {adapted.psnr_db:.2f} dB instead of {released.psnr_db:.2f} dB."
        )
        return Verdict(f"{bundle.name}+adapt", sentence, facts, taught, lesson.held_out)

    def _teach(self, stack: Volume) -> Verdict:
        bundle = untaught(IntensityRule(stack.modality), ALONE, self.learning.seed)
        lesson = _lesson(bundle.rule, stack, self.learning.thickness_mm, own_gap=False)
        judge = lesson.judge

        @cache
        def given(net: keras.Model) -> PixelMinerInterpolator:
            return PixelMinerInterpolator(replace(bundle, nets={"pixelminer": net}), decode="mean")

        # Bits soon grow by Muon, as the net gets too sure, while the mean still gets nearer.
        net, facts = self._train(
            bundle, ALONE, lesson, lambda net: -judge.guess(given(net)).psnr_db
        )
        own = judge.guess(given(net))
        classical = {name: judge.guess(method) for name, method in CLASSICAL.items()}
        best = max(classical, key=lambda name: classical[name].psnr_db)
        loss = own.loses_to(classical[best], lesson.ahead_db)
        facts |= {
            "self": own.facts,
            "classical": {name: one.psnr_db for name, one in classical.items()},
        }
        figures = f"{own.psnr_db:.2f} dB, {best} {classical[best].psnr_db:.2f} dB"
        if loss:
            sentence = (
                f"The scan taught too little, so {best} is used: where {lesson.left_out}, "
                f"{figures}."
            )
            return Verdict(best, sentence, facts, None, lesson.held_out)
        sentence = f"The scan taught a model of its own: where {lesson.left_out}, {figures}."
        return Verdict("self", sentence, facts, given(net).bundle, lesson.held_out)

    def _train(
        self,
        bundle: Bundle,
        recipe: PixelMinerRecipe,
        lesson: Lesson,
        loss: Callable[[keras.Model], float] | None = None,
    ) -> tuple[keras.Model, dict[str, object]]:
        """The trained net, see `AdaptationTask`, and what to tell of it."""
        learning = self.learning
        task = AdaptationTask(bundle, recipe, lesson.examples, learning.seed, loss)
        rows = train(
            task,
            learning.plan(recipe),
            learning.store,
            resume=learning.resume,
            progress=lambda step, share, logs: learning.progress(
                "Learning", round(share * SHOWN), SHOWN
            ),
        )
        facts: dict[str, object] = {
            "start": bundle.name,
            "steps": rows[-1]["step"],
            "kept_step": best_of(rows)["step"],
            "seed": learning.seed,
            **lesson.facts,
        }
        return task.net, facts


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a scan teaches, and what it judges by.

    Args:
        examples: of its own gap, or of twice the gap.
        judge: shows what trained nothing.
        profile: of its slices.
        source: who tells that, see `profile_of`.
    """

    examples: ScanExamples
    judge: Judge
    profile: SliceProfile
    source: str

    @property
    def held_out(self) -> str:
        """What trained nothing, in words."""
        indices = self.examples.indices
        what = "slice" if self.examples.steps is None else "row"
        if len(indices) == 1:
            return f"{what} {indices[0]}"
        return f"{what}s {indices[0]}-{indices[-1]}"

    @property
    def left_out(self) -> str:
        """What is judged by, in words."""
        count = len(self.judge.cases)
        if self.examples.steps is not None:
            return f"{count} rows and columns of pixels were left out"
        return f"{count} acquired slice{'s were' if count > 1 else ' was'} left out"

    @property
    def ahead_db(self) -> float:
        """What a model must gain to be ahead."""
        at_own_gap = self.examples.steps is not None
        return judging.AHEAD_DB if at_own_gap else judging.AHEAD_AT_TWICE_DB

    @property
    def facts(self) -> dict[str, object]:
        """For the provenance."""
        return {
            "held_out": self.held_out,
            "taught_gap_mm": round(self.examples.gap_mm, 4),
            "slice_thickness_mm": self.profile.thickness_mm,
            "slice_thickness_from": self.source,
        }


def _lesson(
    rule: IntensityRule, stack: Volume, thickness_mm: float | None, *, own_gap: bool
) -> Lesson:
    """A lesson of the scan's own gap; of twice that if it does not show it and need not."""
    profile, source = profile_of(stack, thickness_mm)
    unit = Stack("scan", rule.scale_for(stack.array).to_unit(stack.array), stack.spacing)
    if own_gap or gap_in_rows(unit) is not None:
        examples = ScanExamples.own_gap(unit, profile.weights)
        assert examples.steps is not None
        cases = lines_left_out(stack, examples.indices, examples.steps, profile.weights)
    else:
        examples = ScanExamples.twice_the_gap(unit)
        cases = slices_left_out(stack, examples.indices)
    return Lesson(examples, Judge(cases, stack.kind), profile, source)


def profile_of(stack: Volume, thickness_mm: float | None) -> tuple[SliceProfile, str]:
    """Slice profile of acquired slices along axis 0, and who tells it.

    What the user says comes first, then the header, then the scan itself, then its distance.
    """
    told = {"user": thickness_mm, "header": stack.metadata.get("slice_thickness_mm")}
    for source, value in told.items():
        if value:
            return SliceProfile("box", value), source
    estimate = estimate_profile(stack, 0)
    if estimate is not None and estimate.profile is not None:
        return estimate.profile, "scan"
    return SliceProfile("box", stack.spacing[0]), "distance"


def _standing(judge: Judge, interpolator: PixelMinerInterpolator) -> Standing:
    edges, noise = judge.draws(interpolator)
    return replace(judge.guess(interpolator), edges=edges, noise=noise)


@dataclass(frozen=True, eq=False)
class AdaptingInterpolator(Around):
    """Has a released model learn from the slices it is given before it fills in others.

    Args:
        interpolator: of a lean PixelMiner.
        lessons: who teaches its model.
    """

    interpolator: PixelMinerInterpolator
    lessons: Lessons

    @property
    def learnt(self) -> Learnt | None:
        """See `Interpolator`."""
        return self.lessons.latest

    @property
    def bytes_per_voxel(self) -> int:
        """See `Interpolator`."""
        return self.interpolator.bytes_per_voxel + LEARNING_BYTES

    def taught(self, stack: Volume) -> Verdict:
        """What comes of learning from acquired slices."""
        return self.lessons.adapted(self.interpolator, stack)

    def fill(
        self,
        stack: Volume,
        positions: np.ndarray,
        progress: Progress,
        *,
        samples: int = 1,
        uncertainty: bool = False,
    ) -> Iterator[Filling]:
        """Yield what belongs at each of `positions`; see `Interpolator.fill`."""
        bundle = self.taught(stack).bundle
        assert bundle is not None  # a released model is always left
        taught = replace(self.interpolator, bundle=bundle)
        yield from taught.fill(stack, positions, progress, samples=samples, uncertainty=uncertainty)


@dataclass(frozen=True, eq=False)
class SelfTaught(Deterministic):
    """A model that learns from nothing but the slices it is given, whatever they show.

    What it fills in is its mean; where it is no better than classical methods, the best of these.

    Args:
        lessons: who teaches.
    """

    lessons: Lessons
    name: str = "self"
    bytes_per_voxel: int = 10 + LEARNING_BYTES

    @property
    def learnt(self) -> Learnt | None:
        """See `Interpolator`."""
        return self.lessons.latest

    def slices(
        self, stack: Volume, positions: np.ndarray, progress: Progress
    ) -> Iterator[np.ndarray]:
        """Yield the slice at each of `positions`; see `Deterministic`."""
        verdict = self.taught(stack)
        method = CLASSICAL.get(verdict.method)
        if verdict.bundle is not None:
            method = PixelMinerInterpolator(verdict.bundle, decode="mean")
        assert method is not None
        for filling in method.fill(_learnable(stack), positions, progress):
            yield filling.images[0]

    def taught(self, stack: Volume) -> Verdict:
        """What comes of learning from acquired slices."""
        return self.lessons.alone(_learnable(stack))


def _learnable(stack: Volume) -> Volume:
    """A stack of another kind than models know has a scale of its own, as MR has."""
    return stack if stack.kind.is_learnt else replace(stack, modality=MR.name)


def is_teachable(interpolator: Interpolator) -> TypeGuard[PixelMinerInterpolator]:
    """Whether a scan can teach its model."""
    return isinstance(interpolator, PixelMinerInterpolator) and interpolator.tells_uncertainty
