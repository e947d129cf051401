# SPDX-License-Identifier: Apache-2.0
"""The repository's folders as packages of one name, `assay`, which pyproject.toml can only say with a list of them all."""

from setuptools import find_packages, setup

FOLDERS = ("golden", "sim", "tb", "vectors")
PACKAGES = find_packages(include=[f"{name}*" for name in FOLDERS], exclude=["*.tests", "*.tests.*"])

# What the code reads beside itself, the bench's HDL and the models among it.
SUFFIXES = ("S c cpp f h html json ld npz onnx rules sv svh tflite toml view vlt").split()

setup(
    packages=[f"assay.{name}" for name in (*PACKAGES, "rtl")],
    package_dir={"assay": "."},
    package_data={"": ["py.typed", *(f"**/*.{suffix}" for suffix in SUFFIXES)]},
    exclude_package_data={"": ["tests/*", "tests/**/*", "*/tests/*", "*/tests/**/*"]},
    include_package_data=False,
)
