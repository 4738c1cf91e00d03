/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#include <bcc/bpf.h> /* the copy inside libbcc */
