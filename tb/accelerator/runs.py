# SPDX-License-Identifier: Apache-2.0
"""The items of the bench: runs of plans on inputs, and the driver that loads, starts, awaits and checks them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial

import cocotb
import numpy as np
from cocotb.triggers import select
from cocotb.utils import get_sim_time
from pyuvm import uvm_driver, uvm_sequence_item

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.plan import Plan
from assay.golden.accelerator.system import System
from assay.golden.errors import ConfigurationError
from assay.golden.network import Layer, Network
from assay.tb.accelerator.env import AcceleratorEnv
from assay.tb.accelerator.host import HostRun, RunError, RunLateError
from assay.tb.accelerator.tensors import first_difference, stored_input
from assay.tb.agents.axi import AxiError
from assay.tb.ahead import Promise, Remote
from assay.tb.bench import BenchStopped

__all__ = ["NetworkStep", "RunDriver", "RunItem", "Tolerance", "predicted_clocks"]

#: Largest difference between predicted and measured clocks of a run, as a part of the prediction.
TOLERANCE = 0.01
_LIMIT_FACTOR, _LIMIT_CLOCKS = 4, 50_000  #: a run's limit from its prediction


def predicted_clocks(plan: Plan) -> int:
    """Clocks of a first run by the system model; they depend on no values."""
    system = System(plan.params, functional=False)
    system.load(plan)
    return system.run().clocks


class _Clocks:
    """The system model, which only counts clocks: who was served last in the runs before counts, too."""

    def __init__(self, params: AcceleratorParameters) -> None:
        self._system = System(params, functional=False)

    def of_run(self, plan: Plan | None) -> int:
        """Clocks of the next run, of another plan if one is given."""
        if plan is not None:
            self._system.load(plan)
        return self._system.run().clocks


@dataclass(frozen=True)
class Tolerance:
    """The accepted difference from the predicted clocks of a run; None if something beside it costs clocks."""

    clocks: float | None = TOLERANCE


class RunItem(uvm_sequence_item):
    """One run.

    Args:
        plan: to run; loaded if another one is.
        x: int[H, W, C], the network's input.
        tolerance: of the clocks.
        beside: played beside the run, cancelled at its end.
        released: awaited directly after the release of the harts.
        fails: words that the sentence must have with which the run is to end in failure; empty: it must not fail.
        limit: of clocks; None: from the prediction.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        x: np.ndarray,
        *,
        tolerance: Tolerance | None = None,
        beside: Callable[[AcceleratorEnv], Coroutine[None, None, None]] | None = None,
        released: Callable[[AcceleratorEnv], Awaitable[None]] | None = None,
        fails: tuple[str, ...] = (),
        limit: int | None = None,
    ) -> None:
        super().__init__(name)
        self.plan = plan
        self.x = x
        self.tolerance = tolerance or Tolerance()
        self.beside = beside
        self.released = released
        self.fails = fails
        self.limit = limit
        self.predicted = 0
        self.run: HostRun | None = None
        self.output: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class NetworkStep:
    """What a `RunItem` holds, for a case (`tb.cases`); what is played beside the run is not part of it.

    Attributes:
        name: for messages.
        network, input, input_shape, layers: name, input tensor, its shape and the layers of the network.
        mapping: onto the MVUs.
        x: int[H, W, C], the input.
        tolerance: of the clocks.
    """

    name: str
    network: str
    input: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    mapping: str
    x: np.ndarray
    tolerance: Tolerance

    @classmethod
    def of(cls, item: RunItem) -> NetworkStep:
        """The step of an item."""
        network = item.plan.network
        return cls(
            item.get_name(),
            network.name,
            network.input,
            network.input_shape,
            network.layers,
            item.plan.mapping,
            item.x,
            item.tolerance,
        )

    def made(self) -> Network:
        """The network.

        Raises:
            ConfigurationError: the layers do not go together, or the input is not the network's.
        """
        network = Network(self.network, self.input, self.input_shape, self.layers)
        if self.x.shape != network.input_shape or not network.input_format.contains(self.x):
            raise ConfigurationError(f"network {self.network}: the input is not of its shape and format")
        return network


class RunDriver(uvm_driver):
    """Plays `RunItem`s one after the other; the ConfigDB gives ``env``.

    Checked here: every tensor that went through the traces and the output as the host reads it against the golden
    network; the clocks against the system model.
    """

    def build_phase(self) -> None:
        super().build_phase()
        self.env: AcceleratorEnv = self.cdb_get("env")
        self.env.on_reset = self.forget
        self.forget()
        self.runs = 0
        self.values = 0
        self.worst: float | None = None  #: largest difference of clocks so far, as a part of the prediction

    def forget(self) -> None:
        """A reset: the next run is a first one."""
        self._clocks: Remote | None = None
        self._predicted: Plan | None = None  # the plan that the model has loaded
        self._usual = 0  # its clocks the first time

    def _predict(self, plan: Plan) -> Promise[int]:
        """Clocks of the next run, counted beside the simulation."""
        if self._clocks is None:
            self._clocks = Remote(_Clocks, plan.params)
        new = self._predicted is not plan
        promise = self._clocks.call("of_run", plan if new else None)
        if new:
            self._predicted, self._usual = plan, promise.result()
        return promise

    async def run_phase(self) -> None:
        while True:
            item: RunItem = await self.seq_item_port.get_next_item()
            try:
                await self.play(item)
            except BenchStopped:
                return  # the test has been woken by the failure itself
            self.seq_item_port.item_done()

    async def play(self, item: RunItem) -> None:
        """Load, write, run, read, compare."""
        env, host, plan = self.env, self.env.host, item.plan
        env.report.keep_step(partial(NetworkStep.of, item))
        # What is to fail, the model refuses.
        expected = Promise(0) if item.fails else self._predict(plan)
        before = (
            "nothing" if host.plan is None else "the same network" if host.plan is plan else "another network"
        )
        if host.plan is not plan:
            await self.or_stop(host.load_plan(plan))
        await self.or_stop(host.write_tensor(plan.network.input, stored_input(plan, item.x)))
        env.begin(plan)
        limit = item.limit or _LIMIT_FACTOR * (0 if item.fails else self._usual) + _LIMIT_CLOCKS
        released = item.released
        host.beside = None if released is None else lambda: released(env)
        beside = None if item.beside is None else cocotb.start_soon(item.beside(env))
        try:
            await self.or_stop(self._run(item, limit))
        finally:
            if beside is not None and not beside.done():
                beside.cancel()
        await env.settle()
        if env.failed.is_set():
            raise BenchStopped
        env.coverage.runs.sample(
            mapping=plan.mapping,
            input=plan.folded,
            phases=len(plan.phases),
            before=before,
            ends="in failure" if item.fails else "done",
        )
        if item.fails:
            return
        self._check_tensors(item)
        await self.or_stop(self._check_output(item))
        self._check_clocks(item, expected.result())
        if env.failed.is_set():
            raise BenchStopped
        self.runs += 1

    async def _run(self, item: RunItem, limit: int) -> None:
        env = self.env
        try:
            item.run = await env.host.run(limit)
        except RunError as error:
            missing = [word for word in item.fails if word not in str(error)]
            if item.fails and not missing:
                cocotb.log.info("failed as it should: %s", error)
                return
            await env.settle()
            if not env.failed.is_set():
                also = f" (without {missing})" if missing else ""
                # What did not come was due behind the last word.
                due = env.mvus.last_moved() if isinstance(error, RunLateError) else -1
                when = due if due >= 0 else get_sim_time("ns")
                env.fail(f"{item.get_name()}: {error}{also}", kind="run", time_ns=when)
        except AxiError as error:
            env.fail(error)
        else:
            if item.fails:
                env.fail(f"{item.get_name()} has not failed", kind="run", time_ns=get_sim_time("ns"))

    def _check_tensors(self, item: RunItem) -> None:
        env, network = self.env, item.plan.network
        assert env.collector is not None  # `begin` made it
        try:
            seen = env.collector.tensors()
        except ValueError as error:
            env.fail(f"{item.get_name()}: {error}", kind="tensor", time_ns=get_sim_time("ns"))
            return
        expected = {name: values[0] for name, values in network.trace(item.x[None]).items()}
        found = first_difference(network.name, expected, seen)
        if found:
            env.fail(f"{item.get_name()}: {found}", kind="tensor", time_ns=get_sim_time("ns"))
        self.values += sum(values.size for values in seen.values())
        self.expected = expected

    async def read_output(self, item: RunItem) -> np.ndarray:
        """The output as the host reads it, int64[H, W, C]."""
        return await self.env.host.read_tensor(item.plan.network.output)

    async def _check_output(self, item: RunItem) -> None:
        """The output that the host reads against the golden network's."""
        network = item.plan.network
        item.output = await self.read_output(item)
        found = first_difference(
            f"{network.name}, as the host reads it", self.expected, {network.output: item.output}
        )
        self.values += item.output.size
        if found:
            why = self.env.mvus.why_memory(item.plan.places[network.output])
            self.env.fail(f"{item.get_name()}: {found}", kind="output", time_ns=get_sim_time("ns"), **why)

    def _check_clocks(self, item: RunItem, expected: int) -> None:
        assert item.run is not None  # it has run
        env, plan, clocks = self.env, item.plan, item.run.clocks
        item.predicted = expected
        env.report.clocks += clocks
        env.report.ideal_clocks += expected
        if item.tolerance.clocks is None:
            return
        off = abs(clocks - expected) / expected
        self.worst = max(self.worst or 0.0, off)
        if off > item.tolerance.clocks:
            env.fail(
                f"{item.get_name()}, {len(plan.phases)} phases, took {clocks:,} clocks, the system model predicts "
                f"{expected:,}: {off:.2%} off, {item.tolerance.clocks:.0%} is allowed",
                kind="clocks",
                time_ns=get_sim_time("ns"),
            )

    async def finish(self) -> None:
        """Nothing to wait for: a run is checked when it ends."""

    async def or_stop(self, work: Coroutine[object, object, object]) -> None:
        """Await `work` unless a failure is recorded meanwhile."""
        ended, _ = await select(work, self.env.failed.wait())
        if ended == 1 or self.env.failed.is_set():
            raise BenchStopped
