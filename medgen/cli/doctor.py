"""`medgen doctor`: whether a trained model is sound."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Check that a trained model is sound: causality, likelihood, sampler.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.pass_context
def doctor(ctx: click.Context, bundle: Path) -> None:
    """Measure on the nets of BUNDLE what their samples rest on, a line a check.

    Weights are finite and codes in use; probabilities sum to 1; acquired slices count on all sides;
    each position depends on every earlier one in reach and on no other; the fast sampler draws what
    the slow reference draws. Exits with code 1 if a check fails.
    """
    from medgen.doctor import examine
    from medgen.serving.bundle import load_bundle

    failed = False
    for finding in examine(load_bundle(bundle)):
        state = "ok" if finding.passed else "FAILED"
        click.echo(f"{state:<6}  {finding.check:<24}  {finding.detail}")
        failed |= not finding.passed
    ctx.exit(int(failed))
