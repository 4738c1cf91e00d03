/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Every way in which descriptors go away, and with them sessions: close, dup2, close_range, exec and the process's end.
 */

/* Sessions to end, found by a probe and worked off by `release`, a few in each of a chain of tail calls. */
#define RELEASES 256
#define RELEASES_AT_ONCE 2
struct releases {
	u64 stamp;
	u32 found;
	u32 done;
	u32 exits;		/* the process's end is to be reported behind them */
	u32 at_exec;
	u32 first;		/* descriptors looked through, and how far that is */
	u32 last;
	u32 next;
	u32 unused;
	u64 file[RELEASES];
};
BPF_PERCPU_ARRAY(releases, struct releases, 1);

INLINE struct releases *releases_begin(void)
{
	u32 zero = 0;
	struct releases *list = releases.lookup(&zero);
	if (list) {
		list->found = list->done = list->exits = list->at_exec = list->first = list->next = 0;
		list->last = ~0u;
	}
	return list;
}

/* False if there is no session to end. */
INLINE bool releases_add(struct config *c, struct releases *list, u64 file)
{
	struct session_key key = {.file = file, .pid = bpf_get_current_pid_tgid() >> 32};
	struct session *s = sessions.lookup(&key);
	if (!s)
		return false;
	u32 at = list->found;
	if (session_settled(c, &key, s) || at >= RELEASES) /* more than all tail calls can work off */
		return true;
	list->file[at & (RELEASES - 1)] = file;
	list->found = at + 1;
	return true;
}

INLINE void exit_record(struct record *r, void *task, u32 more)
{
	struct config *c = configuration();
	struct event *e = &r->event;
	void *signal = 0;
	s32 status = 0, group_status = 0;
	__builtin_memset(e, 0, sizeof(*e));
	e->trigger = EXIT;
	e->fd = -1;
	record_process(e, task);
	GET(status, task, task_struct, exit_code);
	GET(signal, task, task_struct, signal);
	GET(group_status, signal, signal_struct, group_exit_code);
	e->value = group_status ? group_status : status;
	e->flags = more;
	if (c && c->wanted & (1u << EXIT))
		count(SEEN, EXIT, 1);
	bool sent = record_send(r, 0);
	if (c && c->limited && (sent || !(e->flags & FLAG_HELD))) { /* or its sums are told by nobody */
		struct bucket_key key = bucket_of(e);
		buckets.delete(&key);
	}
	followed.delete(&e->pid);
}

/* Ends the sessions listed; tail-called, and calls itself until the list is done. */
SERVES(release, programs[0])
int release(struct enter *ctx)
{
	u32 zero = 0;
	struct releases *list = releases.lookup(&zero);
	struct record *r = records.lookup(&zero);
	struct config *c = configuration();
	void *task = current_task();
	u32 more = 0;
	if (!list || !r || !c)
		return 0;
	u32 rounds = RELEASES_AT_ONCE;
	OPAQUE(rounds); /* one loop body, however often LLVM would like to repeat it */
#pragma nounroll
	do {
		u32 at = list->done;
		if (at >= list->found || at >= RELEASES)
			goto ended;
		list->done = at + 1;
		session_end(task, r, list->file[at & (RELEASES - 1)]);
	} while (--rounds);
	programs.call(ctx, 0);
	more = FLAG_MORE; /* here only if there may be no more tail calls: user space counts what is left as lost */
ended:
	if (list->exits)
		exit_record(r, task, more);
	return 0;
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
