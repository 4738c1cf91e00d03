# SPDX-License-Identifier: Apache-2.0
"""What a service needs beyond watching: numbered lines to many sinks, a control socket, word to systemd."""
