"""A method or metric with the parameters it is run with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bcos_eval.contract.plugins import Param
from bcos_eval.errors import InputError


@dataclass(frozen=True, slots=True)
class Choice:
    """A registered name and every parameter value it is run with.

    Attributes:
        name: Registered name: `lime`, `grid_pg/bcos_v2`.
        params: All parameters, those left at their default too.
        changed: Names of the parameters that were given.
    """

    name: str
    params: Mapping[str, Param]
    changed: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name as tables show it: parameters that differ from the default belong to the name."""
        given = ",".join(f"{key}={self.params[key]}" for key in self.changed)
        return f"{self.name}({given})" if given else self.name


@dataclass(frozen=True, slots=True)
class ParamSetting:
    """One `--param owner.key=value`, not yet typed."""

    owner: str
    key: str
    value: str

    @property
    def text(self) -> str:
        """The option as it was given."""
        return f"--param {self.owner}.{self.key}={self.value}"


def parse_setting(text: str) -> ParamSetting:
    """Read `owner.key=value`; the owner is a method, a metric or a metric with preset.

    Raises:
        InputError: If the text has another form.
    """
    path, equals, value = text.partition("=")
    owner, dot, key = path.rpartition(".")
    if not (equals and dot and owner and key):
        raise InputError(f"--param '{text}' is not of the form NAME.KEY=VALUE, for example grid_pg.n=2.")
    return ParamSetting(owner=owner, key=key, value=value)


def choose(name: str, defaults: Mapping[str, Param], settings: Iterable[ParamSetting]) -> Choice:
    """Return a method or metric with the settings that are meant for it.

    A setting for `grid_pg` reaches all its presets, one for `grid_pg/rao2022` that preset alone and comes last.

    Args:
        name: Registered name.
        defaults: All its parameters with their default values, which also say the type.
        settings: Settings of the whole run.

    Raises:
        InputError: If a key is unknown or a value has the wrong type.
    """
    owners = dict.fromkeys([name.partition("/")[0], name])
    mine = sorted((s for s in settings if s.owner in owners), key=lambda s: list(owners).index(s.owner))
    params = dict(defaults)
    for setting in mine:
        params[setting.key] = _typed(setting, defaults)
    changed = tuple(sorted(key for key in params if params[key] != defaults[key]))
    return Choice(name=name, params=params, changed=changed)


def check_owners(settings: Iterable[ParamSetting], names: Iterable[str]) -> None:
    """Refuse settings that no method or metric of the run would see.

    Raises:
        InputError: If one names something else.
    """
    asked = sorted(names)
    allowed = {*asked, *(name.partition("/")[0] for name in asked)}
    for setting in settings:
        if setting.owner not in allowed:
            raise InputError(
                f"{setting.text}: '{setting.owner}' is not part of this run; it has {', '.join(asked)}."
            )


def _typed(setting: ParamSetting, defaults: Mapping[str, Param]) -> Param:
    if setting.key not in defaults:
        allowed = ", ".join(sorted(defaults)) or "none"
        raise InputError(
            f"{setting.text}: '{setting.owner}' has no parameter '{setting.key}'; allowed: {allowed}."
        )
    kind = type(defaults[setting.key])
    try:
        return _to_bool(setting.value) if kind is bool else kind(setting.value)
    except ValueError as error:
        raise InputError(f"{setting.text}: '{setting.value}' is not of type {kind.__name__}.") from error


def _to_bool(text: str) -> bool:
    named = {"true": True, "false": False}
    if text.lower() not in named:
        raise ValueError(text)
    return named[text.lower()]
