/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Absolute paths, from the kernel's own directory entries: what d_path (fs/d_path.c) does, the leaf first. Up through
 * d_parent, and at the root of a mounted file system over to the directory it is mounted on, until the root of the
 * mount namespace. So `..`, symbolic links, chroots and relative descriptors are already resolved.
 */
#define PATH_DEPTH 64	/* names; a deeper path is marked as cut */
#define PATH_MOUNTS 5	/* file systems mounted in one another, likewise */

INLINE void path_of_struct(struct path_walk *w, void *path)
{
	void *mnt = 0;
	GET(w->dentry, path, path, dentry);
	GET(mnt, path, path, mnt);
	w->mount = mnt - OFF(mount, mnt);
}

/* Appends one name; false if there is none above it, or no room. */
INLINE bool path_name(struct record *r, struct path_walk *w)
{
	void *dentry = w->dentry, *parent = 0, *name = 0;
	if (!w->left)
		return false;
	GET(parent, dentry, dentry, d_parent);
	bpf_probe_read_kernel(&name, sizeof(name), AT(dentry, dentry, d_name) + OFF(qstr, name));
	u32 at = w->used & TAIL_MASK;
	OPAQUE(at);
	at &= TAIL_MASK;
	u32 n = bpf_probe_read_kernel_str(&r->tail[at], NAME_ROOM, name);
	w->top[0] = w->top[1];
	w->top[1] = w->top[2];
	w->top[2] = w->top[3];
	w->top[3] = at;
	w->used = (at + (n & (NAME_ROOM * 2 - 1))) & TAIL_MASK;
	w->dentry = parent;
	w->left--;
	if (dentry == parent) /* memfd, pipes, a tree cut off */
		w->flags = FLAG_FILE_DETACHED;
	return dentry != parent;
}

/* At the root of a file system: goes on where that is mounted; false if it is the root of all, or too many. */
INLINE bool path_mount(struct path_walk *w)
{
	void *mount = w->mount, *above = 0, *dentry = 0, *root = 0;
	GET(above, mount, mount, mnt_parent);
	GET(dentry, mount, mount, mnt_mountpoint);
	GET(root, above + OFF(mount, mnt), vfsmount, mnt_root);
	w->mount = above;
	w->dentry = dentry;
	w->root = root;
	w->mounts--;
	if (above == mount)
		w->flags = 0;
	return above != mount && w->mounts;
}

/*
 * Appends the names to r->tail from w->used on. 64 names of 255 bytes are just what it holds. What changes from step
 * to step is kept in the map, not in registers, and there is one loop for names and mounts: the verifier then sees the
 * same state in every round but for the counter, and checks it once a round, not once for every way it may have come
 * there. The jump back is spelled out: LLVM likes to lay out a loop so that it closes by falling through to its head,
 * which the verifier refuses until 6.x.
 */
INLINE void path_walk(struct record *r)
{
	struct path_walk *w = &r->walk;
	void *root = 0;
	u64 steps = PATH_DEPTH + PATH_MOUNTS;
	w->start = w->used;
	w->flags = FLAG_FILE_CUT;
	w->left = PATH_DEPTH;
	w->mounts = PATH_MOUNTS;
	w->top[0] = w->top[1] = w->top[2] = w->top[3] = NO_NAME;
	GET(root, w->mount + OFF(mount, mnt), vfsmount, mnt_root);
	w->root = root;
again:
	if (!(w->dentry == w->root ? path_mount(w) : path_name(r, w)))
		return;
	steps--;
	asm volatile goto("if %0 != 0 goto %l[again]" : : "r"(steps) : : again);
}
