"""Files of weights from strangers: looked through before a net is built or anything is loaded."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras

from medgen.errors import BundleError


def check_weights(path: Path, fewest: int) -> None:
    """Refuse a file of weights that holds anything but plain numbers, or too few for its recipe.

    HDF5 can link to other files, keep values in them, and tell of arrays that are not there; Keras
    writes nothing of this. A net is of a size with its weights, so a recipe cannot claim the
    memory for a net whose weights are not there.

    Args:
        path: the file.
        fewest: numbers that weights of its recipe have at the least, see `Recipe.fewest_numbers`.

    Raises:
        BundleError: the file is missing, damaged or such a one.
    """
    if not path.is_file():
        raise BundleError(f"The bundle lacks {path.name}; copy it again in whole.")
    links: list[tuple[str, object]] = []
    try:
        with h5py.File(path, "r") as file:
            file.visititems_links(lambda name, link: links.append((name, link)))
            objects = [file[name] for name, link in links if isinstance(link, h5py.HardLink)]
            arrays = [array for array in objects if isinstance(array, h5py.Dataset)]
            plain = len(objects) == len(links) and all(map(_is_plain, arrays))
            numbers = sum(array.size for array in arrays)
    except Exception as error:  # h5py raises many kinds for a damaged file
        raise damaged(path, error) from error
    if not plain:
        raise BundleError(
            f"{path} holds links or arrays that are not plain numbers, which no weights of medgen "
            "do; do not use this bundle."
        )
    if numbers < fewest:
        raise BundleError(
            f"{path} is damaged or does not fit its recipe ({numbers} numbers for a net of at "
            f"least {fewest}); copy it again in whole."
        )


def _is_plain(array: h5py.Dataset) -> bool:
    stored = array.id.get_storage_size() >= array.nbytes
    return array.dtype.kind in "biufS" and not array.is_virtual and not array.external and stored


def load_weights(model: keras.Model, path: Path) -> None:
    """Load weights that `check_weights` let pass.

    Raises:
        BundleError: they do not fit.
    """
    try:
        model.load_weights(path)
    except Exception as error:  # Keras raises many kinds for arrays of another shape
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> BundleError:
    """What to tell the user of an error that h5py or Keras raised."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return BundleError(
        f"{path} is damaged or does not fit its recipe ({reason}); copy it again in whole."
    )
