"""Fetching weights from servers that behave and from servers that do not."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from bcos_eval.errors import InputError
from bcos_eval.models import MODELS, download, load_model
from bcos_eval.models.download import cache_dir, fetch
from bcos_eval.models.registry import model_info

BODY = bytes(range(256)) * 40
DIGEST = hashlib.sha256(BODY).hexdigest()[:10]


class Handler(BaseHTTPRequestHandler):
    """Answers by path: /good/, /short/, /loop/, /moved/, /silent/, /trickle/, /unsized/; 404 otherwise."""

    def do_GET(self):
        self.server.requests.append(self.path)
        behaviour, name = self.path.strip("/").split("/")
        body = self.server.files.get(name, BODY)
        if behaviour in ("loop", "moved"):
            self.send_response(302)
            self.send_header("Location", f"/{'loop' if behaviour == 'loop' else 'good'}/{name}")
            self.end_headers()
        elif behaviour in ("good", "short", "silent", "trickle", "unsized"):
            self.send_response(200)
            if behaviour != "unsized":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            getattr(self, behaviour)(body)
        else:
            self.send_error(404)

    def good(self, body: bytes):
        self.wfile.write(body)

    unsized = good

    def short(self, body: bytes):
        self.wfile.write(body[: len(body) // 2])

    def silent(self, body: bytes):
        self.wfile.write(body[:100])
        self.server.released.wait(5)

    def trickle(self, body: bytes):
        for start in range(0, 200, 10):
            self.wfile.write(body[start : start + 10])
            if self.server.released.wait(0.05):
                return

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests, running.files, running.released = [], {}, threading.Event()
        running.handle_error = lambda *_: None  # clients hang up on purpose
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BCOS_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "TIMEOUT_S", 0.3)
    return tmp_path / "cache"


@pytest.fixture
def url(server) -> Callable[[str], str]:
    return lambda behaviour, name="net.pth": f"http://127.0.0.1:{server.server_port}/{behaviour}/{name}"


def remedy(cache: Path, name: str = "net.pth") -> str:
    return f"fetch it yourself and put it at {cache / name}, or pass --weights with a file"


@pytest.mark.parametrize("behaviour", ["good", "moved", "unsized"])
def test_a_file_is_fetched_whole_once_and_shown_on_standard_error(
    behaviour: str, server, url, cache: Path, capsys: pytest.CaptureFixture
):
    path = fetch(url(behaviour), DIGEST)
    assert path == cache / "net.pth"
    assert path.read_bytes() == BODY
    n_requests = len(server.requests)
    assert fetch(url(behaviour), DIGEST) == path
    assert len(server.requests) == n_requests
    assert [file.name for file in cache.iterdir()] == ["net.pth"]
    captured = capsys.readouterr()
    assert "net.pth" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("nowhere", "HTTP 404 Not Found"),
        ("loop", "HTTP 302 Found: redirects without end"),
        ("short", f"the connection ended after {len(BODY) // 2} of {len(BODY)} bytes"),
        ("silent", "no answer for 0.3 s"),
    ],
)
def test_a_failed_transfer_says_why_and_where_to_put_the_file_and_leaves_nothing(
    behaviour: str, reason: str, url, cache: Path
):
    with pytest.raises(InputError) as caught:
        fetch(url(behaviour), DIGEST)
    assert str(caught.value) == f"cannot fetch {url(behaviour)} ({reason}); {remedy(cache)}"
    assert list(cache.iterdir()) == []


def test_a_trickling_server_is_given_up(url, cache: Path):
    start = time.monotonic()
    with pytest.raises(InputError, match=r"\(\d+ bytes in \d s is too slow\)"):
        fetch(url("trickle"), DIGEST)
    assert time.monotonic() - start < 0.9
    assert list(cache.iterdir()) == []


def test_a_file_with_another_digest_is_not_kept(url, cache: Path):
    with pytest.raises(InputError) as caught:
        fetch(url("good"), "0123456789")
    assert str(caught.value) == (
        f"what {url('good')} sends is not the published file (SHA-256 {DIGEST}…, expected 0123456789…) "
        f"and was not kept; try again later, or {remedy(cache)}"
    )
    assert list(cache.iterdir()) == []


def test_a_tampered_cached_file_is_refused(server, url, cache: Path):
    path = fetch(url("good"), DIGEST)
    path.write_bytes(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()[:10]
    with pytest.raises(InputError) as caught:
        fetch(url("good"), DIGEST)
    assert str(caught.value) == (
        f"{path} is not the published file (SHA-256 {found}…, expected {DIGEST}…); "
        f"delete it, and it is fetched again from {url('good')}"
    )
    assert len(server.requests) == 1


def test_an_unfinished_download_of_another_process_is_ignored(url, cache: Path):
    cache.mkdir()
    (cache / "net.pth.1234.part").write_bytes(BODY[:10])
    assert fetch(url("good"), DIGEST).read_bytes() == BODY


def test_without_a_connection_the_message_names_url_and_place(cache: Path):
    url = "http://127.0.0.1:9/net.pth"  # the discard port, closed
    with pytest.raises(InputError) as caught:
        fetch(url, DIGEST)
    message = str(caught.value)
    assert re.fullmatch(re.escape(f"cannot fetch {url} (") + r".*refused\); " + re.escape(remedy(cache)), message)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BCOS_EVAL_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError) as caught:
        fetch("http://127.0.0.1:9/net.pth", DIGEST)
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'file' / 'net.pth'} (File exists); set BCOS_EVAL_CACHE to a folder with room"
    )


def test_the_cache_is_torch_hubs_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BCOS_EVAL_CACHE", raising=False)
    assert cache_dir() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.setenv("BCOS_EVAL_CACHE", "~/weights")
    assert cache_dir() == Path.home() / "weights"


def test_load_model_fetches_the_published_file(
    server, url, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    network = model_info("simple_vit_ti_patch16_224").build("imagenet", 1000)
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    server.files["vit.pth"] = (tmp_path / "vit.pth").read_bytes()
    digest = hashlib.sha256(server.files["vit.pth"]).hexdigest()
    info = model_info("simple_vit_ti_patch16_224")
    release = replace(info.published, url=url("good", "vit.pth"), sha256_prefix=digest[:10])
    monkeypatch.setitem(MODELS, info.name, replace(info, published=release))
    model = load_model("simple_vit_ti_patch16_224", dataset="imagenet")
    assert model.weights_id == digest[:16]
    assert model.class_names[0] == "tench"
    for key, value in network.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
