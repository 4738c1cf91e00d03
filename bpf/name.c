/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Syscalls that take names: unlink, rename, mkdir and their kin. By the time they return, the directory entry may be
 * gone, so the text is read when they begin, before the kernel reads it, and kept by thread. A page that is not in
 * memory cannot be read then; after the syscall it can.
 */

#define TEXT_ROOM 1024 /* a longer path is read at the exit */

struct pending {
	u64 text_at;
	u64 to_at;
	s64 value;
	u32 trigger;
	s32 directory;
	s32 to_directory;
	s32 text_size;	/* with its NUL; negative: not read */
	s32 to_size;
	s32 unused;
	char text[TEXT_ROOM];
	char to[TEXT_ROOM];
};
BPF_HASH(pendings, u64, struct pending, 1024);
BPF_PERCPU_ARRAY(pending_scratch, struct pending, 1);

INLINE int named(u32 trigger, s32 directory, u64 text, s32 to_directory, u64 to, s64 value)
{
	u32 zero = 0;
	u64 thread = bpf_get_current_pid_tgid();
	struct pending *p;
	if (!watched(trigger) || !(p = pending_scratch.lookup(&zero)))
		return 0;
	p->text_at = text;
	p->to_at = to;
	p->value = value;
	p->trigger = trigger;
	p->directory = directory;
	p->to_directory = to_directory;
	p->text_size = read_user_text(p->text, TEXT_ROOM, (void *)text);
	p->to_size = to ? read_user_text(p->to, TEXT_ROOM, (void *)to) : 0;
	if (pendings.update(&thread, p)) {
		count(SEEN, trigger, 1);
		count(LOST, trigger, 1);
	}
	return 0;
}

/* The directory that a path starts from: the root, the working directory, or that of a descriptor. */
INLINE void path_of_start(struct path_walk *w, void *task, s32 directory, char first)
{
	void *fs = 0;
	u64 file;
	GET(fs, task, task_struct, fs);
	if (first == '/') {
		path_of_struct(w, AT(fs, fs_struct, root));
	} else if (directory == AT_FDCWD) {
		path_of_struct(w, AT(fs, fs_struct, pwd));
	} else {
		file = file_of(task, directory);
		path_of_struct(w, AT(file, file, f_path));
	}
}

#define OWN_FILES_SIZE 14 /* "/proc/self/fd/", as two numbers */
#define PROC_SE 0x65732f636f72702full
#define LF_FD 0x2f64662f666cull
#define SIX_BYTES 0xffffffffffffull
#define OWN_DIGITS 5

/*
 * The descriptor that "/proc/self/fd/N" means, -1 for any other text. Libraries write this to change what a descriptor
 * of O_PATH or O_TMPFILE stands for; by the time user space could look, it may be another file's, or nobody's.
 */
INLINE s32 descriptor_in(struct pending *p)
{
	u64 *text = (u64 *)p->text;
	u32 digits = p->text_size - 1 - OWN_FILES_SIZE;
	if (digits == 0 || digits > OWN_DIGITS || text[0] != PROC_SE || (text[1] & SIX_BYTES) != LF_FD)
		return -1;
	s32 number = 0;
	bool wrong = false;
#define NEXT_DIGIT(i) \
	if (digits > i) { \
		u32 digit = (u8)p->text[OWN_FILES_SIZE + i] - '0'; \
		wrong |= digit > 9; \
		number = number * 10 + digit; \
	}
	NEXT_DIGIT(0) NEXT_DIGIT(1) NEXT_DIGIT(2) NEXT_DIGIT(3) NEXT_DIGIT(4)
	return wrong ? -1 : number;
}

INLINE u32 append_text(struct record *r, u32 used, s32 size, char *text, u64 user)
{
	u32 at = used & TAIL_MASK;
	s32 n;
	OPAQUE(at);
	at &= TAIL_MASK;
	if (size > 0 && size < TEXT_ROOM)
		n = bpf_probe_read_kernel_str(&r->tail[at], TEXT_ROOM, text);
	else
		n = read_user_text(&r->tail[at], PATH_ROOM, (void *)user);
	if (n <= 0) {
		r->event.flags |= FLAG_TEXT_LOST;
		return 0;
	}
	return (u32)n & (PATH_ROOM * 2 - 1);
}

/* Appends the names of the second path, where r->walk stands; gives how much of tail there is then. */
INLINE u32 record_other(struct record *r, u32 used)
{
	r->walk.used = used;
	path_walk(r);
	r->event.to_base_size = r->walk.used - used;
	r->event.flags |= r->walk.flags * (FLAG_TO_CUT / FLAG_FILE_CUT);
	return r->walk.used & TAIL_MASK;
}

/* The file that this process has made and still has open, for user space to compare names with. */
INLINE bool path_of_last_made(struct record *r)
{
	struct session_key key = {.pid = bpf_get_current_pid_tgid() >> 32};
	u64 *file = last_made.lookup(&key.pid);
	struct session *s;
	if (!file)
		return false;
	key.file = *file;
	if (!(s = sessions.lookup(&key)))
		return false;
	path_of_struct(&r->walk, AT(key.file, file, f_path));
	r->event.flags |= FLAG_MADE | (s->flags & (FLAG_CREATED | FLAG_TRUNCATED));
	r->event.inode = s->inode;
	r->event.device = s->device;
	r->event.mode = s->mode;
	return true;
}

/* chroot(2): absolute links inside it mean something else than they do for us */
INLINE void record_root(struct event *e, void *task)
{
	void *fs = 0, *root = 0, *mnt = 0, *top = 0, *over = 0, *parent = 0;
	GET(fs, task, task_struct, fs);
	void *path = AT(fs, fs_struct, root);
	GET(root, path, path, dentry);
	GET(mnt, path, path, mnt);
	GET(top, mnt, vfsmount, mnt_root);
	GET(over, mnt - OFF(mount, mnt), mount, mnt_mountpoint);
	GET(parent, over, dentry, d_parent);
	if (root != top || over != parent)
		e->flags |= FLAG_CHROOT;
}

SERVES(exit_unlink, unlink unlinkat rmdir mkdir mkdirat rename renameat renameat2 link linkat symlink symlinkat
       chmod fchmodat fchmodat2 chown lchown fchownat truncate)
int exit_unlink(struct leave *ctx)
{
	u64 thread = bpf_get_current_pid_tgid();
	void *task = current_task();
	struct pending *p = pendings.lookup(&thread);
	struct record *r;
	if (!p)
		return 0;
	u32 trigger = p->trigger;
	if (ctx->result < 0 || !watched(trigger) || !(r = record_new(trigger))) {
		pendings.delete(&thread);
		return 0;
	}
	count(SEEN, trigger, 1);
	struct event *e = &r->event;
	u32 used = 0;
	char first = p->text[0];
	record_process(e, task);
	record_root(e, task);
	e->value = p->value;
	if (p->text_size <= 0)
		read_user(&first, 1, (void *)p->text_at);
	s32 own = trigger == CHMOD || trigger == CHOWN || trigger == TRUNCATE || trigger == LINK ? descriptor_in(p) : -1;
	if (own >= 0) {
		p->directory = own;
		p->text[0] = first = 0;
		p->text_size = 1;
	}
	r->walk.used = 0;
	path_of_start(&r->walk, task, p->directory, first);
	path_walk(r);
	e->flags |= r->walk.flags;
	e->file_base_size = r->walk.used;
	used = r->walk.used & TAIL_MASK;
	e->file_text_size = append_text(r, used, p->text_size, p->text, p->text_at);
	used = (used + e->file_text_size) & TAIL_MASK;
	bool other = p->to_at && trigger != SYMLINK;
	if (other) {
		first = p->to[0];
		if (p->to_size <= 0)
			read_user(&first, 1, (void *)p->to_at);
		path_of_start(&r->walk, task, p->to_directory, first);
	} else if (trigger == CHMOD || trigger == CHOWN) {
		other = path_of_last_made(r);
	}
	if (other)
		used = record_other(r, used);
	if (p->to_at) {
		e->to_text_size = append_text(r, used, p->to_size, p->to, p->to_at);
		used = (used + e->to_text_size) & TAIL_MASK;
	}
	pendings.delete(&thread);
	record_send(r, used);
	return 0;
}

SERVES(enter_unlink, unlink)
int enter_unlink(struct enter *ctx)
{
	return named(UNLINK, AT_FDCWD, ctx->args[0], 0, 0, 0);
}
SERVES(enter_unlinkat, unlinkat)
int enter_unlinkat(struct enter *ctx)
{
	return named(ctx->args[2] & AT_REMOVEDIR ? RMDIR : UNLINK, ctx->args[0], ctx->args[1], 0, 0, 0);
}
SERVES(enter_rmdir, rmdir)
int enter_rmdir(struct enter *ctx)
{
	return named(RMDIR, AT_FDCWD, ctx->args[0], 0, 0, 0);
}
SERVES(enter_mkdir, mkdir)
int enter_mkdir(struct enter *ctx)
{
	return named(MKDIR, AT_FDCWD, ctx->args[0], 0, 0, (u32)ctx->args[1]);
}
SERVES(enter_mkdirat, mkdirat)
int enter_mkdirat(struct enter *ctx)
{
	return named(MKDIR, ctx->args[0], ctx->args[1], 0, 0, (u32)ctx->args[2]);
}
SERVES(enter_rename, rename)
int enter_rename(struct enter *ctx)
{
	return named(RENAME, AT_FDCWD, ctx->args[0], AT_FDCWD, ctx->args[1], 0);
}
SERVES(enter_renameat, renameat)
int enter_renameat(struct enter *ctx)
{
	return named(RENAME, ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], 0);
}
SERVES(enter_renameat2, renameat2)
int enter_renameat2(struct enter *ctx)
{
	return named(RENAME, ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], (u32)ctx->args[4]);
}
SERVES(enter_link, link)
int enter_link(struct enter *ctx)
{
	return named(LINK, AT_FDCWD, ctx->args[0], AT_FDCWD, ctx->args[1], 0);
}
SERVES(enter_linkat, linkat)
int enter_linkat(struct enter *ctx)
{
	return named(LINK, ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], 0);
}
SERVES(enter_symlink, symlink)
int enter_symlink(struct enter *ctx)
{
	return named(SYMLINK, AT_FDCWD, ctx->args[1], 0, ctx->args[0], 0);
}
SERVES(enter_symlinkat, symlinkat)
int enter_symlinkat(struct enter *ctx)
{
	return named(SYMLINK, ctx->args[1], ctx->args[2], 0, ctx->args[0], 0);
}
SERVES(enter_chmod, chmod)
int enter_chmod(struct enter *ctx)
{
	return named(CHMOD, AT_FDCWD, ctx->args[0], 0, 0, (u32)ctx->args[1]);
}
SERVES(enter_fchmodat, fchmodat fchmodat2)
int enter_fchmodat(struct enter *ctx)
{
	return named(CHMOD, ctx->args[0], ctx->args[1], 0, 0, (u32)ctx->args[2]);
}
SERVES(enter_chown, chown lchown)
int enter_chown(struct enter *ctx)
{
	return named(CHOWN, AT_FDCWD, ctx->args[0], 0, 0, (u32)ctx->args[1] | ctx->args[2] << 32);
}
SERVES(enter_fchownat, fchownat)
int enter_fchownat(struct enter *ctx)
{
	return named(CHOWN, ctx->args[0], ctx->args[1], 0, 0, (u32)ctx->args[2] | ctx->args[3] << 32);
}
SERVES(enter_truncate, truncate)
int enter_truncate(struct enter *ctx)
{
	return named(TRUNCATE, AT_FDCWD, ctx->args[0], 0, 0, ctx->args[1]);
}

/* The same by descriptor: the file is at hand, and its session knows whether this process has just made it. */
INLINE int changed(struct leave *ctx, u32 trigger, s64 value)
{
	void *task = current_task(), *inode = 0, *super = 0;
	struct session_key key = {.pid = bpf_get_current_pid_tgid() >> 32};
	struct record *r;
	struct config *c = watched(trigger);
	u64 fd = 0;
	u16 mode = 0;
	if (!c || !(r = record_new(trigger)))
		return 0;
	ARGUMENT(fd, task, 0);
	key.file = file_of(task, fd);
	if (!key.file)
		return 0;
	count(SEEN, trigger, 1);
	struct session *s = sessions.lookup(&key);
	if (s && s->flags & (FLAG_CREATED | FLAG_TRUNCATED) && !c->own_changes) {
		count(UNEXPLAINED, trigger, 1); /* part of making it */
		return 0;
	}
	struct event *e = &r->event;
	record_process(e, task);
	e->fd = fd;
	e->value = value;
	GET(inode, key.file, file, f_inode);
	GET(mode, inode, inode, i_mode);
	e->mode = mode;
	GET(e->inode, inode, inode, i_ino);
	GET(super, inode, inode, i_sb);
	GET(e->device, super, super_block, s_dev);
	if (s)
		e->flags |= s->flags & (FLAG_CREATED | FLAG_TRUNCATED);
	record_file(r, key.file);
	record_send(r, r->walk.used);
	return 0;
}
SERVES(exit_fchmod, fchmod)
int exit_fchmod(struct leave *ctx)
{
	u64 mode = 0;
	if (ctx->result < 0)
		return 0;
	ARGUMENT(mode, current_task(), 1);
	return changed(ctx, CHMOD, (u32)mode);
}
SERVES(exit_fchown, fchown)
int exit_fchown(struct leave *ctx)
{
	u64 owner = 0, group = 0;
	if (ctx->result < 0)
		return 0;
	ARGUMENT(owner, current_task(), 1);
	ARGUMENT(group, current_task(), 2);
	return changed(ctx, CHOWN, (u32)owner | group << 32);
}
