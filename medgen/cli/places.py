"""Where commands read models from and write to, checked before the work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from medgen.cli.device import tell_device
from medgen.errors import WriteError

if TYPE_CHECKING:
    from medgen.bundles.bundle import Bundle


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse before the work what `write_volume` would refuse after it.

    Raises:
        WriteError: the suffix is unknown, the file exists, or there is no such folder.
    """
    from medgen.volumes.files import require_writable

    require_writable(path, overwrite=overwrite)


def check_folder(path: Path) -> None:
    """Refuse before the work a folder that could not be made, or not be written to, after it.

    Raises:
        WriteError: what stands at `path`, or at the nearest parent there is, cannot be written in.
    """
    existing = next(p for p in (path, *path.absolute().parents) if os.path.exists(p))
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise WriteError(f"{path} cannot be a folder to write to; choose another output.")


def trained_model(name: str) -> tuple[Path, Bundle]:
    """Folder and bundle of the trained model that a user means by `name`; says what computes it.

    Every command takes the name of one that comes with medgen, or a folder.

    Raises:
        BundleError: there is none, or it is damaged.
        ResourceError: there is no such device as was chosen.
    """
    from medgen.bundles.released import folder_named

    folder = folder_named(name)

    from medgen.bundles.bundle import load_bundle

    tell_device()
    return folder, load_bundle(folder)
