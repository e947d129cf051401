# SPDX-License-Identifier: Apache-2.0
"""Address generators of the MVU: nested loops with one signed jump a step, and the skipping of zero padding.

`docs/mvu.md` is the definition. Nothing here loops over steps: the number of times a jump was taken before a
step follows from divisions, and padded programs are sums of corrected jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from assay.golden.errors import ConfigurationError

__all__ = [
    "AddressProgram",
    "ConvRowProgram",
    "PaddingGeometry",
    "Windows",
    "addresses",
    "conv_row_program",
    "enumerate_windows",
    "jump_indices",
    "padded_addresses",
]

# Loops of a padded program by role; see the table of generators in the contract.
_PLANES, _KERNEL_ROW, _KERNEL_COLUMN = 5, 6, 7


@dataclass(frozen=True)
class AddressProgram:
    """What an address generator is given.

    Attributes:
        base: first address, in words.
        jumps: words added at a step, one for each loop, the outermost first.
        lengths: iterations - 1 of each loop; that of the outermost, which is endless, is 0 and not looked at.

    Raises:
        ConfigurationError: no loops, lists of different lengths, or a negative length.
    """

    base: int
    jumps: tuple[int, ...]
    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "jumps", tuple(int(j) for j in self.jumps))
        object.__setattr__(self, "lengths", tuple(int(n) for n in self.lengths))
        if not self.jumps or len(self.jumps) != len(self.lengths):
            raise ConfigurationError(
                f"address program has {len(self.jumps)} jumps and {len(self.lengths)} lengths, "
                "but must have one of each for every loop"
            )
        _check_lengths(self.lengths)

    @classmethod
    def from_strides(cls, base: int, strides: tuple[int, ...], lengths: tuple[int, ...]) -> AddressProgram:
        """Make the program whose address is base + sum of strides[k] * (index of loop k).

        A jump advances its own loop and takes back what the loops inside it have added.
        """
        jumps = [
            stride - sum(s * n for s, n in zip(strides[k + 1 :], lengths[k + 1 :], strict=True))
            for k, stride in enumerate(strides)
        ]
        return cls(base, tuple(jumps), lengths)


class ConvRowProgram(NamedTuple):
    """One output row of an unpadded convolution as BARVINN's five-loop generators run it, lists from loop 0 on."""

    ilength: list[int]
    ijump: list[int]
    wlength: list[int]
    wjump: list[int]
    countdown: int


@dataclass(frozen=True)
class PaddingGeometry:
    """Where the windows of a padded program lie on the input map; (rows, columns) or (y, x) throughout.

    Attributes:
        size: of the input map.
        kernel: of the window.
        padding: rows above and columns left of the map.
        stride: between the convolution outputs of a pool group.
        group_stride: between pool groups (between outputs where nothing is pooled).
        blocks: input channel blocks.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    padding: tuple[int, int]
    stride: tuple[int, int]
    group_stride: tuple[int, int]
    blocks: int


@dataclass(frozen=True)
class Windows:
    """Successive windows of a padded program; every array is int64 `[windows]`.

    Attributes:
        rows_before, rows_after, columns_before, columns_after: kernel rows and columns skipped.
        rows, columns: iterations of loop 6 (kernel rows) and of loop 7 (kernel columns x input blocks).
        clocks: multiply clocks of the window, all plane pairs.
        jump: index 0 to 4 of the jump that follows the window's last clock.
    """

    rows_before: np.ndarray
    rows_after: np.ndarray
    columns_before: np.ndarray
    columns_after: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    clocks: np.ndarray
    jump: np.ndarray


def jump_indices(lengths: tuple[int, ...], steps: int) -> np.ndarray:
    """Index of the jump taken after each of the first `steps` steps.

    Args:
        lengths: iterations - 1 of each loop, the outermost (endless, not looked at) first.
        steps: 0 or more.

    Returns:
        int64 `[steps]`: the innermost loop's index while that loop counts, 0 when all loops have ended.

    Raises:
        ConfigurationError: a negative length.
    """
    _check_lengths(lengths)
    done = np.arange(1, steps + 1)
    index = np.full(steps, len(lengths) - 1)
    for period in _periods(lengths)[1:]:
        if period > steps:  # periods only grow towards the outer loops, which have not ended either
            continue
        index -= done % period == 0
    return index


def addresses(program: AddressProgram, steps: int, depth: int) -> np.ndarray:
    """Addresses of the first `steps` steps.

    Args:
        program: of any number of loops.
        steps: 0 or more.
        depth: words of the memory; addresses wrap modulo `depth`.

    Returns:
        int64 `[steps]`, each from 0 to depth - 1.
    """
    step = np.arange(steps)
    address = np.full(steps, program.base)
    # Before step n, loop k has ended n // period[k] times. Each end of the loop inside it that is not its own end
    # takes jump k. (The endless loop never ends; a loop inside the innermost would end at every step.)
    periods = _periods(program.lengths)
    ends = [0] + [step // period if period <= steps else 0 for period in periods[1:]] + [step]
    for jump, own, inner in zip(program.jumps, ends, ends[1:], strict=False):
        if jump:
            address += jump * (inner - own)
    return address % depth


def enumerate_windows(geometry: PaddingGeometry, lengths: tuple[int, ...], steps: int) -> Windows:
    """List the windows that the first `steps` multiply clocks of a padded program touch, the last perhaps in part.

    Args:
        geometry: of the windows.
        lengths: iterations - 1 of the eight loops: row (endless), column, output block, pool row, pool column, plane
            pair, kernel row, kernel column x input block.
        steps: multiply clocks, 0 or more.

    Raises:
        ConfigurationError: a window that skips all of its rows or columns, which the hardware does not define.
    """
    inner = [n + 1 for n in lengths]
    full = inner[_PLANES] * inner[_KERNEL_ROW] * inner[_KERNEL_COLUMN]
    count = steps // full + 2
    while True:
        windows = _windows(geometry, lengths, count)
        empty = (windows.rows < 1) | (windows.columns < 1)
        sound = int(np.argmax(empty)) if empty.any() else count
        total = np.cumsum(windows.clocks[:sound])
        if steps == 0 or (sound and total[-1] >= steps):
            used = int(np.searchsorted(total, steps)) + 1 if steps else 0
            return Windows(**{name: values[:used] for name, values in vars(windows).items()})
        if sound < count:
            raise ConfigurationError(
                f"window {sound} of the padded program skips all of its kernel rows or columns "
                f"({int(windows.rows[sound])} rows and {int(windows.columns[sound])} column steps are left), "
                "but must keep 1 or more of each"
            )
        count *= 2


def padded_addresses(
    program: AddressProgram, skip: tuple[int, int], windows: Windows, steps: int, depth: int
) -> np.ndarray:
    """Addresses of the first `steps` steps of an eight-loop program under zero padding.

    Args:
        program: the unpadded program.
        skip: words between kernel rows and between kernel columns, what a skipped position is worth.
        windows: from `enumerate_windows`, at least those that `steps` touch.
        steps: 0 or more.
        depth: words of the memory; addresses wrap modulo `depth`.

    Returns:
        int64 `[steps]`, each from 0 to depth - 1.
    """
    if steps == 0:
        return np.empty(0, np.int64)
    row, column = skip
    lead = windows.rows_before * row + windows.columns_before * column
    trail = windows.rows_after * row + windows.columns_after * column
    # The jump behind the last window is never taken, so any value serves as its successor's lead.
    next_lead = np.append(lead[1:], 0)
    outer = np.asarray(program.jumps)[windows.jump] + trail + next_lead
    planes = program.jumps[_PLANES] + lead + trail
    kernel_row = program.jumps[_KERNEL_ROW] + (windows.columns_before + windows.columns_after) * column

    first = np.cumsum(windows.clocks) - windows.clocks
    at = np.repeat(np.arange(len(first)), windows.clocks)[:steps]
    done = np.arange(1, steps + 1) - first[at]
    columns = windows.columns[at]
    area = columns * windows.rows[at]
    jump = np.full(steps, program.jumps[_KERNEL_COLUMN])
    for ends, value in (
        (done % columns == 0, kernel_row),
        (done % area == 0, planes),
        (done == windows.clocks[at], outer),
    ):
        jump[ends] = value[at[ends]]
    address = np.empty(steps, np.int64)
    address[0] = program.base + lead[0]
    address[1:] = address[0] + np.cumsum(jump[:-1])
    return address % depth


def conv_row_program(
    iC: int,
    iH: int,
    iW: int,
    fC: int,
    fH: int,
    fW: int,
    stride: int,
    a: int,
    w: int,
) -> ConvRowProgram:
    """BARVINN's configuration of one output row of a convolution without padding.

    Formulas and names are those of BARVINN's code generator; its documentation tabulates 17 results. Its input jump 0
    leads to the next window of the row only for iC = 2: from the last word of a window that is
    -a*(iC*(fH-1)*iW + (fW-stride)*iC - 1), and the published jump is a*(iC-2) more. It is kept as published;
    `golden.mvu.jobs` makes programs of its own.

    Args:
        iC, iH, iW: input channel blocks, rows, columns.
        fC, fH, fW: output channel blocks, kernel rows, columns.
        stride: of rows and columns.
        a, w: bits of inputs and of weights.

    Raises:
        ConfigurationError: a size below 1, or a kernel larger than the map.
    """
    sizes = {"iC": iC, "iH": iH, "iW": iW, "fC": fC, "fH": fH, "fW": fW, "stride": stride, "a": a, "w": w}
    for name, value in sizes.items():
        if value < 1:
            raise ConfigurationError(f"{name} is {value}, but must be 1 or more")
    if fH > iH or fW > iW:
        raise ConfigurationError(f"kernel {fH}x{fW} is larger than the map of {iH}x{iW}")
    tiles = iC * fW * fH
    to_last_row = iC * (fH - 1) * iW
    return ConvRowProgram(
        ilength=[0, a * w * fC - 1, fH - 1, iC * fW - 1, 0],
        ijump=[
            -a * (to_last_row + (fW - stride - 1) * iC + 1),
            -a * (to_last_row + fW * iC - 1),
            a * (iC * (iW - fW) + 1),
            a,
            0,
        ],
        wlength=[0, fC - 1, a * w - 1, tiles - 1, 0],
        wjump=[-w * (tiles * fC - 1), w, -w * (tiles - 1), w, 0],
        countdown=tiles * a * w * fC * ((iW - fW) // stride + 1),
    )


def _check_lengths(lengths: tuple[int, ...]) -> None:
    for loop, length in enumerate(lengths):
        if length < 0:
            raise ConfigurationError(f"length of loop {loop} is {length}, but must be 0 or more")


def _periods(lengths: tuple[int, ...]) -> list[int]:
    """Steps of one run of each loop with all loops inside it; the first, of the endless loop, means nothing."""
    return list(accumulate((n + 1 for n in reversed(lengths)), lambda a, b: a * b))[::-1]


def _windows(geometry: PaddingGeometry, lengths: tuple[int, ...], count: int) -> Windows:
    """The first `count` windows."""
    inner = [n + 1 for n in lengths]
    position = []
    rest = np.arange(count)
    for loop in range(_PLANES - 1, 0, -1):
        rest, index = np.divmod(rest, inner[loop])
        position.insert(0, index)
    row, (column, _, pool_row, pool_column) = rest, position
    skipped = []
    for axis, (group, inside) in enumerate(((row, pool_row), (column, pool_column))):
        kernel, size = geometry.kernel[axis], geometry.size[axis]
        corner = group * geometry.group_stride[axis] + inside * geometry.stride[axis] - geometry.padding[axis]
        skipped.append((np.maximum(0, -corner), np.maximum(0, corner + kernel - size)))
    (rows_before, rows_after), (columns_before, columns_after) = skipped
    rows = inner[_KERNEL_ROW] - rows_before - rows_after
    columns = inner[_KERNEL_COLUMN] - (columns_before + columns_after) * geometry.blocks
    return Windows(
        rows_before,
        rows_after,
        columns_before,
        columns_after,
        rows,
        columns,
        inner[_PLANES] * rows * columns,
        jump_indices(lengths[:_PLANES], count),
    )
