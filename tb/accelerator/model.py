# SPDX-License-Identifier: Apache-2.0
"""Networks on the simulated accelerator: the code generator's plan goes there once, then inputs one after the other."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from assay.golden import DoesNotFitError, GoldenError, Graph, Network
from assay.golden.accelerator import report
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.plan import Plan
from assay.golden.accelerator.system import System
from assay.golden.codegen import plan as make_plan
from assay.tb.errors import RunFailed
from assay.tb.model import STRICT, Coverage, EngineModel, LayerRun, Server
from assay.tb.options import Option

__all__ = ["AcceleratorModel"]

_LIMIT_FACTOR, _LIMIT_CLOCKS = 4, 100_000  #: a run's limit from its prediction


class AcceleratorModel(EngineModel[Network]):
    """A network on the accelerator.

    Attributes:
        plan: that runs.
        predicted: clocks of a run by the system model.
        clocks: of the runs of the last `trace` or `predict`.
    """

    options = (
        Option("", "--mapping", "NAME", "of layers to MVUs: auto, distributed or pipelined", "auto"),
        STRICT,
    )
    lowers = True

    def __init__(self, plan: Plan, servers: Sequence[Server]) -> None:
        super().__init__(plan.network, servers)
        self.plan = plan
        network = plan.network
        self.coverage = Coverage(
            on_rtl=tuple(layer.name for layer in network.layers),
            host=dict.fromkeys(network.host, "it comes after the last layer of the lowered network"),
            tensors=tuple(layer.output for layer in network.layers),
        )
        system = System(plan.params, functional=False)
        system.load(plan)
        self.predicted = system.run().clocks
        self.clocks: list[int] = []
        self._report: report.Report | None = None
        for server in self._servers:
            self._ask(server, "plan", plan)

    @staticmethod
    def prepare(
        model: Graph | Network, parameters: Mapping[str, int], mapping: str = "auto", strict: bool = False
    ) -> Plan:
        """The plan of a network on a build with these HDL parameters.

        Args:
            mapping: auto, distributed or pipelined.
            strict: whether nothing may be left to the host.

        Raises:
            GoldenError: it is no lowered network, or it does not fit.
        """
        if not isinstance(model, Network):
            raise GoldenError(f"{model.name}: the accelerator runs lowered networks, but this is a graph")
        if strict and model.host:
            raise DoesNotFitError(f"{model.name}: the host would be left with {', '.join(model.host)}")
        return make_plan(model, AcceleratorParameters.of_rtl(parameters), mapping)

    def _predict(self, x: Any) -> np.ndarray:
        answers = self._run(x)
        return np.stack([answer.output for answer in answers])

    def _trace(self, x: Any) -> dict[str, np.ndarray]:
        answers = self._run(x)
        tensors = {name: np.stack([each.tensors[name] for each in answers]) for name in answers[0].tensors}
        # The host's way out is a part of the hardware.
        tensors[self.golden.output] = np.stack([each.output for each in answers])
        return {self.golden.input: np.asarray(x).astype(np.int64), **tensors}

    def progress_steps(self, runs: int) -> int:
        return runs

    def report(self) -> str:
        """Clocks and utilisation of the last run's layers and MVUs, memory, clocks of all runs; what the host is left
        with."""
        if self._report is None:
            return "nothing has run"
        clocks = ", ".join(f"{each:,}" for each in self.clocks[:8]) + (
            ", ..." if len(self.clocks) > 8 else ""
        )
        runs = f"clocks of {len(self.clocks)} runs: {clocks}; predicted: {self.predicted:,}"
        return f"{self._report}\n\n{runs}\n{self.coverage.text()}"

    def made_by(self, tensor: str) -> str:
        steps = [s for phase in self.plan.phases for each in phase.steps for s in each]
        layer = next((each for each in self.golden.layers if each.output == tensor), None)
        if layer is None:
            return ""
        mvus = sorted({step.mvu for step in steps if step.layer == layer.name})
        return f"layer {layer.name}, {self.plan.mapping} over MVUs {', '.join(map(str, mvus))}"

    def _run(self, x: Any) -> list[Any]:
        """Every input, spread over the simulators."""
        images = self.golden.checked_input(x)
        limit = _LIMIT_FACTOR * self.predicted + _LIMIT_CLOCKS
        free: queue.Queue[Server] = queue.Queue()
        for server in self._servers:
            free.put(server)

        def run(number: int) -> Any:
            server = free.get()
            try:
                answer = self._ask(server, "run", images[number], limit)
            finally:
                free.put(server)
            self.progress(str(number))
            return answer

        with ThreadPoolExecutor(len(self._servers)) as pool:
            answers = list(pool.map(run, range(len(images))))
        self.clocks = [answer.clocks for answer in answers]
        self._report = report.report(self.plan, answers[-1].steps, answers[-1].clocks)
        self._count(answers)
        return answers

    def _count(self, answers: list[Any]) -> None:
        """Clocks of each layer, from its first step's beginning to its last one's end, over all runs."""
        p, network = self.plan.params, self.golden
        self.layers = {}
        for layer in network.layers:
            clocks = 0
            for answer in answers:
                mine = [step for step in answer.steps if step.layer == layer.name]
                clocks += max(s.end for s in mine) - min(s.start for s in mine) + 1 if mine else 0
            elements = p.mvus * p.mvu.lanes**2 / (layer.input_format.bits * layer.weight_format.bits)
            macs = network.macs(layer) * len(answers)
            kind = "x".join(map(str, layer.kernel))
            self.layers[layer.name] = LayerRun(layer.name, kind, len(answers), clocks, macs, elements)

    @staticmethod
    def _ask(server: Server, *request: Any) -> Any:
        kind, answer = server.ask(request)
        if kind == "failed":
            raise server.give_up(RunFailed(answer))
        return answer
