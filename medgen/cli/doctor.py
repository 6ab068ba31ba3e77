"""`medgen doctor`: whether a trained model is sound."""

from __future__ import annotations

from dataclasses import asdict

import click

from medgen.cli.device import device_option
from medgen.cli.output import answer, json_option
from medgen.cli.places import trained_model


@click.command(short_help="Check causality, likelihood and sampler of a model.")
@click.argument("model", metavar="NAME|BUNDLE")
@device_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, model: str) -> None:
    """Measure on the nets of a trained model what their samples rest on, a line a check.

    Weights are finite and codes in use; probabilities sum to 1; acquired slices count on all sides;
    each position depends on every earlier one in reach and on no other; the fast sampler draws what
    the slow reference draws. Exits with code 1 if a check fails.
    """
    _, bundle = trained_model(model)

    from medgen.doctor import examine

    failed, findings = False, []
    for finding in examine(bundle):
        findings.append(asdict(finding))
        state = "ok" if finding.passed else "FAILED"
        click.echo(f"{state:<6}  {finding.check:<24}  {finding.detail}")
        failed |= not finding.passed
    answer({"model": bundle.name, "passed": not failed, "findings": findings})
    ctx.exit(int(failed))
