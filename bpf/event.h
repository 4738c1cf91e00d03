/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The record between kernel and user space, defined here and nowhere else: panorama/sensor/layout.py reads this file
 * and the loader compares it with what BCC compiled. It reads three constructs (#define NAME number, one enum of
 * triggers, one flat struct); keep it that dull. Each field is aligned, with no padding but what is spelled out.
 *
 * A record is this struct followed by four texts, whose lengths are the *_size fields, in this order:
 *   file_base  names from a directory entry up to the root, each ended by NUL, the leaf first
 *   file_text  a path as the program gave it, relative to file_base; or argv; or a UNIX address
 *   to_base    the same two for the new name of rename and link; or for the path that was executed; or see FLAG_MADE
 *   to_text    a symbolic link's target, or this end's UNIX address
 * An exec whose standard input, or else output, is a connection has that one's ends, and is of the mode of a socket.
 */
#define COMMAND_SIZE 16
#define ADDRESS_SIZE 16

#define FLAG_CREATED 1		/* FMODE_CREATED: this open made the file */
#define FLAG_TRUNCATED 2	/* an existing file was emptied */
#define FLAG_INHERITED 4	/* the descriptor was first seen in use, not at its opening */
#define FLAG_SINGLE 8		/* one step of a session, sent at once because a machine needs it */
#define FLAG_FILE_CUT 16	/* file_base does not reach the root */
#define FLAG_FILE_DETACHED 32	/* file_base ends at a root that is mounted nowhere */
#define FLAG_TO_CUT 64
#define FLAG_TO_DETACHED 128
#define FLAG_TEXT_LOST 256	/* file_text or to_text could not be read */
#define FLAG_UNNAMED 512	/* O_TMPFILE */
#define FLAG_MADE 8192		/* chmod, chown by name: to_base is the file this process made last, still open */
#define FLAG_MORE 2048		/* exit: sessions are left that could not be reported */
#define FLAG_POINTED 4096	/* inside the kernel: a datagram socket with a peer to which nothing was sent yet */
#define FLAG_HELD 16384		/* a rate limit has held back records of this process: held, held_global */
#define FLAG_CHROOT 1024	/* the process's root is not its mount namespace's root */

enum trigger {
	OPEN,
	READ,
	WRITE,
	CLOSE,	/* the record of a whole session */
	UNLINK,
	RMDIR,
	MKDIR,
	RENAME,
	LINK,
	SYMLINK,
	CHMOD,
	CHOWN,
	TRUNCATE,
	CONNECT,
	ACCEPT,
	BIND,
	LISTEN,
	SEND,
	RECV,
	FORK,
	EXEC,
	EXIT,
	TRIGGERS
};

struct event {
	/* The process: one block, which user space looks up as it is. */
	u64 start;		/* ns since boot */
	u64 parent_start;
	u64 cgroup;
	u32 pid;
	u32 ppid;
	u32 uid;
	u32 euid;
	u32 login_uid;
	u32 mount_ns;
	char command[COMMAND_SIZE];
	/* What is asked of every record. */
	u64 sequence;		/* counts this cpu's records from 0, taken before space for the record is asked for */
	u64 time;		/* ns since boot, suspend included */
	u64 began;		/* first touch of the session */
	u64 first_read;		/* 0 if never */
	u64 first_write;
	u64 bytes_read;
	u64 bytes_written;
	u64 reads;		/* calls */
	u64 writes;
	u64 inode;
	u32 device;		/* s_dev: major << 20 | minor */
	u32 mode;		/* i_mode */
	u32 opens;
	u32 trigger;
	u32 cpu;
	u32 flags;
	s32 fd;
	u16 file_base_size;
	u16 file_text_size;
	u16 to_base_size;
	u16 to_text_size;
	/* Of sockets and some syscalls. */
	u16 family;
	u16 socket_type;
	u64 socket;		/* inode number of the socket */
	s64 value;		/* chmod, mkdir: mode; truncate: size; exit: wait status; chown: uid | gid << 32; fork: child */
	u16 local_port;
	u16 remote_port;
	u16 protocol;
	u16 unused;
	u8 local[ADDRESS_SIZE];
	u8 remote[ADDRESS_SIZE];
	/* Records of this process that a rate limit held back so far, none of which has a sequence number. */
	u64 held;		/* its own limit */
	u64 held_global;	/* that of all processes */
};
