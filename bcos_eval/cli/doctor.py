"""`bcos-eval doctor`."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .diagnosis import Finding

_EXIT_BROKEN = 1
_MARKS = {"ok": "ok", "absent": "–", "broken": "BROKEN"}


@click.command("doctor")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder that holds the datasets' folders, or one of these, as for run.  [default: $BCOS_EVAL_DATA]",
)
@click.option("--full", is_flag=True, help="Time ResNet-50 on 224×224 images too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def doctor_command(context: click.Context, data_dir: Path | None, full: bool, as_json: bool) -> None:
    """Say what is installed and usable, and how fast it is.

    Exits with 1 if something is broken; what is merely absent ("–") can be added.
    """
    from .diagnosis import diagnose

    findings = list(diagnose(data_dir, full=full))
    broken = [finding for finding in findings if finding.state == "broken"]
    if as_json:
        report = {"usable": not broken, "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        click.echo(_as_text(findings), nl=False)
        click.echo(f"{len(broken)} broken, see above." if broken else "usable.")
    if broken:
        context.exit(_EXIT_BROKEN)


def _as_text(findings: list[Finding]) -> str:
    width = max(len(finding.name) for finding in findings)
    lines: list[str] = []
    for section, members in itertools.groupby(findings, key=lambda finding: finding.section):
        lines.append(section)
        for finding in members:
            remedy = f" → {finding.remedy}" if finding.remedy else ""
            lines.append(f"  {_MARKS[finding.state]:6}  {finding.name:{width}}  {finding.text}{remedy}")
    return "".join(f"{line}\n" for line in lines)
