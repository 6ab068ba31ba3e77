"""The nets that `ablation.py` compares: other codes, and what their priors are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from ablation_quantizers import (
    FiniteQuantizer,
    Quantizer,
    ResidualQuantizer,
    TwoLevelQuantizer,
)
from keras import ops

from medgen.backends import Tensor, compiled
from medgen.bundles.bundle import Bundle
from medgen.examples.contexts import acquired_around
from medgen.families.conditional.examples import Inputs, Windows
from medgen.families.conditional.fit import ConditionalTask, take_prediction
from medgen.families.conditional.measure import measure_codes
from medgen.families.conditional.recipe import ConditionalPriorRecipe, ConditionalRecipe
from medgen.families.vqvae.fit import start_codebook
from medgen.nets.conditional_prior import ConditionalPrior
from medgen.nets.conditional_vqvae import COMPRESSION, ConditionalVQVAE
from medgen.nets.pixelminer_lean import rescaled
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw
from medgen.sampling.randomness import uniforms
from medgen.training.checkpoint import Row
from medgen.training.gather import TrainingScans

# Maps `(b, h, w)`, one a codebook.
Codes = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Variant:
    """What codes are.

    Args:
        depth: codebooks, each for what those before it left over.
        side: pixels a code along each axis, 4 or 2.
        tops: top codes of a second level, if there is one.
        finite: whether vectors are rounded instead of replaced by a codebook's.
    """

    depth: int = 1
    side: int = COMPRESSION
    tops: int | None = None
    finite: bool = False

    def quantizer(self, config: Mapping[str, Any], filters: int) -> Quantizer:
        """For a `ConditionalVQVAE` of `config` with `filters` channels where codes are."""
        codes, dim = config["num_embeddings"], config["embedding_dim"]
        if self.finite:
            return FiniteQuantizer(round(codes ** (1 / dim)), dim, name="quantizer")
        names = ("num_embeddings", "embedding_dim", "commitment_cost", "decay", "seed")
        options = {name: config[name] for name in names}
        if self.tops is not None:
            options["embedding_dim"] = dim // 2  # the decoder sees vectors of both levels
            return TwoLevelQuantizer(filters, self.tops, options, name="quantizer")
        return ResidualQuantizer(self.depth, options, name="quantizer")


class VariantVQVAE(ConditionalVQVAE):
    """A conditional VQ-VAE with other codes.

    Args:
        variant: which.
        **config: see `ConditionalVQVAE`.
    """

    def __init__(self, variant: Variant, **config):
        super().__init__(**config)
        self.side, quarter = variant.side, self.widths[-1]
        self.quantizer = variant.quantizer(self.config, quarter)
        if variant.tops is not None:
            self.encoder = self.encoder[:-1]  # the quantiser makes both levels of its features
        if self.side < COMPRESSION:
            self.encoder[1] = keras.layers.Conv2D(
                quarter, 3, padding="same", activation="silu", name="encoder_1"
            )

    def surroundings(self, known):
        """See `ConditionalVQVAE`; the last are at the resolution of the codes."""
        *finer, quarter = super().surroundings(known)
        return *finer, quarter if self.side == COMPRESSION else self.upsample(quarter)

    def _decoded(self, quantized, surroundings):
        if self.side == COMPRESSION:
            return super()._decoded(quantized, surroundings)
        # As there, where the acquired slices are shown, but that codes are at 2 x 2 pixels already.
        known, half, quarter = surroundings
        x = self.merge(ops.concatenate([quantized, quarter], axis=-1))
        for block in self.coarse:
            x = block(x)
        x = self.grow[0](x) + half
        for block in self.middle:
            x = block(x)
        x = self.upsample(self.grow[1](x)) + self.seen(known)
        for block in self.fine:
            x = block(x)
        return rescaled(self.out(keras.activations.silu(x)), self.predictor.spread(known))


class FirstStage(ConditionalTask):
    """See `ConditionalTask`; of a `VariantVQVAE`."""

    def __init__(
        self,
        scans: TrainingScans,
        recipe: ConditionalRecipe,
        start: Bundle,
        seed: int,
        variant: Variant,
    ):
        super().__init__(scans, recipe, start, seed)
        self.net = VariantVQVAE(variant, **self.net.config, name="vqvae")
        self.net.build()
        take_prediction(self.net, start.nets["pixelminer"])

    def prepare(self) -> None:
        """See `ConditionalTask.prepare`; each codebook on what those before it leave."""
        quantizer = self.net.quantizer

        def vectors(book: int, number: int) -> Tensor:
            inputs = self.batch(2**32 + number)
            surroundings = self.net.surroundings(self.net.condition(inputs))
            latents = self.net.latents(inputs["target"], surroundings)
            return quantizer.remaining(latents, quantizer.encode(latents)[:book])

        for i, book in enumerate(quantizer.books):
            start_codebook(book, partial(vectors, i), self.seed)


class Shown:
    """What the priors of a first stage are shown.

    Args:
        vqvae: trained.
        beside: whether the codes of the acquired slices on either side are part of it.
    """

    def __init__(self, vqvae: VariantVQVAE, beside: bool):
        self.vqvae, self.beside = vqvae, beside
        self.books = vqvae.quantizer.books
        self._read = compiled(self._codes_and_maps, vqvae)

    def __call__(self, windows: Inputs) -> tuple[Codes, np.ndarray]:
        """Codes, and maps of what surrounds them `(b, h, w, c)`."""
        return keras.tree.map_structure(ops.convert_to_numpy, self._read(windows))

    def inputs(self, book: int, windows: Inputs, codes: Codes, maps: Tensor) -> Inputs:
        """Of the prior of a codebook, which is shown the codes of those before it, too."""
        quantizer = self.vqvae.quantizer
        if book:
            maps = ops.concatenate([maps, quantizer.decode(codes[:book])], axis=-1)
        maps = ops.average_pool(maps, quantizer.coarser[book], padding="same")
        place = {key: windows[key] for key in ("position", "gap_mm")}
        return {"codes": codes[book], "surroundings": maps, **place}

    def channels(self, book: int) -> int:
        """Of the maps in `inputs`."""
        dim = self.books[0].embedding_dim
        return self.vqvae.config["filters"] + 2 * dim * self.beside + dim * (book > 0)

    def _codes_and_maps(self, windows):
        surroundings = self.vqvae.surroundings(self.vqvae.condition(windows))
        codes = self.vqvae.encode(windows["target"], surroundings)
        maps = surroundings[-1]
        if self.beside:
            after = windows["context"].shape[-1] // 2
            maps = ops.concatenate(
                [maps, self._left_out(windows, after - 1), self._left_out(windows, after)], axis=-1
            )
        return codes, maps

    def _left_out(self, windows, k):
        """Quantized maps `(b, h, w, embedding_dim)` of acquired slice `k`.

        Its codes are those of leaving it out between its neighbours; zeros where these are unknown.
        """
        slices = windows["context"].shape[-1]
        context = slices // 2
        around, inside = acquired_around(k - 1, 2, context, 0, slices)
        present = ops.take(windows["present"], around, axis=1) * inside
        inputs = {
            "context": ops.take(windows["context"], around, axis=-1),
            "present": present,
            "position": ops.full_like(windows["position"], 0.5),
            "gap_mm": 2 * windows["gap_mm"],
        }
        surroundings = self.vqvae.surroundings(self.vqvae.condition(inputs))
        codes = self.vqvae.encode(windows["context"][..., k], surroundings)
        known = ops.all(present[:, context - 1 : context + 1] > 0, axis=1)
        found = self.vqvae.quantizer.decode(codes)
        return found * ops.cast(known, found.dtype)[:, None, None, None]


class PriorTask:
    """A `session.Task`: the codes of one codebook given those before it and what is `Shown`."""

    averages_weights = True

    def __init__(
        self,
        shown: Shown,
        book: int,
        windows: Windows,
        recipe: ConditionalPriorRecipe,
        seed: int,
    ):
        keras.utils.set_random_seed(seed)
        self.shown, self.book, self.windows, self.recipe = shown, book, windows, recipe
        self.entries = shown.books[book]
        self.net = ConditionalPrior(
            channels=shown.channels(book),
            num_embeddings=self.entries.num_embeddings,
            embedding_dim=self.entries.embedding_dim,
            filters=recipe.filters,
            blocks=recipe.blocks,
            conditioner_filters=recipe.conditioner_filters,
            conditioner_blocks=recipe.conditioner_blocks,
            seed=seed,
        )
        self.net.build()
        self.identity: dict[str, object] = {}
        self._held_out = [self._inputs(window) for window in windows.held_out]

    def batch(self, step: int) -> Inputs:
        """Inputs of the net."""
        return self._inputs(self.windows.training(step))

    def prepare(self) -> None:
        """Start the embedding at the codebook."""
        codebook = ops.convert_to_numpy(self.entries.codebook)
        self.net.embedding.embeddings.assign(np.pad(codebook, ((0, 1), (0, 0))))

    def measure(self) -> Row:
        """See `measure_codes`."""
        return measure_codes(self.net, self._held_out)

    def _inputs(self, windows: Inputs) -> Inputs:
        inputs = self.shown.inputs(self.book, windows, *self.shown(windows))
        return keras.tree.map_structure(ops.convert_to_numpy, inputs)


class Model:
    """Both stages of an arm.

    Args:
        shown: to its priors.
        priors: a codebook each.
    """

    def __init__(self, shown: Shown, priors: Sequence[ConditionalPrior]):
        self.shown, self.priors = shown, priors
        self._samplers = [
            CachedSampler(prior, categorical_draw(), jit_compile=True) for prior in priors
        ]

    def bits(self, batches: Sequence[Inputs]) -> tuple[float, float]:
        """Of a code, mean over codebooks and windows, and of the codes of a pixel."""
        bits = []
        for book, prior in enumerate(self.priors):
            inputs = [self.shown.inputs(book, each, *self.shown(each)) for each in batches]
            bits.append(measure_codes(prior, inputs)["bits_per_code"])
        side, coarser = self.shown.vqvae.side, np.array(self.shown.vqvae.quantizer.coarser)
        codes_a_pixel = 1 / (side * coarser) ** 2
        of_pixel = float(np.dot(codes_a_pixel, bits))
        return of_pixel / codes_a_pixel.sum(), of_pixel

    def draw(self, windows: Inputs, count: int, first: int) -> list[Codes]:
        """Codes of windows, `count` times; the windows are `first` and those that follow it."""
        true, maps = self.shown(windows)
        size, *shape = true[-1].shape
        places = range(first, first + size)
        numbers = np.concatenate([uniforms(k, places, (*shape, len(true))) for k in range(count)])
        windows = {key: np.concatenate([values] * count) for key, values in windows.items()}
        maps = np.concatenate([maps] * count)
        codes: Codes = tuple(np.concatenate([each] * count) for each in true)
        for i, (prior, sampler) in enumerate(zip(self.priors, self._samplers, strict=True)):
            conditioning = prior.condition(self.shown.inputs(i, windows, codes, maps))
            step = self.shown.vqvae.quantizer.coarser[i]
            drawn = ops.convert_to_numpy(
                sampler(conditioning, numbers[:, ::step, ::step, i : i + 1])
            )
            codes = (*codes[:i], drawn, *codes[i + 1 :])
        return list(zip(*(np.split(each, count) for each in codes), strict=True))


def model_of(bundle: Bundle) -> Model:
    """A trained conditional two-stage model, as an arm is."""
    given = bundle.nets["vqvae"]
    vqvae = VariantVQVAE(Variant(), **given.config)
    vqvae.build()
    layers = {layer.name: layer for layer in vqvae.layers}
    for layer in given.layers:
        if layer is not given.quantizer:
            layers[layer.name].set_weights(layer.get_weights())
    vqvae.quantizer.books[0].set_weights(given.quantizer.get_weights())
    return Model(Shown(vqvae, beside=False), [bundle.nets["prior"]])


def explained_by_beside(vqvae: VariantVQVAE, batches: Sequence[Inputs]) -> float:
    """Share of the variance of quantised vectors that those beside explain, linearly.

    Fitted on the first three quarters of the positions, judged on the others.
    """
    shown = Shown(vqvae, beside=True)
    vectors, beside = [], []
    for windows in batches:
        codes, maps = shown(windows)
        found = ops.convert_to_numpy(vqvae.quantizer.decode(codes))
        dim = found.shape[-1]
        vectors.append(found.reshape(-1, dim))
        beside.append(maps[..., -2 * dim :].reshape(-1, 2 * dim))
    wanted = np.concatenate(vectors)
    given = np.pad(np.concatenate(beside), ((0, 0), (0, 1)), constant_values=1)
    fitted = 3 * len(wanted) // 4
    weights = np.linalg.lstsq(given[:fitted], wanted[:fitted], rcond=None)[0]
    left = wanted[fitted:] - given[fitted:] @ weights
    spread = wanted[fitted:] - wanted[:fitted].mean(axis=0)
    return float(1 - np.sum(left**2) / np.sum(spread**2))
