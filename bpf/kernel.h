/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Reading the running kernel's structures. OFF(struct, member) is a byte offset and HAS(struct, member) is 1 or 0;
 * panorama/sensor/source.py finds each use in these files and asks the kernel's own BTF. So there is one source for
 * every kernel from 5.10 on, and differences are features, not versions.
 */
#define OFF(type, member) OFF_##type##__##member
#define HAS(type, member) HAS_##type##__##member
#define AT(base, type, member) ((void *)(base) + OFF(type, member))
#define GET(into, base, type, member) bpf_probe_read_kernel(&(into), sizeof(into), AT(base, type, member))

/*
 * The same for what hangs on the current task. From 5.11 on the verifier knows what a task is and lets its members be
 * read without a call; a pointer that leads nowhere reads as 0 (the kernel's exception table), as it does with GET.
 */
#if HAS_HELPER_get_current_task_btf
#define FOLLOW(into, base, type, member) ((into) = *(typeof(into) volatile *)AT(base, type, member))
#else
#define FOLLOW GET
#endif

#define INLINE static __attribute__((always_inline)) inline
/* Hides a value's history from the compiler, so that it cannot move a mask away from the access it guards. */
#define OPAQUE(value) asm volatile("" : "+r"(value))

/* include/uapi/linux/stat.h, include/linux/fs.h, include/uapi/asm-generic/fcntl.h */
#define KIND_MASK 0170000
#define KIND_SOCKET 0140000
#define KIND_FILE 0100000
#define KIND_FIFO 0010000
#define FMODE_PATH 0x4000
#define FMODE_CREATED 0x100000
#define OPEN_CREATE 0100
#define OPEN_TRUNCATE 01000
#define OPEN_TMPFILE 020000000
#define AT_FDCWD -100
#define AT_REMOVEDIR 0x200
#define PIPEFS_MAGIC 0x50495045
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10

/*
 * bpf_probe_read_user and bpf_probe_read_user_str under other names: for those two BCC looks through all the kernel's
 * symbols, which takes as long as a third of the compiling.
 */
static long (*read_user)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user;
static long (*read_user_text)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user_str;

/*
 * SERVES(function, words): the function is attached to these: `enter_` and `exit_` functions to syscalls' tracepoints,
 * others to what is named. It says so to panorama/sensor/probes.py and nothing to the compiler.
 */
#define SERVES(function, ...)

/* A tracepoint's arguments; see /sys/kernel/tracing/events/syscalls/<name>/format. */
struct enter {
	u64 common;
	s64 number;
	u64 args[6];
};
struct leave {
	u64 common;
	s64 number;
	s64 result;
};

INLINE void *current_task(void)
{
#if HAS_HELPER_get_current_task_btf
	return (void *)bpf_get_current_task_btf();
#else
	return (void *)bpf_get_current_task();
#endif
}

/*
 * The registers a thread entered the kernel with, from which an exit tracepoint reads the arguments: one tracepoint a
 * syscall instead of two. They lie at the top of its kernel stack.
 */
INLINE void *user_registers(void *task)
{
#if HAS_HELPER_task_pt_regs
	return (void *)bpf_task_pt_regs(task);
#else
	void *stack = 0;
	GET(stack, task, task_struct, stack);
	return stack + KERNEL_STACK_SIZE - SIZE_pt_regs;
#endif
}

#if HAS(pt_regs, di)
#define ARGUMENT_0 OFF(pt_regs, di)
#define ARGUMENT_1 OFF(pt_regs, si)
#define ARGUMENT_2 OFF(pt_regs, dx)
#else /* arm64: x0 holds the result by now */
#define ARGUMENT_0 OFF(pt_regs, orig_x0)
#define ARGUMENT_1 (OFF(pt_regs, regs) + 8)
#define ARGUMENT_2 (OFF(pt_regs, regs) + 16)
#endif
#if HAS_HELPER_task_pt_regs
#define ARGUMENT(into, task, n) ((into) = *(typeof(into) volatile *)(user_registers(task) + ARGUMENT_##n))
#else
#define ARGUMENT(into, task, n) bpf_probe_read_kernel(&(into), sizeof(into), user_registers(task) + ARGUMENT_##n)
#endif

/* struct file of a descriptor of the current process, 0 if it has none */
INLINE u64 file_of(void *task, s32 fd)
{
	void *files = 0, *table = 0, *array = 0;
	u32 max = 0;
	u64 file = 0;
	if (fd < 0)
		return 0;
	FOLLOW(files, task, task_struct, files);
	FOLLOW(table, files, files_struct, fdt);
	FOLLOW(max, table, fdtable, max_fds);
	if ((u32)fd >= max)
		return 0;
	FOLLOW(array, table, fdtable, fd);
	bpf_probe_read_kernel(&file, sizeof(file), array + 8 * (u64)(u32)fd);
	return file;
}

/* The one other thing that may hold the file is another descriptor of this process; true spares looking. */
INLINE bool only_reference(u64 file)
{
#if HAS(file, f_ref) /* 6.13: counts references less one */
	u64 references = 1;
	GET(references, file, file, f_ref);
	return references == 0;
#else
	u64 references = 2;
	GET(references, file, file, f_count);
	return references == 1;
#endif
}
