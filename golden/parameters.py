# SPDX-License-Identifier: Apache-2.0
"""Build parameters of a block: default, allowed values, meaning and HDL name, each written once.

A block's parameters are a frozen dataclass. Its checks and messages, ``make list``, and the name in the HDL come from
the fields:

    @dataclass(frozen=True)
    class FifoParameters(ParameterSet):
        width: int = parameter(8, range(1, 65), "bits of a word")
        depth: int = parameter(16, powers(2, 1024), "words")
        style: str = parameter("block", ("block", "distributed"), "kind of memory", rtl="RAM_STYLE")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from assay.golden.errors import ConfigurationError

__all__ = ["Joint", "Parameter", "ParameterSet", "parameter", "powers", "render_checks"]

_KEY = "parameter"


def powers(low: int, high: int) -> tuple[int, ...]:
    """The powers of two from `low` to `high`, both powers of two."""
    return tuple(1 << n for n in range(low.bit_length() - 1, high.bit_length()))


@dataclass(frozen=True)
class Parameter:
    """One build parameter.

    Attributes:
        name: of the dataclass's field.
        rtl: of the HDL parameter.
        default: an int, or a str for a string parameter.
        allowed: its values; None allows every str.
        meaning: a few words for lists.
    """

    name: str
    rtl: str
    default: int | str
    allowed: range | tuple[int, ...] | tuple[str, ...] | None
    meaning: str

    @property
    def allowed_text(self) -> str:
        """The allowed values, for lists and messages."""
        if self.allowed is None:
            return "any text"
        if isinstance(self.allowed, range) and self.allowed.step == 1:
            return f"{self.allowed.start} to {self.allowed.stop - 1}"
        if self._are_powers:
            return f"powers of two from {self.allowed[0]} to {self.allowed[-1]}"
        return ", ".join(map(str, self.allowed))

    @property
    def largest(self) -> int:
        """The largest allowed value of an integer parameter."""
        return max(int(value) for value in self.allowed or ())

    @property
    def condition(self) -> str:
        """The allowed values of an integer parameter, as a SystemVerilog expression of its HDL name."""
        values = [int(value) for value in self.allowed or ()]
        low, high = min(values), max(values)
        if tuple(values) == tuple(range(low, high + 1)) and len(values) > 2:
            return f"{self.rtl} >= {low} && {self.rtl} <= {high}"
        if len(values) > 2 and tuple(values) == powers(low, high):
            return f"{self.rtl} >= {low} && {self.rtl} <= {high} && ({self.rtl} & ({self.rtl} - 1)) == 0"
        return " || ".join(f"{self.rtl} == {value}" for value in values)

    def read(self, text: str | int) -> int | str:
        """The value that a user's text means.

        Raises:
            ConfigurationError: it is not allowed.
        """
        value: int | str = text
        if isinstance(self.default, int):
            try:
                value = int(str(text), 0)
            except ValueError:
                raise ConfigurationError(f"allowed are {self.allowed_text}") from None
        if not self.allows(value):
            raise ConfigurationError(f"allowed are {self.allowed_text}")
        return value

    def allows(self, value: int | str) -> bool:
        """Whether `value` is of the right type and in the range."""
        if self.allowed is None:
            return isinstance(value, str) and '"' not in value and "\\" not in value and value.isprintable()
        return value in self.allowed

    def check(self, value: int | str) -> None:
        """Refuse a value that is not allowed.

        Raises:
            ConfigurationError: names the field, the value and what is allowed.
        """
        if not self.allows(value):
            raise ConfigurationError(f"{self.name} = {value}: must be {self.requirement}")

    @property
    def requirement(self) -> str:
        """What follows "must be" in a message."""
        if isinstance(self.allowed, range):
            return f"from {self.allowed_text}"
        if self._are_powers:
            return self.allowed_text.replace("powers", "a power", 1)
        if self.allowed is None:
            return self.allowed_text
        return " or ".join(filter(None, [", ".join(map(str, self.allowed[:-1])), str(self.allowed[-1])]))

    @property
    def _are_powers(self) -> bool:
        """Whether the allowed values are a run of powers of two that is better named than listed."""
        values = self.allowed
        if not isinstance(values, tuple) or len(values) < 5 or not isinstance(values[0], int):
            return False
        return values == powers(int(values[0]), int(values[-1]))


def parameter(
    default: int | str,
    allowed: range | tuple[int, ...] | tuple[str, ...] | None,
    meaning: str,
    rtl: str = "",
) -> Any:
    """A field of a `ParameterSet`.

    Args:
        default: an int, or a str for a string parameter.
        allowed: its values; None allows every str.
        meaning: a few words for lists.
        rtl: name in the HDL; by default the field's name in CamelCase.
    """
    return field(default=default, metadata={_KEY: (default, allowed, meaning, rtl)})


@dataclass(frozen=True)
class ParameterSet:
    """Base of a block's parameters; raises `ConfigurationError` for a value outside its range."""

    def __post_init__(self) -> None:
        for each in _own(type(self)).values():
            each.check(getattr(self, each.name))

    @classmethod
    def table(cls) -> dict[str, Parameter]:
        """Every parameter under its HDL name."""
        return {each.rtl: each for each in _own(cls).values()}

    @classmethod
    def parameter(cls, name: str) -> Parameter:
        """The parameter behind a field."""
        return _own(cls)[name]

    @classmethod
    def of_rtl(cls, parameters: Mapping[str, Any]) -> Self:
        """From parameters under the names of the RTL's top module; those left out have their defaults.

        Raises:
            KeyError: an unknown name.
            ConfigurationError: a value outside its range.
        """
        table = cls.table()
        return cls(**{table[name].name: value for name, value in parameters.items()})

    @property
    def rtl(self) -> dict[str, Any]:
        """Parameters under the names of the RTL's top module."""
        return {each.rtl: getattr(self, each.name) for each in _own(type(self)).values()}


@dataclass(frozen=True)
class Joint:
    """What several parameters must fulfil together, where `ParameterSet.__post_init__` asks for it.

    Attributes:
        name: for the message.
        condition: a SystemVerilog expression of HDL names.
        text: what follows "name must be" in the message.
    """

    name: str
    condition: str
    text: str


def render_checks(
    module: str, source: str, table: Mapping[str, Parameter], joints: Iterable[Joint] = ()
) -> str:
    """Text of a header that ends the elaboration of a module whose parameters are out of their ranges.

    Args:
        module: that writes it.
        source: the file that has the ranges.
        table: HDL name to parameter, all of them integers.
        joints: conditions beside the ranges.
    """
    checks = [(each.rtl, each.condition, each.requirement) for each in table.values()]
    checks += [(each.name, each.condition, each.text) for each in joints]
    return "\n".join(
        [
            "// SPDX-License-Identifier: Apache-2.0",
            f"// Generated by `python -m {module}` from {source}.",
            "// Do not edit: change the ranges there and run that command.",
            *(f'`ASSERT_PARAMETER({name},\n  {condition},\n  "{text}")' for name, condition, text in checks),
            "",
        ]
    )


def _own(cls: type[ParameterSet]) -> dict[str, Parameter]:
    """The parameters that are fields of the class itself, by field name."""
    made = {}
    for each in fields(cls):
        if _KEY in each.metadata:
            default, allowed, meaning, rtl = each.metadata[_KEY]
            name = rtl or "".join(part.capitalize() for part in each.name.split("_"))
            made[each.name] = Parameter(each.name, name, default, allowed, meaning)
    return made
