"""The page as HTML: a template, a style sheet, a script and the content as JSON, all in one file."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from bcos_eval.reports.results import Results
from bcos_eval.store.atomic_write import write_text
from bcos_eval.version import __version__

from .content import Plain, content_of

_TEMPLATE, _STYLE, _SCRIPT = "page.html.jinja", "page.css", "page.js"


def write_page(results: Results, path: Path) -> int:
    """Write the page of results, whole or not at all, and return its size in bytes.

    Raises:
        InputError: If an example file is damaged, or the page cannot be written.
    """
    html = page_html(content_of(results))
    write_text(path, html)
    return len(html.encode())


def page_html(content: Plain) -> str:
    """Return the page that shows some content, see `page_content`."""
    from jinja2 import Environment

    # Texts come from data: class names, file names, notes. Everything is escaped unless it says otherwise.
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_part(_TEMPLATE))
    datasets = list(dict.fromkeys(row["dataset"] for row in content["rows"]))
    return template.render(
        style=_part(_STYLE),
        script=_part(_SCRIPT),
        data=script_json(content),
        datasets=datasets,
        n_rows=len(content["rows"]),
        runs=content["runs"],
        notes=content["notes"],
        version=__version__,
    )


def script_json(content: Plain) -> str:
    """Return JSON that can stand in a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
