# SPDX-License-Identifier: Apache-2.0
"""YAML files that people write: values that know where they stand, what may be in them, and who may change them."""
