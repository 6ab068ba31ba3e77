"""Prior over the codes of a missing slice that reads features of the acquired slices."""

from __future__ import annotations

import keras
from keras import ops

from medgen.nets.pixelcnn import PixelCNN


@keras.saving.register_keras_serializable("medgen")
class ConditionalPrior(PixelCNN):
    """Gated PixelCNN over code maps, conditioned on feature maps of the acquired slices.

    Args:
        channels: of the feature maps.
        **config: see `PixelCNN`.

    Input shape:
        Mapping with `codes` `(b, h, w)` integers, `surroundings` `(b, h, w, channels)`, `position`
        `(b,)` in (0, 1) and `gap_mm` `(b,)`.

    Output shape:
        As `PixelCNN`.
    """

    def __init__(self, channels: int, **config):
        super().__init__(**config)
        self.config["channels"] = channels

    @property
    def channels_known(self):
        """See `PixelCNN`."""
        return self.config["channels"]

    def known(self, inputs):
        """The feature maps."""
        return ops.cast(inputs["surroundings"], self.compute_dtype)
