/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Data that moves: read, write and their kin, of files and connections, and copies from one descriptor to another. */

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
