from __future__ import annotations

import pytest

from bcos_eval.cli import names
from bcos_eval.cli.catalogue import catalogue
from bcos_eval.cli.names import registered_name, registered_names
from bcos_eval.errors import InputError


def refusal(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        ("method", "lime", "lime"),
        ("method", "Grad-CAM", "gradcam"),
        ("method", "GradCAM", "gradcam"),
        ("method", "Grad-CAM++", "gradcam++"),
        ("method", "GradCAM++", "gradcam++"),
        ("method", "Guided Grad-CAM", "guided_gradcam"),
        ("method", "LIME", "lime"),
        ("method", "Kernel SHAP", "kernelshap"),
        ("metric", "Grid-PG", "grid_pg"),
        ("metric", "grid_pg/bcos-v2", "grid_pg/bcos_v2"),
        ("model", "ResNet-50", "resnet50"),
        ("model", "bcos-resnet50", "bcos_resnet50"),
        ("dataset", "Tiny-ImageNet20", "tiny_imagenet20"),
    ],
)
def test_common_spellings_are_understood(kind, text, name):
    assert registered_names(kind, [text]) == (name,)
    assert registered_name(kind, text) == name


@pytest.mark.parametrize("kind", ["model", "method", "metric", "dataset"])
def test_no_spelling_stands_for_two_names(kind):
    rows = catalogue().rows(f"{kind}s")
    spellings = list(names._spellings(rows))
    meant = {}
    for spelling, name in spellings:
        assert meant.setdefault(spelling, name) == name


def test_patterns_name_what_they_match_each_once():
    found = registered_names("model", ["bcos_resnet*,bcos_resnet50", "resnet1?"])
    assert found[0] == "bcos_resnet18"
    assert "bcos_resnet152_long" in found
    assert found[-1] == "resnet18"
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("text", ["nets/mine.py:small", "mine.py", r"C:\nets\mine.py:small"])
def test_files_of_the_user_s_own_stay_as_they_are(text):
    assert registered_names("method", [text]) == (text,)


def test_unknown_names_get_near_matches():
    message = refusal(registered_names, "model", ["bcos_resnet51"])
    assert message.startswith("unknown model 'bcos_resnet51'; did you mean bcos_resnet50 or bcos_resnet")
    assert refusal(registered_names, "dataset", ["x"]).startswith("unknown dataset 'x'; known: cifar10, folder")
    assert refusal(registered_names, "model", ["xyz"]) == "unknown model 'xyz'; see `bcos-eval list models`."


def test_patterns_that_match_nothing_or_too_much_are_refused():
    expected = "no model is called like 'alex*'; see `bcos-eval list models`."
    assert refusal(registered_names, "model", ["alex*"]) == expected
    message = refusal(registered_name, "dataset", "imagene*")
    assert message == "dataset 'imagene*' stands for imagenet, imagenette; name one of them."
