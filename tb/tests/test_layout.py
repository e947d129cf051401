# SPDX-License-Identifier: Apache-2.0
"""Layouts and tensors on streams: there, back, and what a mismatch is called."""

import numpy as np
import pytest

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats
from assay.tb.layout import Arrangement, Field, flat, from_bytes, planes, rows, to_bytes
from assay.tb.tensor_scoreboard import TensorFormat, TensorScoreboard

IMAGE = np.arange(-30, 30).reshape(3, 4, 5)


@pytest.mark.parametrize("bits", [1, 3, 8, 13, 32, 64, 100])
@pytest.mark.parametrize("signed", [False, True])
def test_elements_of_any_width_come_back(bits, signed):
    rng = np.random.default_rng(bits)
    low, high = Field("d", bits, signed).range
    drawn = [low + int.from_bytes(rng.bytes(16), "little") % (high - low + 1) for _ in range(33)]
    elements = np.array([*drawn, low, high, low], object).reshape(12, 3)
    if bits <= 64:
        elements = elements.astype(np.int64 if signed else np.uint64)
    content = to_bytes(elements, bits)
    assert content.shape == (12, (3 * bits + 7) // 8)
    assert np.array_equal(from_bytes(content, bits, 3, signed), elements)
    assert int.from_bytes(content[0].tobytes(), "little") & (1 << bits) - 1 == int(elements[0, 0]) % (
        1 << bits
    )


def test_layouts():
    assert flat(np.arange(5), 2).tolist() == [[0, 1], [2, 3], [4, 0]]
    assert rows(np.arange(6).reshape(2, 3), 2).tolist() == [[0, 1], [2, 0], [3, 4], [5, 0]]
    # Channels side by side, position after position.
    assert planes(np.arange(8).reshape(2, 2, 2), 2).tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_a_layout_may_send_an_element_twice():
    field = Field("d", 8, layout=lambda tensor, lanes: np.stack([tensor, np.roll(tensor, 1)], axis=1))
    arrangement = Arrangement("x", (4,), field, 2)
    assert arrangement.pack(np.array([1, 2, 3, 4])).tolist() == [[1, 4], [2, 1], [3, 2], [4, 3]]
    assert arrangement.place(1, 1) == "x[0]"


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (
            lambda tensor, lanes: tensor,
            r"the layout of x\[3, 4, 5\] gives \[3, 4, 5\]: \[beats, 2\] is needed",
        ),
        (lambda tensor, lanes: flat(tensor, lanes) + 9, "gives something else than its elements and 0"),
    ],
)
def test_a_wrong_layout_is_named(layout, said):
    with pytest.raises(ValueError, match=said):
        Arrangement("x", IMAGE.shape, Field("d", 8, layout=layout), 2)


def test_an_element_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"x\[1, 0\] = 128 does not fit into 8 bits, signed: -128 to 127"):
        Arrangement("x", (2, 1), Field("d", 8, signed=True), 1).pack(np.array([[0], [128]]))


def tensor_format(**options) -> TensorFormat:
    beats = BeatFormat([("y", 16), ("keep", 2), ("last", 1)])
    return TensorFormat("out", beats, {"y": Field("data", 8, signed=True, layout=planes)}, **options)


def test_keep_and_last_follow_from_the_layout():
    packet = tensor_format().packet({"y": IMAGE})
    fields = tensor_format().format.unpack(packet.beats)
    assert fields["keep"].tolist() == [3, 1] * 20
    assert np.flatnonzero(fields["last"]).tolist() == [39]
    assert packet.values == 60
    fields = tensor_format(packet_beats=7).format.unpack(
        tensor_format(packet_beats=7).packet({"y": IMAGE}).beats
    )
    assert np.flatnonzero(fields["last"]).tolist() == [6, 13, 20, 27, 34, 39]


def test_tensors_come_back():
    formats = tensor_format()
    packet = formats.packet({"y": IMAGE})
    assert np.array_equal(formats.tensors(packet, packet.beats)["y"], IMAGE)


def board_after(change, **options) -> TensorScoreboard:
    board = TensorScoreboard(tensor_format())
    packet = tensor_format().packet({"y": IMAGE})
    board.expect_packet(packet, "play 0")
    seen, unknown = packet.beats.copy(), np.zeros_like(packet.beats)
    change(seen, unknown)
    for index in range(len(seen)):
        board.write(
            Beats(
                "out",
                index,
                np.array([index], np.uint32),
                seen[index : index + 1],
                unknown[index : index + 1],
            )
        )
    board.finish()
    return board


def test_unused_lanes_may_hold_anything():
    def garbage(seen, unknown):
        seen[1::2, 1] = 0xAA
        unknown[1::2, 1] = 0xFF

    board = board_after(garbage)
    assert board.passed
    assert (board.beats_compared, board.values_compared) == (40, 60)


def test_a_wrong_element_is_named_with_both_values():
    def flip(seen, unknown):
        seen[12, 1] ^= 0x81

    (found,) = board_after(flip).mismatches
    assert found.kind == "mismatch"
    assert "beat 12, y[1, 1, 1] (lane 1) is 125 (0x7d) instead of -4 (0xfc), play 0" in str(found)


def test_x_names_the_element():
    def strange(seen, unknown):
        seen[13, 0], unknown[13, 0] = 0, 0x10

    (found,) = board_after(strange).mismatches
    assert found.kind == "unknown"
    assert "beat 13, y[2, 1, 1] (lane 0), play 0: a beat is X" in str(found)


def test_a_wrong_end_of_packet_is_named():
    def early(seen, unknown):
        seen[5, 2] ^= 4

    (found,) = board_after(early).mismatches
    assert "the end of the packet, or its keep" in str(found) and "last[0]" in str(found)


def test_a_field_must_hold_whole_elements():
    with pytest.raises(ValueError, match="16 bits, which is no whole number of elements of 5"):
        TensorFormat("out", BeatFormat([("y", 16)]), {"y": Field("data", 5)})


def test_tensors_of_one_port_need_as_many_beats():
    formats = TensorFormat("ab", BeatFormat([("a", 8), ("b", 8)]), {"a": Field("a", 8), "b": Field("b", 8)})
    with pytest.raises(ValueError, match="the same number of beats: a has 3, b has 2"):
        formats.packet({"a": np.arange(3), "b": np.arange(2)})
