from __future__ import annotations

import pytest

from bcos_eval.engine.request import RunRequest, resolve
from bcos_eval.errors import InputError

ASKED = {"models": ("bcos_resnet18",), "metrics": ("grid_pg",)}


def test_methods_that_are_not_named_follow_the_kind_of_model():
    choices = resolve(RunRequest(**ASKED))
    assert [choice.name for choice in choices.methods_for(is_bcos=True)] == ["bcos"]
    assert [choice.name for choice in choices.methods_for(is_bcos=False)] == ["gradcam", "intgrad", "lime"]


def test_methods_that_are_named_hold_for_all_models():
    choices = resolve(RunRequest(**ASKED, methods=("ixg", "random", "ixg")))
    assert [choice.name for choice in choices.methods_for(is_bcos=True)] == ["ixg", "random"]
    assert choices.methods_for(is_bcos=False) == choices.methods_for(is_bcos=True)


def test_a_metric_named_twice_under_two_names_is_computed_once():
    choices = resolve(RunRequest(models=("m",), metrics=("grid_pg", "grid_pg/bcos_v2", "grid_pg/rao2022")))
    assert [choice.name for choice in choices.metrics] == ["grid_pg/bcos_v2", "grid_pg/rao2022"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"models": ()}, "no model given; name one with --model, see `bcos-eval list models`."),
        ({"metrics": ()}, "no metric given; name one with --metric, see `bcos-eval list metrics`."),
        ({"n_samples": 0}, "--samples 0 is not allowed; give 1 or more."),
        ({"batch_size": 0}, "--batch-size 0 is not allowed; give 1 or more, or auto."),
        (
            {"weights": {"bcos_resnet50": "random"}},
            "unknown model in --weights 'bcos_resnet50'; did you mean bcos_resnet18?",
        ),
    ],
)
def test_requests_that_nothing_can_be_made_of_are_refused(asked, message):
    with pytest.raises(InputError) as caught:
        RunRequest(**{**ASKED, **asked})
    assert str(caught.value) == message


def test_an_unknown_metric_gets_near_matches():
    with pytest.raises(InputError, match=r"^unknown metric 'gridpg'; did you mean grid_pg or .*\?$"):
        resolve(RunRequest(models=("m",), metrics=("gridpg",)))


def test_an_unknown_method_gets_near_matches():
    with pytest.raises(InputError, match=r"^unknown method 'gradcan'; did you mean gradcam.*\?$"):
        resolve(RunRequest(**ASKED, methods=("gradcan",)))
