/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The beginnings of all syscalls, and the ends, from one tracepoint each: they call the function that serves the syscall.
 * Attached only where functions at the syscalls' own tracepoints can be interrupted, see README.md.
 */
#define SYSCALLS 512
BPF_PROG_ARRAY(at_enter, SYSCALLS);	/* by the syscall's number */
BPF_PROG_ARRAY(at_exit, SYSCALLS);

#define TS_COMPAT 2	/* arch/x86/include/asm/thread_info.h */
#define TIF_32BIT 22	/* arch/arm64/include/asm/thread_info.h */

/* The syscalls of a 32-bit program have other numbers, and their own tracepoints leave them out, too. */
INLINE bool other_numbers(void)
{
	void *info = AT(current_task(), task_struct, thread_info);
#if HAS(thread_info, status) /* x86 */
	u32 status = 0;
	FOLLOW(status, info, thread_info, status);
	return status & TS_COMPAT;
#else
	u64 bits = 0;
	FOLLOW(bits, info, thread_info, flags);
	return bits >> TIF_32BIT & 1;
#endif
}

SERVES(each_enter, raw_syscalls:sys_enter)
int each_enter(struct enter *ctx)
{
	if (!other_numbers())
		at_enter.call(ctx, ctx->number);
	return 0;
}

SERVES(each_exit, raw_syscalls:sys_exit)
int each_exit(struct leave *ctx)
{
	if (!other_numbers())
		at_exit.call(ctx, ctx->number);
	return 0;
}
