"""`bcos-eval verify`."""

from __future__ import annotations

from pathlib import Path

import click

from .exit_codes import EXIT_FAILED
from .parameter_types import SEED, device_option


@click.command("verify")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--units", type=click.IntRange(min=0), default=10, help="So many stored units are computed again.")
@click.option("--seed", type=SEED, default=0, help="Seed of their draw.")
@device_option
def verify_command(directory: Path, units: int, seed: int, device: str) -> None:
    """Check stored files, their completeness, and a sample of scores anew."""
    from bcos_eval.store.integrity import completeness_findings, file_findings

    findings = [*file_findings(directory), *completeness_findings(directory)]
    for finding in findings:
        click.echo(f"{finding.severity}: {finding.text}")
    n_wrong = sum(finding.severity == "wrong" for finding in findings)
    if units:
        from bcos_eval.engine.verification import TOLERANCE, computed_again

        verdicts = list(computed_again(directory, units, seed=seed, device=device))
        for verdict in verdicts:
            if verdict.problem:
                click.echo(f"wrong: {verdict.text}")
        n_different = sum(bool(verdict.problem) for verdict in verdicts)
        click.echo(
            f"{len(verdicts)} units computed again, {n_different} differ by more than {TOLERANCE:g} or cannot be."
        )
        n_wrong += n_different
    click.echo(f"{n_wrong} problems found." if n_wrong else "no problem found.")
    if n_wrong:
        click.get_current_context().exit(EXIT_FAILED)
