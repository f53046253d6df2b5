from __future__ import annotations

import sys
from textwrap import dedent

import pytest

from bcos_eval.contract.plugins import explainers, metrics
from bcos_eval.errors import InputError
from bcos_eval.user_code.file import load_file, named_object, parse_reference


@pytest.fixture
def write(tmp_path):
    """Writes a file of the user's own."""

    def to(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return to


def refusal(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def test_tables_name_file_and_function_without_odd_characters():
    assert parse_reference("/some where/my net (2).py:small").short == "my_net__2_.small"


@pytest.mark.parametrize("text", ["net.py", "net.py:"])
def test_a_file_without_a_name_in_it_is_refused(text):
    assert refusal(parse_reference, text) == f"'{text}' names a file and nothing in it; write FILE.py:NAME."


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "no.py"
    assert refusal(load_file, path) == f"cannot read '{path}' (No such file or directory); give FILE.py:NAME."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\nraise KeyError('a\\nb')\n", "KeyError: 'a\\nb' (line 2)"),
        ("x = (\n", "SyntaxError: '(' was never closed (line 1)"),
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found' (line 1)"),
        ("import sys\n\nsys.exit(3)\n", "SystemExit: 3 (line 3)"),
        ("def f():\n    1 / 0\n\nf()\n", "ZeroDivisionError: division by zero (line 2)"),
    ],
)
def test_what_goes_wrong_in_a_file_is_one_line_with_its_place(write, text, reason):
    path = write("bad.py", text)
    before = set(sys.modules)
    assert refusal(load_file, path) == f"'{path}' cannot be loaded: {reason}."
    assert not [name for name in set(sys.modules) - before if name.startswith("bcos_eval_user")]


def test_an_unknown_name_gets_near_matches_among_what_the_file_defines(write):
    path = write("mine.py", "from pathlib import Path\ndef small(): ...\ndef _smal(): ...\n")
    reference = parse_reference(f"{path}:smal")
    message = refusal(named_object, reference, load_file(path), "model")
    assert message == f"unknown model in {path} 'smal'; did you mean small?"


def test_a_file_that_defines_nothing_says_so(write):
    path = write("empty.py", "")
    message = refusal(named_object, parse_reference(f"{path}:f"), load_file(path), "model")
    assert message == f"'{path}' defines nothing that could be 'f'."


def test_a_file_runs_once_until_it_or_a_neighbour_that_it_imports_changes(write):
    text = "from layers import width\nimport json\nvalue = width\n"
    path = write("net.py", text)
    helper = write("layers.py", "from sub.deep import width\n")
    deep = write("sub/deep.py", "width = 1\n")
    write("sub/__init__.py", "")
    first = load_file(path)
    assert load_file(path) is first
    assert first.module.value == 1
    deep.write_text("width = 2\n")  # same size, maybe the same second
    second = load_file(path)
    assert (second.module.value, second.digest == first.digest) == (2, False)
    helper.write_text("width = 3\n")
    assert load_file(path).module.value == 3
    deep.write_text("width = 4\n")  # nobody imports it any more
    assert load_file(path).module.value == 3


def test_relative_imports_of_a_package_count_as_neighbours(write):
    path = write("net.py", "import pack\nvalue = pack.width\n")
    write("pack/__init__.py", "from .inner import width\n")
    inner = write("pack/inner.py", "width = 1\n")
    assert load_file(path).module.value == 1
    inner.write_text("width = 2\n")
    assert load_file(path).module.value == 2


def test_the_same_text_elsewhere_has_the_same_digest(write):
    assert load_file(write("a/net.py", "x = 1\n")).digest == load_file(write("b/net.py", "x = 1\n")).digest


def test_the_search_path_and_the_folder_stay_as_they_are(write):
    path = write("net.py", "import layers\n")
    write("layers.py", "")
    before = list(sys.path), sys.dont_write_bytecode
    load_file(path)
    assert (list(sys.path), sys.dont_write_bytecode) == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["layers.py", "net.py"]


def test_what_a_file_registers_is_set_aside_so_that_it_can_be_edited(write):
    text = """
        from bcos_eval.baselines import register_explainer
        from bcos_eval.metrics import MetricInfo, register_metric

        @register_explainer("mine", source="me")
        def function(model, images, targets): ...

        @register_metric(MetricInfo("score", "own", "single", False, "lower", 0, 1, None, "me"), recommended=True)
        def score(batch): ...
    """
    before = dict(explainers()), dict(metrics())
    file = load_file(write("mine.py", text))
    assert (list(file.explainers), list(file.metrics)) == (["mine"], ["score/own"])
    again = load_file(write("mine.py", dedent(text) + "edited = 1\n"))
    assert list(again.explainers) == ["mine"]
    assert (dict(explainers()), dict(metrics())) == before


def test_a_registered_name_of_the_suite_cannot_be_taken(write):
    path = write(
        "mine.py",
        """\
        from bcos_eval.baselines import register_explainer

        @register_explainer("lime", source="me")
        def function(model, images, targets): ...
        """,
    )
    assert refusal(load_file, path) == (
        f"'{path}' cannot be loaded: ValueError: explainer 'lime' is registered twice; every explainer needs its "
        "own name (line 3)."
    )
