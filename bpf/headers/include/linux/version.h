/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Not this machine's version: bpf/ asks for features, by kernel BTF, never for versions. BCC wants the macros. */
#pragma once
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 10, 0)
