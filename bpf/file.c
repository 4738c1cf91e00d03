/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Files: open, read, write and their kin, and every way in which a descriptor goes away. */

/* One step of a session at once, compiled in only where a machine follows a process step by step. */
INLINE void send_single(struct config *c, void *task, u64 file, struct session *s, u32 trigger, s64 bytes)
{
#if SINGLES
	struct record *r = record_new(trigger);
	if (!r)
		return;
	struct event *e = &r->event;
	record_process(e, task);
	e->inode = s->inode;
	e->device = s->device;
	e->mode = s->mode;
	e->flags = s->flags | FLAG_SINGLE;
	e->fd = s->fd;
	e->began = s->began;
	if (trigger == READ || trigger == RECV)
		e->bytes_read = bytes;
	if (trigger == WRITE || trigger == SEND)
		e->bytes_written = bytes;
	if ((s->mode & KIND_MASK) == KIND_SOCKET) {
		record_socket(r, file);
		record_send(r, e->file_text_size + e->to_text_size);
		return;
	}
	record_file(r, file);
	struct verdict *v = prefix_verdict(r);
	if (!v || (v->only_read && (trigger == WRITE || e->flags & (FLAG_CREATED | FLAG_TRUNCATED))))
		record_send(r, r->walk.used);
#endif
}

INLINE int opened(struct leave *ctx, u64 flags)
{
	void *task = current_task(), *inode = 0;
	u32 mode = 0, fmode = 0;
	u64 magic = 0;
	struct config *c;
	if (ctx->result < 0 || !(c = watched(OPEN)))
		return 0;
	struct session_key key = {
		.file = file_of(task, ctx->result), .pid = bpf_get_current_pid_tgid() >> 32};
	GET(fmode, key.file, file, f_mode);
	if (!key.file || fmode & FMODE_PATH)
		return 0;
	u32 rule = kind_of(c, key.file, &inode, &mode, &magic);
	if (rule == DROP)
		return 0;
	count(SEEN, OPEN, 1);
	if (rule) {
		count_ignored(rule, OPEN, 1);
		return 0;
	}
	struct session s = {.opens = 1};
	u32 found = 0;
	if (fmode & FMODE_CREATED)
		found = FLAG_CREATED;
	else if ((flags & OPEN_TMPFILE) == OPEN_TMPFILE)
		found = FLAG_CREATED | FLAG_UNNAMED;
	else if (flags & OPEN_TRUNCATE && (mode & KIND_MASK) == KIND_FILE)
		found = FLAG_TRUNCATED;
	session_fill(&s, key.file, inode, mode, magic, ctx->result, found);
	if (sessions.insert(&key, &s)) {
		struct session *old = sessions.lookup(&key);
		if (old)
			session_abandoned(c, old);
		if (!old || sessions.update(&key, &s))
			count(LOST, OPEN, 1);
	}
	if (found)
		last_made.update(&key.pid, &key.file);
	if (c->single & (1u << OPEN) && !s.rule)
		send_single(c, task, key.file, &s, OPEN, 0);
	return 0;
}

SERVES(exit_open, open)
int exit_open(struct leave *ctx)
{
	u64 flags = 0;
	if (ctx->result >= 0)
		ARGUMENT(flags, current_task(), 1);
	return opened(ctx, (u32)flags);
}
SERVES(exit_openat, openat open_by_handle_at)
int exit_openat(struct leave *ctx)
{
	u64 flags = 0;
	if (ctx->result >= 0)
		ARGUMENT(flags, current_task(), 2);
	return opened(ctx, (u32)flags);
}
SERVES(exit_creat, creat)
int exit_creat(struct leave *ctx)
{
	return opened(ctx, OPEN_CREATE | OPEN_TRUNCATE);
}
SERVES(exit_openat2, openat2)
int exit_openat2(struct leave *ctx)
{
	void *how = 0;
	u64 flags = 0;
	if (ctx->result >= 0) {
		ARGUMENT(how, current_task(), 2);
		read_user(&flags, sizeof(flags), how); /* struct open_how begins with its flags */
	}
	return opened(ctx, flags);
}

INLINE void moved_in(struct config *c, void *task, s32 fd, s64 bytes)
{
	struct session *s = session_used(c, task, fd, READ, RECV);
	if (!s)
		return;
	s->reads++;
	s->bytes_read += bytes;
	if (s->reads != 1)
		return;
	s->first_read = bpf_ktime_get_boot_ns();
	u32 trigger = (s->mode & KIND_MASK) == KIND_SOCKET ? RECV : READ;
	if (c->single & (1u << trigger) && !s->rule)
		send_single(c, task, file_of(task, fd), s, trigger, bytes);
}

/* Comes last in a probe: the first datagram is a connection's beginning as well, and that is another program's. */
INLINE void moved_out(void *ctx, struct config *c, void *task, s32 fd, s64 bytes)
{
	struct session *s = session_used(c, task, fd, WRITE, SEND);
	if (!s)
		return;
	bool pointed = s->flags & FLAG_POINTED;
	s->flags &= ~FLAG_POINTED;
	s->writes++;
	s->bytes_written += bytes;
	if (s->writes != 1)
		return;
	s->first_write = bpf_ktime_get_boot_ns();
	if (pointed && c->wanted & (1u << CONNECT)) {
		connection_begun(ctx, CONNECT, fd, 1, bytes);
		return;
	}
	u32 trigger = (s->mode & KIND_MASK) == KIND_SOCKET ? SEND : WRITE;
	if (c->single & (1u << trigger) && (!s->rule || s->rule >> 31))
		send_single(c, task, file_of(task, fd), s, trigger, bytes);
}

/* Data may move for a file or for a connection, and the first datagram is a connect: the descriptor tells which. */
#define MOVES_IN (1u << READ | 1u << RECV | 1u << CONNECT)
#define MOVES_OUT (1u << WRITE | 1u << SEND | 1u << CONNECT)

SERVES(exit_read, read pread64 readv preadv preadv2 recvfrom recvmsg)
int exit_read(struct leave *ctx)
{
	struct config *c;
	void *task = current_task();
	u64 fd = 0;
	if (ctx->result < 0 || !(c = watched_any(MOVES_IN)))
		return 0;
	ARGUMENT(fd, task, 0);
	moved_in(c, task, fd, ctx->result);
	return 0;
}

SERVES(exit_write, write pwrite64 writev pwritev pwritev2 sendto sendmsg)
int exit_write(struct leave *ctx)
{
	struct config *c;
	void *task = current_task();
	u64 fd = 0;
	if (ctx->result < 0 || !(c = watched_any(MOVES_OUT)))
		return 0;
	ARGUMENT(fd, task, 0);
	moved_out(ctx, c, task, fd, ctx->result);
	return 0;
}

SERVES(exit_recvmmsg, recvmmsg)
int exit_recvmmsg(struct leave *ctx) /* its result counts messages, their bytes are not known */
{
	struct config *c;
	void *task = current_task();
	u64 fd = 0;
	if (ctx->result <= 0 || !(c = watched(RECV)))
		return 0;
	ARGUMENT(fd, task, 0);
	moved_in(c, task, fd, 0);
	return 0;
}

SERVES(exit_sendmmsg, sendmmsg)
int exit_sendmmsg(struct leave *ctx)
{
	struct config *c;
	void *task = current_task();
	u64 fd = 0;
	if (ctx->result <= 0 || !(c = watched_any(MOVES_OUT)))
		return 0;
	ARGUMENT(fd, task, 0);
	moved_out(ctx, c, task, fd, 0);
	return 0;
}

/* Data went from one descriptor to another: `copied` has both sides. */
INLINE int copied_between(void *ctx, s32 from, s32 to, s64 bytes)
{
	u32 zero = 0;
	struct handed *h = handed.lookup(&zero);
	if (!h)
		return 0;
	h->from = from;
	h->fd = to;
	h->bytes = bytes;
	programs.call(ctx, 3);
	return 0;
}

SERVES(copied, programs[3])
int copied(struct leave *ctx)
{
	u32 zero = 0;
	struct handed *h = handed.lookup(&zero);
	struct config *c = watched_any(MOVES_IN | MOVES_OUT);
	void *task = current_task();
	if (!h || !c)
		return 0;
	moved_in(c, task, h->from, h->bytes);
	moved_out(ctx, c, task, h->fd, h->bytes);
	return 0;
}

SERVES(exit_copy_file_range, copy_file_range splice)
int exit_copy_file_range(struct leave *ctx)
{
	void *task = current_task();
	u64 in = 0, out = 0;
	if (ctx->result < 0)
		return 0;
	ARGUMENT(in, task, 0);
	ARGUMENT(out, task, 2);
	return copied_between(ctx, in, out, ctx->result);
}
SERVES(exit_sendfile64, sendfile64)
int exit_sendfile64(struct leave *ctx)
{
	void *task = current_task();
	u64 in = 0, out = 0;
	if (ctx->result < 0)
		return 0;
	ARGUMENT(out, task, 0);
	ARGUMENT(in, task, 1);
	return copied_between(ctx, in, out, ctx->result);
}

/* FICLONE and FICLONERANGE (linux/fs.h): what cp does where the file system can share blocks. */
SERVES(exit_ioctl, ioctl)
int exit_ioctl(struct leave *ctx)
{
	void *task = current_task();
	u64 out = 0, command = 0, in = 0;
	if (ctx->result < 0)
		return 0;
	ARGUMENT(command, task, 1);
	if ((u32)command != 0x40049409 && (u32)command != 0x4020940d)
		return 0;
	ARGUMENT(out, task, 0);
	ARGUMENT(in, task, 2);
	if ((u32)command == 0x4020940d) {
		s64 from = -1;
		read_user(&from, sizeof(from), (void *)in); /* struct file_clone_range.src_fd */
		in = from;
	}
	return copied_between(ctx, in, out, 0);
}

/*
 * A descriptor is going away: does this process hold the file by another one? The table is looked through only if
 * somebody else holds a reference at all.
 */
#define TABLE_CHUNK 64
#define TABLE_CHUNKS 16
struct table_chunk {
	u64 file[TABLE_CHUNK];
};
BPF_PERCPU_ARRAY(table_chunks, struct table_chunk, 1);

/* 1 or 0 without a branch, of which a thousand in a row are too many for the verifier */
INLINE u64 is_same(u64 one, u64 other)
{
	u64 difference = one ^ other, negative = -difference;
	OPAQUE(negative);
	return 1 - ((difference | negative) >> 63);
}

INLINE bool held_elsewhere(void *task, u64 file, s32 fd)
{
	void *files = 0, *table = 0, *array = 0;
	u32 max = 0, zero = 0;
	u64 found = 0;
	struct table_chunk *chunk = table_chunks.lookup(&zero);
	if (!chunk || only_reference(file))
		return false;
	FOLLOW(files, task, task_struct, files);
	FOLLOW(table, files, files_struct, fdt);
	FOLLOW(max, table, fdtable, max_fds);
	FOLLOW(array, table, fdtable, fd);
#pragma nounroll
	for (u32 i = 0; i < TABLE_CHUNKS; i++) {
		OPAQUE(max); /* or LLVM makes one condition of two, which Linux 6.1's verifier does not see to end the loop */
		if (i * TABLE_CHUNK >= max)
			break;
		bpf_probe_read_kernel(chunk->file, sizeof(chunk->file), array + i * sizeof(chunk->file));
#pragma nounroll
		for (u32 j = 0; j < TABLE_CHUNK; j++)
			found += is_same(chunk->file[j], file);
	}
	return found > (fd >= 0);
}

/* A descriptor that never had a session, or has one no more: nothing was done with it here. */
INLINE void count_untouched(struct config *c, u64 file)
{
	void *inode = 0;
	u32 mode = 0;
	u64 magic = 0;
	u32 rule = kind_of(c, file, &inode, &mode, &magic);
	if (rule == DROP)
		return;
	count(SEEN, CLOSE, 1);
	if (rule)
		count_ignored(rule, CLOSE, 1);
	else
		count(UNEXPLAINED, CLOSE, 1);
}

INLINE int closing(void *ctx, s32 fd)
{
	void *task = current_task();
	struct config *c = watched(CLOSE);
	if (!c)
		return 0;
	struct session_key key = {.file = file_of(task, fd), .pid = bpf_get_current_pid_tgid() >> 32};
	if (!key.file)
		return 0;
	if (held_elsewhere(task, key.file, fd))
		return 0;
	struct releases *list = releases_begin();
	if (!list)
		return 0;
	if (!releases_add(c, list, key.file))
		count_untouched(c, key.file);
	if (list->found)
		programs.call(ctx, 0);
	return 0;
}

/* close(2) of an open descriptor always takes it away, whatever it returns; so it is seen while the file is there. */
SERVES(enter_close, close)
int enter_close(struct enter *ctx)
{
	return closing(ctx, ctx->args[0]);
}

/* dup2(2) over an open descriptor closes that one. */
SERVES(enter_dup2, dup2 dup3)
int enter_dup2(struct enter *ctx)
{
	s32 from = ctx->args[0], over = ctx->args[1];
	u64 file = file_of(current_task(), from);
	if (from == over || !file || file == file_of(current_task(), over))
		return 0;
	return closing(ctx, over);
}

/*
 * Lists the sessions of a range of descriptors, a chunk of the table in each of a chain of tail calls, then has them
 * released. At an exec those marked close-on-exec, and the others are told whose they were until now.
 */
SERVES(list_chunk, programs[1])
int list_chunk(struct enter *ctx)
{
	void *task = current_task(), *files = 0, *table = 0, *array = 0, *bits = 0, *leader = 0;
	u32 max = 0, zero = 0;
	u64 closes = ~0ull;
	struct table_chunk *chunk = table_chunks.lookup(&zero);
	struct releases *list = releases.lookup(&zero);
	struct config *c = configuration();
	if (!chunk || !list || !c)
		return 0;
	u32 start = list->next;
	FOLLOW(files, task, task_struct, files);
	FOLLOW(table, files, files_struct, fdt);
	FOLLOW(max, table, fdtable, max_fds);
	FOLLOW(array, table, fdtable, fd);
	bpf_probe_read_kernel(chunk->file, sizeof(chunk->file), array + start * 8);
	if (list->at_exec) {
		FOLLOW(leader, task, task_struct, group_leader);
		FOLLOW(bits, table, fdtable, close_on_exec);
		bpf_probe_read_kernel(&closes, sizeof(closes), bits + start / 8);
	}
#pragma nounroll
	for (u32 j = 0; j < TABLE_CHUNK; j++) {
		u64 file = chunk->file[j];
		u32 fd = start + j;
		struct session_key key = {.file = file, .pid = bpf_get_current_pid_tgid() >> 32};
		if (!file)
			continue;
		struct session *s = sessions.lookup(&key);
		if (!s)
			continue;
		if (fd < list->first || fd > list->last) {
			s->kept = list->stamp;
			continue;
		}
		if (closes >> j & 1) {
			if (s->kept != list->stamp)
				releases_add(c, list, file);
			continue;
		}
		bpf_probe_read_kernel(s->command, COMMAND_SIZE, AT(leader, task_struct, comm));
		s->reads_named = s->reads;
		s->writes_named = s->writes;
		s->kept = list->stamp;
	}
	start += TABLE_CHUNK;
	list->next = start;
	if (start < max && start <= list->last && start < TABLE_CHUNK * TABLE_CHUNKS)
		programs.call(ctx, 1);
	programs.call(ctx, 0);
	return 0;
}

SERVES(enter_close_range, close_range)
int enter_close_range(struct enter *ctx)
{
	struct releases *list = releases_begin();
	if (!list || !watched(CLOSE) || ctx->args[2] & 4) /* CLOSE_RANGE_CLOEXEC closes nothing yet */
		return 0;
	list->first = ctx->args[0];
	list->last = ctx->args[1];
	list->stamp = bpf_ktime_get_boot_ns();
	programs.call(ctx, 1);
	return 0;
}

/*
 * execve closes what is marked close-on-exec where no probe sees it, so those sessions end here. Should the exec fail
 * and the file be used again, that is a new session.
 */
SERVES(enter_execve, execve execveat)
int enter_execve(struct enter *ctx)
{
	struct releases *list = releases_begin();
	if (!list || !watched(CLOSE))
		return 0;
	list->at_exec = 1;
	list->stamp = bpf_ktime_get_boot_ns();
	programs.call(ctx, 1);
	return 0;
}

SERVES(exit_ftruncate, ftruncate)
int exit_ftruncate(struct leave *ctx)
{
	struct config *c;
	void *task = current_task();
	u64 fd = 0, size = 0;
	if (ctx->result < 0 || !(c = watched(WRITE)))
		return 0;
	ARGUMENT(fd, task, 0);
	ARGUMENT(size, task, 1);
	struct session *s = session_used(c, task, fd, WRITE, SEND);
	if (!s)
		return 0;
	s->writes++;
	if (!s->first_write)
		s->first_write = bpf_ktime_get_boot_ns();
	if (size == 0 && s->bytes_written == 0 && !(s->flags & FLAG_CREATED))
		s->flags |= FLAG_TRUNCATED;
	return 0;
}
