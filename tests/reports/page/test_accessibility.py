"""The page in a browser, looked at by axe-core, which is not ours: `BCOS_EVAL_AXE` names its `axe.min.js`."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from bcos_eval.reports.page.page import write_page
from bcos_eval.reports.results import Results

AXE = os.environ.get("BCOS_EVAL_AXE")
RUN = """
addEventListener("load", async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  const places = (one) => one.nodes.map((node) => node.target.join(" ")).slice(0, 3);
  const lines = found.violations.map((one) => [one.impact, one.id, places(one)]);
  document.title = "axe " + JSON.stringify(lines);
});
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no headless Chromium on this machine"),
    pytest.mark.skipif(AXE is None, reason="BCOS_EVAL_AXE names no axe.min.js (npm package axe-core)"),
]


@pytest.fixture
def page(make, tmp_path):
    rng = np.random.default_rng(0)
    for model in ("resnet18", "bcos_resnet18"):
        for method in ("bcos", "ixg", "lime", "random"):
            control = method == "random"
            make.units(rng.random(40), method=method, model=model, is_control=control)
            curves = rng.random((10, 9))
            deletion = {"metric": "pixel_deletion", "preset": "default", "direction": "lower"}
            make.units(curves.mean(1), curves=curves, method=method, model=model, is_control=control, **deletion)
            make.examples(torch.randn(2, 1, 16, 16), method=method, model=model)
    path = tmp_path / "page.html"
    write_page(Results.of([make.root]), path)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1300])
def test_axe_has_no_serious_findings(page, tmp_path, width, scheme):
    text = page.read_text(encoding="utf-8")
    script = f"<script>{Path(AXE).read_text(encoding='utf-8')}</script><script>{RUN}</script>"
    page.write_text(text.replace("<head>", f"<head>{script}", 1), encoding="utf-8")
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900",
        f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout
    (found,) = re.findall(r"<title>axe (.*?)</title>", dom)
    serious = [one for one in json.loads(html.unescape(found)) if one[0] in ("serious", "critical")]
    assert serious == []
