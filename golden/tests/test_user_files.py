# SPDX-License-Identifier: Apache-2.0
"""Files from outside: whatever they are, one sentence in bounded time and memory, and what is sound is read in full."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import struct
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.golden import user_files, vector_sets
from assay.golden.__main__ import main
from assay.golden.errors import GoldenError
from assay.golden.importers import model_file

FORM = "test 1"


def sentence(error: BaseException) -> str:
    text = str(error)
    assert text and "\n" not in text and text.isprintable() and len(text) < 2_000, text[:500]
    return text


def npz(**arrays: np.ndarray) -> bytes:
    return vector_sets.packed(arrays)


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


# What is sound.


@pytest.mark.parametrize("array", [
    np.arange(6, dtype=np.int8).reshape(2, 3), np.float32(3.5), np.zeros((0, 4), np.uint16), np.array([True, False]),
    np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)), np.arange(5).astype(">i4"), np.array([1 + 2j]),
])  # fmt: skip
def test_arrays_come_back(array, tmp_path):
    array = np.asarray(array)
    (tmp_path / "a.npy").write_bytes(npy(array, version=(1, 0)))
    (tmp_path / "b.npy").write_bytes(npy(array, version=(2, 0)))
    (tmp_path / "c.npz").write_bytes(npz(x=array, y=array))
    for read in (
        user_files.array_file(tmp_path / "a.npy"),
        user_files.array_file(tmp_path / "b.npy"),
        *user_files.array_file(tmp_path / "c.npz").values(),
    ):
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype and read.shape == array.shape and read.flags.writeable
    (tmp_path / "link").symlink_to(tmp_path / "a.npy")
    np.testing.assert_array_equal(user_files.array_file(tmp_path / "link"), array)


# What is no file.


def not_files(folder):
    os.mkfifo(folder / "fifo")
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "folder").mkdir()
    with (folder / "holes").open("wb") as file:
        file.truncate(1 << 40)
    return {
        "fifo": "is a FIFO, but must be a file",
        "endless": "is a device, but must be a file",
        "loop": "symbolic links",
        "folder": "is a folder, but must be a file|Is a directory",
        "holes": "1099511627776 bytes",
        "missing": "No such file|no such model file",
        "nul\0": "null byte",
        "\udcff" * 2: "No such file|no such model file",
        "long" * 100: "name too long",
    }


READERS = {
    "arrays": user_files.array_file,
    "content": lambda path: user_files.content(path, 1 << 20),
    "model": lambda path: model_file.read(path.with_name(path.name)),
    "manifest": lambda path: vector_sets.checked(path.parent, path.name, "0" * 64),
    "set": lambda path: vector_sets.manifest_of(path, FORM),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("reader", [name for name in READERS if name != "set"])
def test_what_is_no_file(reader, tmp_path):
    for name, message in not_files(tmp_path).items():
        failed: list[BaseException] = []

        def read(path=tmp_path / name, failed=failed):
            try:
                READERS[reader](path)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive(), f"{name!r} is waited for"
        assert len(failed) == 1 and isinstance(failed[0], GoldenError), (name, failed)
        assert re.search(message, sentence(failed[0])), (name, str(failed[0]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_manifests_that_are_no_files(tmp_path):
    kinds = not_files(tmp_path)
    for name in ("fifo", "endless", "loop", "folder", "holes"):
        folder = tmp_path / f"set of {name}"
        folder.mkdir()
        (folder / vector_sets.MANIFEST).symlink_to(tmp_path / name)
        with pytest.raises(GoldenError, match="no vector set") as caught:
            vector_sets.manifest_of(folder, FORM)
        assert re.search(kinds[name], sentence(caught.value))


# What is a file and no sound one.


def header(text: str, body: bytes = b"", version: int = 1) -> bytes:
    raw = text.encode("latin1")
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<H" if version == 1 else "<I", len(raw))
        + raw
        + body
    )


@functools.cache
def zeros() -> bytes:
    """An archive of 300 MB of zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x.npy", npy(np.zeros(300 << 20, np.int8)))
    return file.getvalue()


def bomb(declared: int | None = None) -> bytes:
    """`zeros`, which its directory may understate."""
    data = bytearray(zeros())
    if declared is not None:
        central = data.rindex(b"PK\1\2")
        struct.pack_into("<I", data, central + 24, declared)
        struct.pack_into("<I", data, 22, declared)
    return bytes(data)


def flagged(flag: int = 0, method: int | None = None) -> bytes:
    data = bytearray(npz(x=np.arange(9)))
    for at, flags, methods in ((0, 6, 8), (data.rindex(b"PK\1\2"), 8, 10)):
        data[at + flags] |= flag
        if method is not None:
            data[at + methods] = method
    return bytes(data)


def twice() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("x.npy", npy(np.arange(3)))
        archive.writestr("x.npy", npy(np.arange(4)))
    return file.getvalue()


def inside(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", content)
    return file.getvalue()


FLAT = "{'descr': '|i1', 'fortran_order': False, 'shape': (%s,), }"
DAMAGED = {
    "nothing": b"",
    "text": b"1, 2, 3\n",
    "cut header": npy(np.arange(9))[:9],
    "cut": npy(np.arange(9))[:-1],
    "longer": npy(np.arange(9)) + b"0",
    "promises a terabyte": header(FLAT % (1 << 40)),
    "promises too much for a number": header(FLAT % ("9" * 30)),
    "overflows": header("{'descr': '<i8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 2), }"),
    "negative": header(FLAT % -1),
    "no shape": header("{'descr': '|i1', 'fortran_order': False}"),
    "no literal": header("__import__('os').abort()"),
    "deep": header("(" * 5000),
    "long header": header(" " * 60_000),
    "objects": npy(np.array([{}], object), allow_pickle=True),
    "records": npy(np.zeros(3, [("a", "i4"), ("b", "f4")])),
    "texts": npy(np.array(["a", "b"])),
    "version 3": header(FLAT % 1, b"0", 3),
    "bomb": bomb,  # takes a second, so it is made by the test
    "understated bomb": lambda: bomb(1000),
    "encrypted": flagged(1),
    "unknown compression": flagged(method=99),
    "two of a name": twice(),
    "cut archive": npz(x=np.arange(99))[:-30],
    "damaged deflate": npz(x=np.arange(9999))[:60] + bytes(40) + npz(x=np.arange(9999))[100:],
    "archive of text": inside(b"hello"),
    "archive of objects": inside(npy(np.array([{}], object), allow_pickle=True)),
    "archive promises a terabyte": inside(header(FLAT % (1 << 40))),
}  # fmt: skip


@pytest.mark.parametrize("name", list(DAMAGED))
def test_damaged_arrays(name, tmp_path, capsys):
    content = DAMAGED[name]
    if callable(content):
        content = content()
    path = tmp_path / "rows.npy"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        if "bomb" not in name:  # 300 MB are allowed as input
            with pytest.raises(GoldenError) as caught:
                user_files.array_file(path)
            assert sentence(caught.value).startswith(f"{path} cannot be read: ")
        with pytest.raises(GoldenError) as caught:
            user_files.arrays_in(io.BytesIO(content), 1 << 20)
        sentence(caught.value)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def test_inputs_on_the_command_line(tmp_path, capsys):
    from assay.golden.tests.onnx_files import OnnxFile

    file = OnnxFile(13)
    x = file.dequantize(file.input((1, 4), np.int8), 0.5, np.int8(3))
    file.quantize(file.node("Relu", x), 0.25, np.int8(1))
    (tmp_path / "net.onnx").write_bytes(file.bytes())
    for content in (DAMAGED["objects"], DAMAGED["encrypted"], DAMAGED["promises a terabyte"]):
        (tmp_path / "rows.npy").write_bytes(content)
        for command in ("predict", "trace", "compare", "profile"):
            assert main([command, str(tmp_path / "net.onnx"), "--inputs", str(tmp_path / "rows.npy")]) == 2
            assert capsys.readouterr().err.startswith(f"golden: {tmp_path / 'rows.npy'} cannot be read: ")


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    st.integers(0, 400),
    st.booleans(),
)
def test_altered_arrays_never_end_in_anything_but_one_sentence(changes, cut, archive):
    data = bytearray(npz(x=np.arange(40), y=np.eye(3)) if archive else npy(np.arange(40)))
    for at, value in changes:
        data[at % len(data)] = value
    data = data[: len(data) - cut if cut < len(data) else 0] if cut % 3 == 0 else data
    try:
        read = user_files.arrays_in(io.BytesIO(bytes(data)), 1 << 20)
    except GoldenError as error:
        sentence(error)
    else:
        assert all(array.nbytes <= 1 << 20 for array in read.values())


# Vector sets.


def whole(folder):
    vector_sets.write(folder, {"format": FORM, "one": 1}, [({"name": "a"}, {"x": np.arange(5)})])


def built(manifest, jobs):
    return {job["name"]: int(arrays["x"].sum()) * manifest["one"] for job, arrays in jobs}


@pytest.mark.parametrize("text", [
    "[" * 100_000, '{"a":' * 100_000, "{", "\xff", "[]", "1", "null", "9" * 10_000, '{"format": "test 2"}', "\0",
    '{"format": "test 1"}', '{"format": "test 1", "jobs": 3}', '{"format": "test 1", "jobs": [3]}',
    '{"format": "test 1", "jobs": [{"file": "a\\u0000.npz"}]}', '{"format": "test 1", "jobs": [{"file": "\\udcff"}]}',
    '{"format": "test 1", "jobs": [{"file": "."}]}', '{"format": "test 1", "jobs": [{"file": ".."}]}',
    '{"format": "test 1", "jobs": [{"file": ""}]}', '{"format": "test 1", "jobs": [{"file": "%s"}]}' % ("a" * 9999),
    '{"format": "test 1", "jobs": [{"file": "/etc/passwd"}]}', '{"format": "test 1", "jobs": [{"file": {"a": 1}}]}',
])  # fmt: skip
def test_manifests_that_are_none(text, tmp_path):
    folder = tmp_path / "set"
    whole(folder)
    assert vector_sets.read(folder, FORM, built) == {"a": 10}
    (folder / vector_sets.MANIFEST).write_text(text, encoding="latin1")
    with pytest.raises(GoldenError) as caught:
        vector_sets.read(folder, FORM, built)
    sentence(caught.value)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_altered_manifests_never_end_in_anything_but_one_sentence(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("sets") / "set"
    whole(folder)
    path = folder / vector_sets.MANIFEST
    data = bytearray(path.read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    path.write_bytes(data)
    try:
        made = vector_sets.read(folder, FORM, built)
    except GoldenError as error:
        sentence(error)
    else:
        assert set(made.values()) <= {10 * n for n in range(-9, 10)}


@pytest.mark.parametrize("change", [
    {"jobs": [{"name": "a", "file": "00_a.npz"}]}, {"jobs": [{}]}, {"jobs": [None]}, {"one": 10**400}, {"one": []},
])  # fmt: skip
def test_what_is_built_of_an_altered_manifest(change, tmp_path):
    folder = tmp_path / "set"
    whole(folder)
    path = folder / vector_sets.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    def build(manifest, jobs):
        return float(manifest["one"]) * len(jobs), built(manifest, jobs)

    with pytest.raises(GoldenError) as caught:
        vector_sets.read(folder, FORM, build)
    sentence(caught.value)
