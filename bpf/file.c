/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Files that are opened, and the steps of a session that are told at once. */

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
