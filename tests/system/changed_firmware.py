"""Simulated chips with firmware that was changed for a test."""

from host.build.compilation import chip_module
from host.build.packages import chip_path
from host.launch import simulated
from tests.simulation.launch import REPOSITORY


def change_files(monkeypatch, change):
    """Has change(chip, content) alter the files of each chip before it starts."""
    files = simulated.chip_files

    def chip_files(model, plan, shard, *arguments, **more):
        content = files(model, plan, shard, *arguments, **more)
        change(shard.chip, content)
        return content

    monkeypatch.setattr(simulated, "chip_files", chip_files)


def append_source(monkeypatch, path, appended, only=None):
    """Appends statements to a file of the firmware, on all chips or one."""

    def change(chip, content):
        if only in (None, chip):
            changed(content, path, appended)

    change_files(monkeypatch, change)


def changed(content, path, appended):
    """Appends statements to a file of the firmware in a chip's files."""
    source = (REPOSITORY / path).read_text() + appended
    content[chip_path(path)] = chip_module(source, path, "x86")
