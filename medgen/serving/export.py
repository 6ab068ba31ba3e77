"""A bundle as a SavedModel that any host of TensorFlow Serving runs."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from medgen.bundles.bundle import CARD, Bundle
from medgen.storage import make_folder, move, staging, write_text


def export_bundle(bundle: Bundle, folder: Path, *, card: str = "") -> Path:
    """Write `bundle` as the next version in `folder`, which a server may be watching.

    The version appears whole or not at all, and no earlier one is replaced. Nothing of medgen or
    Keras is needed to run it, and neither XLA nor custom operations.

    Args:
        bundle: the model.
        folder: made if missing; versions are its subfolders `1`, `2`, ...
        card: the model card, kept beside the model in `assets.extra`.

    Returns:
        The version's folder.

    Raises:
        BundleError: such models cannot be exported.
        WriteError: `folder` cannot be written to.
    """
    model = bundle.family.served(bundle)
    kept = tf.Module()
    kept.used = model.variables
    make_folder(folder)
    with staging(folder / "version") as place:
        written = place / "model"
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(kept, str(written), model.signatures(), options)
        (written / "assets.extra").mkdir()
        write_text(card, written / "assets.extra" / CARD)
        versions = [int(p.name) for p in folder.iterdir() if p.name.isdecimal()]
        version = folder / str(max(versions, default=0) + 1)
        move(written, version)
    return version
