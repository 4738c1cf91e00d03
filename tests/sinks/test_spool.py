# SPDX-License-Identifier: Apache-2.0
"""The spool against what disks and processes do: kill -9, no room, damage, a second process."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panorama.errors import SinkError
from panorama.sinks.queues import Waiting
from panorama.sinks.spool import OnDisk, Store

LIMIT = 64 << 20
EVERYTHING = (10**6, 1 << 40)  # lines, bytes


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panorama.sinks.store._OTHER", 0.2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "state.db"


def mounted(folder: Path, *options: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("needs to mount a tmpfs")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    mounted(folder, "size=2m", "mode=700")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def put(queue: OnDisk, *lines: bytes) -> list[bool]:
    return [queue.put(line, 1000.0 + number) for number, line in enumerate(lines)]


def data(queue: OnDisk, after: int = 0) -> list[bytes]:
    return [item.data for item in queue.take(after, *EVERYTHING)]


def fill(folder: Path) -> Path:
    """Takes all the room there is."""
    filler = folder / "filler"
    with open(filler, "ab", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk has no end")


# lines and numbers


def test_lines_and_values_outlive_the_store(path: Path) -> None:
    store = Store(path)
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, b"a", b"b\0\xff", b"c")
    store.kept["sequence"] = 3
    assert store.commit()
    queue.done(1)
    store.close()
    store = Store(path)
    queue = OnDisk(store, "siem", LIMIT)
    assert queue.take(0, *EVERYTHING) == [Waiting(2, 1001.0, b"b\0\xff"), Waiting(3, 1002.0, b"c")]
    assert (queue.lines, queue.size, queue.oldest) == (2, 4, 1001.0)
    assert store.kept == {"sequence": 3}
    store.close()


def test_numbers_go_on_where_they_were_when_all_lines_are_gone(path: Path) -> None:
    for expected in (1, 2, 3):
        store = Store(path)
        queue = OnDisk(store, "siem", LIMIT)
        put(queue, b"x")
        queue.commit()
        assert [item.number for item in queue.take(0, *EVERYTHING)] == [expected]
        queue.done(expected)
        assert (queue.lines, queue.size, queue.oldest) == (0, 0, 0.0)
        store.close()


def test_a_value_changed_in_place_is_written(path: Path) -> None:
    store = Store(path)
    store.kept["previous"] = {"siem": 1}
    store.commit()
    store.kept["previous"]["siem"] = 2
    store.close()
    again = Store(path)
    assert again.kept == {"previous": {"siem": 2}}
    again.close()


def test_each_sink_has_its_own_lines_and_its_own_limit(path: Path) -> None:
    store = Store(path)
    one, two = OnDisk(store, "one", 10), OnDisk(store, "two", LIMIT)
    assert put(one, b"12345", b"67890", b"x") == [True, True, False]
    assert put(two, b"12345", b"67890", b"x") == [True, True, True]
    store.commit()
    one.done(1)
    assert data(one) == [b"67890"]
    assert data(two) == [b"12345", b"67890", b"x"]
    assert put(one, b"12345", b"x") == [True, False]
    store.close()


def test_a_line_longer_than_the_limit_goes_into_an_empty_queue(path: Path) -> None:
    store = Store(path)
    queue = OnDisk(store, "siem", 10)
    assert put(queue, b"x" * 100, b"y") == [True, False]
    store.close()


def test_a_batch_is_bounded_in_lines_and_bytes_and_never_empty(path: Path) -> None:
    store = Store(path)
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, *[b"x" * 10] * 5)
    queue.commit()
    assert len(queue.take(0, 3, 1000)) == 3
    assert len(queue.take(0, 5, 25)) == 2
    assert [item.number for item in queue.take(4, 5, 1)] == [5]
    assert queue.take(5, 5, 1000) == []
    store.close()


def test_what_was_not_committed_is_not_taken(path: Path) -> None:
    store = Store(path)
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, b"a")
    queue.commit()
    put(queue, b"b")
    assert data(queue) == [b"a"]
    store.close()


def test_lines_of_a_sink_that_is_gone_are_told(path: Path) -> None:
    store = Store(path)
    put(OnDisk(store, "old", LIMIT), b"a", b"b")
    store.close()
    store = Store(path)
    queue = OnDisk(store, "new", LIMIT)
    assert store.elsewhere() == {"old": 2}
    assert queue.lines == 0
    store.close()


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "commit", "take", "done", "reopen"]), st.integers(0, 40)), max_size=40
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_the_queue_on_disk_is_a_list_that_loses_its_beginning(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "state.db")
        queue = OnDisk(store, "siem", 200)
        lines: list[bytes] = []
        first, committed = 1, 0
        for step, amount in steps:
            if step == "put":
                taken = queue.put(b"x" * amount, 0.0)
                assert taken == (not lines or sum(map(len, lines)) + amount <= 200)
                lines += [b"x" * amount] if taken else []
            elif step == "commit":
                queue.commit()
                committed = len(lines)
            elif step == "take":
                after = first - 1 + min(amount, committed)
                found = queue.take(after, 5, 1 << 20)
                assert [item.number for item in found] == list(range(after + 1, first + committed))[:5]
                assert [item.data for item in found] == lines[after + 1 - first : committed][:5]
            elif step == "done":
                count = min(amount, committed)
                queue.done(first - 1 + count)
                lines, first, committed = lines[count:], first + count, committed - count
            else:
                store.close()  # it commits
                store = Store(Path(folder) / "state.db")
                queue = OnDisk(store, "siem", 200)
                committed = len(lines)
            assert (queue.lines, queue.size) == (len(lines), sum(map(len, lines)))
        store.close()


# kill -9


def write_until_killed(path: Path, told: int) -> None:
    """Puts numbered lines into two queues while a thread empties one of them, and tells what is committed."""
    store = Store(path)
    kept, shipped = OnDisk(store, "kept", LIMIT), OnDisk(store, "shipped", LIMIT)

    def ship() -> None:
        while True:
            for item in shipped.take(0, 7, 1 << 20):
                shipped.done(item.number)

    threading.Thread(target=ship, daemon=True).start()
    number = store.kept.get("sequence", 0)
    while True:
        for _ in range(random.randrange(1, 5)):
            number += 1
            store.kept["sequence"] = number
            line = struct.pack("=Q", number) * random.choice((1, 100, 1000))
            assert kept.put(line, 0.0)
            assert shipped.put(line, 0.0)
        if store.commit():
            os.write(told, struct.pack("=Q", number))


def test_kill_9_at_any_moment_loses_no_committed_line_and_doubles_none(path: Path) -> None:
    seen = 0
    for _ in range(20):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write_until_killed(path, writer)
            finally:
                os._exit(2)
        os.close(writer)
        os.read(reader, 8)  # it has begun
        time.sleep(random.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        told = b""
        while part := os.read(reader, 1 << 20):
            told += part
        os.close(reader)
        store = Store(path)
        assert not store.damaged
        kept, shipped = OnDisk(store, "kept", LIMIT), OnDisk(store, "shipped", LIMIT)
        items = kept.take(seen, *EVERYTHING)
        numbers = [struct.unpack_from("=Q", item.data)[0] for item in items]
        last = store.kept["sequence"]
        assert numbers == list(range(seen + 1, last + 1)) == [item.number for item in items]
        assert all(item.data == item.data[:8] * (len(item.data) // 8) for item in items)
        if told:
            assert last >= struct.unpack("=Q", told[-8:])[0]
        rest = [item.number for item in shipped.take(0, *EVERYTHING)]
        assert rest == list(range(last + 1 - len(rest), last + 1))
        assert kept.lines == last
        seen = last
        store.close()
    assert seen > 1000


# no room


def test_a_full_disk_loses_nothing_that_was_committed_and_bounds_what_waits(small_disk: Path) -> None:
    store = Store(small_disk / "state.db")
    queue = OnDisk(store, "siem", LIMIT)
    lines = [b"%06d" % number + b"x" * 2994 for number in range(2500)]
    taken = 0
    for number, line in enumerate(lines):
        taken += queue.put(line, 0.0)
        store.kept["sequence"] = number + 1
        if number % 50 == 49:
            store.commit()
    assert store.trouble == "the disk is full"
    assert 1400 < taken < 2100  # 4 MiB in memory, and less than 2 MiB on disk
    assert queue.lines == taken
    assert data(queue) == lines[:taken]  # the oldest are kept, and can be shipped from where they are
    store._database.close()  # as if killed
    store = Store(small_disk / "state.db")
    found = data(OnDisk(store, "siem", LIMIT))
    assert 100 < len(found) < 700
    assert found == lines[: len(found)]
    store.close()


def test_when_there_is_room_again_what_waited_is_written(small_disk: Path) -> None:
    store = Store(small_disk / "state.db")
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, *[b"a" * 1000] * 10)
    assert store.commit()
    filler = fill(small_disk)
    put(queue, *[b"b" * 1000] * 100)
    assert not store.commit()
    filler.unlink()
    put(queue, b"c")
    assert store.commit()
    assert store.trouble == ""
    store.close()
    store = Store(small_disk / "state.db")
    assert data(OnDisk(store, "siem", LIMIT)) == [b"a" * 1000] * 10 + [b"b" * 1000] * 100 + [b"c"]
    store.close()


def test_a_full_disk_stops_no_line_whose_receiver_is_up(small_disk: Path) -> None:
    store = Store(small_disk / "state.db")
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, b"first")
    store.commit()
    filler = fill(small_disk)
    shipped = []
    for number in range(3000):  # 9 MB through 4 MiB of memory
        assert queue.put(b"%d" % number + b"x" * 3000, 0.0)
        queue.commit()
        if number % 100 == 99:
            batch = queue.take(0, *EVERYTHING)
            shipped += [item.data for item in batch]
            queue.done(batch[-1].number)
    assert store.trouble
    assert shipped == [b"first"] + [b"%d" % number + b"x" * 3000 for number in range(3000)]
    assert (queue.lines, queue.size) == (0, 0)
    filler.unlink()
    assert store.commit()
    store.close()
    store = Store(small_disk / "state.db")
    assert OnDisk(store, "siem", LIMIT).lines == 0
    store.close()


def test_on_a_full_disk_room_that_the_file_has_inside_is_used(small_disk: Path) -> None:
    store = Store(small_disk / "state.db")
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, *[b"x" * 1000] * 300)
    queue.commit()
    queue.done(300)
    for number in range(301, 321):
        put(queue, b"y")
        queue.commit()
        queue.done(number)
    store.close()
    store = Store(small_disk / "state.db")
    queue = OnDisk(store, "siem", LIMIT)
    for _ in range(3):
        put(queue, b"z" * 10_000)
        queue.commit()
    fill(small_disk)
    results = []
    for _ in range(10):
        put(queue, b"z" * 10_000)
        results.append(store.commit())
        queue.take(0, 1, 1)  # as who ships does
    assert sum(results) >= 5  # where a log that is not copied would take no more at all
    store.close()


def test_a_store_is_opened_on_a_full_disk(small_disk: Path) -> None:
    store = Store(small_disk / "state.db")
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, b"a", b"b")
    store.kept["sequence"] = 2
    store.close()
    fill(small_disk)
    store = Store(small_disk / "state.db")
    assert store.kept == {"sequence": 2}
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, b"c" * 5000)
    assert not store.commit()
    assert data(queue) == [b"a", b"b", b"c" * 5000]
    store.close()


def test_the_file_does_not_grow_while_lines_come_and_go(path: Path) -> None:
    store = Store(path)
    queue = OnDisk(store, "siem", LIMIT)
    sizes = []
    for _ in range(20):
        put(queue, *[b"x" * 1000] * 2000)
        queue.commit()
        queue.done(queue.take(0, *EVERYTHING)[-1].number)
        sizes.append(sum(file.stat().st_size for file in path.parent.iterdir()))
    assert max(sizes) < 16 << 20  # 2 MB of lines, and the log
    store.close()


def test_the_log_stays_short_while_lines_pile_up_and_a_receiver_is_tried(path: Path) -> None:
    store = Store(path)
    queue = OnDisk(store, "siem", LIMIT)
    for _ in range(200):
        put(queue, *[b"x" * 1000] * 100)
        queue.commit()
        assert len(queue.take(0, 500, 50_000)) == 50
    assert (path.parent / "state.db-wal").stat().st_size < 12 << 20
    assert path.stat().st_size > 12 << 20
    store.close()


def test_a_file_that_had_to_grow_is_small_again_later(path: Path) -> None:
    store = Store(path)
    queue = OnDisk(store, "siem", LIMIT)
    for _ in range(300):
        put(queue, *[b"x" * 1000] * 100)
        queue.commit()
    queue.done(queue.take(0, *EVERYTHING)[-1].number)
    assert path.stat().st_size > 30_000_000 or (path.parent / "state.db-wal").stat().st_size > 30_000_000
    for _ in range(100):
        put(queue, *[b"x" * 1000] * 100)
        queue.commit()
        queue.done(queue.take(0, *EVERYTHING)[-1].number)
    assert path.stat().st_size < 4 << 20
    assert (path.parent / "state.db-wal").stat().st_size < 12 << 20
    store.close()


# threads and processes


def test_who_commits_does_not_wait_for_who_has_the_database(path: Path) -> None:
    store = Store(path)
    queue = OnDisk(store, "siem", LIMIT)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with store.database():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)
    begun = time.monotonic()
    put(queue, b"a")
    store.kept["sequence"] = 1
    store.commit()
    assert time.monotonic() - begun < 1
    leave.set()
    thread.join(10)
    rows = store._database.execute("select number, data from lines_1").fetchall()
    assert rows == [(1, b"a")]
    assert store._database.execute("select * from kept").fetchall() == [("sequence", "1")]
    store.close()


def test_a_second_process_is_told_and_harms_nothing(path: Path) -> None:
    store = Store(path)
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, b"a")
    store.commit()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            Store(path)
        except SinkError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    assert said == f"{path}: another Panorama uses it; stop that one, or give each its own spool folder"
    put(queue, b"b")
    assert store.commit()
    assert data(queue) == [b"a", b"b"]
    store.close()


def test_a_second_store_in_the_same_process_is_refused_as_well(path: Path) -> None:
    store = Store(path)
    with pytest.raises(SinkError, match="another Panorama uses it"):
        Store(path)
    test_a_second_process_is_told_and_harms_nothing(path.with_name("other.db"))
    store.kept["still"] = "works"
    assert store.commit()
    store.close()


# what may be found in its place


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def overwritten_page(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xaa" * 8192)


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def a_value_that_is_no_json(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("update kept set value = '{'")
    database.close()


@pytest.mark.parametrize("damage", [garbage, overwritten_page, cut_off, a_value_that_is_no_json])
def test_a_damaged_file_is_put_aside_and_said(path: Path, damage: Callable[[Path], None]) -> None:
    store = Store(path)
    put(OnDisk(store, "siem", LIMIT), *[b"x" * 1000] * 1000)
    store.kept["sequence"] = 1000
    store.close()
    damage(path)
    before = path.read_bytes()
    store = Store(path)
    assert store.damaged.startswith(f"{path}.damaged-")
    assert Path(store.damaged).read_bytes() == before
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, b"new")
    assert store.commit()
    assert data(queue) == [b"new"]
    store.close()


def test_an_empty_file_is_used(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(0o600)
    store = Store(path)
    assert not store.damaged
    store.close()


def test_damage_that_shows_while_running_is_said_and_stops_nothing(path: Path) -> None:
    store = Store(path)
    queue = OnDisk(store, "siem", LIMIT)
    put(queue, *[b"x" * 1000] * 1000)
    store.commit()
    store._database.execute("pragma wal_checkpoint(truncate)").fetchall()
    overwritten_page(path)
    assert len(queue.take(0, *EVERYTHING)) < 1000
    assert store.trouble == "is damaged; the next start puts it aside"
    put(queue, b"y")
    store.commit()
    store.close()


def test_the_file_of_another_version_is_left_alone(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as database:
        database.execute("pragma user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(SinkError, match=r"written by another version of Panorama; move it away$"):
        Store(path)
    assert path.read_bytes() == before


def test_others_cannot_read_it(path: Path) -> None:
    store = Store(path)
    put(OnDisk(store, "siem", LIMIT), b"a")
    store.commit()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    store.close()


def test_a_symbolic_link_in_its_place_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SinkError, match=r"is no file; move it away$"):
        Store(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_others_can_write_is_refused_to_root(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)
    with pytest.raises(SinkError, match=f"{path.parent}: others than root can write it, mode 0777; try: chmod 0755"):
        Store(path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    mounted(folder, "size=1m", "mode=700")
    try:
        Store(folder / "state.db").close()
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        with pytest.raises(SinkError, match=r"new\.db: cannot be made: Read-only file system$"):
            Store(folder / "new.db")
        with pytest.raises(SinkError, match=r"state\.db: cannot be written$"):
            Store(folder / "state.db")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
    shutil.rmtree(folder)
    with pytest.raises(SinkError, match=r"cannot be made: File exists$"):
        Store("/dev/null/state.db")
