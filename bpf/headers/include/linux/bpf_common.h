/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* BCC includes it; nothing in it is used here. */
