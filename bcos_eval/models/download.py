"""Fetch a published file into a cache: whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO

import torch
from tqdm import tqdm

from bcos_eval.errors import InputError
from bcos_eval.version import __version__

CACHE_VARIABLE = "BCOS_EVAL_CACHE"
# A server that sends nothing for this long, or less than the given rate over it, counts as down.
TIMEOUT_S = 30.0
MIN_BYTES_PER_S = 1024
_BLOCK_BYTES = 1 << 20


def cache_dir() -> Path:
    """Return where fetched weights lie: `$BCOS_EVAL_CACHE`, else where `torch.hub` keeps its checkpoints."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(torch.hub.get_dir()) / "checkpoints"


def fetch(url: str, sha256_prefix: str) -> Path:
    """Return the path of a published file, fetching it if the cache does not have it.

    The file appears under its name only after its digest was verified; a cached file is verified again each time.

    Args:
        url: Where it lies.
        sha256_prefix: First hexadecimal digits of its SHA-256.

    Raises:
        InputError: If it cannot be fetched, saying which file to put where; if it is not the published file.
    """
    path = cache_dir() / url.rsplit("/", 1)[-1]
    if path.is_file():
        _verify_cached(path, url, sha256_prefix)
        return path
    remedy = f"fetch it yourself and put it at {path}, or pass --weights with a file"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_beside(path) as stream:
            digest = _stream(url, stream)
            if not digest.startswith(sha256_prefix):
                raise InputError(
                    f"what {url} sends is not the published file (SHA-256 {digest[: len(sha256_prefix)]}…, "
                    f"expected {sha256_prefix}…) and was not kept; try again later, or {remedy}"
                )
            os.fsync(stream.fileno())
    except NETWORK_ERRORS as error:
        raise InputError(f"cannot fetch {url} ({reason_of_network(error)}); {remedy}") from error
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror or error}); set {CACHE_VARIABLE} to a folder with room"
        ) from error
    return path


class _TransferError(Exception):
    """The transfer began and did not end well; its text says how."""


NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    _TransferError,
)


def _verify_cached(path: Path, url: str, sha256_prefix: str) -> None:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(sha256_prefix):
        raise InputError(
            f"{path} is not the published file (SHA-256 {digest[: len(sha256_prefix)]}…, expected "
            f"{sha256_prefix}…); delete it, and it is fetched again from {url}"
        )


@contextmanager
def _temporary_beside(path: Path) -> Iterator[IO[bytes]]:
    """Open a file of another name in the same folder that becomes `path` if the block succeeds."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _stream(url: str, target: IO[bytes]) -> str:
    """Copy what the server sends into a file; returns its SHA-256."""
    digest = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": f"bcos-eval/{__version__}"})
    with open_url(request) as response:
        expected = response.headers.get("Content-Length")
        total = int(expected) if expected and expected.isdigit() else None
        received = 0
        with tqdm(
            total=total, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1], file=sys.stderr, leave=False
        ) as bar:
            for block in _blocks(response):
                target.write(block)
                digest.update(block)
                received += len(block)
                bar.update(len(block))
    if total is not None and received != total:
        raise _TransferError(f"the connection ended after {received} of {total} bytes")
    target.flush()
    return digest.hexdigest()


def open_url(request: urllib.request.Request, timeout_s: float | None = None) -> http.client.HTTPResponse:
    """Return the response of a server, which has `TIMEOUT_S` to answer if nothing else is said.

    Raises:
        urllib.error.URLError, OSError: One of `NETWORK_ERRORS`.
    """
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(
            request, timeout=TIMEOUT_S if timeout_s is None else timeout_s
        )
    except urllib.error.HTTPError as error:
        error.close()  # it is a response too, with a socket of its own
        raise
    return response


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield what arrives as it arrives; a trickle below the slowest rate ends the transfer."""
    since, received = time.monotonic(), 0
    while block := response.read1(_BLOCK_BYTES):
        yield block
        received += len(block)
        elapsed = time.monotonic() - since
        if elapsed >= TIMEOUT_S:
            if received < MIN_BYTES_PER_S * elapsed:
                raise _TransferError(f"{received} bytes in {elapsed:.0f} s is too slow")
            since, received = time.monotonic(), 0


def reason_of_network(error: Exception) -> str:
    """Return one line that says what went wrong."""
    if isinstance(error, urllib.error.HTTPError):
        phrase = HTTPStatus(error.code).phrase if error.code in list(HTTPStatus) else "unknown"
        loop = (
            ": redirects without end" if HTTPStatus.MULTIPLE_CHOICES <= error.code < HTTPStatus.BAD_REQUEST else ""
        )
        return f"HTTP {error.code} {phrase}{loop}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, TimeoutError):
        return f"no answer for {TIMEOUT_S:g} s"
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__
