/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Sessions: one open file or connection of one process, from its opening (or the first use of a descriptor that was
 * open already) until the process's last descriptor of it goes away. A million reads are two numbers in here and one
 * record at the end. The key is the process and the kernel's struct file, so dup, dup2 and shell redirections need no
 * book-keeping: they share the file.
 */

struct session_key {
	u64 file;
	u32 pid;
	u32 unused;
};

struct session {
	u64 inode_at;		/* address of struct inode: another one means that the struct file was used again */
	u64 began;
	u64 first_read;
	u64 first_write;
	u64 bytes_read;
	u64 bytes_written;
	u64 reads;
	u64 writes;
	u64 reads_named;	/* reads and writes when `command` was kept */
	u64 writes_named;
	u64 kept;		/* list_range's mark: another descriptor survives the exec */
	u64 inode;
	u32 device;
	u32 mode;
	u32 flags;
	u32 opens;
	u32 rule;		/* ignore rule + 1, for what a file system or kind decides */
	s32 fd;
	char command[COMMAND_SIZE];	/* before the last exec: who used it, if nobody did after */
};
BPF_HASH(sessions, struct session_key, struct session, SESSIONS);

/* The file that a process made or emptied last: it is the one whose mode it sets next, often by name. */
BPF_TABLE("lru_hash", u32, u64, last_made, 8192);

struct verdict {
	u32 rule;		/* number + 1 */
	u32 only_read;		/* the rule is about files that are only read */
};
BPF_HASH(ignored_filesystems, u64, struct verdict, 64);	/* by super_block.s_magic */

struct prefix {
	u32 bits;
	char text[PREFIX_ROOM + NAME_ROOM];
};
struct prefix_key {
	u32 bits;
	char text[PREFIX_ROOM];
};
BPF_LPM_TRIE(ignored_prefixes, struct prefix_key, struct verdict, 256);
BPF_PERCPU_ARRAY(prefixes, struct prefix, 1);

/* What a probe leaves to a program that it tail-calls: so what several need is compiled and verified once. */
struct handed {
	u32 trigger;
	s32 fd;
	s32 from;
	u32 sent;		/* of a datagram socket: it was written to, `bytes` */
	s64 bytes;
};
BPF_PERCPU_ARRAY(handed, struct handed, 1);
BPF_PROG_ARRAY(programs, 4);

/* How a file's kind is treated before there is a session: 0 keep one, RULE ignored by that rule, DROP not an event. */
#define DROP 0xffffffffu

INLINE u32 kind_of(struct config *c, u64 file, void **inode, u32 *mode, u64 *magic)
{
	void *super = 0;
	u16 bits = 0;
	GET(*inode, file, file, f_inode);
	GET(bits, *inode, inode, i_mode);
	*mode = bits;
	u32 kind = bits & KIND_MASK;
	if (kind == KIND_SOCKET)
		return c->sockets ? 0 : DROP;
	GET(super, *inode, inode, i_sb);
	GET(*magic, super, super_block, s_magic);
	if (kind == KIND_FIFO && *magic != PIPEFS_MAGIC)
		return 0;
	return c->kind_rule[(kind >> 12) & 15];
}

INLINE void session_fill(struct session *s, u64 file, void *inode, u32 mode, u64 magic, s32 fd, u32 flags)
{
	void *super = 0;
	s->inode_at = (u64)inode;
	s->began = bpf_ktime_get_boot_ns();
	s->mode = mode;
	s->flags = flags;
	s->fd = fd;
	GET(s->inode, inode, inode, i_ino);
	GET(super, inode, inode, i_sb);
	GET(s->device, super, super_block, s_dev);
	struct verdict *v = ignored_filesystems.lookup(&magic);
	if (v)
		s->rule = v->rule | (v->only_read ? 1u << 31 : 0);
}

/* A session whose end no probe saw (a close through io_uring, say): its struct file is another's by now. */
INLINE void session_abandoned(struct config *c, struct session *s)
{
	bool socket = (s->mode & KIND_MASK) == KIND_SOCKET;
	count(LOST, OPEN, s->opens);
	if (socket && !c->sockets)
		return; /* what was sent and received was not counted either */
	count(LOST, socket ? RECV : READ, s->reads);
	count(LOST, socket ? SEND : WRITE, s->writes);
}

/*
 * The session of a descriptor in use, made now if this is its first use here. NULL if it has none; the syscall is then
 * accounted for already.
 */
INLINE struct session *session_used(struct config *c, void *task, s32 fd, u32 file_trigger, u32 socket_trigger)
{
	void *inode = 0;
	u32 mode = 0;
	u64 magic = 0;
	struct session_key key = {.file = file_of(task, fd), .pid = bpf_get_current_pid_tgid() >> 32};
	if (!key.file)
		return NULL;
	struct session *s = sessions.lookup(&key);
	GET(inode, key.file, file, f_inode);
	if (s && s->inode_at != (u64)inode)
		session_abandoned(c, s);
	if (s && s->inode_at == (u64)inode) {
		bool socket = (s->mode & KIND_MASK) == KIND_SOCKET;
		if (!socket || c->sockets)
			count(SEEN, socket ? socket_trigger : file_trigger, 1);
		return s;
	}
	u32 rule = kind_of(c, key.file, &inode, &mode, &magic);
	u32 trigger = (mode & KIND_MASK) == KIND_SOCKET ? socket_trigger : file_trigger;
	if (rule == DROP || !(c->wanted & (1u << trigger)))
		return NULL;
	count(SEEN, trigger, 1);
	if (rule) {
		count_ignored(rule, trigger, 1);
		return NULL;
	}
	struct session fresh = {};
	session_fill(&fresh, key.file, inode, mode, magic, fd, FLAG_INHERITED);
	sessions.update(&key, &fresh);
	s = sessions.lookup(&key);
	if (!s)
		count(LOST, trigger, 1);
	return s;
}

/* What a socket is, and of an Internet one the addresses of both ends. */
INLINE void *record_ends(struct event *e, u64 file)
{
	void *socket = 0, *sk = 0, *inode = 0;
	u16 type = 0, port = 0, protocol = 0;
	GET(inode, file, file, f_inode);
	GET(e->socket, inode, inode, i_ino);
	e->mode = KIND_SOCKET;
	GET(socket, file, file, private_data);
	GET(sk, socket, socket, sk);
	GET(type, socket, socket, type);
	GET(e->family, sk, sock_common, skc_family);
	e->socket_type = type;
#if HAS(sock, sk_protocol)
	GET(protocol, sk, sock, sk_protocol);
#endif
	e->protocol = protocol;
	if (e->family == AF_UNIX)
		return sk;
	GET(port, sk, sock_common, skc_dport);
	e->remote_port = (port >> 8) | (port << 8);
	GET(e->local_port, sk, sock_common, skc_num);
	if (e->family == AF_INET) {
		bpf_probe_read_kernel(e->remote, 4, AT(sk, sock_common, skc_daddr));
		bpf_probe_read_kernel(e->local, 4, AT(sk, sock_common, skc_rcv_saddr));
#if HAS(sock_common, skc_v6_daddr)
	} else if (e->family == AF_INET6) {
		bpf_probe_read_kernel(e->remote, 16, AT(sk, sock_common, skc_v6_daddr));
		bpf_probe_read_kernel(e->local, 16, AT(sk, sock_common, skc_v6_rcv_saddr));
#endif
	}
	return sk;
}

/* The addresses of both ends, as the socket has them. For a UNIX socket the texts follow in tail. */
INLINE void record_socket(struct record *r, u64 file)
{
	struct event *e = &r->event;
	void *sk = record_ends(e, file), *peer = 0, *address = 0;
	s32 length = 0;
	u32 used = 0;
	if (e->family != AF_UNIX)
		return;
#if HAS(unix_sock, peer) /* the name is what the bound end bound */
	GET(peer, sk, unix_sock, peer);
	if (peer)
		GET(address, peer, unix_sock, addr);
	if (address) {
		GET(length, address, unix_address, len);
		if (length > 2) {
			used = (length - 2) & 127;
			bpf_probe_read_kernel(r->tail, used, AT(address, unix_address, name) + 2);
		}
	}
	e->file_text_size = used;
	address = 0;
	length = 0;
	GET(address, sk, unix_sock, addr);
	if (address) {
		GET(length, address, unix_address, len);
		if (length > 2) {
			e->to_text_size = (length - 2) & 127;
			bpf_probe_read_kernel(&r->tail[used & 127], (length - 2) & 127,
					      AT(address, unix_address, name) + 2);
		}
	}
#endif
}

/* A connect, accept, bind or listen of a descriptor: `begun` makes the record. Never returns if all is well. */
INLINE void connection_begun(void *ctx, u32 trigger, s32 fd, u32 sent, s64 bytes)
{
	u32 zero = 0;
	struct handed *h = handed.lookup(&zero);
	if (!h)
		return;
	h->trigger = trigger;
	h->fd = fd;
	h->sent = sent;
	h->bytes = bytes;
	programs.call(ctx, 2);
}

/* A record's own path: the names of `file`, and what ignore rules by path say of it. */
INLINE void record_file(struct record *r, u64 file)
{
	struct path_walk *w = &r->walk;
	w->used = 0;
	path_of_struct(w, AT(file, file, f_path));
	path_walk(r);
	r->event.file_base_size = w->used;
	r->event.flags |= w->flags;
}

INLINE struct verdict *prefix_verdict(struct record *r)
{
	struct path_walk *w = &r->walk;
	u32 zero = 0, at = 1;
	struct prefix *p = prefixes.lookup(&zero);
	if (!p || w->flags)
		return NULL;
	__builtin_memset(p, 0, PREFIX_ROOM + 4);
	p->text[0] = '/';
#pragma unroll
	for (int i = PREFIX_NAMES - 1; i >= 0; i--) {
		if (w->top[i] == NO_NAME)
			break;
		u32 from = w->top[i] & TAIL_MASK;
		OPAQUE(from);
		from &= TAIL_MASK;
		u32 to = at & (PREFIX_ROOM - 1);
		OPAQUE(to);
		to &= PREFIX_ROOM - 1;
		u32 n = bpf_probe_read_kernel_str(&p->text[to], NAME_ROOM, &r->tail[from]);
		at += n & (NAME_ROOM * 2 - 1);
		if (at >= PREFIX_ROOM)
			break;
		if (w->top[i] != w->start)
			p->text[(at - 1) & (PREFIX_ROOM - 1)] = '/';
	}
	p->bits = PREFIX_ROOM * 8;
	return ignored_prefixes.lookup((struct prefix_key *)p);
}

/* A session's end, or a part of it that a machine needs at once, becomes a record. */
INLINE void session_record(struct record *r, struct session *s)
{
	struct event *e = &r->event;
	e->began = s->began;
	e->first_read = s->first_read;
	e->first_write = s->first_write;
	e->bytes_read = s->bytes_read;
	e->bytes_written = s->bytes_written;
	e->reads = s->reads;
	e->writes = s->writes;
	e->inode = s->inode;
	e->device = s->device;
	e->mode = s->mode;
	e->flags = s->flags;
	e->opens = s->opens;
	e->fd = s->fd;
	/* nobody used it after the exec: it is the earlier program's */
	if (s->command[0] && s->reads == s->reads_named && s->writes == s->writes_named)
		__builtin_memcpy(e->command, s->command, COMMAND_SIZE);
}

/* True if the session is of no interest and now accounted for: no path was needed to know. */
INLINE bool session_settled(struct config *c, struct session_key *key, struct session *s)
{
	bool socket = (s->mode & KIND_MASK) == KIND_SOCKET;
	bool only_read = !s->writes && !(s->flags & (FLAG_CREATED | FLAG_TRUNCATED));
	u32 where;
	if (socket && !c->sockets) { /* was only kept for its first datagram, see socket.c */
		sessions.delete(key);
		return true;
	}
	if (s->rule && (only_read || !(s->rule >> 31)))
		where = IGNORED + ((s->rule - 1) & (RULES - 1));
	else if (only_read && !s->reads && !c->untouched)
		where = UNEXPLAINED;
	else
		return false;
	count(SEEN, CLOSE, 1);
	count(where, CLOSE, 1);
	count(where, OPEN, s->opens);
	count(where, socket ? RECV : READ, s->reads);
	count(where, socket ? SEND : WRITE, s->writes);
	sessions.delete(key);
	return true;
}

INLINE void session_end(void *task, struct record *r, u64 file)
{
	struct session_key key = {.file = file, .pid = bpf_get_current_pid_tgid() >> 32};
	struct session *s = sessions.lookup(&key);
	if (!s)
		return;
	struct event *e = &r->event;
	__builtin_memset(e, 0, sizeof(*e));
	e->trigger = CLOSE;
	record_process(e, task);
	session_record(r, s);
	sessions.delete(&key);
	count(SEEN, CLOSE, 1);
	r->walk.used = 0;
	if ((e->mode & KIND_MASK) == KIND_SOCKET) {
		record_socket(r, file);
		r->walk.used = e->file_text_size + e->to_text_size;
	} else {
		record_file(r, file);
		struct verdict *v = prefix_verdict(r);
		bool only_read = !e->writes && !(e->flags & (FLAG_CREATED | FLAG_TRUNCATED));
		if (v && (only_read || !v->only_read)) {
			count_record(IGNORED + ((v->rule - 1) & (RULES - 1)), e);
			return;
		}
	}
	record_send(r, r->walk.used);
}
