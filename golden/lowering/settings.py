# SPDX-License-Identifier: Apache-2.0
"""How a user wants a graph lowered: the options of every command line, and the variables of make."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from assay.golden.graph import Graph
    from assay.golden.network import Network

__all__ = ["DEFAULT", "SCALES", "Lowering"]

SCALES = ("exact", "nearest")


class Lowering(NamedTuple):
    """Arguments of `golden.lowering.lower`; empty ones have its defaults.

    Attributes:
        scales: exact or nearest.
        input_format: what the numbers of a float input are, such as u8 or ap_fixed<8,3>.
        input_layout: NCHW or NHWC.
    """

    scales: str = ""
    input_format: str = ""
    input_layout: str = ""

    def __call__(self, graph: Graph) -> Network:
        """The network; errors as of `golden.lowering.lower`."""
        return graph.lower(self.scales or "exact", self.input_format or None, self.input_layout)

    @property
    def words(self) -> list[str]:
        """As options of a command line, quoted for a shell."""
        return [
            f"--{name.replace('_', '-')} {shlex.quote(value)}"
            for name, value in self._asdict().items()
            if value
        ]

    @property
    def variables(self) -> dict[str, str]:
        """As variables of make."""
        return {name.upper(): value for name, value in self._asdict().items() if value}

    @classmethod
    def of(cls, options: argparse.Namespace) -> Lowering:
        """What the options of `add_options` say."""
        return cls(*(getattr(options, name) or "" for name in cls._fields))

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser, default: str) -> None:
        """The options of a command line; `default` says what happens without them."""
        parser.add_argument(
            "--scales",
            choices=SCALES,
            help="lower the file to a network of integer layers, for the MVU and the accelerator: exact, or with the "
            f"nearest scales that they hold (default: {default})",
        )
        parser.add_argument(
            "--input-format",
            metavar="FORMAT",
            help="what the numbers of a float input without a quantiser are, such as u8 or ap_fixed<8,3>",
        )
        parser.add_argument(
            "--input-layout",
            choices=("NCHW", "NHWC"),
            help="of a lowered network's input of four axes whose layout no operator decides",
        )


DEFAULT = Lowering()
