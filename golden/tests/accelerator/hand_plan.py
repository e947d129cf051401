# SPDX-License-Identifier: Apache-2.0
"""Plans made by hand, not by the code generator: layer l on MVU l mod Mvus, whole layers, the plainest firmware."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from assay.golden.accelerator import registers as system_registers
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.codegen.plan import BIASES, SCALERS, WEIGHTS, Firmware, Load, Phase, Place, Plan, Step, Wait
from assay.golden.controller.csrs import BY_NAME as CSRS
from assay.golden.controller.instructions import encode
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.formats import IntFormat
from assay.golden.mvu.jobs import map_layer
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.mvu.plan import NetworkPlan
from assay.golden.mvu.registers import BY_NAME as MVU_REGISTERS
from assay.golden.mvu.registers import encode as encode_registers
from assay.golden.network import Layer, Network, Pool, Residual

T0, T1, S0, S1 = 5, 6, 8, 9  # registers
MVU_CSR = 0x7C0
MVU_CSR_HIGH = 0xBC0
PHASE, ENDED, CURRENT, TRAP, FIXED = 0, 1, 17, 33, 97  # words of the fixed block


def parameters(mvus: int, lanes: int = 8, **mvu: int) -> AcceleratorParameters:
    return AcceleratorParameters(
        mvus,
        MvuParameters(lanes=lanes, **{"weight_depth": 512, "bank_depth": 256, **mvu}),
        ControllerParameters(harts=mvus),
    )


@dataclass
class Assembly:
    """Words, and jumps to labels that are filled in at the end."""

    params: AcceleratorParameters

    def __post_init__(self) -> None:
        self.words: list[int] = []
        self.labels: dict[str, int] = {}
        self.jumps: list[tuple[int, str, dict]] = []

    def add(self, name: str, **operands: int) -> None:
        self.words.append(encode(name, **operands))

    def li(self, rd: int, value: int) -> None:
        low = (value & 0xFFF ^ 0x800) - 0x800
        self.add("lui", rd=rd, imm=(value - low >> 12) & 0xFFFFF)
        self.add("addi", rd=rd, rs1=rd, imm=low)

    def label(self, name: str) -> None:
        self.labels[name] = len(self.words)

    def jump(self, to: str, name: str = "jal", **operands: int) -> None:
        self.jumps.append((len(self.words), to, {"name": name, **operands}))
        self.words.append(0)

    def csr(self, name: str, csr: int, rd: int = 0, rs1: int = 0) -> None:
        self.add(name, csr=csr, rd=rd, rs1=rs1)

    def finish(self) -> np.ndarray:
        for at, to, operands in self.jumps:
            self.words[at] = encode(imm=4 * (self.labels[to] - at), **operands)
        return np.array(self.words, np.uint32)


def mvu_csr(register: int) -> int:
    return MVU_CSR + register if register < 64 else MVU_CSR_HIGH + register - 64


def firmware(params: AcceleratorParameters, steps: list[list[Step]]) -> Firmware:
    code = Assembly(params)
    data = IMEM_BASE + 4 * params.controller.imem_words
    status = MVU_REGISTERS["mvustatus"]
    code.li(S0, data)
    code.add("lui", rd=T0, imm=0x10)  # mie.16
    code.csr("csrrw", CSRS["mie"].address, rs1=T0)
    code.csr("csrrs", CSRS["mhartid"].address, rd=T0)
    for hart in range(params.mvus):
        code.add("addi", rd=T1, imm=hart)
        code.jump(f"not{hart}", "bne", rs1=T0, rs2=T1)
        code.jump(f"hart{hart}")
        code.label(f"not{hart}")
    code.label("trap")
    code.add("ebreak")
    for hart, mine in enumerate(steps):
        code.label(f"hart{hart}")
        for step in mine:
            words = encode_registers(step.job.registers)
            for register in MVU_REGISTERS.values():
                if register.name in ("mvucommand", "mvustatus"):
                    continue
                code.li(T0, words.get(register.address, 0))
                code.csr("csrrw", mvu_csr(register.address), rs1=T0)
            for number, wait in enumerate(step.waits):
                name = f"wait{hart}.{step.number}.{number}"
                code.label(name)
                code.add("lw", rd=T0, rs1=S0, imm=4 * (ENDED + wait.mvu))
                code.add("addi", rd=T1, imm=wait.count)
                code.jump(name, "blt", rs1=T0, rs2=T1)
            code.add("addi", rd=T0, imm=step.number + 1)
            code.add("sw", rs1=S0, rs2=T0, imm=4 * (CURRENT + hart))
            command = MVU_REGISTERS["mvucommand"].address
            code.li(T0, words[command])
            code.csr("csrrw", mvu_csr(command), rs1=T0)
            code.add("wfi")
            code.csr("csrrs", mvu_csr(status.address), rd=T0)
            code.csr("csrrw", mvu_csr(status.address), rs1=T0)
            code.add("lui", rd=T1, imm=0x10)
            code.csr("csrrc", CSRS["mip"].address, rs1=T1)
            code.add("andi", rd=T1, rs1=T0, imm=status.field("error").mask)
            code.jump("failed", "bne", rs1=T1)
            code.add("addi", rd=T0, imm=step.number + 1)
            code.add("sw", rs1=S0, rs2=T0, imm=4 * (ENDED + hart))
        code.li(T0, system_registers.hart_address("finished"))
        code.li(T1, 1 << hart)
        code.add("sw", rs1=T0, rs2=T1)
        code.jump("stop")
    code.label("failed")  # status in T0
    code.csr("csrrs", CSRS["mhartid"].address, rd=T1)
    code.add("slli", rd=T1, rs1=T1, imm=4)
    code.add("add", rd=S0, rs1=S0, rs2=T1)
    code.add("sw", rs1=S0, rs2=T0, imm=4 * TRAP + 4)
    code.add("addi", rd=T0, imm=2)
    code.add("sw", rs1=S0, rs2=T0, imm=4 * TRAP)
    code.li(T0, system_registers.hart_address("failed"))
    code.csr("csrrs", CSRS["mhartid"].address, rd=T1)
    code.add("addi", rd=S0, imm=1)
    code.add("sll", rd=T1, rs1=S0, rs2=T1)
    code.add("sw", rs1=T0, rs2=T1)
    code.label("stop")
    code.csr("csrrw", CSRS["mie"].address)
    code.add("wfi")
    code.jump("stop")
    symbols = {"start": IMEM_BASE, "phase": data, "ended": data + 4 * ENDED}
    symbols |= {"current": data + 4 * CURRENT, "trap": data + 4 * TRAP}
    return Firmware(code.finish(), np.zeros(FIXED, np.uint32), symbols, "")


def plan(network: Network, params: AcceleratorParameters) -> Plan:
    """Every tensor in every MVU that reads it, in one phase."""
    mvus = params.mvus
    bases = NetworkPlan(network, params.mvu).bases
    on = {layer.name: index % mvus for index, layer in enumerate(network.layers)}
    readers = {tensor: set() for tensor in network.shapes}
    for layer in network.layers:
        for tensor in (layer.input, layer.residual and layer.residual.tensor):
            if tensor is not None:
                readers[tensor].add(on[layer.name])
    readers[network.output] = {on[network.layers[-1].name]}
    steps: list[list[Step]] = [[] for _ in range(mvus)]
    loads, made, room = [], {}, [[0, 0] for _ in range(mvus)]
    for layer in network.layers:
        mvu = on[layer.name]
        dest = sum(1 << reader for reader in readers[layer.output])
        jobs = map_layer(
            layer,
            network.shapes[layer.input][:2],
            params.mvu,
            bases[layer.input],
            bases[layer.output],
            weight_base=room[mvu][0],
            channel_base=room[mvu][1],
            residual_base=layer.residual and bases[layer.residual.tensor],
            dest=0 if dest == 1 << mvu else dest,
        )
        assert len(jobs) == 1
        for select, first, image in (
            (WEIGHTS, room[mvu][0], jobs[0].weights),
            (SCALERS, room[mvu][1], jobs[0].scaler),
            (BIASES, room[mvu][1], jobs[0].bias),
        ):
            loads.append(Load(frozenset([mvu]), select, first, image))
        room[mvu][0] += len(jobs[0].weights)
        room[mvu][1] += len(jobs[0].scaler)
        sources = [layer.input] + ([layer.residual.tensor] if layer.residual else [])
        waits = tuple(made[tensor] for tensor in sources if tensor in made and made[tensor].mvu != mvu)
        rows = range(network.shapes[layer.output][0])
        steps[mvu].append(Step(mvu, len(steps[mvu]), jobs[0], layer.name, rows, waits))
        made[layer.output] = Wait(mvu, len(steps[mvu]))
    places = {}
    for tensor, shape in network.shapes.items():
        fmt = network.formats[tensor]
        words = shape[0] * shape[1] * -(-shape[2] // params.mvu.lanes) * fmt.bits
        places[tensor] = Place(tensor, shape, fmt, bases[tensor], words, frozenset(readers[tensor]))
    phase = Phase(tuple(loads), tuple(tuple(each) for each in steps))
    return Plan(network, params, "pipelined", False, places, (phase,), firmware(params, steps))


def with_steps(made: Plan, steps: list[list[Step]]) -> Plan:
    """The plan with other steps and the firmware for them."""
    phase = Phase(made.phases[0].loads, tuple(tuple(each) for each in steps))
    return replace(made, phases=(phase,), firmware=firmware(made.params, steps))


def interrupted(network: Network, params: AcceleratorParameters) -> Plan:
    """A plan of one step whose end is an interrupt that hart 0 takes, instead of waking from wfi."""
    made = plan(network, params)
    (step,) = (step for steps in made.phases[0].steps for step in steps)
    code = Assembly(params)
    data = IMEM_BASE + 4 * params.controller.imem_words
    csrs = {name: CSRS[name].address for name in ("mie", "mtvec", "mstatus", "mip", "mcause")}
    status = MVU_REGISTERS["mvustatus"]
    code.li(S0, data)
    code.jump("main")
    code.label("handler")
    code.li(T1, status.field("done").mask)
    code.csr("csrrw", mvu_csr(status.address), rs1=T1)
    code.add("lui", rd=T1, imm=0x10)
    code.csr("csrrc", csrs["mip"], rs1=T1)
    code.csr("csrrs", csrs["mcause"], rd=S1)
    code.add("mret")
    code.label("main")
    code.csr("csrrs", CSRS["mhartid"].address, rd=S1)
    code.jump("finish", "bne", rs1=S1)
    code.li(T0, IMEM_BASE + 4 * code.labels["handler"])
    code.csr("csrrw", csrs["mtvec"], rs1=T0)
    code.add("lui", rd=T0, imm=0x10)
    code.csr("csrrw", csrs["mie"], rs1=T0)
    code.add("csrrsi", csr=csrs["mstatus"], imm=8)
    code.add("addi", rd=S1)
    words = encode_registers(step.job.registers)
    command = words.pop(MVU_REGISTERS["mvucommand"].address)
    for register, word in words.items():
        code.li(T0, word)
        code.csr("csrrw", mvu_csr(register), rs1=T0)
    code.li(T0, command)
    code.csr("csrrw", mvu_csr(MVU_REGISTERS["mvucommand"].address), rs1=T0)
    code.label("spin")
    code.jump("spin", "beq", rs1=S1)
    code.add("addi", rd=T0, imm=1)
    code.add("sw", rs1=S0, rs2=T0, imm=4 * ENDED)
    code.label("finish")
    code.li(T0, system_registers.hart_address("finished"))
    code.csr("csrrs", CSRS["mhartid"].address, rd=S1)
    code.add("addi", rd=T1, imm=1)
    code.add("sll", rd=T1, rs1=T1, rs2=S1)
    code.add("sw", rs1=T0, rs2=T1)
    code.label("stop")
    code.csr("csrrw", csrs["mie"])
    code.add("wfi")
    code.jump("stop")
    return replace(made, firmware=replace(made.firmware, words=code.finish()))


def random_network(seed: int, layers: int = 5) -> Network:
    """Small layers of all kinds the MVU has, accumulators within its width."""
    rng = np.random.default_rng(seed)
    height, width, channels = (int(n) for n in (rng.integers(4, 9), rng.integers(4, 9), rng.integers(1, 20)))
    fmt = IntFormat(int(rng.integers(1, 5)), bool(rng.integers(2)))
    tensors = {"x": ((height, width, channels), fmt)}
    shape, made = (height, width, channels), []
    source = "x"
    for index in range(layers):
        height, width, channels = shape
        kernel = int(rng.integers(1, min(4, height + 1, width + 1)))
        stride = 1 if min(height, width) < 5 else int(rng.integers(1, 3))
        pad = int(rng.integers(0, kernel))
        outputs = int(rng.integers(1, 20))
        weight_format = IntFormat(int(rng.integers(1, 5)), True)
        output_format = IntFormat(int(rng.integers(1, 5)), bool(rng.integers(2)))
        layer = Layer(
            name=f"layer{index}",
            input=source,
            output=f"t{index}",
            weight=rng.integers(
                weight_format.min, weight_format.max, (outputs, kernel, kernel, channels), endpoint=True
            ),
            weight_format=weight_format,
            input_format=tensors[source][1],
            output_format=output_format,
            multiplier=rng.integers(1, 1000, outputs),
            bias=rng.integers(-5000, 5000, outputs),
            shift=int(rng.integers(9, 13)),
            stride=(stride, stride),
            padding=(pad,) * 4,
            relu=bool(rng.integers(2)),
        )
        size = layer.convolution_size((height, width))
        same = [name for name, (other, f) in tensors.items() if other == (*size, outputs) and name != source]
        if rng.integers(2) and same:
            name = same[int(rng.integers(len(same)))]
            layer = replace(layer, residual=Residual(name, tensors[name][1], int(rng.integers(-99, 99)), 2))
        if min(size) >= 4 and rng.integers(2):
            layer = replace(layer, pool=Pool((2, 2), (2, 2)))
        shape = (*layer.output_size((height, width)), outputs)
        tensors[layer.output] = (shape, output_format)
        source = layer.output
        made.append(layer)
    return Network(f"random{seed}", "x", tensors["x"][0], tuple(made))
