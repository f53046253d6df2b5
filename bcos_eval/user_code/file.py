"""Python files of the user's own, named on the command line as `path/to/file.py:name`.

Such a file is run as it is: nothing here protects from what it does.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from bcos_eval.contract.explainer import Explainer
from bcos_eval.contract.metric import Metric
from bcos_eval.contract.plugins import default_presets, explainers, metrics
from bcos_eval.errors import InputError, unknown_name

_SUFFIX = ".py"
_DIGEST_DIGITS = 16
_SEED = 0


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in a file: `path/to/file.py:name`."""

    path: Path
    name: str

    @property
    def short(self) -> str:
        """How tables call it, `file.name`; a dot keeps it apart from every registered name."""
        stem = re.sub(r"[^\w+-]", "_", self.path.stem)
        return f"{stem}.{self.name}"


@dataclass(frozen=True, slots=True)
class UserFile:
    """A file that was run.

    Attributes:
        path: Where it lies.
        module: What it defined.
        digest: Identity of its text and of the files beside it that it imports.
        explainers: Explainers it registered, by name.
        metrics: Metrics it registered, by `name/preset`.
    """

    path: Path
    module: ModuleType
    digest: str
    explainers: Mapping[str, Explainer]
    metrics: Mapping[str, Metric]


_FILES: dict[tuple[Path, str], UserFile] = {}


def parse_reference(text: str) -> Reference:
    """Read `path/to/file.py:name`.

    Raises:
        InputError: If the name is missing.

    Example:
        >>> parse_reference("nets/mine.py:small").short
        'mine.small'
    """
    path, _, name = text.rpartition(":")
    if not path.endswith(_SUFFIX) or not name:
        raise InputError(f"'{text}' names a file and nothing in it; write FILE.py:NAME.")
    return Reference(Path(path), name)


def load_file(path: Path) -> UserFile:
    """Run a file, once for each of its versions, with the folder it lies in open for imports.

    What it registers is set aside, so that an edited file can be run again and built-in names stay as they are.

    Raises:
        InputError: If it cannot be read, or raises; in one line with the file and the reason.
    """
    path = path.resolve()
    sources = _sources(path)
    digest = _digest(sources)
    if (path, digest) not in _FILES:
        _FILES[path, digest] = _run(path, sources, digest)
    return _FILES[path, digest]


def named_object(reference: Reference, file: UserFile, kind: str) -> object:
    """Return what a file calls so.

    Args:
        reference: The name.
        file: The file, run.
        kind: What is wanted, for the message.

    Raises:
        InputError: If there is no such name; with near matches.
    """
    names = vars(file.module)
    if reference.name not in names:
        own = [name for name, value in names.items() if _is_offered(name, value, file.module)]
        if not own:
            raise InputError(f"'{reference.path}' defines nothing that could be '{reference.name}'.")
        raise unknown_name(f"{kind} in {reference.path}", reference.name, own)
    return names[reference.name]


def error_line(path: Path, error: BaseException) -> str:
    """Return what a file's code raised, in one line, with the last line of the file that was involved."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f" (line {frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {text}' if text else ''}{place}"


@contextmanager
def fixed_draws() -> Iterator[None]:
    """Make torch's draws in the block the same each time, and leave the caller's as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        yield


def _is_offered(name: str, value: object, module: ModuleType) -> bool:
    return not name.startswith("_") and getattr(value, "__module__", None) == module.__name__


def _run(path: Path, sources: Mapping[Path, bytes], digest: str) -> UserFile:
    module = ModuleType(f"bcos_eval_user_{re.sub(r'[^A-Za-z0-9]', '_', path.stem)}_{digest}")
    module.__file__ = str(path)
    with _registrations() as registered, _imports_beside(path, sources), fixed_draws():
        sys.modules[module.__name__] = module  # dataclasses and pickle look modules up there
        try:
            exec(compile(sources[path], str(path), "exec"), module.__dict__)
        # A file may raise anything, and `sys.exit` at its end is common in scripts.
        except (Exception, SystemExit) as error:
            del sys.modules[module.__name__]
            raise InputError(f"'{path}' cannot be loaded: {error_line(path, error)}.") from error
    own_explainers, own_metrics = registered
    return UserFile(path, module, digest, own_explainers, own_metrics)


@contextmanager
def _registrations() -> Iterator[tuple[dict[str, Explainer], dict[str, Metric]]]:
    """Take out of the registries, at the end, what the block put in, and hand it over."""
    known_explainers, known_metrics, presets = explainers(), metrics(), default_presets()
    before = dict(known_explainers), dict(known_metrics), dict(presets)
    new: tuple[dict[str, Explainer], dict[str, Metric]] = {}, {}
    try:
        yield new
    finally:
        new[0].update({name: known_explainers.pop(name) for name in [*known_explainers] if name not in before[0]})
        new[1].update({name: known_metrics.pop(name) for name in [*known_metrics] if name not in before[1]})
        for name in set(presets) - set(before[2]):
            del presets[name]


@contextmanager
def _imports_beside(path: Path, sources: Mapping[Path, bytes]) -> Iterator[None]:
    """Let a file import its neighbours, in the version that lies there now."""
    for name, module in list(sys.modules.items()):
        home = getattr(module, "__file__", None)
        if home and name != "__main__" and Path(home) in sources:
            del sys.modules[name]
    before = list(sys.path), sys.dont_write_bytecode
    # Compiled files know a source by second and size, which two versions may share.
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(path.parent))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = before


def _sources(path: Path) -> dict[Path, bytes]:
    """Return the text of a file and of the files beside it that it imports, directly or not."""
    try:
        found = {path: path.read_bytes()}
    except OSError as error:
        raise InputError(f"cannot read '{path}' ({error.strerror}); give FILE.py:NAME.") from error
    waiting = [path]
    while waiting:
        file = waiting.pop()
        for neighbour in _neighbours(file, found[file], path.parent):
            if neighbour not in found and neighbour.is_file():
                found[neighbour] = neighbour.read_bytes()
                waiting.append(neighbour)
    return found


def _neighbours(file: Path, text: bytes, root: Path) -> Iterator[Path]:
    """Yield where the modules that a file imports would lie, below `root`."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return  # running it says what is wrong
    for node in ast.walk(tree):
        names: list[str] = []
        base = root
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = file.parents[node.level - 1] if node.level else root
            module = [node.module] if node.module else []
            names = [".".join([*module, alias.name]) for alias in node.names]
        for name in names:
            parts = name.split(".")
            for depth in range(1, len(parts) + 1):
                place = base.joinpath(*parts[:depth])
                yield from (place.with_name(place.name + _SUFFIX), place / f"__init__{_SUFFIX}")


def _digest(sources: Mapping[Path, bytes]) -> str:
    """Return a digest of the texts, whatever folder they lie in."""
    digests = sorted(f"{path.name} {hashlib.sha256(text).hexdigest()}" for path, text in sources.items())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:_DIGEST_DIGITS]
