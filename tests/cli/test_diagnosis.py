from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from bcos_eval.cli import diagnosis, speed
from bcos_eval.cli.diagnosis import (
    Finding,
    cached_findings,
    dataset_findings,
    diagnose,
    package_findings,
    shipped_findings,
)
from bcos_eval.cli.main import main
from bcos_eval.models import load, published_weights, shipped_weights


def named(findings, name):
    (found,) = [finding for finding in findings if finding.name == name]
    return found


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of shipped weights with one file that may be damaged."""
    path = shipped_weights("bcos_resnet18")["shapes"]
    for file in (path, path.with_suffix(".json")):
        shutil.copy(file, tmp_path / file.name)
    monkeypatch.setattr(load, "WEIGHTS_DIR", tmp_path)
    return tmp_path / path.name


@pytest.fixture
def no_speed(monkeypatch):
    """Leaves out the measurement, which takes seconds."""
    monkeypatch.setattr(diagnosis, "speed_findings", lambda **_: iter(()))


def test_every_package_that_is_stated_is_looked_at():
    findings = list(package_findings())
    stated = {re.match(r"[A-Za-z0-9._-]+", text)[0] for text in importlib.metadata.requires("bcos-eval")}
    assert {finding.name for finding in findings} == {"bcos-eval", *stated}
    assert named(findings, "torch") == Finding("packages", "torch", "ok", importlib.metadata.version("torch"))


def test_what_is_missing_or_old_is_broken_only_if_it_is_needed(monkeypatch):
    monkeypatch.setattr(
        importlib.metadata,
        "requires",
        lambda _: [
            "nowhere>=2",
            "torch>=99.1",
            'elsewhere>=3; extra == "dev"',
            'click>=99; extra == "dev"',
            "numpy",
            "pandas<99,>=1",
            "scipy<1",
        ],
    )
    findings = list(package_findings())
    assert named(findings, "nowhere") == Finding(
        "packages", "nowhere", "broken", "not installed", 'pip install "nowhere>=2"'
    )
    assert named(findings, "torch").state == "broken"
    assert named(findings, "torch").text.endswith(", needed is >=99.1")
    assert named(findings, "elsewhere") == Finding(
        "optional packages", "elsewhere", "absent", "not installed", 'pip install "bcos-eval[dev]"'
    )
    assert named(findings, "click").state == "absent"
    assert named(findings, "numpy").state == named(findings, "pandas").state == "ok"
    assert named(findings, "scipy").remedy == 'pip install "scipy<1"'
    # Nothing else can be relied on then.
    assert [finding.section for finding in diagnose() if "packages" not in finding.section] == []


def test_shipped_weights_are_compared_with_their_cards(shipped):
    (found,) = shipped_findings()
    assert (found.state, found.text) == ("ok", "shipped, 3.2 MB, digest as in its card")
    data = bytearray(shipped.read_bytes())
    data[-5] ^= 1
    shipped.write_bytes(data)
    (found,) = shipped_findings()
    assert (found.state, found.text, found.remedy) == (
        "broken",
        "the digest is not its card's",
        "install the package again",
    )


@pytest.mark.parametrize("damage", ["cut", "other", "no digest", "card", "no card"])
def test_damaged_weights_and_cards_are_found(shipped, damage):
    card = shipped.with_suffix(".json")
    if damage == "cut":
        shipped.write_bytes(shipped.read_bytes()[:-100])
    elif damage == "other":
        shutil.copy(Path(load.__file__).parent / "weights" / "resnet18-shapes.safetensors", shipped)
    elif damage == "no digest":
        card.write_text("{}")
    elif damage == "card":
        card.write_text("{")
    else:
        card.unlink()
    (found,) = shipped_findings()
    assert (found.state, found.remedy) == ("broken", "install the package again")


def test_cached_files_are_verified_by_their_published_digest(tmp_path, monkeypatch):
    monkeypatch.setenv("BCOS_EVAL_CACHE", str(tmp_path))
    empty = named(cached_findings(), "cache")
    assert empty.state == "absent"
    assert empty.text.startswith("0 of ")
    weights = published_weights("bcos_resnet50")
    path = tmp_path / weights.file_name
    path.write_bytes(b"half a file")
    found = named(cached_findings(), weights.file_name)
    assert (found.state, found.text) == ("broken", "not the published file")
    assert found.remedy == f"delete {path}; it comes from {weights.url}"
    monkeypatch.setattr("bcos_eval.models.weights_file.file_digest", lambda _: weights.sha256_prefix + "00")
    assert named(cached_findings(), weights.file_name).state == "ok"
    assert named(cached_findings(), "cache").state == "ok"


def test_absent_data_are_no_fault_and_wrong_ones_are(tmp_path, monkeypatch):
    monkeypatch.delenv("BCOS_EVAL_DATA", raising=False)
    findings = list(dataset_findings())
    assert named(findings, "shapes").state == "ok"
    assert named(findings, "imagenet") == Finding(
        "datasets",
        "imagenet",
        "absent",
        "$BCOS_EVAL_DATA is not set",
        "wanted: a folder with val/<wnid>/*.JPEG, or that val folder itself, or the top of Kaggle's archive",
    )
    (tmp_path / "tiny-imagenet").mkdir()
    found = named(dataset_findings(tmp_path), "tiny_imagenet20")
    assert found.state == "broken"
    assert "words.txt" in found.text
    # The folder that `run --data-dir` takes is found too, and only for its dataset.
    findings = list(dataset_findings(tmp_path / "tiny-imagenet"))
    assert named(findings, "tiny_imagenet20").state == "broken"
    assert named(findings, "imagenet").text == f"no imagenet/ in {tmp_path / 'tiny-imagenet'}"
    # `run` looks below $BCOS_EVAL_DATA only.
    monkeypatch.setenv("BCOS_EVAL_DATA", str(tmp_path / "tiny-imagenet"))
    assert named(dataset_findings(), "tiny_imagenet20").state == "absent"
    missing = tmp_path / "nowhere"
    assert named(dataset_findings(missing), str(missing)).state == "broken"


def test_a_folder_is_found_under_any_name_by_its_content(tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    findings = list(dataset_findings(tmp_path))
    assert named(findings, "folder").text == f"2 images in {tmp_path}"
    assert named(findings, "tiny_imagenet20").state == "absent"


def test_unreadable_images_are_hinted_at(tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "folder" / name / "good.png")
    assert named(dataset_findings(tmp_path), "folder").text == f"2 images in {tmp_path / 'folder'}"
    (tmp_path / "folder" / "a" / "good.png").write_bytes(b"no image")
    found = named(dataset_findings(tmp_path), "folder")
    assert (found.state, found.text) == ("ok", f"2 images in {tmp_path / 'folder'}; 1 of 2 read are damaged")
    assert found.remedy == "runs skip them"


def test_a_forward_and_an_explanation_pass_are_timed():
    forward, explanation = speed.measured(speed.CASES[0])
    assert forward > 0
    assert explanation > 0


def test_the_median_leaves_out_the_first_and_ends_in_time(monkeypatch):
    clock = iter([0, 9, 10, 11, 20, 23, 30, 32.0])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(speed, "_BUDGET_S", 14)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    # Differences 9, 1, 3, 2; after four the budget of 14 is spent.
    assert speed._median_seconds(lambda: None) == 2


def test_only_the_full_look_times_the_large_network(monkeypatch):
    monkeypatch.setattr(speed, "measured", lambda case: (0.001, 0.0025))
    assert [finding.name for finding in diagnosis.speed_findings()] == ["bcos_resnet18 64×64"]
    full = list(diagnosis.speed_findings(full=True))
    assert [finding.name for finding in full] == ["bcos_resnet18 64×64", "bcos_resnet50 224×224"]
    assert full[0].text.startswith("forward 1.0 ms, explanation 2.5 ms per image on ")


def test_doctor_exits_with_one_only_if_something_is_broken(capsys, monkeypatch, no_speed, tmp_path):
    monkeypatch.setenv("BCOS_EVAL_CACHE", str(tmp_path))
    monkeypatch.delenv("BCOS_EVAL_DATA", raising=False)
    with pytest.raises(SystemExit) as caught:
        main(["doctor"])
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert out.endswith("usable.\n")
    assert "  ok      torch " in out
    with pytest.raises(SystemExit) as caught:
        main(["doctor", "--json", "--data-dir", str(tmp_path / "nowhere")])
    report = json.loads(capsys.readouterr().out)
    assert caught.value.code == 1
    assert report["usable"] is False
    assert [row["name"] for row in report["findings"] if row["state"] == "broken"] == [str(tmp_path / "nowhere")]


def test_a_broken_installation_is_reported_not_raised(monkeypatch, no_speed):
    monkeypatch.setattr(
        diagnosis, "shipped_findings", lambda: 1 / 0 if False else (_ for _ in ()).throw(OSError("libtorch"))
    )
    found = named(diagnose(), "OSError")
    assert (found.state, found.text, found.remedy) == ("broken", "libtorch", "install the package again")
