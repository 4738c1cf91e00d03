# SPDX-License-Identifier: Apache-2.0
"""One module for each word of the command line: `add` declares its options, `run` does it and returns the status."""
