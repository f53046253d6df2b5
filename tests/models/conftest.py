"""The recipe that makes reproducible weights and images, from the reference folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def recipe(reference_dir: Path) -> ModuleType:
    """The module `recipe.py` of the reference folder."""
    spec = importlib.util.spec_from_file_location("reference_recipe", reference_dir / "recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
