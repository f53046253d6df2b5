from __future__ import annotations

import pytest

from bcos_eval.contract.explainer import EXPLAINERS
from bcos_eval.contract.metric import METRICS, Metric, MetricInfo
from bcos_eval.contract.plugins import find_explainer, find_metric
from bcos_eval.engine.choice import ParamSetting, check_settings, choose, parse_setting
from bcos_eval.errors import InputError

DEFAULTS = {"n": 3, "tolerance": 15.0, "map": "top5", "flag": False}


def metric(preset="p", name="m", defaults=DEFAULTS):
    info = MetricInfo(name, preset, "single", "higher", 0.0, 1.0, None, "a test", defaults)
    return Metric(info, lambda batch, **params: None)


def test_a_setting_is_split_at_the_last_dot_before_the_first_equals_sign():
    assert parse_setting("grid_pg/bcos_v2.n=2") == ParamSetting("grid_pg/bcos_v2", "n", "2")
    assert parse_setting("gradcam.layer=network.layer4=x") == ParamSetting("gradcam", "layer", "network.layer4=x")


@pytest.mark.parametrize("text", ["n=2", "grid_pg.n", ".n=2", "grid_pg.=2", ""])
def test_a_setting_of_another_form_is_refused(text):
    with pytest.raises(InputError) as caught:
        parse_setting(text)
    assert str(caught.value) == f"--param '{text}' is not of the form NAME.KEY=VALUE, for example grid_pg.n=2."


def test_values_get_the_type_of_the_default():
    settings = [parse_setting(text) for text in ("m.n=2", "m.tolerance=7", "m.map=weights", "m.flag=True")]
    chosen = choose(metric(), settings)
    assert chosen.params == {"n": 2, "tolerance": 7.0, "map": "weights", "flag": True}
    assert isinstance(chosen.params["tolerance"], float)
    assert chosen.label == "m/p(flag=True,map=weights,n=2,tolerance=7.0)"


def test_a_setting_equal_to_the_default_does_not_change_the_label():
    assert choose(metric(), [parse_setting("m.n=3")]).label == "m/p"


@pytest.mark.parametrize(
    ("entry", "setting"),
    [
        (find_explainer("lime"), "lime.batch_pixels=7"),
        (find_metric("pixel_deletion"), "pixel_deletion.batch_size=7"),
    ],
    ids=["method", "metric"],
)
def test_a_setting_that_changes_speed_alone_reaches_the_code_and_not_the_identity_of_its_numbers(entry, setting):
    plain, quick = choose(entry, []), choose(entry, [parse_setting(setting)])
    assert 7 in quick.params.values()
    assert (quick.label, quick.as_json()) == (plain.label, plain.as_json())


def test_every_size_of_a_pass_is_declared_to_change_speed_alone():
    entries = [*EXPLAINERS.values(), *METRICS.values()]
    sized = [(entry, key) for entry in entries for key in entry.all_defaults if key.startswith("batch_")]
    assert len(sized) > 20
    assert all(key in entry.speed_only for entry, key in sized)


def test_a_setting_for_the_preset_wins_over_one_for_the_name():
    settings = [parse_setting("m/p.n=5"), parse_setting("m.n=2")]
    assert choose(metric(), settings).params["n"] == 5
    assert choose(metric("q"), settings).params["n"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "m.k=2",
            "--param m.k=2: 'm' has no parameter 'k'; allowed: n, tolerance, map, flag.",
        ),
        ("m.n=2.5", "--param m.n=2.5: '2.5' is not of type int."),
        ("m.tolerance=wide", "--param m.tolerance=wide: 'wide' is not of type float."),
        ("m.flag=yes", "--param m.flag=yes: 'yes' is not of type bool."),
    ],
)
def test_wrong_keys_and_values_are_refused(text, message):
    with pytest.raises(InputError) as caught:
        check_settings([parse_setting(text)], [choose(metric(), [parse_setting(text)])])
    assert str(caught.value) == message


def test_a_setting_that_nothing_of_the_run_sees_is_refused():
    grid = choose(metric("bcos_v2", "grid_pg", {"n": 3}), [])
    check_settings([parse_setting("grid_pg.n=2"), parse_setting("grid_pg/bcos_v2.n=2")], [grid])
    with pytest.raises(InputError) as caught:
        check_settings([parse_setting("lime.n_samples=2")], [choose(find_explainer("ixg"), []), grid])
    assert str(caught.value) == (
        "--param lime.n_samples=2: 'lime' is not part of this run; it has grid_pg/bcos_v2, ixg."
    )


def test_a_setting_reaches_the_presets_that_have_the_parameter():
    settings = [parse_setting("m.extra=2")]
    plain, wide = metric(), metric("q", defaults={**DEFAULTS, "extra": 1})
    choices = [choose(plain, settings), choose(wide, settings)]
    check_settings(settings, choices)
    assert "extra" not in choices[0].params
    assert choices[1].params["extra"] == 2


def test_the_former_spelling_of_a_parameter_still_works():
    chosen = choose(find_metric("grid_pg"), [parse_setting("grid_pg.pool=rao2022")])
    assert chosen.params["rule"] == "rao2022"
    assert chosen.label == "grid_pg/bcos_v2(rule=rao2022)"
