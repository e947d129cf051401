# SPDX-License-Identifier: Apache-2.0
"""The golden functions of the blocks in ``rtl``: what a user writes after ``assay new``. Name of the block -> body."""

GOLDENS = {
    "add_prefixed": 'return a + b + pins["i_cfg_bias"]',
    "alu_struct": (
        'op = op ^ pins["mode_i"]; '
        "return np.select([op == 0, op == 1, op == 2], [a + b & 255, a - b & 255, np.minimum(a, b)], np.maximum(a, b))"
    ),
    "camelswap": (
        'return {"io_output_payload_pixel_pair": io_input_payload_pixel_pair << 8 & 0xFFFF '
        "| io_input_payload_pixel_pair >> 8, "
        '"io_output_payload_is_last": io_input_payload_is_last}'
    ),
    "clip_logic": 'y = np.clip(x, -128, 127); return {"y": y, "clipped": y != x}',
    "copy_axil": (
        'words = memories["m_axi"].view(np.uint32).copy(); '
        'words[64 : 64 + pins["count_i"]] = words[: pins["count_i"]] + 1; return {"m_axi": words.view(np.uint8)}'
    ),
    "divide": (
        "some = np.maximum(divisor, 1); "
        'return {"quotient": np.where(divisor, dividend // some, 255), '
        '"remainder": np.where(divisor, dividend % some, dividend)}'
    ),
    "dot_sram": (
        'y = memories["ymem"].copy(); n = pins["count"]; '
        'y[:n] = memories["wmem"][:n] * np.uint64(pins["x_scale"]); return {"ymem": y}'
    ),
    "max_fifo": "return np.maximum(in_data >> 8, in_data & 255)",
    "odd_names": "return p ^ 255",
    "offset_axil": "return in_data",
    "relu_2001": "return np.where(din < 2048, din, 0)",
    "requant_axis": "return np.clip(s_axis + 32 >> 6, -128, 127)",
    "scale_enable": "return 3 * x",
    "sum_lanes": "return lanes.sum(axis=1)",
}
