# SPDX-License-Identifier: Apache-2.0
"""A setting of a run: a variable of make's command line beside the option of the command line that means the same.

The settings of a capability (see `tb.capabilities`) are here, so that ``make help`` can print them before anything is
installed: standard library only, and any Python 3.
"""

from typing import NamedTuple


class Option(NamedTuple):
    """One setting of a run.

    Attributes:
        variable: of make's command line; empty: the option has none.
        flag: of the command line.
        value: what stands for its value in the help; empty: a switch, which a variable sets with 1.
        text: what it does.
        default: what it is where nothing is given, for the help.
        path: whether its value is a file or a folder of the user's.
    """

    variable: str
    flag: str
    value: str
    text: str
    default: str = ""
    path: bool = False

    @property
    def name(self):
        """Of the attribute that holds its value once the command line is read."""
        return self.flag.lstrip("-").replace("-", "_")


def help_text(option):
    """The help of an option with its default."""
    return f"{option.text} (default: {option.default})" if option.default else option.text


NETWORK_OPTIONS = (
    Option("MODEL", "--model", "FILE", "network to run (default: the project's own)", path=True),
    Option(
        "INPUTS",
        "--inputs",
        "FILE",
        "inputs of that network, integers [N, H, W, C] as .npy (default: random)",
        path=True,
    ),
    Option(
        "SCALES",
        "--scales",
        "exact|nearest",
        "scales of that network: as they are, or the nearest that the hardware has",
        "exact",
    ),
    Option(
        "INPUT_FORMAT",
        "--input-format",
        "FORMAT",
        "number format of its float input without a quantiser, such as u8 or ap_fixed<8,3>",
    ),
    Option("INPUT_LAYOUT", "--input-layout", "NCHW|NHWC", "layout of its input, if no operator decides it"),
)

VECTOR_OPTIONS = (Option("VECTORS", "--vectors", "FOLDER", "vector set to play", path=True),)

CASE_OPTIONS = (
    Option("CASE", "--case", "FILE", "case to play, as `make shrink` leaves it, or `make keep`", path=True),
)

PROGRAM_OPTIONS = (
    Option("ELF", "--elf", "FILE", "program to run", path=True),
    Option("HARTS", "--harts", "MASK", "harts that run the program, as a mask", "1"),
    Option("LIMIT", "--limit", "N", "number of instructions after which the program is stopped", "10000000"),
    Option(
        "TOHOST",
        "--tohost",
        "ADDRESS",
        "address where an odd value ends the program (default: the symbol tohost)",
    ),
    Option(
        "FORCE", "--force", "", "run the program even if its flags ask for extensions that the block lacks"
    ),
)

SOAK_OPTIONS = (
    Option("N", "--instructions", "N", "number of instructions that `make soak` compares", "10000000"),
)
