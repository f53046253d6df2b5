"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real test images; the test is skipped where there is none."""
    root = os.environ.get("BCOS_EVAL_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("set BCOS_EVAL_DATA to the folder with the real test images")
    return Path(root)


@pytest.fixture(scope="session")
def reference_dir(data_dir: Path) -> Path:
    """The folder with the official key inventories and golden outputs, beside the images."""
    folder = data_dir.parent / "reference"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs in {folder}")
    return folder
