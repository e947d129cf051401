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
    """What an option does and what it is by default."""
    return f"{option.text} (default: {option.default})" if option.default else option.text


NETWORK_OPTIONS = (
    Option("MODEL", "--model", "FILE", "run this network, not the project's own", path=True),
    Option(
        "INPUTS", "--inputs", "FILE", "its inputs, integers [N, H, W, C] as .npy (default: random)", path=True
    ),
    Option(
        "SCALES",
        "--scales",
        "exact|nearest",
        "its scales as they are, or the nearest that the hardware has",
        "exact",
    ),
    Option(
        "INPUT_FORMAT",
        "--input-format",
        "FORMAT",
        "of its float input without a quantiser: u8, ap_fixed<8,3>",
    ),
    Option("INPUT_LAYOUT", "--input-layout", "NCHW|NHWC", "of its input, where no operator decides that"),
)

VECTOR_OPTIONS = (Option("VECTORS", "--vectors", "FOLDER", "play this vector set", path=True),)

PROGRAM_OPTIONS = (
    Option("ELF", "--elf", "FILE", "run this program", path=True),
    Option("HARTS", "--harts", "MASK", "the harts that run it", "1"),
    Option("LIMIT", "--limit", "N", "instructions after which it is ended", "10000000"),
    Option("TOHOST", "--tohost", "ADDRESS", "its odd value ends the program (default: of the symbol tohost)"),
    Option("FORCE", "--force", "", "run the program whatever extensions its flags ask for"),
)

SOAK_OPTIONS = (Option("N", "--instructions", "N", "instructions that `make soak` compares", "10000000"),)
