# SPDX-License-Identifier: Apache-2.0
"""Makes the folder importable: event_samples.py is shared by all tests."""
