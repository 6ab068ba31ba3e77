"""`--device`: what models are computed on."""

from __future__ import annotations

import os
import re
from typing import Any

import click

from medgen.errors import ResourceError

CHOSEN = f"{__name__}.chosen"


class Device(click.ParamType):
    """`auto`, `cpu`, `gpu`, or `gpu:N` for the one of that number."""

    name = "device"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is, if it names a device."""
        if not re.fullmatch(r"auto|cpu|gpu(:\d+)?", value):
            self.fail(f"expected auto, cpu, gpu or gpu:N, got {value!r}", param, ctx)
        return value


def device_option(command: Any) -> Any:
    """`--device`, for a command that calls `tell_device` once it is sure to need one."""
    return click.option(
        "--device",
        type=Device(),
        expose_value=False,
        callback=_choose,
        metavar="auto|cpu|gpu|gpu:N",
        help="What to compute models on, and say so. By default a GPU that the backend finds, or "
        "else the CPU.",
    )(command)


def _choose(context: click.Context, param: click.Parameter, device: str | None) -> None:
    """Let the backend of this process, and of those it starts, see what was chosen alone.

    TensorFlow and JAX read these environment variables when they are loaded.
    """
    context.meta[CHOSEN] = device
    if device == "cpu":
        os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    elif device is not None and ":" in device:
        os.environ["CUDA_VISIBLE_DEVICES"] = device.removeprefix("gpu:")


def tell_device() -> None:
    """Say what models are computed on, if the user chose; loads the backend to find out.

    Raises:
        ResourceError: there is no such device.
    """
    device = click.get_current_context().meta.get(CHOSEN)
    if device is None:
        return
    name = "the CPU"
    if device != "cpu":
        from medgen.backends import accelerators, backend_name

        found = accelerators()
        if not found and device != "auto":
            raise ResourceError(
                f"{backend_name()} finds no {device} here; leave out --device for the CPU, or "
                f"install what {backend_name()} needs for GPUs."
            )
        name = found[0] if found else name
    click.echo(f"Note: Models are computed on {name}.", err=True)


def tell_accelerator() -> None:
    """Say what a net is trained on and in which precision, where that is not the CPU."""
    from medgen.backends import accelerators, backend_name

    found = accelerators()
    if found:
        import keras

        precision = keras.config.dtype_policy().name
        click.echo(f"Note: Trained on {found[0]} by {backend_name()} in {precision}.", err=True)
