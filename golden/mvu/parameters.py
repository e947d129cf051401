# SPDX-License-Identifier: Apache-2.0
"""Build parameters of the MVU: the one place where a default is written.

The RTL reads them through the generated package ``rtl/mvu/mvu_pkg.sv`` (see `golden.mvu.registers`), the
bench and the job mapper import this module. Source: BARVINN (64 lanes, 32 x 1024 x 64-bit activations, 512 x 4096-bit
weights, 27-bit accumulator and bias, 16-bit scaler); see docs/sources.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.golden.errors import ConfigurationError

#: Nested loops of the weight and input address generators. The original has five; three more let a whole
#: padded and pooled layer run as one job: row, column, output block, pool row, pool column, plane pair,
#: kernel row, kernel column x input block. A five-loop program is an eight-loop one with three trailing
#: loops of length 0.
NUM_LOOPS = 8
#: Loops of the residual address generator: row, column, output block, pool row, pool column, plane.
RESIDUAL_LOOPS = 6
#: Loops of the output address generator, as in the original.
OUTPUT_LOOPS = 5
#: Loops of the scaler and bias address generators, as in the original.
CHANNEL_LOOPS = 2

MAX_PRECISION = 16  #: bits of an activation, weight or output element
SCALER_WIDTH = 16  #: bits, signed
ALIGN_MAX = 15  #: largest left shift of a bias or a scaled residual before the addition
POST_WIDTH = (
    48  #: bits of the sum after scaler, bias and residual; see `docs/mvu.md` for why it never overflows
)
MAX_KERNEL = 15  #: kernel height and width under hardware zero padding
RESIDUAL_FIFO_DEPTH = 8  #: residual values read ahead
CROSSBAR_PORTS = 8  #: width of the one-hot destination
OUTPUT_FIFO_DEPTH = (
    10  #: output blocks between issue and serialiser; the pipeline's latency + 1, so that one a clock flows
)


@dataclass(frozen=True)
class MvuParameters:
    """Sizes of one MVU instance; field names are the RTL's parameter names in snake case.

    Raises `ConfigurationError` for a size outside the range the RTL supports.
    """

    lanes: int = 64  #: multiply lanes = channels in a block = bits in an activation word
    data_banks: int = 32  #: banks of the data memory, a power of two
    bank_depth: int = 1024  #: words in a bank, a power of two
    weight_depth: int = 512  #: weight words of lanes x lanes bits, a power of two
    channel_depth: int = 64  #: entries of the scaler and of the bias memory, one for each output block
    acc_width: int = 27  #: accumulator bits; sums are kept modulo 2**acc_width
    bias_width: int = 27  #: bias bits, signed

    def __post_init__(self) -> None:
        for name, low, high in (
            ("lanes", 2, 256),
            ("data_banks", 2, 256),
            ("bank_depth", 2, 1 << 15),
            ("weight_depth", 2, 1 << 16),
            ("channel_depth", 2, 1 << 16),
        ):
            value = getattr(self, name)
            if not low <= value <= high or value & (value - 1):
                raise ConfigurationError(f"{name} = {value}: must be a power of two from {low} to {high}")
        if self.data_depth > 1 << 16:
            raise ConfigurationError(
                f"data_banks x bank_depth = {self.data_depth} words: 65536 is the most a pointer reaches"
            )
        for name in ("acc_width", "bias_width"):
            value = getattr(self, name)
            if not 16 <= value <= 30:
                raise ConfigurationError(f"{name} = {value}: must be from 16 to 30 bits")

    @classmethod
    def of_rtl(cls, parameters: Mapping[str, int]) -> MvuParameters:
        """From parameters under the names of the RTL's top module; those left out have their defaults."""
        fields = {rtl: field for field, rtl in zip(vars(cls()), cls().rtl, strict=True)}
        return cls(**{fields[name]: value for name, value in parameters.items()})

    @property
    def data_depth(self) -> int:
        """Words of the data memory."""
        return self.data_banks * self.bank_depth

    @property
    def rtl(self) -> dict[str, int]:
        """Parameters under the names of the RTL's top module."""
        return {
            "Lanes": self.lanes,
            "DataBanks": self.data_banks,
            "BankDepth": self.bank_depth,
            "WeightDepth": self.weight_depth,
            "ChannelDepth": self.channel_depth,
            "AccWidth": self.acc_width,
            "BiasWidth": self.bias_width,
        }
