# SPDX-License-Identifier: Apache-2.0
"""The bench of requant_relu: random tensors, the corners of int32, and a layer of a real network."""

import numpy as np

from assay import vectors
from assay.golden import operators as op
from assay.tb.stream_bench import Field, StreamBench, axi_stream


class Bench(StreamBench):
    """Between random stalls, every value against `golden`."""

    clock = "aclk"
    reset_pin = "aresetn"
    inputs = {"acc": axi_stream("s_axis", Field("s_axis_tdata", bits=32, signed=True))}
    outputs = {"y": axi_stream("m_axis", Field("m_axis_tdata", bits=8, signed=True))}

    def golden(self, acc):
        y = op.requantize(acc, self.params["Multiplier"], self.params["Shift"], bits=8, rounding="half_up")
        return np.maximum(y, 0)


@Bench.test
async def random_tensors(self):
    """Tensors of any shape."""
    for _ in range(20):
        await self.play(acc=self.random("acc", (3, 5, 16)))


@Bench.test
async def corners(self):
    """The ends of int32, and the values around zero."""
    ends = np.iinfo(np.int32)
    values = np.r_[ends.min : ends.min + 8, -32:32, ends.max - 7 : ends.max + 1]
    await self.play(acc=values.reshape(-1, 16))


@Bench.test
async def layer_of_a_network(self):
    """The accumulators of the first layer of a trained network, for a real image."""
    network, images, _ = vectors.digits("digits_w2a2")
    layer = network.layers[0]
    x = images[:1].astype(np.int64)
    acc = op.conv2d(x, layer.weight, layer.stride, layer.padding)
    await self.play(acc=acc)
