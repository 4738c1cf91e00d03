/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Connections: their beginnings are reported at once, with both ends as the kernel's socket has them. For datagrams
 * connect(2) only sets an address, which getaddrinfo(3) does to every candidate just to sort them: such a connection
 * begins when something is sent.
 */

#define EINPROGRESS 115
#define SOCK_DGRAM 2

INLINE bool connection_points(void *socket)
{
	void *sk = 0;
	u16 family = 0;
	GET(sk, socket, socket, sk);
	GET(family, sk, sock_common, skc_family);
	return family != AF_UNIX;
}

INLINE int socket_event(void *ctx, u32 trigger, s32 fd)
{
	void *task = current_task(), *inode = 0, *socket = 0;
	u16 type = 0;
	struct config *c = watched(trigger);
	struct session_key key = {.file = file_of(task, fd), .pid = bpf_get_current_pid_tgid() >> 32};
	if (!c || !key.file)
		return 0;
	GET(inode, key.file, file, f_inode);
	GET(socket, key.file, file, private_data);
	GET(type, socket, socket, type);
	if (trigger == CONNECT && type == SOCK_DGRAM && connection_points(socket)) {
		struct session s = {};
		session_fill(&s, key.file, inode, KIND_SOCKET, 0, fd, FLAG_POINTED);
		sessions.update(&key, &s);
		return 0;
	}
	connection_begun(ctx, trigger, fd, 0, 0);
	return 0;
}

SERVES(begun, programs[2])
int begun(struct leave *ctx)
{
	u32 zero = 0;
	struct handed *h = handed.lookup(&zero);
	struct config *c = configuration();
	void *task = current_task(), *inode = 0;
	if (!h || !c)
		return 0;
	u32 trigger = h->trigger;
	struct session_key key = {.file = file_of(task, h->fd), .pid = bpf_get_current_pid_tgid() >> 32};
	struct record *r = record_new(trigger);
	if (!r)
		return 0;
	struct event *e = &r->event;
	record_socket(r, key.file);
	if (e->family != AF_UNIX && e->family != AF_INET && e->family != AF_INET6)
		return 0;
	if (trigger == CONNECT && e->family == AF_INET && !e->remote_port && !*(u32 *)e->remote)
		return 0; /* connect(AF_UNSPEC) takes the peer away */
	count(SEEN, trigger, 1);
	e->fd = h->fd;
	record_process(e, task);
	record_send(r, e->file_text_size + e->to_text_size);
	if (h->sent) {
		struct session *s = sessions.lookup(&key);
		if (s && c->single & (1u << SEND))
			send_single(c, task, key.file, s, SEND, h->bytes);
	} else if (c->sockets && (trigger == CONNECT || trigger == ACCEPT)) {
		struct session s = {};
		GET(inode, key.file, file, f_inode);
		session_fill(&s, key.file, inode, KIND_SOCKET, 0, h->fd, 0);
		sessions.update(&key, &s);
	}
	return 0;
}

SERVES(exit_connect, connect)
int exit_connect(struct leave *ctx)
{
	u64 fd = 0;
	if (ctx->result != 0 && ctx->result != -EINPROGRESS)
		return 0;
	ARGUMENT(fd, current_task(), 0);
	return socket_event(ctx, CONNECT, fd);
}
SERVES(exit_accept, accept accept4)
int exit_accept(struct leave *ctx)
{
	return ctx->result < 0 ? 0 : socket_event(ctx, ACCEPT, ctx->result);
}
SERVES(exit_bind, bind)
int exit_bind(struct leave *ctx)
{
	u64 fd = 0;
	if (ctx->result)
		return 0;
	ARGUMENT(fd, current_task(), 0);
	return socket_event(ctx, BIND, fd);
}
SERVES(exit_listen, listen)
int exit_listen(struct leave *ctx)
{
	u64 fd = 0;
	if (ctx->result)
		return 0;
	ARGUMENT(fd, current_task(), 0);
	return socket_event(ctx, LISTEN, fd);
}
