#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Continuous integration: needs g++, make, perl and iverilog; CI=true makes a missing simulator an error.
set -euo pipefail
cd "$(dirname "$0")"
python3 -m venv .venv
.venv/bin/pip install --quiet .
CI=true .venv/bin/python -m pytest --junit-xml=assay_out/junit.xml
