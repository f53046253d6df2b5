from __future__ import annotations

import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from bcos_eval.errors import InputError
from bcos_eval.models import MODELS, load_model, shipped_weights
from bcos_eval.models.registry import model_info, register_model
from bcos_eval.models.weights_file import load_strictly, read_weights, round_weights, save_weights


class Payload:
    """Touches a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def small_model() -> nn.Module:
    torch.manual_seed(3)
    model = model_info("bcos_resnet18").build("small", 5)
    model.class_names = tuple("abcde")
    return model


def card(model: nn.Module) -> dict:
    return {
        "model": "bcos_resnet18",
        "dataset": "shapes",
        "variant": "small",
        "num_classes": model.num_classes,
        "class_names": list(model.class_names),
    }


def test_unknown_names_are_answered_with_near_matches():
    with pytest.raises(ValueError, match=r"^unknown model 'bcos_resnet5'; did you mean .*bcos_resnet50"):
        load_model("bcos_resnet5")


def test_a_name_cannot_be_registered_twice():
    with pytest.raises(ValueError, match=r"^model 'resnet18' is registered twice$"):
        register_model(MODELS["resnet18"])


def test_random_weights_are_the_published_network_and_reproducible():
    first, second = (load_model("bcos_resnet18", weights="random") for _ in range(2))
    assert first.num_classes == 1000
    assert first.input_size == 224
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_random_weights_for_photographs_need_no_photographs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BCOS_EVAL_DATA", raising=False)
    model = load_model("vgg11_bnu", weights="random", dataset="tiny_imagenet20")
    assert (model.num_classes, model.input_size, len(model.class_names)) == (20, 64, 20)
    assert model.class_names[1] == "goldfish"
    with pytest.raises(InputError, match=r"^unknown dataset 'tiny_imagenet21'; did you mean tiny_imagenet20 "):
        load_model("vgg11_bnu", weights="random", dataset="tiny_imagenet21")


def test_random_weights_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    load_model("resnet18", weights="random")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_with_shipped_weights_says_what_it_is(name: str):
    for dataset in shipped_weights(name):
        model = load_model(name, dataset=dataset)
        assert model.name == name
        assert not model.training
        assert len(model.class_names) == model.num_classes
        assert len(model.weights_id) == 16
        with torch.no_grad():
            logits = model(model.encode(torch.rand(1, 3, 64, 64)))
        assert logits.shape == (1, model.num_classes)
        torch.testing.assert_close(model.probability(torch.zeros(1, 4)).sum() > 0, torch.tensor(True))


def test_a_dataset_without_weights_is_refused_with_what_there_is():
    with pytest.raises(InputError) as caught:
        load_model("bcos_resnet152", dataset="shapes")
    assert str(caught.value) == (
        "no weights for model 'bcos_resnet152' on dataset 'shapes' (there are some for: imagenet); "
        "pass --weights with a .pth or .safetensors file, or 'random'"
    )


def test_saved_weights_load_again_and_carry_their_classes(tmp_path: Path):
    model = small_model()
    round_weights(model)
    path = tmp_path / "weights.safetensors"
    save_weights(model, path, card(model))
    loaded = load_model("bcos_resnet18", weights=path)
    assert loaded.class_names == tuple("abcde")
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_checkpoints_load_under_common_wrappers_and_prefixes(tmp_path: Path, wrapper: str | None, prefix: str):
    state = {prefix + key: value for key, value in small_model().state_dict().items()}
    path = tmp_path / "weights.pth"
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    loaded, _ = read_weights(path)
    assert list(loaded) == list(small_model().state_dict())


def test_a_checkpoint_of_another_architecture_is_refused_naming_keys(tmp_path: Path):
    path = tmp_path / "other.pth"
    torch.save(load_model("bcos_resnet18", weights="random").state_dict(), path)
    with pytest.raises(InputError) as caught:
        load_model("resnet18", weights=path)
    message = str(caught.value)
    assert re.fullmatch(
        re.escape(str(path)) + r" does not fit resnet18: \d+ missing \(conv1\.weight, .*\); \d+ unexpected "
        r"\(conv1\.linear\.weight, .*\); pass the --model that these weights belong to",
        message,
    )


def test_weights_of_another_width_are_refused(tmp_path: Path):
    path = tmp_path / "small.pth"
    torch.save(small_model().state_dict(), path)
    with pytest.raises(InputError, match=r"\d+ of another shape \(conv1\.linear\.weight, "):
        load_model("bcos_resnet18", weights=path)


def test_a_missing_file_is_named(tmp_path: Path):
    path = tmp_path / "nowhere.pth"
    with pytest.raises(InputError) as caught:
        load_model("bcos_resnet18", weights=path)
    assert str(caught.value) == f"no weights file at {path}; pass a .pth or .safetensors file"


def test_a_malicious_pickle_executes_nothing(tmp_path: Path):
    trace, path = tmp_path / "trace", tmp_path / "evil.pth"
    with path.open("wb") as stream:
        pickle.dump({"weight": Payload(trace)}, stream)
    torch.save({"weight": Payload(trace)}, tmp_path / "zip.pth")
    for file in (path, tmp_path / "zip.pth"):
        with pytest.raises(InputError, match="cannot be read as weights"):
            load_model("bcos_resnet18", weights=file)
    assert not trace.exists()


def test_the_code_in_a_refused_file_is_named(tmp_path: Path):
    path = tmp_path / "whole_model.pth"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(InputError, match=r"it names torch\.nn\.modules\.linear\.Linear, which is code") as caught:
        load_model("bcos_resnet18", weights=path)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    st.binary(max_size=64),
    st.sampled_from([b"", b"\x80\x02", b"\x80\x04"]),
    st.sampled_from([".pth", ".safetensors"]),
)
@settings(deadline=None, max_examples=200)
def test_no_bytes_are_read_as_weights_or_raise_anything_else(content: bytes, start: bytes, suffix: str):
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"any{suffix}"
        path.write_bytes(start + content)
        with pytest.raises(InputError) as caught:
            load_model("bcos_resnet18", weights=path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"abc", b"PK\x03\x04 half a zip"])
def test_damaged_files_get_one_clear_line(tmp_path: Path, suffix: str, content: bytes):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_model("bcos_resnet18", weights=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path: Path):
    path = tmp_path / "weights.pth"
    torch.save(small_model().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cannot be read as weights"):
        load_model("bcos_resnet18", weights=path)


def test_a_file_without_a_state_dict_is_refused(tmp_path: Path):
    path = tmp_path / "list.pth"
    torch.save([1, 2, 3], path)
    with pytest.raises(InputError, match=r"holds no state dict; save model\.state_dict\(\) into it$"):
        load_model("bcos_resnet18", weights=path)


def test_files_with_a_sequences_prefix_fit_networks_without_and_the_other_way_round(tmp_path: Path):
    path = tmp_path / "weights.pth"
    vit = model_info("bcos_vitc_ti_patch1_14").build("small", 5)
    for model, respelt in (
        (small_model(), {f"0.{key}": value for key, value in small_model().state_dict().items()}),
        (vit, {key.removeprefix("0."): value for key, value in vit.state_dict().items()}),
        (vit, {f"module.{key}": value for key, value in vit.state_dict().items()}),
    ):
        torch.save(respelt, path)
        state, _ = read_weights(path)
        wanted = {key: value.clone() for key, value in model.state_dict().items()}
        for parameter in model.parameters():
            parameter.data.zero_()
        load_strictly(model, state, path)
        for key, value in model.state_dict().items():
            assert torch.equal(value, wanted[key])


@pytest.mark.parametrize(
    ("prefix", "wrapper"),
    [
        ("module._orig_mod.", None),
        ("_orig_mod.module.", None),
        ("module.", "net"),
        ("net.", "state_dict"),
        ("backbone.encoder.", None),
    ],
)
def test_weights_of_wrapped_networks_load(tmp_path: Path, prefix: str, wrapper: str | None):
    model = small_model()
    state = {prefix + key: value for key, value in model.state_dict().items()}
    path = tmp_path / "weights.pth"
    torch.save({wrapper: state, "epoch": 3, "best": 91.2} if wrapper else state, path)
    loaded = small_model()
    load_strictly(loaded, read_weights(path)[0], path)
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_weights_of_the_bare_network_fit_one_that_holds_it(tmp_path: Path):
    model = small_model()
    load_strictly(nn.ModuleDict({"net": small_model()}), model.state_dict(), tmp_path / "weights.pth")


def test_a_checkpoint_that_contains_itself_is_refused(tmp_path: Path):
    path = tmp_path / "cyclic.pth"
    content: dict[str, object] = {}
    content["model"] = content
    torch.save(content, path)
    with pytest.raises(InputError, match="holds more than tensors under the state dict's keys"):
        load_model("resnet18", weights=path)


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path):
    path = tmp_path / "expanded.pth"
    state = model_info("resnet18").build("small", 5).state_dict()
    state["fc.weight"] = torch.zeros(1, 1).expand(1_000_000_000, 192)
    torch.save(state, path)
    with pytest.raises(InputError) as caught:
        load_model("resnet18", weights=path)
    assert str(caught.value) == (
        f"{path}: fc.weight is said to be 1000000000×192 and holds 4 bytes; save contiguous tensors"
    )


@pytest.mark.parametrize("tensor", [torch.zeros(2, 2).to_sparse(), torch.zeros(2, dtype=torch.complex64)])
def test_tensors_of_other_kinds_are_refused(tmp_path: Path, tensor: torch.Tensor):
    path = tmp_path / "other.pth"
    torch.save({"conv1.weight": tensor}, path)
    with pytest.raises(InputError, match=r"conv1\.weight is not a plain tensor but torch\."):
        load_model("resnet18", weights=path)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("[1]", "says of itself '[1]'"),
        ('{"num_classes": 1000000000}', "says num_classes = 1000000000 and its classifier has 5"),
        ('{"num_classes": -1}', "says num_classes = '-1'"),
        ('{"variant": "huge"}', "says variant = 'huge'"),
        ('{"input_size": "64"}', "says input_size = '64'"),
        ('{"input_size": 1000000}', "says input_size = '1000000'"),
        ('{"class_names": ["a", 1]}', "says class_names = "),
        ('{"class_names": ["a"], "num_classes": 5}', "names 1 classes and says num_classes = 5"),
    ],
)
def test_files_that_say_impossible_things_of_themselves_are_refused(tmp_path: Path, said: str, reason: str):
    path = tmp_path / "said.safetensors"
    save_file(model_info("resnet18").build("imagenet", 5).state_dict(), path, metadata={"bcos_eval": said})
    with pytest.raises(InputError) as caught:
        load_model("resnet18", weights=path)
    assert str(caught.value).startswith(f"{path} {reason}")
    assert str(caught.value).endswith("; fetch it again")


def test_the_input_size_is_the_file_s_or_else_its_card_s(tmp_path: Path):
    model = small_model()
    path = tmp_path / "weights.safetensors"
    save_weights(model, path, card(model) | {"input_size": 128})
    assert load_model("bcos_resnet18", weights=path).input_size == 128
    save_weights(model, path, card(model))
    assert load_model("bcos_resnet18", weights=path).input_size == 64
    path.with_suffix(".json").write_text('{"input_size": 96}')
    assert load_model("bcos_resnet18", weights=path).input_size == 96
    path.with_suffix(".json").write_text("[1]")
    assert load_model("bcos_resnet18", weights=path).input_size == 64


def test_a_foreign_safetensors_file_loads_whatever_the_order_of_its_keys(tmp_path: Path):
    path = tmp_path / "foreign.safetensors"
    state = model_info("resnet18").build("imagenet", 5).state_dict()
    save_file({key: state[key] for key in sorted(state)}, path)
    model = load_model("resnet18", weights=path)
    assert model.num_classes == 5
    assert torch.equal(model.fc.weight, state["fc.weight"])


def test_old_densenet_files_load_with_dotted_names_and_without_batch_counts(tmp_path: Path):
    model = model_info("densenet121").build("small", 5)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value + 1
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    path = tmp_path / "densenet.pth"
    torch.save(old, path)
    load_strictly(model, read_weights(path)[0], path)
    assert torch.equal(model.features.norm5.weight, old["features.norm5.weight"])
    layer = model.features.denseblock1.denselayer1
    assert torch.equal(layer.conv2.weight, old["features.denseblock1.denselayer1.conv.2.weight"])


def test_imagenet_weights_of_a_model_without_any_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(MODELS, "resnet34", replace(model_info("resnet34"), published=None))
    with pytest.raises(InputError, match=r"^no weights for model 'resnet34' on dataset 'imagenet' \("):
        load_model("resnet34", dataset="imagenet")


MEASURE = """
import sys, time
from pathlib import Path
from bcos_eval.models import load_model

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

start, before = time.process_time(), peak()
model = load_model(sys.argv[1], weights="random")
print(peak() - before, sum(value.nbytes for value in model.state_dict().values()), time.process_time() - start)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_is_built_in_ten_seconds_within_three_times_its_size(name: str):
    command = [sys.executable, "-c", MEASURE, name]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    grown, size, seconds = map(float, out.split())
    assert grown <= 3 * size
    assert seconds < 10


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("bcos_resnet18", {"b": "2"}),
        ("bcos_resnet18", {"norm": ["layer"]}),
        ("bcos_resnet18", {"max_out": 10**9}),
        ("bcos:resnet18", {"max_out": 2}),
    ],
)
def test_files_that_state_an_impossible_form_are_named(tmp_path, name, form):
    model = small_model()
    path = tmp_path / "w.safetensors"
    save_weights(model, path, {**card(model), "model": name, "conversion": form})
    with pytest.raises(InputError) as caught:
        load_model(name, weights=path)
    assert str(caught.value).startswith(f"{path} states a form that is none (")
    assert str(caught.value).endswith("; fetch it again")


def test_a_standard_network_has_no_form(tmp_path):
    model = model_info("resnet18").build("small", 5)
    path = tmp_path / "w.safetensors"
    identity = {"model": "resnet18", "variant": "small", "num_classes": 5, "conversion": {"max_out": 2}}
    save_weights(model, path, identity)
    assert load_model("resnet18", weights=path).num_classes == 5


def test_packaged_weights_are_named_by_the_dataset_they_were_trained_on():
    model = load_model("bcos_resnet18", "imagenette", dataset="imagenet")
    assert model.class_names[0] == "tench"
    assert (
        model.weights_id == load_model("bcos_resnet18", shipped_weights("bcos_resnet18")["imagenette"]).weights_id
    )
