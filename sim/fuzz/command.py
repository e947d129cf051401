# SPDX-License-Identifier: Apache-2.0
"""The command ``fuzz``: changed files of every form that a user gives, read as the product reads them."""

from __future__ import annotations

import argparse
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from assay.sim import outputs, shown
from assay.sim.mutation.command import number
from assay.tb.errors import AssayError, unknown

Announce = Callable[[str], None]

HELP = (
    "change files of every form that users give at random; each must end in a value or in one clear message"
)

MINUTES = "10"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options; what has a variable of make's is in `sim.options`."""
    parser.add_argument(
        "--forms", default="", metavar="NAMES", help="forms of files, with commas (default: all)"
    )
    parser.add_argument(
        "--inputs", type=int, default=0, metavar="N", help="files after which it ends (default: no limit)"
    )
    parser.add_argument(
        "--replay", default="", metavar="FOLDER", help="read the file of a finding again, and end"
    )


def fuzz(arguments: argparse.Namespace, seed: int, announce: Announce) -> int:
    """Run the command; the exit status is 1 where something was found, or nothing was read.

    Raises:
        AssayError: bad input, or no checkout.
    """
    # The networks' packages are not needed for anything else.
    from assay.sim.fuzz import campaign
    from assay.sim.fuzz.forms import forms

    minutes = number("MINUTES", arguments.minutes, float, 0, 1 << 20)
    only = tuple(filter(None, arguments.forms.split(",")))
    for name in only:
        if name not in forms():
            raise unknown("form", name, forms())
    with campaign.Reader() as reader:
        if arguments.replay:
            folder = Path(arguments.replay)
            if not (folder / campaign.RECORD).is_file():
                raise AssayError(f"--replay {folder}: holds no finding")
            return 0 if campaign.again(folder, reader, announce) else 1
        announce(f"fuzz, seed {seed}: {len(only or forms())} forms of files")
        series = campaign.Campaign(seed, only)
        series.run(minutes, arguments.inputs, reader, announce)
    folder = outputs.outputs() / "reports" / "fuzz"
    shutil.rmtree(folder, ignore_errors=True)
    outputs.made(folder)
    places = campaign.write(series, folder)
    for form, outcomes in sorted(series.outcomes.items()):
        announce(
            f"  {form:<10} {sum(outcomes.values()):>8,} files: {outcomes['value']:,} values, {outcomes['refused']:,} "
            f"refused, {outcomes['finding']:,} findings"
        )
    for place, finding in zip(places, series.findings.values(), strict=True):
        announce(f"FAIL  {campaign.told(finding)}")
        announce(f"      replay           assay fuzz --replay {shlex.quote(str(shown(place)))}")
    failed = bool(places) or not series.inputs
    announce(
        f"{'FAIL' if failed else 'PASS'}  fuzz, seed {seed}: {series.inputs:,} files in {series.seconds:.0f} s "
        f"({series.inputs / max(series.seconds, 1e-9):.0f} a second), {len(places)} findings, digest {series.digest}"
    )
    return 1 if failed else 0
