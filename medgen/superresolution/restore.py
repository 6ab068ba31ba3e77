"""Methods as an evaluation calls them: functions that make coarse voxels fine again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from medgen.superresolution.classical import CLASSICAL
from medgen.superresolution.contract import SuperResolver
from medgen.superresolution.methods import superresolver_named
from medgen.superresolution.refine import superresolve_volume
from medgen.volumes.volume import Volume


def restorers(
    methods: Sequence[str], *, in_plane: bool = False
) -> dict[str, Callable[..., Volume | tuple[Volume, Volume, Volume]]]:
    """A function that makes voxels finer, for each method once, by the method's name.

    Args:
        methods: see `superresolver_named`; none for all classical ones.
        in_plane: whether slices stay as they are.

    Raises:
        BundleError: likewise.
    """
    resolvers = {name: superresolver_named(name) for name in dict.fromkeys(methods or CLASSICAL)}
    short = [resolver.name for resolver in resolvers.values()]
    return {
        name if short.count(resolver.name) > 1 else resolver.name: partial(
            restored, resolver=resolver, in_plane=in_plane
        )
        for name, resolver in resolvers.items()
    }


def restored(
    volume: Volume, resolver: SuperResolver, *, in_plane: bool, factor: int, slice_axis: int
) -> Volume | tuple[Volume, Volume, Volume]:
    """A finer scan, and behind it both ends of a 90 % interval where the method tells them.

    Args:
        volume: the coarse scan.
        resolver: the method.
        in_plane: whether slices along `slice_axis` stay as they are.
        factor: see `superresolve_volume`.
        slice_axis: along which slices are compared.
    """
    tells = resolver.tells_uncertainty
    kept = slice_axis if in_plane else None
    refined = superresolve_volume(volume, resolver, factor, kept=kept, uncertainty=tells)
    if not tells:
        return refined.volume
    return refined.volume, refined.uncertainty["low"], refined.uncertainty["high"]
