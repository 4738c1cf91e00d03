/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* A process's life. These are always attached: user space keeps names, arguments and parents by them. */

#define ARGV_ROOM 4096

#define CLONE_THREAD 0x00010000

SERVES(fork_seen, task:task_newtask)
int fork_seen(void *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32, zero = 0;
	u32 child = *(u32 *)AT(ctx, trace_event_raw_task_newtask, pid);
	u64 flags = *(u64 *)AT(ctx, trace_event_raw_task_newtask, clone_flags);
	struct config *c = configuration();
	if (!c || flags & CLONE_THREAD || pid == c->self)
		return 0;
	if (c->follow) {
		if (!followed.lookup(&pid))
			return 0;
		followed.update(&child, &zero);
	}
	if (!(c->wanted & (1u << FORK)))
		return 0;
	struct record *r = record_new(FORK);
	if (!r)
		return 0;
	count(SEEN, FORK, 1);
	record_process(&r->event, current_task());
	r->event.value = child;
	record_send(r, 0);
	return 0;
}

/* Whether the descriptor is a connection, with both its ends: a program may have one where others have a terminal. */
INLINE bool record_connected(struct event *e, void *task, s32 fd)
{
	void *inode = 0;
	u16 mode = 0;
	u64 file = file_of(task, fd);
	GET(inode, file, file, f_inode);
	GET(mode, inode, inode, i_mode);
	if ((mode & KIND_MASK) != KIND_SOCKET)
		return false;
	record_ends(e, file);
	if ((e->family == AF_INET || e->family == AF_INET6) && e->remote_port) {
		e->fd = fd;
		return true;
	}
	e->mode = 0;
	return false;
}

#define DEV_FD 0x2f64662f7665642full /* "/dev/fd/" */
#define HEAD 16

/*
 * The descriptor in "/dev/fd/N": execveat(2) calls so the file that is executed, or the directory that its path starts
 * from. AT_FDCWD for any other text. Without a branch for each digit: what follows is verified once.
 */
INLINE s32 descriptor_executed(const char *head)
{
	u32 number = 0, over = 0;
	if (*(u64 *)head != DEV_FD)
		return AT_FDCWD;
#pragma unroll
	for (int i = sizeof(u64); i < HEAD; i++) {
		u32 digit = (u8)(head[i] - '0');
		over |= (9 - digit) >> 31;
		OPAQUE(over);
		number = number * (10 - 9 * over) + digit * (1 - over);
	}
	return number;
}

/* The path by which the program was executed. Whether it is that of a script, user space can tell. */
INLINE u32 record_executed(struct record *r, void *ctx, void *task, u32 used)
{
	u32 where = *(u32 *)AT(ctx, trace_event_raw_sched_process_exec, __data_loc_filename);
	const char *text = ctx + (where & 0xffff);
	char head[HEAD] __attribute__((aligned(8))) = {};
	bpf_probe_read_kernel(head, HEAD, text);
	s32 directory = descriptor_executed(head);
	path_of_start(&r->walk, task, directory, directory == AT_FDCWD ? head[0] : 0);
	used = record_other(r, used);
	u32 at = used;
	OPAQUE(at);
	at &= TAIL_MASK;
	s32 n = bpf_probe_read_kernel_str(&r->tail[at], PATH_ROOM, text);
	if (n > 0)
		r->event.to_text_size = n;
	return used + r->event.to_text_size;
}

SERVES(exec_seen, sched:sched_process_exec)
int exec_seen(struct enter *ctx)
{
	void *task = current_task(), *mm = 0, *exe = 0;
	u64 from = 0, to = 0;
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct config *c = configuration();
	struct record *r;
	if (!c || pid == c->self || (c->follow && !followed.lookup(&pid)) || !(r = record_new(EXEC)))
		return 0;
	if (c->wanted & (1u << EXEC))
		count(SEEN, EXEC, 1);
	struct event *e = &r->event;
	record_process(e, task);
	record_root(e, task);
	if (!record_connected(e, task, 0))
		record_connected(e, task, 1);
	GET(mm, task, task_struct, mm);
	GET(exe, mm, mm_struct, exe_file);
	record_file(r, (u64)exe);
	GET(from, mm, mm_struct, arg_start);
	GET(to, mm, mm_struct, arg_end);
	u32 size = to - from;
	if (size > ARGV_ROOM - 1)
		size = ARGV_ROOM - 1;
	u32 at = r->walk.used & TAIL_MASK;
	OPAQUE(at);
	at &= TAIL_MASK;
	OPAQUE(size);
	size &= ARGV_ROOM - 1;
	if (!read_user(&r->tail[at], size, (void *)from))
		e->file_text_size = size;
	else
		e->flags |= FLAG_TEXT_LOST;
	record_send(r, record_executed(r, ctx, task, (at + e->file_text_size) & TAIL_MASK));
	return 0;
}

/* The last thread of a process is ending. Its descriptors are still there: exit_files comes later (kernel/exit.c). */
SERVES(exit_seen, sched:sched_process_exit)
int exit_seen(struct enter *ctx)
{
	void *task = current_task(), *signal = 0;
	s32 alive = 0;
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct config *c = configuration();
	struct releases *list;
	GET(signal, task, task_struct, signal);
	GET(alive, signal, signal_struct, live);
	if (alive || !c || pid == c->self)
		return 0;
	if (c->follow) {
		if (!followed.lookup(&pid))
			return 0;
	}
	if (!(list = releases_begin()))
		return 0;
	list->exits = 1;
	list->stamp = bpf_ktime_get_boot_ns();
	programs.call(ctx, c->wanted & (1u << CLOSE) ? 1 : 0);
	return 0;
}
