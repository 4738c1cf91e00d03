/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#define CONFIG_BPF_SYSCALL 1 /* BCC asks; a kernel without it cannot run Panorama at all */
