# SPDX-License-Identifier: Apache-2.0
"""Variables of streaming models: VAR_HANDLE, CALL_ONCE, READ_VARIABLE, ASSIGN_VARIABLE."""

from __future__ import annotations

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import AssignVariable, ReadVariable
from assay.golden.importers.tflite.file import Operation
from assay.golden.importers.tflite.reader import Reader, handles


def _variable(operation: Operation) -> str:
    options = operation.options
    return "/".join(name for name in (options["Container"], options["SharedName"]) if name)


@handles("VAR_HANDLE")
def _var_handle(reader: Reader, operation: Operation) -> None:
    if len(operation.outputs) != 1:
        raise ModelFormatError(f"{operation} has {len(operation.outputs)} outputs, but must have 1")
    reader.handles[operation.outputs[0]] = _variable(operation)


@handles("CALL_ONCE")
def _call_once(reader: Reader, operation: Operation) -> None:
    """Read the initial values that the called subgraph assigns; it may hold nothing else."""
    index = operation.options["InitSubgraphIndex"]
    if not 0 < index < len(reader.subgraphs):
        raise ModelFormatError(
            f"{operation}: subgraph is {index}, but must be one of 1 to {len(reader.subgraphs) - 1}"
        )
    inner = Reader([reader.subgraphs[index]], reader.name)
    for inside in reader.subgraphs[index].operations:
        if inside.kind == "VAR_HANDLE":
            _var_handle(inner, inside)
        elif inside.kind == "ASSIGN_VARIABLE":
            variable = _handle(inner, inside)
            tensor = inner.input(inside, 1)
            value = inner.constant(inside, 1, "initial value", tensor.dtype.type)
            reader.variables[variable] = value
        else:
            raise UnsupportedOperatorError(
                f"{operation}: its subgraph holds {inside}, but may hold VAR_HANDLE and ASSIGN_VARIABLE alone"
            )


def _handle(reader: Reader, operation: Operation) -> str:
    if not operation.inputs or operation.inputs[0] not in reader.handles:
        raise ModelFormatError(f"{operation}: input 0 must be a variable from VAR_HANDLE")
    return reader.handles[operation.inputs[0]]


def _initial(reader: Reader, operation: Operation) -> tuple[str, np.ndarray]:
    variable = _handle(reader, operation)
    if variable not in reader.variables:
        raise ModelFormatError(
            f"{operation}: variable {variable!r} has no initial value, but CALL_ONCE must give it one before"
        )
    return variable, reader.variables[variable]


@handles("READ_VARIABLE")
def _read_variable(reader: Reader, operation: Operation) -> None:
    variable, initial = _initial(reader, operation)
    y = reader.output(operation, initial.shape)
    if y.dtype != initial.dtype:
        raise ModelFormatError(
            f"{operation}: output is {y.dtype}, but variable {variable!r} is {initial.dtype}"
        )
    reader.add(operation, ReadVariable(variable), ())


@handles("ASSIGN_VARIABLE")
def _assign_variable(reader: Reader, operation: Operation) -> None:
    variable, initial = _initial(reader, operation)
    x = reader.input(operation, 1)
    if x.shape != initial.shape or x.dtype != initial.dtype:
        raise ModelFormatError(
            f"{operation}: value is {x.dtype} {list(x.shape)}, but variable {variable!r} is {initial.dtype} "
            f"{list(initial.shape)}"
        )
    reader.add(operation, AssignVariable(variable), (1,))
