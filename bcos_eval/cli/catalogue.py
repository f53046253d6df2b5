"""What is registered, known without torch: `catalogue.json` is the registries' rows, written down.

Loading the registries takes the seconds that importing torch takes, which neither a list nor the refusal of a
misspelt name should cost. So their rows are part of the package, together with digests of the sources they were
made from. Where the sources are others (an explainer was added to a checkout), the registries are asked.

`python -m bcos_eval.cli.catalogue` writes the file anew; a test demands that the committed one is up to date.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]

KINDS = ("models", "methods", "metrics", "datasets")
# Networks that are known by name and not listed unless asked for: torchvision's.
OTHER_MODELS = "other_models"
_FILE = Path(__file__).with_name("catalogue.json")
# The packages that registrations lie in, or that say what stands there.
_SOURCE_PACKAGES = (
    "bcos_eval.baselines",
    "bcos_eval.bcos",
    "bcos_eval.contract",
    "bcos_eval.data",
    "bcos_eval.metrics",
    "bcos_eval.models",
)
# Cards of shipped weights lie beside the sources and are listed too.
_SUFFIXES = (".py", ".json")
_DIGEST_DIGITS = 12
_SHIPPED = "shipped"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that is registered.

    Attributes:
        sections: The rows of each of `KINDS` and of `OTHER_MODELS`, as `list KIND --json` prints them.
    """

    sections: Mapping[str, list[Row]]

    def rows(self, kind: str) -> list[Row]:
        """Return the rows of one of `KINDS`, or of `OTHER_MODELS`."""
        return self.sections[kind]


def catalogue() -> Catalogue:
    """Return what is registered: from the file where it is up to date, else from the registries."""
    # A process that has loaded torch has paid for the registries, and may have added to them.
    written = None if "torch" in sys.modules else _written()
    return registered() if written is None else written


def registered() -> Catalogue:
    """Return what the registries of this process hold."""
    from .registered import REGISTERED

    return Catalogue({kind: REGISTERED[kind]() for kind in (*KINDS, OTHER_MODELS)})


def source_digests() -> dict[str, str]:
    """Return a digest of every file that the catalogue is made from, by package and path."""
    return {
        f"{package}/{path.relative_to(folder).as_posix()}": _digest(path)
        for package in _SOURCE_PACKAGES
        for folder in _folders(package)
        for path in sorted(folder.rglob("*"))
        if path.suffix in _SUFFIXES
    }


def catalogue_text() -> str:
    """Return the content of `catalogue.json` as it should be now."""
    sections = registered().sections
    for row in (*sections["models"], *sections[OTHER_MODELS]):
        for weights in row["weights"]:
            weights.pop("intact")  # true of an installation, and not of a version
    return json.dumps({"sources": source_digests(), **sections}, indent=1, ensure_ascii=False) + "\n"


def _written() -> Catalogue | None:
    """Return the content of the file; None where it does not describe the sources that lie here."""
    try:
        content = json.loads(_FILE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if content.pop("sources", None) != source_digests():
        return None
    for row in (*content["models"], *content[OTHER_MODELS]):
        for weights in row["weights"]:
            weights["intact"] = _intact(row["name"], weights)
    return Catalogue(content)


def _intact(model: str, weights: Mapping[str, Any]) -> bool | None:
    """Return whether a packaged file is the one that its card describes; None for files that are fetched."""
    if weights["from"] != _SHIPPED:
        return None
    (folder,) = _folders("bcos_eval.models")
    path = folder / "weights" / f"{model}-{weights['dataset']}.safetensors"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == weights["sha256_prefix"]
    except OSError:
        return False


def _folders(package: str) -> Iterator[Path]:
    """Yield where a package lies, which need not be imported for that."""
    found = importlib.util.find_spec(package)
    if found is not None and found.origin is not None:
        yield Path(found.origin).parent


def _digest(path: Path) -> str:
    # Checkouts on Windows may have other line ends.
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()[:_DIGEST_DIGITS]


if __name__ == "__main__":
    _FILE.write_text(catalogue_text(), encoding="utf-8", newline="\n")
