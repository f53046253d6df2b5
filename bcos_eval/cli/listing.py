"""`bcos-eval list`."""

from __future__ import annotations

import json

import click


@click.command("list")
@click.argument("kind", type=click.Choice(["models", "methods", "metrics", "datasets"]))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def list_command(kind: str, as_json: bool) -> None:
    """List what is registered."""
    from .catalogue import CATALOGUE, NOTES, as_text, text_rows

    rows = CATALOGUE[kind]()
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        click.echo(as_text(text_rows(kind, rows)), nl=False)
        if kind in NOTES:
            click.echo(NOTES[kind], err=True)
