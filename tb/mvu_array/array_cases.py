# SPDX-License-Identifier: Apache-2.0
"""The cases of the MVUs and their crossbar: rounds of jobs on all units at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.tb.cases import Case, Cases, calmer, each_step, fewer_steps, varied
from assay.tb.mvu.layer_passes import zeroed
from assay.tb.mvu.mvu_cases import MvuCases as MvuKind
from assay.tb.mvu.mvu_cases import Step, describe_step, item_of, simplify_step
from assay.tb.mvu.steps import LayerStep
from assay.tb.mvu_array.rounds import Round, RoundStep
from assay.tb.shrinking import Pass, Search

__all__ = ["ArrayCases", "round_of"]


def round_of(step: RoundStep, params: AcceleratorParameters) -> Round:
    """The item that plays a step.

    Raises:
        GoldenError: there is no such job.
        ValueError: it is for another number of units.
    """
    if len(step.jobs) != params.mvus:
        raise ValueError(f"a round of {len(step.jobs)} units, but there are {params.mvus}")
    return Round(step.name, [[item_of(job, params.mvu) for job in jobs] for jobs in step.jobs])


class ArrayCases(Cases):
    """See `tb.cases.Cases`."""

    types = (RoundStep, *MvuKind.types)

    def check(self, case: Case) -> None:
        params = AcceleratorParameters.of_rtl(dict(case.parameters))
        for step in case.steps:
            round_of(step, params)

    def passes(self) -> Iterable[Pass]:
        return (
            fewer_steps,
            each_step(_fewer_jobs),
            each_step(calmer),
            each_step(_zeroed),
            each_step(_simpler_jobs),
        )

    def describe(self, case: Case) -> list[str]:
        lines = []
        for number, step in enumerate(case.steps, 1):
            for unit, jobs in enumerate(step.jobs):
                for job in jobs:
                    lines += describe_step(f"round {number}, MVU {unit}", job)
            lines += [f"  stream {name} stalls in {n} of 256 clocks" for name, n in step.stalls.items()]
        return lines


Get = Callable[[Case], RoundStep]
Made = Callable[[Case, RoundStep], Case]


def _fewer_jobs(search: Search[Case], step: Get, made: Made) -> None:
    """As few jobs as possible, on any unit."""

    def parts(case: Case) -> list[tuple[int, int]]:
        return [(unit, number) for unit, jobs in enumerate(step(case).jobs) for number in range(len(jobs))]

    def keeping(case: Case, rest: list[tuple[int, int]]) -> Case:
        stay = set(rest)
        jobs = tuple(
            tuple(job for number, job in enumerate(jobs) if (unit, number) in stay)
            for unit, jobs in enumerate(step(case).jobs)
        )
        return made(case, varied(step(case), jobs=jobs))

    search.leave_out(parts, keeping, least=1)


def _zeroed(search: Search[Case], step: Get, made: Made) -> None:
    """No values at all, in all jobs at once: a fault of the crossbar seldom needs any."""
    jobs = tuple(
        tuple(zeroed(job) if isinstance(job, LayerStep) else job for job in jobs)
        for jobs in step(search.best).jobs
    )
    search.accepts(lambda: made(search.best, varied(step(search.best), jobs=jobs)))


def _simpler_jobs(search: Search[Case], step: Get, made: Made) -> None:
    """Each job as simple as possible."""
    for unit, jobs in enumerate(step(search.best).jobs):
        for number in range(len(jobs)):

            def job(case: Case, unit: int = unit, number: int = number) -> Step:
                return step(case).jobs[unit][number]

            def with_job(case: Case, job: Step, unit: int = unit, number: int = number) -> Case:
                jobs = [list(each) for each in step(case).jobs]
                jobs[unit][number] = job
                return made(case, varied(step(case), jobs=tuple(map(tuple, jobs))))

            simplify_step(
                search, job, with_job, lambda case: AcceleratorParameters.of_rtl(dict(case.parameters)).mvu
            )
