"""A method or metric with the parameters it is run with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from bcos_eval.contract.explainer import Explainer
from bcos_eval.contract.metric import Metric
from bcos_eval.contract.params import Param, parsed
from bcos_eval.errors import InputError
from bcos_eval.store.facts import Settings, labelled

Entry = TypeVar("Entry", Explainer, Metric)

# Former spellings of parameters, which keep working.
_FORMER_KEYS = {"pool": "rule"}


@dataclass(frozen=True, slots=True)
class Choice(Generic[Entry]):
    """An explainer or metric and every parameter value it is run with.

    Attributes:
        entry: What is run.
        params: All parameters, those left at their default too.
        changed: Names of the parameters that differ from the default and can change a number.
    """

    entry: Entry
    params: Mapping[str, Param]
    changed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Registered name: `lime`, `grid_pg/bcos_v2`."""
        return self.entry.info.key

    @property
    def label(self) -> str:
        """The name as tables show it: parameters that differ from the default belong to the name."""
        return labelled(self.name, self.settings)

    @property
    def settings(self) -> Settings:
        """Parameters that differ from the default, with their values, in the order of their names."""
        return tuple((key, self.params[key]) for key in self.changed)

    def as_json(self) -> dict[str, object]:
        """Return what can change its numbers, as plain values."""
        code = {"code": self.entry.code} if self.entry.code else {}
        defaults = self.entry.all_defaults
        params = {
            key: defaults[key] if key in self.entry.speed_only else value for key, value in self.params.items()
        }
        return {"name": self.name, "params": params, **code}


@dataclass(frozen=True, slots=True)
class ParamSetting:
    """One `--param owner.key=value`; a value that is still text is typed by the parameter it is meant for."""

    owner: str
    key: str
    value: object

    def __str__(self) -> str:
        """The option as it was given."""
        return f"{self.owner}.{self.key}={self.value}"


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


def choose(entry: Entry, settings: Iterable[ParamSetting]) -> Choice[Entry]:
    """Return a method or metric with the settings that are meant for it.

    A setting for `grid_pg` reaches all its presets that have the parameter, one for `grid_pg/rao2022` that preset
    alone and comes last.

    Args:
        entry: What is run.
        settings: Settings of the whole run.

    Raises:
        InputError: If a value has the wrong type or is not allowed.
    """
    defaults = entry.all_defaults
    owners = _owners(entry)
    mine = sorted((s for s in settings if _is_for(s, entry)), key=lambda setting: owners.index(setting.owner))
    given = {_key(setting, defaults): _typed(setting, defaults) for setting in mine}
    params = {**defaults, **entry.checked(given)}
    changed = (key for key in params if params[key] != defaults[key] and key not in entry.speed_only)
    return Choice(entry, params, tuple(sorted(changed)))


def check_settings(
    settings: Iterable[ParamSetting], choices: Iterable[Choice[Explainer] | Choice[Metric]]
) -> None:
    """Refuse settings that no method or metric of the run would see.

    Raises:
        InputError: If one names something else, or a parameter that none of those it names has.
    """
    entries = [choice.entry for choice in choices]
    for setting in settings:
        if any(_is_for(setting, entry) for entry in entries):
            continue
        named = [entry for entry in entries if setting.owner in _owners(entry)]
        if named:
            allowed = ", ".join(dict.fromkeys(key for entry in named for key in entry.all_defaults)) or "none"
            raise InputError(
                f"--param {setting}: '{setting.owner}' has no parameter '{setting.key}'; allowed: {allowed}."
            )
        known = ", ".join(sorted({entry.info.key for entry in entries}))
        raise InputError(f"--param {setting}: '{setting.owner}' is not part of this run; it has {known}.")


def _owners(entry: Explainer | Metric) -> list[str]:
    """Return the names that settings may call an entry by, the most general one first."""
    return list(dict.fromkeys([entry.info.name, entry.info.key]))


def _is_for(setting: ParamSetting, entry: Explainer | Metric) -> bool:
    return setting.owner in _owners(entry) and _key(setting, entry.all_defaults) in entry.all_defaults


def _key(setting: ParamSetting, defaults: Mapping[str, Param]) -> str:
    return setting.key if setting.key in defaults else _FORMER_KEYS.get(setting.key, setting.key)


def _typed(setting: ParamSetting, defaults: Mapping[str, Param]) -> object:
    default = defaults[_key(setting, defaults)]
    if not isinstance(setting.value, str) or isinstance(default, str):
        return setting.value
    try:
        return parsed(setting.value, default)
    except ValueError as error:
        kind = type(default).__name__
        raise InputError(f"--param {setting}: '{setting.value}' is not of type {kind}.") from error
