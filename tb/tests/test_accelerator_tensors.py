# SPDX-License-Identifier: Apache-2.0
"""Tensors gathered from traces: whole ones are the golden network's, and what is missing or misplaced is named."""

import numpy as np
import pytest

from assay import vectors
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.codegen import plan
from assay.golden.mvu.layout import pack_activations
from assay.tb.accelerator.tensors import TensorCollector, first_difference, stored_input


@pytest.fixture(scope="module", params=["distributed", "pipelined"])
def played(request):
    """A collector's plan, and for each MVU the words of its steps as the golden network has them."""
    network, images, _ = vectors.digits("digits_mixed")
    made = plan(network, AcceleratorParameters.of_rtl({"Mvus": 3, "Lanes": 16}), request.param)
    trace = {name: values[0] for name, values in network.trace(images[:1]).items()}
    outputs = {layer.name: layer.output for layer in network.layers}
    words = []
    for mvu in range(3):
        address, data = [], []
        for step in (s for phase in made.phases for s in phase.steps[mvu]):
            place = made.places[outputs[step.layer]]
            whole = pack_activations(trace[place.tensor], place.fmt, 16)
            whole = whole.reshape(place.shape[0], place.shape[1], -1, place.fmt.bits, 2)
            job = step.job
            part = np.zeros(whole.shape[:4], bool)
            part[step.rows.start : step.rows.stop, :, job.first_block : job.first_block + job.blocks] = True
            address.append(place.base + np.flatnonzero(part))
            data.append(whole[part])
        words.append(
            (np.concatenate(address or [np.zeros(0, int)]), np.concatenate(data or [np.zeros((0, 2))]))
        )
    return made, trace, words


def gather(made, words):
    collector = TensorCollector(made)
    for mvu, (address, data) in enumerate(words):
        for first in range(0, len(address), 7):
            part = slice(first, first + 7)
            collector.words(mvu, address[part], data[part], np.arange(len(address[part])))
    return collector


def test_all_words_make_the_tensors(played):
    made, trace, words = played
    seen = gather(made, words).tensors()
    assert list(seen) == [layer.output for layer in made.network.layers]
    assert first_difference("digits", trace, seen) == ""


def test_a_wrong_value_is_named(played):
    made, trace, words = played
    seen = gather(made, words).tensors()
    seen["conv2"][1, 2, 3] += 1
    assert "tensor conv2 differ from the golden network's, the first at row 1, column 2, channel 3" in (
        first_difference("digits", trace, seen)
    )


def test_a_missing_word_is_named(played):
    made, _, words = played
    with pytest.raises(
        ValueError, match=r"were not written once, the first is word \d+ of it .* written 0 times"
    ):
        gather(made, [(address[:-1], data[:-1]) for address, data in words]).tensors()


def test_a_word_too_many_and_a_misplaced_one(played):
    made, _, words = played
    more = [(np.append(address, address[-1:]), np.concatenate([data, data[-1:]])) for address, data in words]
    with pytest.raises(ValueError, match=r"MVU 0 writes 1 words after its last step"):
        gather(made, more).tensors()
    address, data = words[0]
    moved = address.copy()
    moved[0] += 20_000
    with pytest.raises(ValueError, match=r"MVU 0, layer conv1: word \d+ is not of tensor conv1"):
        gather(made, [(moved, data), *words[1:]]).tensors()


def test_a_folded_input_is_windows():
    network, images, _ = vectors.digits("digits_mixed")
    made = plan(network, AcceleratorParameters(), "distributed")
    assert made.folded and stored_input(made, images[0].astype(int)).shape == made.places["input"].shape
