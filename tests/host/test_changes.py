"""What a board has to remove and to write."""

import hashlib

from host.flashing.changes import START, Changes, File, find_changes

WANTED = {"firmware/a.mpy": b"a", "main.py": b"start", "config.json": b"{}", "shard.bin": b"s"}


def on_board(files):
    return {
        path: File(len(content), hashlib.sha256(content).hexdigest())
        for path, content in files.items()
    }


def test_an_empty_board_gets_everything_and_its_start_last():
    needed = find_changes(WANTED, {})
    assert needed.write == WANTED and list(needed.write)[-1] == START
    assert needed.remove == () and needed.size == 9


def test_a_board_that_has_everything_is_left_alone():
    assert find_changes(WANTED, on_board(WANTED)) == Changes((), {})


def test_a_changed_file_is_replaced_while_the_board_cannot_start():
    needed = find_changes(WANTED, on_board({**WANTED, "shard.bin": b"older"}))
    assert needed.remove == (START, "shard.bin")
    assert list(needed.write.items()) == [("shard.bin", b"s"), (START, b"start")]


def test_a_file_of_the_same_size_is_told_apart():
    assert list(find_changes(WANTED, on_board({**WANTED, "shard.bin": b"t"})).write) == [
        "shard.bin",
        START,
    ]


def test_a_board_without_its_start_gets_that_alone():
    present = on_board({path: content for path, content in WANTED.items() if path != START})
    assert find_changes(WANTED, present) == Changes((), {START: b"start"})


def test_what_does_not_belong_goes_a_folder_after_its_content():
    older = {"firmware/old/b.mpy": File(1, "x"), "firmware/old/": File(0, "")}
    needed = find_changes(WANTED, {**older, **on_board(WANTED)})
    assert needed == Changes(("firmware/old/b.mpy", "firmware/old/"), {})


def test_the_room_counts_what_is_freed():
    present = {"shard.bin": File(3 * 4096 + 1, "old"), "main.py": File(5, "old")}
    files = {"main.py": bytes(4), "shard.bin": bytes(4 * 4088), "config.json": bytes(4 * 4088 + 1)}
    assert find_changes(files, {}).blocks(4096, {}) == 1 + 4 + 5 + 8
    assert find_changes(files, present).blocks(4096, present) == 1 + 4 + 5 + 8 - 3
