"""What chips keep in use, once garbage is gone."""


def kept_bytes(executor, coordinator):
    """Bytes that each chip has in use after it has worked and collected its garbage, by chip.

    The least of three collections: MicroPython's are conservative, and what an old word on the
    stack happens to point to outlives one of them.
    """
    executor.begin()
    executor.forward([1, 2, 3, 4, 5, 6])
    kept = {}
    for token in (7, 8, 9):
        executor.forward([token])
        for chip, of_one in coordinator.statistics(collect=True).items():
            kept[chip] = min(of_one.heap_used, kept.get(chip, of_one.heap_used))
    return kept
