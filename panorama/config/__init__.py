# SPDX-License-Identifier: Apache-2.0
"""The configuration, /etc/panorama/panorama.yaml: what may be in it, its defaults, and where each value comes from."""
