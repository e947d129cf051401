# SPDX-License-Identifier: Apache-2.0
"""``python -m sim.variables``: the variables of make, for `make help`, which runs before anything is installed.

Standard library only, and any Python 3; the package `assay` is there only once it is installed, so its folders are
named here.
"""

import os
import sys
import types

package = types.ModuleType("assay")
package.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
sys.modules.setdefault("assay", package)


def main():
    """Print the variables for `make help`."""
    from assay.sim.options import MAKE_ONLY, OPTIONS
    from assay.tb.options import help_text

    lines = ["", "Variables, each with the option of `python -m sim` that means the same"]
    for option in OPTIONS:
        word = f"{option.variable}={option.value or 1}"
        lines.append(f"  {word:<25} {option.flag:<15} {help_text(option)}")
    lines += ["", "Variables of make alone"]
    lines += [f"  {name + '=':<25} {text}" for name, text in MAKE_ONLY.items()]
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # as `make help | head` leaves it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
