"""The `medgen` command: parse, call the library, echo. Heavy imports stay inside the commands."""

from __future__ import annotations

import importlib

import click

import medgen
from medgen.cli.output import quiet_option
from medgen.cli.quiet import quieten_tensorflow
from medgen.errors import MedgenError

# On import, so that processes started by a command are quiet as well.
quieten_tensorflow()

# Command name -> module under medgen.cli, imported only when the command is named or listed.
COMMANDS = {
    "train-vqvae": "train",
    "train-prior": "train",
    "train-pixelminer": "train",
    "train-autoencoder": "train_images",
    "train-image-espcn": "train_images",
    "train-espcn": "train",
    "adapt": "adapt",
    "models": "models",
    "interpolate": "interpolate",
    "superresolve": "superresolve",
    "cite": "cite",
    "view": "view",
    "reconstruct": "reconstruct",
    "encode": "encode",
    "refine-images": "refine_images",
    "sample": "sample",
    "phantom": "phantom",
    "evaluate": "evaluate",
    "audit": "audit",
    "study": "study",
    "read": "read",
    "study-report": "study_report",
    "study-plan": "study_report",
    "info": "info",
    "doctor": "doctor",
    "export": "export",
    "serve": "serve",
    "boutiques": "boutiques",
}


class Interrupted(click.ClickException):
    """Ctrl-C, which every output survives: it appears whole or not at all."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("Interrupted; no output is half written.")

    def show(self, file: object = None) -> None:
        """The sentence, on a line of its own below whatever the terminal shows."""
        click.echo(f"\n{self.message}", err=True)


class Failing(click.Command):
    """Ends with one line, and no traceback, where the user or the machine is the cause."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what the user caused ends as `Error: ...` and exit code 1.

        Ctrl-C ends it with one sentence and exit code 130.
        """
        try:
            return super().invoke(ctx)
        except MedgenError as error:
            raise click.ClickException(str(error)) from error
        except MemoryError as error:
            raise click.ClickException(
                "There is not enough memory for this; end other programs, take a larger machine, "
                "or work on a part of it."
            ) from error
        except KeyboardInterrupt:
            raise Interrupted from None


class Commands(Failing, click.Group):
    """Loads commands on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command `name`: attribute `name` (with `_` for `-`) of its module."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"medgen.cli.{COMMANDS[name]}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        if not any("--quiet" in parameter.opts for parameter in command.params):
            command.params.append(quiet_option())
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(medgen.__version__, prog_name="medgen")
def main() -> None:
    """Fill in missing slices of CT and MR scans, keeping their texture, or make voxels finer.

    Exit codes: 0, done; 1, refused or failed, with one sentence why; 2, wrong options; 130,
    interrupted by Ctrl-C.
    """
