"""A cache of its own for every test of datasets."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Digests of files are remembered nowhere else."""
    monkeypatch.setenv("BCOS_EVAL_CACHE", str(tmp_path_factory.mktemp("cache")))
