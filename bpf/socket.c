/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Connections: their beginnings are reported at once, with both ends as the kernel's socket has them. For datagrams
 * connect(2) only sets an address, which getaddrinfo(3) does to every candidate just to sort them: such a connection
 * begins when something is sent.
 */

#define EINPROGRESS 115
#define SOCK_DGRAM 2
#define AF_UNIX 1

INLINE bool connection_points(void *socket)
{
	void *sk = 0;
	u16 family = 0;
	GET(sk, socket, socket, sk);
	GET(family, sk, sock_common, skc_family);
	return family != AF_UNIX;
}

INLINE int socket_event(u32 trigger, s32 fd)
{
	void *task = current_task(), *inode = 0, *socket = 0;
	u16 type = 0;
	struct config *c = watched(trigger);
	struct session_key key = {.file = file_of(task, fd), .pid = bpf_get_current_pid_tgid() >> 32};
	struct session s = {};
	if (!c || !key.file)
		return 0;
	GET(inode, key.file, file, f_inode);
	GET(socket, key.file, file, private_data);
	GET(type, socket, socket, type);
	if (trigger == CONNECT && type == SOCK_DGRAM && connection_points(socket)) {
		session_fill(&s, key.file, inode, KIND_SOCKET, 0, fd, FLAG_POINTED);
		sessions.update(&key, &s);
		return 0;
	}
	if (connection_begun(trigger, task, key.file, fd) && c->sockets && (trigger == CONNECT || trigger == ACCEPT)) {
		session_fill(&s, key.file, inode, KIND_SOCKET, 0, fd, 0);
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
	return socket_event(CONNECT, fd);
}
SERVES(exit_accept, accept accept4)
int exit_accept(struct leave *ctx)
{
	return ctx->result < 0 ? 0 : socket_event(ACCEPT, ctx->result);
}
SERVES(exit_bind, bind)
int exit_bind(struct leave *ctx)
{
	u64 fd = 0;
	if (ctx->result)
		return 0;
	ARGUMENT(fd, current_task(), 0);
	return socket_event(BIND, fd);
}
SERVES(exit_listen, listen)
int exit_listen(struct leave *ctx)
{
	u64 fd = 0;
	if (ctx->result)
		return 0;
	ARGUMENT(fd, current_task(), 0);
	return socket_event(LISTEN, fd);
}
