# SPDX-License-Identifier: Apache-2.0
"""Network to plan: places of tensors and parameters, steps and what they wait for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.codegen import mapping as mappings
from assay.golden.codegen.firmware import FirmwareDoesNotFitError, Shares, firmware
from assay.golden.codegen.folding import folded_layer, folds
from assay.golden.codegen.mapping import STEP_CLOCKS, STEP_WORTH, Item
from assay.golden.codegen.plan import BIASES, SCALERS, WEIGHTS, Load, Phase, Place, Plan, Step, Wait
from assay.golden.errors import ConfigurationError, DoesNotFitError
from assay.golden.mvu.clocks import job_clocks
from assay.golden.mvu.jobs import Images, block_words, images, map_part
from assay.golden.mvu.layout import activation_words, channel_blocks
from assay.golden.network import Layer, Network

__all__ = ["MAPPINGS", "plan", "predicted_clocks"]

#: A mapping that is predicted to be so much slower is, whatever the estimate leaves out.
_CLEAR = 1.5

MAPPINGS = ("distributed", "pipelined")
_COARSENESS = (1, 4, 16, 64)  #: times the multiply clocks that a pipelined step is worth


def plan(
    network: Network,
    params: AcceleratorParameters | None = None,
    mapping: str = "auto",
    folded: bool | None = None,
) -> Plan:
    """Map a network to an accelerator.

    Args:
        network: to run.
        params: of the accelerator, by default the default ones.
        mapping: "distributed", "pipelined", or "auto" for the one whose predicted clocks are fewer.
        folded: whether the host writes windows of the first layer; by default if it saves clocks and fits.

    Raises:
        DoesNotFitError: a layer, the tensors or the firmware need more than there is; the message has the numbers.
        ConfigurationError: another mapping, a first layer that cannot be folded, or a layer that no job can do.
    """
    params = AcceleratorParameters() if params is None else params
    if mapping == "auto":
        return _fastest(network, params, folded)
    if mapping not in MAPPINGS:
        raise ConfigurationError(f"mapping is {mapping!r}, but must be auto, {' or '.join(MAPPINGS)}")
    if folded is None:
        if folds(network, params.mvu.lanes):
            try:
                return _Planner(network, params, mapping, True).plan()
            except DoesNotFitError as refused:
                # Windows overlap, so they may take more words than positions do.
                try:
                    return _Planner(network, params, mapping, False).plan()
                except DoesNotFitError:
                    raise refused from None
        folded = False
    elif folded and not folds(network, params.mvu.lanes):
        first = network.layers[0]
        raise ConfigurationError(
            f"layer {first.name} cannot be folded: only a first layer can, of a kernel larger than 1x1 that reads all "
            f"channels, alone in reading the input, and with windows of fewer than {first.kernel[0] * first.kernel[1]} "
            f"times its blocks of {params.mvu.lanes} lanes"
        )
    return _Planner(network, params, mapping, folded).plan()


def _fastest(network: Network, params: AcceleratorParameters, folded: bool | None) -> Plan:
    plans, errors = [], []
    for mapping in MAPPINGS:
        try:
            plans.append(plan(network, params, mapping, folded))
        except DoesNotFitError as error:
            errors.append(error)
    if not plans:
        raise errors[0]
    rough = [predicted_clocks(made) for made in plans]
    if len(plans) == 1 or max(rough) > _CLEAR * min(rough):
        return plans[rough.index(min(rough))]
    from assay.golden.accelerator.system import System  # which needs this package

    def exact(made: Plan) -> int:
        system = System(params, functional=False)
        system.load(made)
        return system.run().clocks

    return min(plans, key=exact)


def predicted_clocks(made: Plan) -> int:
    """Clocks of a plan's steps as their waits allow: an estimate, without the crossbar's and the firmware's.

    `golden.accelerator.system` has the exact ones.
    """
    start = 0
    known: dict[tuple, int] = {}
    for phase in made.phases:
        ends: dict[tuple[int, int], int] = {}
        free = [start] * made.params.mvus
        for step in _in_order(phase):
            words = {name: value for name, value in step.job.registers.items() if "baseptr" not in name}
            key = (step.layer, repr(words))
            if key not in known:
                known[key] = job_clocks(step.job.registers).total
            ready = [ends.get((wait.mvu, wait.count - 1), start) for wait in step.waits]
            free[step.mvu] = max([free[step.mvu], *ready]) + known[key] + STEP_CLOCKS
            ends[step.mvu, step.number] = free[step.mvu]
        start = max(free)
    return start


def _in_order(phase: Phase) -> Iterable[Step]:
    """Steps of a phase so that each follows those it waits for."""
    left = [list(steps) for steps in phase.steps]
    ended = [steps[0].number if steps else 0 for steps in left]
    first = list(ended)
    while any(left):
        before = sum(ended)
        for mvu, steps in enumerate(left):
            while steps and all(
                wait.count <= max(ended[wait.mvu], first[wait.mvu]) for wait in steps[0].waits
            ):
                yield steps.pop(0)
                ended[mvu] += 1
        if sum(ended) == before:
            raise ConfigurationError("the steps of a phase wait for each other")


@dataclass(frozen=True, eq=False)
class _Shared:
    """An item with where its parameters lie."""

    item: Item
    weight_base: int
    channel_base: int


class _Planner:
    """Holds what the stages of planning share."""

    def __init__(self, network: Network, params: AcceleratorParameters, mapping: str, folded: bool) -> None:
        self.network = network
        self.params = params
        self.mapping = mapping
        self.folded = folded
        self.shapes = dict(network.shapes)
        layers = list(network.layers)
        if folded:
            layers[0], self.shapes[network.input] = folded_layer(layers[0], network.input_shape)
        self.layers = [(layer, self.shapes[layer.input][:2]) for layer in layers]

    def plan(self) -> Plan:
        if self.mapping == "distributed":
            return self._made(*self._placed())
        # Steps of more rows, where the tables of all steps do not fit the controller.
        for coarseness in _COARSENESS:
            items = list(mappings.pipelined(self.layers, self.params, coarseness * STEP_WORTH))
            places = self._places(items)
            try:
                return self._made(items, places)
            except FirmwareDoesNotFitError as error:
                refused = error
        raise refused

    def _made(self, items: list[Item], places: dict[str, Place]) -> Plan:
        self.places = places
        loads, program = self._steps(self._phases(items))
        network, params = self.network, self.params
        made = tuple(
            Phase(
                tuple(load),
                tuple(tuple(step for item in items for step in item.get(m, [])) for m in range(params.mvus)),
            )
            for load, items in zip(loads, program, strict=True)
        )
        return Plan(
            network,
            params,
            self.mapping,
            self.folded,
            self.places,
            made,
            firmware(program, params, network.name),
        )

    def _placed(self) -> tuple[list[Item], dict[str, Place]]:
        """Items of the distributed mapping, and places for the tensors.

        Where the tensors of a layer do not fit one data memory, half of the MVUs get the layer, and the other half the
        next one; where that is not enough every layer is shared so, and then by smaller parts.
        """
        refused: list[DoesNotFitError] = []
        for teams in self._teams():
            items = list(mappings.distributed(self.layers, self.params, teams))
            try:
                return items, self._places(items)
            except DoesNotFitError as error:
                refused.append(error)
        raise refused[0]

    def _teams(self) -> Iterable[list[range]]:
        """For each layer its MVUs: all, halves where there must be, halves everywhere, quarters ..."""
        count = 1
        while count <= self.params.mvus:
            if count == 2:
                yield self._halves()
            part = self.params.mvus // count
            yield [
                range(number % count * part, (number % count + 1) * part)
                for number in range(len(self.layers))
            ]
            count *= 2

    def _halves(self) -> list[range]:
        """A team for each layer: all MVUs, or one half where the tensors alive at a layer fit none alone."""
        half = self.params.mvus // 2
        sides = (range(half), range(half, self.params.mvus))
        lanes = self.params.mvu.lanes
        last = {tensor: n for n, (layer, _) in enumerate(self.layers) for tensor in _operands(layer)}
        alive = {self.network.input}
        teams: list[int | None] = [None] * len(self.layers)
        for number, (layer, _) in enumerate(self.layers):
            alive.add(layer.output)
            words = sum(activation_words(self.shapes[t], self.network.formats[t], lanes) for t in alive)
            if words > self.params.mvu.data_depth:
                teams[number] = teams[number] or 0
                if number + 1 < len(teams):
                    teams[number + 1] = 1 - teams[number]
            alive = {tensor for tensor in alive if last.get(tensor, len(teams)) > number}
        return [range(self.params.mvus) if team is None else sides[team] for team in teams]

    def _phases(self, items: list[Item]) -> list[list[_Shared]]:
        """Items with bases of their parameters, a new phase where a memory is full."""
        mvu = self.params.mvu
        phases: list[list[_Shared]] = [[]]
        weights, channels = [0] * self.params.mvus, [0] * self.params.mvus
        for item in items:
            share = {m: len(item.blocks(m)) for m in item.parts}
            words = block_words(item.layer, mvu.lanes)
            # The same base in all MVUs of an item: one image for all, one register value for all.
            weight_base, channel_base = max(weights[m] for m in share), max(channels[m] for m in share)
            if (
                weight_base + max(share.values()) * words > mvu.weight_depth
                or channel_base + max(share.values()) > mvu.channel_depth
            ):
                phases.append([])
                weights, channels = [0] * self.params.mvus, [0] * self.params.mvus
                weight_base = channel_base = 0
            phases[-1].append(_Shared(item, weight_base, channel_base))
            for m, blocks in share.items():
                weights[m], channels[m] = weight_base + blocks * words, channel_base + blocks
        return phases

    def _places(self, items: list[Item]) -> dict[str, Place]:
        """Tensors in banks of their own while there is room, then closer together, then where others were."""
        holders: dict[str, set[int]] = {tensor: set() for tensor in self.shapes}
        makers: dict[str, set[int]] = {}
        made, last = {self.network.input: -1}, dict.fromkeys(self.shapes, -1)
        for number, item in enumerate(items):
            made.setdefault(item.layer.output, number)
            makers.setdefault(item.layer.output, set()).update(item.parts)
            for tensor in _operands(item.layer):
                holders[tensor] |= set(item.parts)
                last[tensor] = number
            last[item.layer.output] = max(last[item.layer.output], number)
        needs = {
            tensor: activation_words(shape, self.network.formats[tensor], self.params.mvu.lanes)
            for tensor, shape in self.shapes.items()
        }
        for item in items:
            mvus = holders[item.layer.output]
            if not mvus:  # read by the host alone
                beside = sum(needs[tensor] for tensor in {item.layer.output, *_operands(item.layer)})
                others = set(range(self.params.mvus)) - makers[item.layer.output]
                crowded = beside > self.params.mvu.data_depth and others
                mvus.add(min(others if crowded else makers[item.layer.output]))
        last[self.network.output] = len(items)
        life = {tensor: (made[tensor], last[tensor]) for tensor in self.shapes}
        bank = self.params.mvu.bank_depth
        for step, reuse in ((bank, False), (1, False), (bank, True), (1, True)):
            bases = _allocate(needs, holders, life, self.params.mvu.data_depth, step, reuse)
            if bases is not None:
                break
        else:
            total, number = max(
                (sum(needs[t] for t, (a, b) in life.items() if a <= number <= b), -number)
                for number in range(len(items))
            )
            raise DoesNotFitError(
                f"network {self.network.name}: layer {items[-number].layer.name} needs {total} words of data memory "
                f"with all tensors that are alive then, but an MVU has {self.params.mvu.data_depth}"
            )
        formats = self.network.formats
        return {
            tensor: Place(
                tensor, shape, formats[tensor], bases[tensor], needs[tensor], frozenset(holders[tensor])
            )
            for tensor, shape in self.shapes.items()
        }

    def _steps(self, phases: list[list[_Shared]]) -> tuple[list[list[Load]], list[list[Shares]]]:
        """Of each phase the loads, and the items with everybody's steps."""
        loads: list[list[Load]] = []
        program: list[list[Shares]] = []
        needed = self._needed([shared.item for phase in phases for shared in phase])
        order = _Dependencies(self.params)
        mvu = self.params.mvu
        for phase in phases:
            order.barrier()
            loads.append([])
            program.append([])
            for shared in phase:
                item = shared.item
                layer = item.layer
                loaded: dict[range, Images] = {}
                for m in item.parts:
                    loaded.setdefault(item.blocks(m), images(layer, item.blocks(m), mvu))
                for blocks, made in loaded.items():
                    mvus = frozenset(m for m in item.parts if item.blocks(m) == blocks)
                    for select, first, image in (
                        (WEIGHTS, shared.weight_base, made.weights),
                        (SCALERS, shared.channel_base, made.scaler),
                        (BIASES, shared.channel_base, made.bias),
                    ):
                        loads[-1].append(Load(mvus, select, first, image))
                program[-1].append({m: [] for m in item.parts})
                for m, parts in item.parts.items():
                    for part in parts:
                        place = self.places[layer.output]
                        words = _words(place, part.rows, range(place.shape[1]), part.blocks, mvu.lanes)
                        targets = needed.targets(place, words)
                        job = map_part(
                            layer,
                            item.size,
                            mvu,
                            self.places[layer.input].base,
                            place.base,
                            rows=part.rows,
                            blocks=part.blocks,
                            weight_base=shared.weight_base,
                            channel_base=shared.channel_base,
                            residual_base=layer.residual and self.places[layer.residual.tensor].base,
                            dest=0 if targets == {m} else sum(1 << target for target in targets),
                            loaded=loaded[part.blocks],
                        )
                        reads = np.concatenate([words for _, words in self._reads(item, part)])
                        number, waits = order.add(m, reads, words, targets)
                        program[-1][-1][m].append(Step(m, number, job, layer.name, part.rows, waits))
        return loads, program

    def _needed(self, items: list[Item]) -> _Needed:
        """Which words of each tensor which MVUs read; of the network's output, all, by the host."""
        needed = _Needed(self.places, self.params.mvus)
        for item in items:
            for m, parts in item.parts.items():
                for part in parts:
                    for place, words in self._reads(item, part):
                        needed.add(place, m, words)
        output = self.places[self.network.output]
        for m in output.mvus:
            needed.add(output, m, np.arange(output.base, output.base + output.words))
        return needed

    def _reads(self, item: Item, part: mappings.Part) -> list[tuple[Place, np.ndarray]]:
        """Tensors that a part reads, and the words of them."""
        layer, lanes = item.layer, self.params.mvu.lanes
        columns = range(layer.output_size(item.size)[1])
        read, summed = zip(
            *(_read(layer, item.size, axis, made) for axis, made in enumerate((part.rows, columns))),
            strict=True,
        )
        blocks = part.blocks if layer.groups > 1 else range(channel_blocks(layer.input_channels, lanes))
        place = self.places[layer.input]
        found = [(place, _words(place, *read, blocks, lanes))]
        if layer.residual is not None:
            place = self.places[layer.residual.tensor]
            found.append((place, _words(place, *summed, part.blocks, lanes)))
        return found


class _Needed:
    """Which words of each tensor which MVUs need."""

    def __init__(self, places: dict[str, Place], mvus: int) -> None:
        self._masks = {name: np.zeros((mvus, place.words), bool) for name, place in places.items()}

    def add(self, place: Place, mvu: int, words: np.ndarray) -> None:
        """`mvu` needs the words at these addresses."""
        self._masks[place.tensor][mvu, words - place.base] = True

    def targets(self, place: Place, words: np.ndarray) -> frozenset[int]:
        """MVUs that need some of these words; if none does, one that has room for them."""
        needing = np.flatnonzero(self._masks[place.tensor][:, words - place.base].any(axis=1))
        return frozenset(needing.tolist()) or frozenset({min(place.mvus)})


class _Dependencies:
    """What every word of every data memory was last written by and read by, as steps are added in a fixed order.

    A step waits for the steps that wrote what it reads, and for those that read or wrote what it overwrites; not for
    what the steps it waits for, or the one before it on its own MVU, have waited for already.
    """

    def __init__(self, params: AcceleratorParameters) -> None:
        mvus, depth = params.mvus, params.mvu.data_depth
        self._writer = np.full((mvus, depth), -1)  # number in the order of adding
        self._reader = np.full((mvus, depth), -1)
        self._added: list[tuple[int, int]] = []  # MVU and number there
        self._known: list[list[int]] = []  # ended steps of each MVU when this one had ended
        self._ended = [0] * mvus
        self._latest: list[list[int]] = [[0] * mvus for _ in range(mvus)]  # of each MVU's last step

    def barrier(self) -> None:
        """All steps so far have ended before any later one begins."""
        self._latest = [list(self._ended) for _ in self._ended]

    def add(
        self, mvu: int, reads: np.ndarray, writes: np.ndarray, targets: frozenset[int]
    ) -> tuple[int, tuple[Wait, ...]]:
        """A step of `mvu`: words it reads there, and words it writes in `targets`; gives its number and waits."""
        before = {int(step) for step in np.unique(self._writer[mvu, reads])}
        for target in targets:
            before |= {int(step) for step in np.unique(self._writer[target, writes])}
            before |= {int(step) for step in np.unique(self._reader[target, writes])}
        before.discard(-1)
        known = list(self._latest[mvu])
        waits = {}
        for step in sorted(before, reverse=True):
            other, number = self._added[step]
            if known[other] <= number:
                waits[other] = Wait(other, number + 1)
                known = [max(pair) for pair in zip(known, self._known[step], strict=True)]
        step, number = len(self._added), self._ended[mvu]
        known[mvu] = self._ended[mvu] = number + 1
        self._added.append((mvu, number))
        self._known.append(known)
        self._latest[mvu] = known
        self._reader[mvu, reads] = step
        for target in targets:
            self._writer[target, writes] = step
        return number, tuple(waits[other] for other in sorted(waits))


def _operands(layer: Layer) -> list[str]:
    return [layer.input] + ([layer.residual.tensor] if layer.residual else [])


def _read(layer: Layer, size: tuple[int, int], axis: int, made: range) -> tuple[np.ndarray, np.ndarray]:
    """Rows (axis 0) or columns of the input, and of the map before pooling, that make the given ones of the output."""
    window, stride = (1, 1) if layer.pool is None else (layer.pool.window[axis], layer.pool.stride[axis])
    summed = np.unique(np.array(made)[:, None] * stride + np.arange(window))
    corner = summed * layer.stride[axis] - layer.padding[axis]
    read = np.unique(corner[:, None] + np.arange(layer.kernel[axis]))
    return read[(read >= 0) & (read < size[axis])], summed


def _words(
    place: Place, rows: np.ndarray | range, columns: np.ndarray | range, blocks: range, lanes: int
) -> np.ndarray:
    """Addresses of some rows, columns and blocks of a tensor."""
    _, width, channels = place.shape
    bits = place.fmt.bits
    total = channel_blocks(channels, lanes)
    position = (np.array(rows)[:, None] * width + np.array(columns)).reshape(-1, 1)
    inside = np.arange(blocks.start * bits, blocks.stop * bits)
    return (place.base + position * (total * bits) + inside).reshape(-1)


def _allocate(
    needs: dict[str, int],
    holders: dict[str, set[int]],
    life: dict[str, tuple[int, int]],
    depth: int,
    align: int,
    reuse: bool,
) -> dict[str, int] | None:
    """First words, multiples of `align`; two tensors share words only in different MVUs or, with `reuse`, if one is
    made after the last reader of the other has begun to be the past. None if there is no room."""
    bases: dict[str, int] = {}
    for tensor, words in needs.items():
        taken = sorted(
            (bases[other], bases[other] + needs[other])
            for other in bases
            if holders[other] & holders[tensor]
            and not (reuse and (life[other][1] < life[tensor][0] or life[tensor][1] < life[other][0]))
        )
        base = 0
        for first, end in taken:
            if base + words <= first:
                break
            base = max(base, -(-end // align) * align)
        if base + words > depth:
            return None
        bases[tensor] = base
    return bases
