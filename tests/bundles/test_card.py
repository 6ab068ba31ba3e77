"""The card says how to make the model again, from what, and how good it was."""

import shlex
from pathlib import Path

import click
import pytest

from medgen.bundles.card import command_line, model_card
from medgen.cli import main
from medgen.cli.train import train_prior, train_vqvae

ROWS = [
    {"scan": "a.nii.gz", "slices": "0-11", "spacing_mm": [5.0, 0.7031, 0.7031], "use": "training"},
    {"scan": "b", "slices": "3-7", "spacing_mm": [2.5, 1, 1.25], "use": "validation"},
]


def parsed(command, words: list[str]) -> dict[str, object]:
    """Options as click gives them to a command."""
    program = click.Context(main, **main.context_settings)
    return dict(command.make_context(command.name, list(words), parent=program).params)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (train_vqvae, ["a.nii", "-o", "out"]),
        (train_vqvae, ["a.nii", "my scans/b c.nii", "-o", "the model", "--recipe", "it's.json"]),
        (train_vqvae, ["a", "-o", "b", "--validation", "c d", "--validation", "e", "--seed", "0"]),
        (train_vqvae, ["a", "-o", "b", "--steps", "7", "--learning-rate", "0.00012345678901234"]),
        (
            train_prior,
            ["a", "-o", "b", "--vqvae", "first $tage", "--batch-size", "3", "--seed", "9"],
        ),
    ],
)
def test_the_command_repeats_the_run(command, words):
    options = parsed(command, words)
    first, second, *rest = shlex.split(command_line(command.name, options))
    assert (first, second) == ("medgen", command.name)
    assert parsed(command, rest) == options


def test_the_command_says_what_was_left_to_the_default():
    options = parsed(train_vqvae, ["a.nii", "-o", "out"])
    line = command_line("train-vqvae", options)
    assert line.startswith("medgen train-vqvae a.nii -o out ")
    assert "--recipe default" in line
    assert "--seed 0" in line
    assert "--resume" not in line
    assert "--resume" in command_line("train-vqvae", options | {"resume": True})


def test_the_card(two_stage):
    card = model_card(two_stage, "medgen train-prior 'a b'", ROWS)
    lines = card.splitlines()
    assert lines[0] == "# VQ-VAE with conditional PixelCNN prior for CT"
    assert "    medgen train-prior 'a b'" in lines
    assert "| a.nii.gz | 0-11 | 5 x 0.7031 x 0.7031 | training |" in lines
    assert "| b | 3-7 | 2.5 x 1 x 1.25 | validation |" in lines
    assert "| vqvae | step | 12000 |" in lines
    assert "| vqvae | ssim | 0.91234 |" in lines
    assert "| prior | bits_per_code | 3.5 |" in lines
    assert any(line.startswith("- vqvae: filters 8, residual_blocks 1,") for line in lines)
    assert any(line.startswith("- prior: filters 8, blocks 2,") for line in lines)
    assert "do not diagnose" in card
    assert "Made with medgen 0.1.0, tensorflow 2." in card
    assert str(Path.home()) not in card


def test_the_card_of_a_first_stage(vqvae_alone):
    card = model_card(vqvae_alone, "medgen", ROWS)
    assert card.startswith("# VQ-VAE for CT\n")
    assert "- prior" not in card
