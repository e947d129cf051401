# SPDX-License-Identifier: Apache-2.0
"""Packing of fields into beats."""

import numpy as np
import pytest

from assay.tb.agents.beat_format import BeatFormat

FORMAT = BeatFormat([("wdata", 64), ("addr", 16), ("write", 1), ("wide", 100)])


def random_fields(count: int, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (count, 13), dtype=np.uint8)
    wide[:, 12] &= 0x0F  # 100 bits
    return {
        "wdata": rng.integers(0, 1 << 64, count, dtype=np.uint64),
        "addr": rng.integers(0, 1 << 16, count),
        "write": rng.integers(0, 2, count),
        "wide": wide,
    }


def test_sizes():
    assert FORMAT.width == 181
    assert FORMAT.bytes == 23


def test_pack_agrees_with_integers():
    fields = random_fields(50)
    beats = FORMAT.pack(**fields)
    for i, beat in enumerate(beats):
        expected = int(fields["wdata"][i])
        expected |= int(fields["addr"][i]) << 64 | int(fields["write"][i]) << 80
        expected |= int.from_bytes(fields["wide"][i].tobytes(), "little") << 81
        assert int.from_bytes(beat.tobytes(), "little") == expected


def test_unpack_inverts_pack():
    fields = random_fields(200)
    for name, values in FORMAT.unpack(FORMAT.pack(**fields)).items():
        assert np.array_equal(values, fields[name]), name


def test_scalars_count_for_all_beats_and_no_beat_is_fine():
    small = BeatFormat([("data", 8), ("last", 1)])
    assert small.pack(data=[1, 2, 3], last=1).tolist() == [[1, 1], [2, 1], [3, 1]]
    assert small.pack(data=7, last=0).tolist() == [[7, 0]]
    assert small.pack(data=[], last=1).shape == (0, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": [1, 256], "last": 0}, "field data, beat 1: the value needs more than 8 bits"),
        ({"data": [1, -1], "last": 0}, "beat 1: -1 is negative"),
        ({"data": [1]}, "missing or unknown: last"),
        ({"data": [1, 2], "last": [0, 1, 0]}, "differ in length"),
        ({"data": [1.5], "last": 0}, "unsigned integers"),
    ],
)
def test_bad_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        BeatFormat([("data", 8), ("last", 1)]).pack(**fields)


def test_bad_formats():
    with pytest.raises(ValueError, match="given twice"):
        BeatFormat([("a", 1), ("a", 2)])
    with pytest.raises(ValueError, match="at least 1"):
        BeatFormat([("a", 0)])


def test_description_of_a_beat():
    beat = BeatFormat([("data", 12), ("last", 1)]).pack(data=[0xAB], last=1)[0]
    assert BeatFormat([("data", 12), ("last", 1)]).describe(beat) == "data=0x0ab last=0x1"
    assert FORMAT.locate(80) == "write[0]"
    assert FORMAT.locate(83) == "wide[2]"
