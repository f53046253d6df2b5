"""Whether this installation works, and how fast: what `bcos-eval doctor` finds."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.requirements import Requirement

from bcos_eval.errors import InputError
from bcos_eval.version import __version__

if TYPE_CHECKING:
    from bcos_eval.data import DatasetInfo

PACKAGE = "bcos-eval"
State = Literal["ok", "absent", "broken"]

_EXTRA = re.compile(r"extra\s*==\s*[\"']([^\"']+)[\"']")
# Images read per dataset to see whether they can be.
_N_IMAGES_READ = 8
_MILLION = 1e6
_GIBIBYTE = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        section: What it is about: packages, weights, datasets, machine, speed.
        name: Which one.
        state: "broken" is what hinders use; "absent" is what may be added.
        text: What was found.
        remedy: What to do, where something can be done.
    """

    section: str
    name: str
    state: State
    text: str
    remedy: str = ""


def diagnose(data_dir: Path | None = None, *, full: bool = False) -> Iterator[Finding]:
    """Yield what is installed, what weights and data there are, and how fast the machine is.

    Args:
        data_dir: Folder of the datasets' folders, or one of these, whatever it is called; None takes
            `$BCOS_EVAL_DATA`.
        full: Whether to time ResNet-50 on 224×224 images too.
    """
    packages = list(package_findings())
    yield from packages
    if any(finding.state == "broken" for finding in packages):
        return
    for look in (
        shipped_findings,
        cached_findings,
        lambda: dataset_findings(data_dir),
        machine_findings,
        lambda: speed_findings(full=full),
    ):
        yield from _guarded(look)


def package_findings() -> Iterator[Finding]:
    """Yield the packages that this one states it needs, with their versions."""
    yield Finding("packages", PACKAGE, "ok", f"{__version__}, Python {platform.python_version()}")
    for text in importlib.metadata.requires(PACKAGE) or []:
        extra = _EXTRA.search(text)
        yield _package(Requirement(text), extra[1] if extra else "")


def shipped_findings() -> Iterator[Finding]:
    """Yield the packaged weights files, their digests compared with their cards'."""
    from bcos_eval.models import MODELS, shipped_weights

    for model in MODELS:
        for path in shipped_weights(model).values():
            yield _shipped(path)


def cached_findings() -> Iterator[Finding]:
    """Yield the published weights files in the cache, their digests compared; and one line for the others."""
    from bcos_eval.models import MODELS, published_weights
    from bcos_eval.models.download import CACHE_VARIABLE, cache_dir

    published = {weights.file_name: weights for name in MODELS if (weights := published_weights(name)) is not None}
    present = {name: weights for name, weights in published.items() if (cache_dir() / name).is_file()}
    for name, weights in present.items():
        yield _cached(cache_dir() / name, weights.sha256_prefix, weights.url)
    text = f"{len(present)} of {len(published)} published files in {cache_dir()}"
    remedy = "" if present else f"fetched when first needed; ${CACHE_VARIABLE} moves the folder"
    yield Finding("weights", "cache", "ok" if present else "absent", text, remedy)


def dataset_findings(data_dir: Path | None = None) -> Iterator[Finding]:
    """Yield the datasets, with the number of images, a few of which are read."""
    from bcos_eval.data import DATASETS
    from bcos_eval.data.registry import DATA_VARIABLE, usual_folder

    root = data_dir or (Path(text) if (text := os.environ.get(DATA_VARIABLE)) else None)
    if data_dir is not None and not data_dir.is_dir():
        yield Finding("datasets", str(data_dir), "broken", "there is no such folder", "correct --data-dir")
    for info in DATASETS.values():
        if info.embedded:
            yield Finding("datasets", info.name, "ok", "embedded")
            continue
        place = None if root is None else usual_folder(info, root)
        if place is None and data_dir is not None and _is_folder_of(info, data_dir):
            place = data_dir
        if place is None:
            where = f"no {info.folders[0]}/ in {root}" if root else f"${DATA_VARIABLE} is not set"
            yield Finding("datasets", info.name, "absent", where, f"wanted: {info.needs}")
        else:
            yield _dataset(info.name, place)


def machine_findings() -> Iterator[Finding]:
    """Yield processor, threads and accelerators."""
    import torch

    cores = os.cpu_count() or 1
    text = f"{platform.machine()}, {_counted(cores, 'core')}, {_counted(torch.get_num_threads(), 'thread')}"
    yield Finding("machine", "cpu", "ok", text)
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        text = f"{properties.name}, {properties.total_memory / _GIBIBYTE:.0f} GiB"
        yield Finding("machine", f"cuda:{index}", "ok", text)
    if not torch.cuda.is_available():
        yield Finding("machine", "cuda", "absent", "no GPU that torch can use")


def speed_findings(*, full: bool = False) -> Iterator[Finding]:
    """Yield the median time of a forward and an explanation pass of one image."""
    from .speed import CASES, measured

    for case in CASES:
        if full or not case.only_full:
            forward, explanation = measured(case)
            times = f"forward {1000 * forward:.1f} ms, explanation {1000 * explanation:.1f} ms"
            yield Finding("speed", case.label, "ok", f"{times} per image on {case.where}")


def _guarded(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Turn what cannot even be looked at into a finding."""
    try:
        yield from look()
    except (ImportError, OSError, InputError) as error:
        yield Finding("installation", type(error).__name__, "broken", str(error), "install the package again")


def _package(needed: Requirement, extra: str) -> Finding:
    section = "optional packages" if extra else "packages"
    command = f'pip install "{PACKAGE}[{extra}]"' if extra else f'pip install "{needed.name}{needed.specifier}"'
    lacking: State = "absent" if extra else "broken"
    try:
        version = importlib.metadata.version(needed.name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(section, needed.name, lacking, "not installed", command)
    if not needed.specifier.contains(version, prereleases=True):
        return Finding(section, needed.name, lacking, f"{version}, needed is {needed.specifier}", command)
    return Finding(section, needed.name, "ok", version)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _shipped(path: Path) -> Finding:
    from bcos_eval.models import shipped_intact

    again = "install the package again"
    try:
        intact = shipped_intact(path)
        size = f"{path.stat().st_size / _MILLION:.1f} MB"
    except (OSError, ValueError) as error:  # JSON errors are ValueErrors
        return Finding("weights", path.stem, "broken", f"cannot be read: {error}", again)
    if not intact:
        return Finding("weights", path.stem, "broken", "the digest is not its card's", again)
    return Finding("weights", path.stem, "ok", f"shipped, {size}, digest as in its card")


def _cached(path: Path, sha256_prefix: str, url: str) -> Finding:
    from bcos_eval.models.weights_file import file_digest

    if file_digest(path).startswith(sha256_prefix):
        return Finding(
            "weights", path.name, "ok", f"cached, {path.stat().st_size / _MILLION:.1f} MB, digest verified"
        )
    return Finding("weights", path.name, "broken", "not the published file", f"delete {path}; it comes from {url}")


def _is_folder_of(info: DatasetInfo, place: Path) -> bool:
    """Whether a folder is a dataset's own, as `run --data-dir` takes it: by its name, else by its content."""
    from bcos_eval.data import DATASETS, load_dataset
    from bcos_eval.data.registry import usual_folder

    name = place.resolve().name
    if name in info.folders or any(name in other.folders for other in DATASETS.values()):
        return name in info.folders
    if any(usual_folder(other, place) for other in DATASETS.values()):
        return False
    try:
        return len(load_dataset(info.name, place)) > 0
    except (InputError, OSError):
        return False


def _dataset(name: str, place: Path) -> Finding:
    from bcos_eval.data import load_dataset
    from bcos_eval.errors import UnreadableImageError

    try:
        dataset = load_dataset(name, place)
    except InputError as error:
        return Finding("datasets", name, "broken", f"{place}: {error}", "restore its files, or set another folder")
    step = max(len(dataset) // _N_IMAGES_READ, 1)
    unreadable = 0
    for index in range(0, len(dataset), step):
        try:
            dataset[index]
        except UnreadableImageError:
            unreadable += 1
    text = f"{len(dataset)} images in {place}"
    if unreadable:
        read = len(range(0, len(dataset), step))
        return Finding(
            "datasets", name, "ok", f"{text}; {unreadable} of {read} read are damaged", "runs skip them"
        )
    return Finding("datasets", name, "ok", text)
