# SPDX-License-Identifier: Apache-2.0
"""What an MVU is doing, read from its registers when it does not go on: who waits for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.golden.mvu.parameters import OUTPUT_FIFO_DEPTH

if TYPE_CHECKING:
    from assay.tb.agents.inside import Inside

__all__ = ["SEQUENCER", "crossbar_waits", "unit_waits", "waits_now"]

SEQUENCER = ("Idle", "Check", "Prime", "Issue", "Drain")  #: states of mvu_sequencer, by their numbers


def unit_waits(inside: Inside, path: str) -> str:
    """What a unit waits for, with its counters; empty where the bench cannot look.

    Args:
        path: of the unit, below the bench top.
    """

    def value(name: str) -> int | None:
        return inside.value(f"{path}.{name}")

    number, left, slots = (value(f"u_sequencer.{name}") for name in ("state_q", "remaining_q", "slots_q"))
    if number is None or slots is None:
        return ""
    state = SEQUENCER[number] if number < len(SEQUENCER) else f"{number}, which is none"
    pending, running = value("u_regs.pending_q"), value("u_residual.running_q")
    unclaimed, plane = value("u_residual.unclaimed_q"), value("u_serialiser.plane_q")
    blocks = OUTPUT_FIFO_DEPTH - slots
    waiting = value("u_serialiser.u_blocks.count_q")
    counts = [f"{left} multiply clocks left"] if state in ("Issue", "Drain") else []
    counts += [f"{blocks} of {OUTPUT_FIFO_DEPTH} output slots taken"] if blocks else []
    counts += [f"{waiting} output blocks before the serialiser"] if waiting else []
    counts += [f"{plane} planes of an output block written"] if plane else []
    counts += [f"{unclaimed} residual values ready"] if running else []
    counts += ["another job is pending"] if pending else []
    if state == "Idle":
        why = (
            "it does not take the pending job" if pending else "no job has been handed over, or it has ended"
        )
    elif state == "Prime":
        why = "it waits for the first window (mvu_window)"
    elif state in ("Issue", "Drain") and not waiting and (blocks if state == "Drain" else not slots):
        why = "its count of output slots (slots_q) is wrong: the serialiser holds none, so one was not given back"
    elif state == "Issue":
        why = f"it waits for {_missing(slots, running, unclaimed)}"
    elif state == "Drain" and blocks:
        why = "it waits for the serialiser (mvu_serialiser), whose word is not taken: own memory or crossbar"
    elif state == "Drain":
        why = "it waits for the pipeline behind it to be empty (pipe_busy)"
    else:
        why = "it should have left this state after one clock"
    return f"mvu_sequencer is in {state}: {why}" + (f"; {', '.join(counts)}" if counts else "")


def _missing(slots: int, running: int | None, unclaimed: int | None) -> str:
    """What keeps a unit from multiplying."""
    if not slots:
        return "the serialiser (mvu_serialiser), whose word is not taken: own memory or crossbar"
    if running and not unclaimed:
        return "a residual value (mvu_residual), or for a grant of the data memory"
    return "a grant of the data memory (bank_arbiter), or for the next window (mvu_window)"


def waits_now(inside: Inside, path: str) -> str:
    """For what a unit waits in this clock; empty where it multiplies, or has no job (`Block.waits`)."""

    def value(name: str) -> int | None:
        return inside.value(f"{path}.{name}")

    number, slots = value("u_sequencer.state_q"), value("u_sequencer.slots_q")
    if number is None or slots is None or value("issue"):
        return ""
    state = SEQUENCER[number] if number < len(SEQUENCER) else ""
    if state == "Prime":
        return "for the first window (mvu_window)"
    if state == "Issue":
        return f"for {_missing(slots, value('u_residual.running_q'), value('u_residual.unclaimed_q'))}"
    return "until its last output blocks are written" if state == "Drain" else ""


def crossbar_waits(inside: Inside, path: str, units: int) -> str:
    """Words that a part of their destinations have taken; empty: there are none, or the bench cannot look.

    Args:
        path: of the crossbar, below the bench top.
        units: how many there are.
    """
    served = inside.value(f"{path}.served_q") or 0
    told = []
    for source in range(units):
        takers = [str(dest) for dest in range(units) if served >> source * units + dest & 1]
        if takers:
            told.append(
                f"accelerator_crossbar: MVU {source}'s word has been taken by MVU {' and '.join(takers)} "
                "and is still offered"
            )
    return "\n".join(told)
