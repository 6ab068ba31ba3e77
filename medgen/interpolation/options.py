"""How a trained model draws, as far as users choose it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from medgen.errors import BundleError
from medgen.interpolation.contract import AUTO, Temperature


@dataclass(frozen=True)
class SamplingOptions:
    """What may be chosen of a model's sampling; None leaves it to the model.

    Args:
        temperature: 1 draws from what the model learnt, less is smoother; `auto` gives slices the
            texture of the scan's own, see `matching.Texture`, also to a mean.
        top_k: draw among the k most likely codes, see `sampling.draw.categorical_draw`.
        top_p: among the most likely codes that have this probability together, likewise.
        decode: `sample`, or `mean` for every pixel's mean.
        sampler: `cached`, `fixed-point` or `wavefront`, see `sampling.slices.SliceSampler`.

    Example:
        >>> SamplingOptions(decode="mean").given
        {'decode': 'mean'}
    """

    temperature: Temperature | None = None
    top_k: int | None = None
    top_p: float | None = None
    decode: str | None = None
    sampler: str | None = None

    # How each is read from text.
    READ: ClassVar[Mapping[str, Callable[[str], Any]]] = {
        "temperature": lambda text: text if text == AUTO else float(text),
        "top_k": int,
        "top_p": float,
        "decode": str,
        "sampler": str,
    }

    @property
    def given(self) -> dict[str, Any]:
        """Those that are not left to the model, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def taken_by(self, who: str, names: Collection[str]) -> dict[str, Any]:
        """Those given, if all of them are among `names`.

        Raises:
            BundleError: `who` does not take one of them.
        """
        for name, value in self.given.items():
            if name not in names:
                raise BundleError(
                    f"{who} takes no {name}, got {value}; leave it out or name another model."
                )
        return self.given


def with_temperature(name: str, options: Mapping[str, Any], default: Temperature) -> dict[str, Any]:
    """Options of a model that can also give its mean, which is left as it is or matched.

    Args:
        name: of the model.
        options: those that the user has given.
        default: temperature to draw at if none was.

    Raises:
        BundleError: a mean at another temperature than `auto`.
    """
    if options.get("decode") != "mean":
        return {"temperature": default, **options}
    if options.get("temperature") not in (None, AUTO):
        raise BundleError(
            f"The mean of {name!r} takes no temperature, got {options['temperature']}; leave it "
            "out or name another model."
        )
    return dict(options)


LEFT_TO_THE_MODEL = SamplingOptions()


def parsed(method: str) -> tuple[str, SamplingOptions]:
    """Name or folder of a model, and its options, from how `medgen evaluate` is given them.

    Raises:
        BundleError: an option is unknown, or its value is none.

    Example:
        >>> model, sampling = parsed("ct-two-stage:temperature=0.9,top_k=5")
        >>> model, sampling.given
        ('ct-two-stage', {'temperature': 0.9, 'top_k': 5})
    """
    model, _, text = method.rpartition(":")
    if "=" not in text:
        return method, LEFT_TO_THE_MODEL
    options = {}
    for option in text.split(","):
        name, _, value = option.partition("=")
        if name not in SamplingOptions.READ:
            raise BundleError(
                f"{method}: no method has an option {name!r}; there are "
                f"{', '.join(SamplingOptions.READ)}."
            )
        try:
            options[name] = SamplingOptions.READ[name](value)
        except ValueError:
            raise BundleError(f"{method}: {value!r} is no {name}.") from None
    return model, SamplingOptions(**options)
