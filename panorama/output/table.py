# SPDX-License-Identifier: Apache-2.0
"""The table of fields: what each is, where it comes from, and what it is called in json, ECS, CEF and OCSF.

The formats are made by walking it (shape.py), and the manual page panorama-fields(7) too. A column with two words has
the value twice. The journal's names are those of json (journal.py).

What only makes sense for a whole line, such as OCSF's class, is in the format's own module.
"""

from __future__ import annotations

from operator import attrgetter

from .facts import exit_code, part_record, part_text
from .fields import ARGUMENTS, EVIDENCE, IDENTITY, VITAL, Field, Section, both, host_of, known, port_of
from .objects import object_text
from .operations import event_ids
from .severities import SCALES

__all__ = ["SCHEMA", "SECTIONS"]

SCHEMA = "panorama/1"

_PROTOCOLS = {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "mptcp": 262}

# fmt: off
_LINE = Section("The line", lambda facts: facts, (
    both("schema", "text", "always", "name and version of the json schema", lambda f: SCHEMA, rank=IDENTITY),
    both("time", "time", "always", "when it was complete", attrgetter("line.time"),
          "@timestamp event.created event.end", "rt end", "time end_time", rank=IDENTITY),
    both("start", "time", "always", "when the first event of the line began", attrgetter("began"),
          "event.start", "start", "start_time"),
    both("duration_s", "duration", "always", "from start to time", lambda f: max(f.line.time - f.began, 0),
          "event.duration", "", "duration"),
    both("host", "text", "if known", "name of the host (gethostname)", attrgetter("context.host"),
          "host.name host.hostname", "dvchost", "device.hostname", rank=IDENTITY),
    both("boot_id", "text", "if known", "changes whenever the host starts (/proc/sys/kernel/random/boot_id)",
          attrgetter("context.boot_id"), "host.boot.id", "PanoramaBootId", "device.boot_uid", rank=IDENTITY),
    both("sequence", "number", "always", "counts the lines of this host, over restarts; 0: not numbered",
          attrgetter("line.sequence"), "event.sequence", "externalId", "metadata.sequence", rank=IDENTITY),
    Field("id", "text", "if boot id and sequence are known", "boot id and sequence: the same for a line sent twice",
          attrgetter("id"), "event.id", "", "metadata.uid", rank=IDENTITY),
    both("repeated", "number", "if not 0", "so many times more happened what the line before says",
          lambda f: f.line.repeated or None, "panorama.repeated", "cnt", "count", rank=IDENTITY),
    both("previous", "number", "if it is not sequence - 1", "sequence of the line before in the same sink",
          attrgetter("line.previous"), "panorama.previous", "PanoramaPrevious", "unmapped.previous", rank=IDENTITY),
    both("chain", "text", "with hash chaining", "hash that ties the line to those before it, hexadecimal",
          attrgetter("line.chain"), "panorama.chain", "PanoramaChain", "unmapped.chain", rank=IDENTITY),
    both("behavior", "text", "always", "name of the behavior; of Panorama's own notices, panorama",
          attrgetter("line.behavior"), "rule.name", "PanoramaBehavior", "unmapped.behavior", rank=VITAL),
    both("layer", "text", "always", "operation, activity, or panorama for its own notices", attrgetter("line.layer"),
          "panorama.layer", "cat", "unmapped.layer"),
    both("severity", "text", "always", "of the behavior, in syslog's words", attrgetter("line.severity"),
          "log.level", "", "unmapped.severity", rank=VITAL),
    Field("severity (syslog)", "number", "always", "0 emergency to 7 debug", lambda f: SCALES[f.line.severity].syslog,
          "log.syslog.severity.code"),
    Field("severity (ecs)", "number", "always", "0 to 99", lambda f: SCALES[f.line.severity].ecs, "event.severity"),
    Field("severity (ocsf)", "number", "always", "1 informational to 6 fatal", lambda f: SCALES[f.line.severity].ocsf,
          "", "", "severity_id", rank=IDENTITY),
    both("verb", "text", "always", "what was done", attrgetter("line.verb"),
          "event.action", "act", "metadata.event_code", rank=VITAL),
    both("object", "escaped", "always", "to what, as in the text format", lambda f: object_text(f.line),
          rank=VITAL),
    Field("message", "escaped", "always", "command, verb and object, as in the text format", attrgetter("message"),
          "message", "msg", "message", rank=VITAL),
))

_PROCESS = Section("The process", attrgetter("actor"), (
    both("process.pid", "number", "always", "process id", attrgetter("process.pid"),
          "process.pid", "spid", "actor.process.pid", rank=VITAL),
    both("process.ppid", "number", "always", "process id of the parent", attrgetter("process.ppid"),
          "process.parent.pid", "PanoramaParentPid", "actor.process.parent_process.pid", rank=VITAL),
    both("process.start_ns", "number", "always", "start, ns since boot: with pid and boot id it is unique",
          attrgetter("process.start"),
          "panorama.process_start_ns", "PanoramaProcessStart", "unmapped.process_start_ns", rank=VITAL),
    both("process.parent_start_ns", "number", "always", "start of the parent, ns since boot",
          attrgetter("process.parent_start"),
          "panorama.parent_start_ns", "PanoramaParentStart", "unmapped.parent_start_ns", rank=VITAL),
    Field("process id", "text", "if boot id and start are known", "unique: hash of boot id, pid and start",
          attrgetter("id"), "process.entity_id", "PanoramaProcess", "actor.process.uid"),
    Field("parent id", "text", "if boot id and start are known", "the same of the parent",
          attrgetter("parent_id"), "process.parent.entity_id", "PanoramaParent", "actor.process.parent_process.uid"),
    both("process.user", "text", "if known", "name of the real user, or its number", attrgetter("process.user"),
          "user.name", "suser", "actor.user.name", rank=VITAL),
    both("process.uid", "id", "always", "real user", attrgetter("process.uid"),
          "user.id", "suid", "actor.user.uid", rank=VITAL),
    both("process.euid", "uid", "always", "effective user", attrgetter("process.euid"),
          "user.effective.id", "PanoramaEuid", "actor.process.euid", rank=VITAL),
    both("process.login_uid", "number", "if somebody logged in", "who did, whatever sudo made of them since",
          known("process.login_uid"), "panorama.login_uid", "PanoramaLoginUid", "actor.process.auid", rank=VITAL),
    both("process.command", "text", "if known", "short name (comm)", attrgetter("process.command"),
          "process.name", "sproc", "actor.process.name", rank=VITAL),
    both("process.exe", "text", "if known", "absolute path of the executable", attrgetter("process.exe"),
          "process.executable", "PanoramaExe", "actor.process.file.path", rank=VITAL),
    Field("exe name", "text", "if known", "last part of that", lambda a: a.process.exe.rpartition("/")[2],
          "", "", "actor.process.file.name"),
    Field("exe type", "number", "if known", "1: a regular file", lambda a: 1 if a.process.exe else None,
          "", "", "actor.process.file.type_id"),
    both("process.argv", "list", "if known", "arguments; the first is the name it was called by",
          attrgetter("process.argv"), "process.args", rank=ARGUMENTS),
    Field("argc", "number", "if known", "how many", lambda a: len(a.process.argv) or None, "process.args_count"),
    Field("command line", "text", "if known", "the arguments joined by spaces", attrgetter("command_line"),
          "process.command_line", "PanoramaCommandLine", "actor.process.cmd_line", rank=ARGUMENTS),
    both("process.container", "text", "in a container", "id of the container", attrgetter("process.container"),
          "container.id", "PanoramaContainer", "actor.process.container.uid", rank=VITAL),
    both("process.parent_exe", "text", "if known", "executable of the parent when it made the process",
          attrgetter("process.parent_exe"),
          "process.parent.executable", "PanoramaParentExe", "actor.process.parent_process.file.path"),
    Field("parent exe name", "text", "if known", "last part of that",
          lambda a: a.process.parent_exe.rpartition("/")[2], "", "", "actor.process.parent_process.file.name"),
    Field("parent exe type", "number", "if known", "1: a regular file", lambda a: 1 if a.process.parent_exe else None,
          "", "", "actor.process.parent_process.file.type_id"),
    both("process.parent_argv", "list", "if known", "arguments of the parent then",
          attrgetter("process.parent_argv"), "process.parent.args", rank=ARGUMENTS),
    Field("parent command line", "text", "if known", "those joined by spaces", attrgetter("parent_command_line"),
          "process.parent.command_line", "PanoramaParentCommandLine", "actor.process.parent_process.cmd_line",
          rank=ARGUMENTS),
), shared=True)

_SESSION = Section("The login over the network that the process belongs to", attrgetter("line.login"), (
    both("session.remote.host", "text", "always", "address that it came from", attrgetter("remote.host"),
          "process.entry_leader.entry_meta.source.ip", "PanoramaSessionAddress", "unmapped.session_address",
          rank=VITAL),
    both("session.remote.port", "number", "always", "its port", attrgetter("remote.port"),
          "panorama.session_port", "PanoramaSessionPort", "unmapped.session_port", rank=VITAL),
    both("session.user", "text", "if known", "who logged in, whatever sudo made of them since", attrgetter("user"),
          "process.entry_leader.user.name", "PanoramaSessionUser", "unmapped.session_user", rank=VITAL),
    Field("session is remote", "flag", "always", "true", lambda _: True, "", "", "actor.session.is_remote"),
))

_FILE = Section("The file of the completing event", attrgetter("file"), (
    both("file.path", "text", "always", "absolute path; the old one of rename and link",
          attrgetter("path"), "", "", "file.path"),
    both("file.name", "text", "always", "last part of the path", attrgetter("name"), "", "", "file.name"),
    both("file.inode", "id", "if known", "inode number", lambda f: f.inode or None, "", "", "file.uid"),
    both("file.device", "number", "if known", "file system: major << 20 | minor", lambda f: f.device or None,
          "", "", "unmapped.file_device"),
    both("file.kind", "text", "if known", "file, directory, fifo, socket, block, character or link",
          attrgetter("kind")),
    Field("file type (ocsf)", "file_kind", "always", "the same as a number", lambda f: f.kind or "unknown",
          "", "", "file.type_id"),
    both("file.mark", "text", "if the path is not exact",
          "cut: lost its beginning; given: as the program wrote it; unreachable: has no place in the tree;"
          " lost: the last part could not be read", attrgetter("mark"), "", "", "unmapped.file_mark"),
))

_TO = Section("The new name (rename, link)", attrgetter("to"), (
    both("to.path", "text", "always", "absolute path", attrgetter("path"), "", "", "file_result.path"),
    both("to.name", "text", "always", "last part of the path", attrgetter("name"), "", "", "file_result.name"),
    both("to.inode", "id", "if known", "inode number", lambda f: f.inode or None, "", "", "file_result.uid"),
    both("to.device", "number", "if known", "file system", lambda f: f.device or None),
    both("to.kind", "text", "if known", "as file.kind", attrgetter("kind")),
    Field("new type (ocsf)", "file_kind", "always", "the same as a number", lambda f: f.kind or "unknown",
          "", "", "file_result.type_id"),
    both("to.mark", "text", "if the path is not exact", "as file.mark", attrgetter("mark"),
          "", "", "unmapped.to_mark"),
))

_RESULT = Section("The file under the name it has afterwards", attrgetter("result"), (
    Field("path", "text", "always", "absolute path; the new one of rename and link", attrgetter("path"),
          "file.path", "filePath"),
    Field("name", "text", "always", "last part of the path", attrgetter("name"), "file.name", "fname"),
    Field("directory", "text", "always", "the path without it",
          lambda f: f.path.rstrip("/").rpartition("/")[0] or "/", "file.directory"),
    Field("inode", "id", "if known", "inode number", lambda f: f.inode or None, "file.inode", "fileId"),
    Field("device", "number", "if known", "file system", lambda f: f.device or None, "panorama.file_device"),
    Field("kind", "file_kind", "if known", "as file.kind", attrgetter("kind"), "file.type", "fileType"),
    Field("mark", "text", "if the path is not exact", "as file.mark", attrgetter("mark"),
          "panorama.file_mark", "PanoramaFileMark"),
))

_ORIGINAL = Section("The old name (rename, link)", attrgetter("original"), (
    Field("old path", "text", "always", "absolute path", attrgetter("path"),
          "panorama.original_path", "oldFilePath"),
    Field("old name", "text", "always", "last part of the path", attrgetter("name"), "", "oldFileName"),
))

_TARGET = Section("What else the completing event says", attrgetter("event"), (
    both("target", "text", "symbolic links", "what the link points to", attrgetter("target"),
          "file.target_path", "PanoramaTarget", "unmapped.target"),
))


def _end(side: str) -> Section:
    title = {"local": "This end of a connection", "remote": "The other end"}[side]
    return Section(title, lambda facts: getattr(facts.event, side, None), (
        both(f"{side}.family", "text", "always", "inet, inet6 or unix", attrgetter("family")),
        both(f"{side}.host", "text", "if it has one", "address, path, or @ and a name", attrgetter("host")),
        both(f"{side}.port", "number", "inet, inet6", "port", lambda a: None if a.family == "unix" else a.port),
    ))


_ENDS = Section("A connection, seen from the network", attrgetter("ends"), (
    Field("source address", "text", "if known", "who asked: address or UNIX path", host_of("source"),
          "source.address", "", "src_endpoint.name"),
    Field("source ip", "text", "inet, inet6", "its address", host_of("source", "inet", "inet6"),
          "source.ip", "", "src_endpoint.ip"),
    Field("source (IPv4)", "text", "inet", "its address", host_of("source", "inet"), "", "src"),
    Field("source (IPv6)", "text", "inet6", "its address", host_of("source", "inet6"), "", "c6a2"),
    Field("source (UNIX)", "text", "unix", "its path", host_of("source", "unix"), "", "PanoramaSource"),
    Field("source port", "number", "inet, inet6", "its port", port_of("source"),
          "source.port", "spt", "src_endpoint.port"),
    Field("source bytes", "number", "if not 0", "what it sent, in bytes", lambda e: e.sent or None,
          "source.bytes", "in", "traffic.bytes_out"),
    Field("destination address", "text", "if known", "who was asked or listens: address or UNIX path",
          host_of("destination"), "destination.address", "", "dst_endpoint.name"),
    Field("destination ip", "text", "inet, inet6", "its address", host_of("destination", "inet", "inet6"),
          "destination.ip", "", "dst_endpoint.ip"),
    Field("destination (IPv4)", "text", "inet", "its address", host_of("destination", "inet"), "", "dst"),
    Field("destination (IPv6)", "text", "inet6", "its address", host_of("destination", "inet6"), "", "c6a3"),
    Field("destination (UNIX)", "text", "unix", "its path", host_of("destination", "unix"),
          "", "PanoramaDestination"),
    Field("destination port", "number", "inet, inet6", "its port", port_of("destination"),
          "destination.port", "dpt", "dst_endpoint.port"),
    Field("destination bytes", "number", "if not 0", "what it sent, in bytes", lambda e: e.received or None,
          "destination.bytes", "out", "traffic.bytes_in"),
    Field("IP version", "ip_version", "inet, inet6", "4 or 6", lambda e: {"inet": 4, "inet6": 6}.get(e.family),
          "network.type", "", "connection_info.protocol_ver_id"),
    Field("direction", "direction", "except listen, exec", "who began: this host (egress) or the other (ingress)",
          attrgetter("direction"), "network.direction", "deviceDirection"),
    Field("direction (ocsf)", "direction", "always", "1 inbound, 2 outbound, 0 unknown",
          lambda e: e.direction or "unknown", "", "", "connection_info.direction_id"),
    Field("protocol number", "uid", "inet, inet6", "IANA's", lambda e: _PROTOCOLS.get(e.protocol),
          "network.iana_number", "", "connection_info.protocol_num"),
))

_EVENT = Section(_TARGET.title, attrgetter("event"), (
    both("protocol", "text", "connections", "tcp, udp, unix-stream ...", attrgetter("protocol"),
          "network.transport", "proto", "connection_info.protocol_name"),
    both("socket_inode", "id", "connections", "inode number of the socket", lambda e: e.session or None,
          "panorama.socket_inode", "PanoramaSocketInode", "connection_info.uid"),
    both("created", "flag", "if true", "the open made the file", lambda e: e.created or None,
          "panorama.created", "", "unmapped.created"),
    both("truncated", "flag", "if true", "an existing file was emptied", lambda e: e.truncated or None,
          "panorama.truncated", "", "unmapped.truncated"),
    both("inherited", "flag", "if true", "the descriptor was open before the process first used it",
          lambda e: e.inherited or None, "panorama.inherited", "", "unmapped.inherited"),
    both("final", "flag", "if false", "false: the file is still open, and more may follow",
          lambda e: None if e.final else False, "panorama.final", "PanoramaFinal", "unmapped.final"),
    both("mode", "octal", "chmod, mkdir", "new permission bits, octal", known("mode"),
          "file.mode", "filePermission", "unmapped.mode"),
    both("fd", "number", "if known", "descriptor", known("fd"), "panorama.fd", "", "unmapped.fd"),
    both("owner", "id", "chown", "new owner (uid)", known("owner"), "file.uid", "PanoramaOwner", "file.owner.uid"),
    both("group", "id", "chown", "new group (gid)", known("group"), "file.gid", "PanoramaGroup", "unmapped.group"),
    both("size", "number", "truncate", "new size in bytes", known("size"), "file.size", "fsize", "file.size"),
    both("status", "number", "exit", "as wait(2) has it", lambda e: e.status if "exit" in e.triggers else None),
    Field("exit code", "number", "exit", "given to exit(2), or minus the number of the signal", exit_code,
          "process.exit_code", "PanoramaExitCode", "exit_code"),
    both("child", "number", "fork", "pid of the new process", lambda e: e.child or None,
          "panorama.child", "PanoramaChild", "unmapped.child"),
))

_EVIDENCE = Section("How it came about", lambda facts: facts, (
    both("bytes_read", "number", "always", "read or received in all events of the line", attrgetter("read"),
          "panorama.bytes_read", "PanoramaBytesRead", "unmapped.bytes_read"),
    both("bytes_written", "number", "always", "written or sent", attrgetter("written"),
          "panorama.bytes_written", "PanoramaBytesWritten", "unmapped.bytes_written"),
    both("fields", "list", "if there are any", "what else the object names: field, with file, address or value",
          lambda f: [part_record(part) for part in f.others] or None),
    Field("named", "list", "if there are any", "the same as text: files by their paths",
          lambda f: {part.field: part_text(part) for part in f.others} or None,
          "panorama.named", "PanoramaNamed", "unmapped.named"),
    both("attack", "words", "if the behavior has any", "MITRE ATT&CK techniques", attrgetter("line.attack"),
          "threat.technique.id", "PanoramaAttack", "unmapped.attack"),
    both("states", "words", "always", "what the machine went through", lambda f: list(f.line.states),
          "panorama.states", "PanoramaStates", "unmapped.states"),
    both("certainty", "text", "always", "certain, or partial if records were lost while the machine ran",
          attrgetter("line.certainty"), "panorama.certainty", "PanoramaCertainty", "unmapped.certainty", rank=VITAL),
    both("event_count", "number", "always", "events behind the line", lambda f: len(f.events),
          "panorama.event_count", "PanoramaEventCount", "unmapped.event_count"),
    both("events", "words", "always", "the last hundred of them, or sixteen if something had to be cut: cpu and"
          " sequence, as in a trace", lambda f: event_ids(f.latest), rank=EVIDENCE),
    both("operation_count", "number", "activities", "operations that are collapsed in the line",
          lambda f: f.line.operation_count or None, "panorama.operation_count", "PanoramaOperationCount",
          "unmapped.operation_count"),
    both("operations", "operations", "activities", "the last 256 of them, or sixteen if something had to be cut",
          attrgetter("operations"), "panorama.operations", "PanoramaOperations", "data.operations", rank=EVIDENCE),
    both("cut", "flag", "if true", "the sink limits the length, and something had to go", lambda f: f.cut or None,
          "panorama.cut", "PanoramaCut", "unmapped.cut", rank=IDENTITY),
))
# fmt: on

SECTIONS = (
    *(_LINE, _PROCESS, _SESSION, _FILE, _TO, _RESULT, _ORIGINAL, _TARGET, _end("local"), _end("remote"), _ENDS, _EVENT),
    _EVIDENCE,
)
