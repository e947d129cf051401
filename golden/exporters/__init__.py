# SPDX-License-Identifier: Apache-2.0
"""Writers of model files, one module a format."""
