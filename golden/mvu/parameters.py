# SPDX-License-Identifier: Apache-2.0
"""Build parameters of the MVU: the one place where a default is written.

The RTL reads them through the generated package ``rtl/mvu/mvu_pkg.sv`` (see `golden.mvu.registers`), the
bench and the job mapper import this module. Source: BARVINN (64 lanes, 32 x 1024 x 64-bit activations, 512 x 4096-bit
weights, 27-bit accumulator and bias, 16-bit scaler); see docs/sources.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from assay.golden.errors import ConfigurationError
from assay.golden.parameters import Joint, ParameterSet, parameter, powers

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
#: Address generator, as its registers call it -> its loops.
LOOPS = {
    "w": NUM_LOOPS,
    "i": NUM_LOOPS,
    "s": CHANNEL_LOOPS,
    "b": CHANNEL_LOOPS,
    "o": OUTPUT_LOOPS,
    "r": RESIDUAL_LOOPS,
}

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


JOINT = (
    Joint("data_depth", "DataBanks * BankDepth <= 65536", "at most 65536 words, DataBanks times BankDepth"),
)
"""What the RTL checks beside the ranges."""


@dataclass(frozen=True)
class MvuParameters(ParameterSet):
    """Sizes of one MVU instance.

    Raises `ConfigurationError` for a size outside the range the RTL supports.
    """

    #: Multiply lanes = channels in a block = bits in an activation word.
    lanes: int = parameter(64, powers(2, 256), "multiplier lanes, and channels a word")
    data_banks: int = parameter(32, powers(2, 256), "banks of a data memory")
    bank_depth: int = parameter(1024, powers(2, 1 << 15), "words of a bank")
    weight_depth: int = parameter(512, powers(2, 1 << 16), "weight words of lanes x lanes bits")
    #: One entry for each output block.
    channel_depth: int = parameter(64, powers(2, 1 << 16), "entries of the scaler and of the bias memory")
    #: Sums are kept modulo 2**acc_width.
    acc_width: int = parameter(27, range(16, 31), "accumulator bits")
    bias_width: int = parameter(27, range(16, 31), "bias bits, signed")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data_depth > 1 << 16:
            raise ConfigurationError(
                f"data_banks x bank_depth = {self.data_depth} words: 65536 is the most a pointer reaches"
            )

    @property
    def data_depth(self) -> int:
        """Words of the data memory."""
        return self.data_banks * self.bank_depth
