"""The numerical version, by which stored scores are found again, is raised when a metric's code changes."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest

from bcos_eval.version import METRICS_DIGEST, NUMERICAL_VERSION

METRICS = Path(__file__).parents[1] / "metrics"


def plain(node):
    """A syntax tree without places, docstrings and empty fields, the same for every version of Python."""
    if isinstance(node, list):
        return [plain(one) for one in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
        fields["body"] = fields["body"][1:]
    return [type(node).__name__, {name: plain(value) for name, value in sorted(fields.items())}]


def code_digest(folder):
    texts = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.py")
    }
    trees = {name: plain(ast.parse(text)) for name, text in texts.items()}
    return hashlib.sha256(repr(sorted(trees.items())).encode()).hexdigest()[:16]


def test_the_numerical_version_belongs_to_the_code_of_the_metrics():
    found = code_digest(METRICS)
    assert found == METRICS_DIGEST, (
        f"a file under metrics/ changed. If scores change, raise NUMERICAL_VERSION = {NUMERICAL_VERSION} in "
        f"bcos_eval/version.py and say so in the CHANGELOG; in any case state METRICS_DIGEST = {found!r} there."
    )


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('"""Other words."""\n\n\ndef f(x):\n    # why\n    return x + 1\n', True),
        ('"""Words."""\n\n\ndef f(x):\n    return x + 2\n', False),
    ],
)
def test_words_do_not_count_and_code_does(tmp_path, text, same):
    (tmp_path / "metric.py").write_text('"""Words."""\n\n\ndef f(x):\n    return x + 1\n')
    before = code_digest(tmp_path)
    (tmp_path / "metric.py").write_text(text)
    assert (code_digest(tmp_path) == before) is same
