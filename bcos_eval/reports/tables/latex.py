"""Tables for papers: LaTeX with the rules of the booktabs package."""

from __future__ import annotations

from collections.abc import Collection

from .table import Best, Columns

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "–": "--",
        "×": r"$\times$",
    }
)


def latex(table: Columns, numeric: Collection[str]) -> str:
    """Return a table of texts as a `tabular`, numeric columns to the right, the best in bold.

    The document needs the package booktabs. Texts are escaped, so that what data are called is shown as it is.
    """
    form = "".join("r" if column in numeric else "l" for column in table)
    rows = [_line(row) for row in zip(*table.values(), strict=True)]
    lines = [
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{form}}}",
        r"\toprule",
        _line(tuple(table)),
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Collection[str]) -> str:
    return " & ".join(map(_cell, cells)) + r" \\"


def _cell(text: str) -> str:
    escaped = text.translate(_ESCAPES)
    return rf"\textbf{{{escaped}}}" if isinstance(text, Best) else escaped
