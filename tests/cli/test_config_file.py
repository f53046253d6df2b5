from __future__ import annotations

import click
import pytest

from bcos_eval.cli.config_file import read_config
from bcos_eval.errors import InputError

ALLOWED = (
    click.Option(["--model"], multiple=True),
    click.Option(["--metric"], multiple=True),
    click.Option(["--param"], multiple=True),
    click.Option(["--batch-size"]),
    click.Option(["--seed"]),
)


@pytest.fixture
def write(tmp_path):
    def writer(text):
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return writer


def test_keys_are_option_names_with_either_kind_of_dash(write):
    path = write('model = ["a", "b"]\nbatch-size = "auto"\nseed = 3\n')
    assert read_config(path, ALLOWED) == {"model": ["a", "b"], "batch_size": "auto", "seed": 3}


def test_parameters_are_a_list_or_a_table(write):
    expected = {"param": ["grid_pg.n=2", "lime.n_samples=100"]}
    assert read_config(write('param = ["grid_pg.n=2", "lime.n_samples=100"]'), ALLOWED) == expected
    assert read_config(write("[param.grid_pg]\nn = 2\n[param.lime]\nn_samples = 100\n"), ALLOWED) == expected


def test_an_unknown_key_gets_near_matches(write):
    path = write("modle = 'a'")
    with pytest.raises(InputError) as caught:
        read_config(path, ALLOWED)
    assert str(caught.value) == f"unknown option in {path} 'modle'; did you mean model?"


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError) as caught:
        read_config(tmp_path / "none.toml", ALLOWED)
    assert str(caught.value) == f"--config '{tmp_path}/none.toml': No such file or directory; give a TOML file."


def test_a_file_that_is_not_toml_is_an_error(write):
    path = write("model: a")
    with pytest.raises(InputError, match=rf"^--config '{path}' is not TOML: .*\.$"):
        read_config(path, ALLOWED)


def test_a_parameter_without_its_owner_is_an_error(write):
    path = write("[param]\nn = 2\n")
    with pytest.raises(InputError) as caught:
        read_config(path, ALLOWED)
    assert str(caught.value) == f"--config '{path}': [param] holds 'n' without a table; write [param.n]."


def test_a_single_value_will_do_where_several_are_taken(write):
    assert read_config(write('model = "a"\nparam = "grid_pg.n=2"'), ALLOWED) == {
        "model": ["a"],
        "param": ["grid_pg.n=2"],
    }


def test_several_values_where_one_is_taken_are_an_error(write):
    path = write("seed = [1, 2]")
    with pytest.raises(InputError) as caught:
        read_config(path, ALLOWED)
    assert str(caught.value) == f"--config '{path}': seed is a list; --seed takes one value."


def test_a_table_where_values_are_taken_is_an_error(write):
    path = write("[batch-size]\nn = 1")
    with pytest.raises(InputError) as caught:
        read_config(path, ALLOWED)
    assert str(caught.value) == (
        f"--config '{path}': [batch_size] is a table; write batch_size = …, as for --batch-size."
    )


def test_a_byte_order_mark_does_not_count(tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(b'\xef\xbb\xbfmodel = "a"\r\n')
    assert read_config(path, ALLOWED) == {"model": ["a"]}
