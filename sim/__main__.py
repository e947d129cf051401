# SPDX-License-Identifier: Apache-2.0
"""``python -m sim COMMAND``, in the repository: what the Makefile calls. It checks the interpreter before it imports
what that may lack, so that such a one gets a message instead of a traceback."""

import sys

from .requirements import check_interpreter

check_interpreter()

from assay.sim.command_line import main

if __name__ == "__main__":
    sys.exit(main())
