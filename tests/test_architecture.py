from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What each part may import of the suite, besides itself.
FREE = {"errors", "seeding", "spelling", "version"}
ALLOWED = {
    "contract": FREE,
    "statistics": FREE,
    "store": FREE,
    "bcos": FREE | {"contract"},
    "metrics": FREE | {"contract"},
    "baselines": FREE | {"contract", "bcos"},
    "data": FREE | {"contract"},
    "models": FREE | {"contract", "bcos", "data"},
    "training": FREE | {"contract", "bcos", "data", "models"},
    "stimuli": FREE | {"contract", "data", "store"},
    "user_code": FREE | {"contract", "bcos", "data", "models"},
    "engine": FREE | {"contract", "statistics", "bcos", "data", "models", "stimuli", "user_code", "store"},
    "reports": FREE | {"contract", "statistics", "store"},
    "bench": FREE | {"contract", "bcos", "data", "models", "stimuli", "engine", "store"},
}


def python_files():
    for folder in ("bcos_eval", "metrics", "baselines"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "bcos_eval" else ("bcos_eval", *parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path):
    """Absolute names of the modules of the suite that a file imports, wherever in the file."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path)[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "bcos_eval")


def part(name):
    """The part of the suite that a module belongs to: its first name below `bcos_eval`."""
    return [*name.split("."), ""][1]


@pytest.mark.parametrize("owner", sorted(ALLOWED))
def test_imports_point_one_way(owner):
    wrong = [
        (str(path.relative_to(ROOT)), name)
        for path in python_files()
        if module_of(path)[1:2] == (owner,)
        for name in imports(path)
        if part(name) not in ALLOWED[owner] | {owner}
    ]
    assert wrong == []


def test_nobody_imports_the_command_line_but_itself():
    wrong = [
        (path.name, name)
        for path in python_files()
        if module_of(path)[1:2] != ("cli",)
        for name in imports(path)
        if part(name) == "cli"
    ]
    assert wrong == []


def test_only_the_plug_in_loader_knows_where_metrics_and_baselines_are():
    wrong = [
        (path.name, name)
        for path in python_files()
        if path.is_relative_to(ROOT / "bcos_eval")
        for name in imports(path)
        if part(name) in ("metrics", "baselines")
    ]
    assert wrong == []


def test_plug_in_folders_import_their_siblings_relatively():
    wrong = [
        (str(path.relative_to(ROOT)), node.module)
        for path in python_files()
        if path.relative_to(ROOT).parts[0] in ("metrics", "baselines")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and not node.level
        and (node.module or "").split(".")[:2] in (["bcos_eval", "metrics"], ["bcos_eval", "baselines"])
    ]
    assert wrong == []


def test_every_folder_with_an_init_file_is_packaged():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {".".join(module_of(path)) for path in python_files() if path.name == "__init__.py"}
    assert set(settings["packages"]) == found


def test_folders_with_python_files_have_an_init_file():
    missing = {path.parent for path in python_files() if not (path.parent / "__init__.py").exists()}
    assert missing == set()


def test_the_public_names_exist_and_are_all_there_is():
    import bcos_eval

    assert sorted(bcos_eval.__all__) == [
        "Evaluation",
        "Results",
        "__version__",
        "bcosify",
        "evaluate",
        "explain",
        "load_model",
        "load_results",
    ]
    assert all(getattr(bcos_eval, name) is not None for name in bcos_eval.__all__)
    with pytest.raises(AttributeError, match=r"^module 'bcos_eval' has no attribute 'evaluat'$"):
        bcos_eval.evaluat  # noqa: B018 - the access is the test


def modules_with_examples():
    return [".".join(module_of(path)) for path in python_files() if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_give_what_they_show(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_module_can_be_imported():
    for name in ("bcos_eval", "bcos_eval.metrics", "bcos_eval.baselines"):
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(found.name)
