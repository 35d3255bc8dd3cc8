#!/usr/bin/env python3
"""Writes the seeds of the model target into fuzz/corpus/model.

The same files come out each time. Each is a small program in the records of engine/input.h that visits one kind of edge: class edges,
OS pages, thresholds, alignments, every function, pages that fill and empty, blocks that other threads free, threads that end.
"""
import pathlib
import re
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent


def numbers_of(enum):
    """The members of an enum of input.h in order, so that the seeds follow the harness."""
    text = (HERE / "engine" / "input.h").read_text()
    found = re.search(r"enum %s \{(.*?)\};" % enum, text, re.S)
    if found is None:
        sys.exit(f"gen_seeds.py: there is no enum {enum} in engine/input.h")
    body = re.sub(r"/\*.*?\*/", "", found.group(1), flags=re.S)
    names = [name.strip() for name in body.split(",") if name.strip()]
    return {name: number for number, name in enumerate(names)}


OP = numbers_of("operation")
SIZE = numbers_of("size_mode")
SIDE_BY_SIDE, DOWNWARD = 1, 2
NUDGE = {-1: 0, 0: 1, 1: 2, 2: 3}


def header(flags=SIDE_BY_SIDE, every=8, seed=0):
    return struct.pack("<BBHI", flags, every, seed, 0)


def record(op, slot=0, size="SIZE_EXACT", thread=0, nudge=0, arg16=0, arg24=0):
    """slot counts single slots; the record's own slot byte counts in steps of 16, its low two bits are the rest."""
    assert slot % 16 < 4 and slot // 16 < 256
    selector = SIZE[size] | NUDGE[nudge] << 4 | (slot % 16) << 6
    return struct.pack("<BBBHHB", OP[op] | thread << 6, slot // 16, selector, arg16 & 0xFFFF, arg24 & 0xFFFF, arg24 >> 16)


def slots():
    """Slots that single records can name, in order, for ever."""
    while True:
        for slot in range(0, 4096, 16):
            for low in range(4):
                yield slot + low


def class_edges():
    """Requests at which a block of another size may be needed: steps of 16 to 128, then eight steps to a doubling."""
    edges = list(range(16, 129, 16))
    step = 16
    while edges[-1] < 2 << 20:
        edges += [edges[-1] + step * (i + 1) for i in range(8)]
        step *= 2
    return edges


def seed_class_edges(first, last, thread):
    """Each edge with its neighbours, and again 16 bytes lower, where a hardened table has its own; freed in the end by another thread."""
    out, place = [header()], slots()
    for edge in class_edges():
        if not first < edge <= last:
            continue
        for size in sorted({edge - 17, edge - 16, edge - 15, edge - 1, edge, edge + 1} - {-1}):
            out.append(record("OP_MALLOC", next(place), arg24=size, thread=thread))
    out.append(record("OP_CHECK_HEAP"))
    out.append(record("OP_BURST_FREE", arg16=2047, thread=(thread + 1) % 4))
    return out


def seed_realloc_ladder(thread):
    """One block grows over every edge and shrinks again, beside a neighbour that keeps it from growing in place."""
    out = [header(every=16)]
    edges = [edge for edge in class_edges() if edge <= 1 << 20][::2]
    for size in edges + edges[::-1]:
        out.append(record("OP_REALLOC", 0, arg24=size + 1, thread=thread))
        out.append(record("OP_MALLOC", 1, arg24=size))
    out += [record("OP_REALLOC", 0, arg24=0), record("OP_REALLOC", 0, arg24=100), record("OP_INSPECT", 0)]
    return out


def seed_alignments(op):
    """Every alignment that there is, good and bad, for sizes round it."""
    out, place = [header()], slots()
    for exponent in list(range(31)) + list(range(31, 51)):
        for size in (0, 1, 100, 4096, 50000):
            out.append(record(op, next(place), arg24=exponent << 16 | size, thread=exponent % 2))
        out.append(record("OP_FREE_AS", 0, arg16=exponent))
    return out


def seed_every_function():
    """Each function that allocates with each that frees."""
    out = [header(every=4)]
    allocations = ["OP_MALLOC", "OP_CALLOC", "OP_REALLOC", "OP_REALLOCARRAY", "OP_ALIGNED_ALLOC", "OP_POSIX_MEMALIGN", "OP_MEMALIGN", "OP_VALLOC",
                   "OP_PVALLOC"]
    for free in range(16):
        for number, op in enumerate(allocations):
            size = 24 << (free % 9)
            out.append(record(op, 16 * number, arg24=(4 + free) << 16 | size))
            out.append(record("OP_FREE_AS", 16 * number, arg16=free, thread=number % 4))
    for variant in range(8):
        for free in range(16):
            out.append(record("OP_NEW", 16 * variant, "SIZE_SMALL", arg16=33 * free, arg24=free << 16 | variant))
            out.append(record("OP_FREE_AS", 16 * variant, arg16=free))
    out.append(record("OP_FREE_NOTHING", thread=1))
    out += [record("OP_HEAP_CALL", arg16=kind) for kind in range(4)]
    return out


def seed_refusals():
    """Sizes and products that no heap may grant; the block under a refused realloc must stay as it was."""
    out = [header(every=4)]
    for slot, op in enumerate(["OP_MALLOC", "OP_CALLOC", "OP_REALLOC", "OP_REALLOCARRAY", "OP_ALIGNED_ALLOC", "OP_POSIX_MEMALIGN", "OP_MEMALIGN",
                               "OP_VALLOC", "OP_PVALLOC", "OP_NEW"]):
        for arg24 in (0, 1, 4 << 16):
            for nudge in (-1, 0):
                out.append(record("OP_MALLOC", 16 * slot, arg24=1000))
                out.append(record(op, 16 * slot, "SIZE_IMPOSSIBLE", nudge=nudge, arg16=64 * slot, arg24=arg24))
                out.append(record(op, 16 * slot, "SIZE_HUGE", nudge=nudge, arg16=20, arg24=arg24))
                out.append(record("OP_INSPECT", 16 * slot))
    return out


def seed_pages(size, thread, order):
    """Blocks of one size fill pages, leave holes, fill them again, and go."""
    out = [header(every=2)]
    for start in range(0, 256, 64):
        out.append(record("OP_BURST_ALLOCATE", start * 16, arg24=size, thread=thread))
        out.append(record("OP_BURST_ALLOCATE", start * 16, "SIZE_SIXTEENTHS", arg16=size // 16, arg24=1023, thread=thread))
    for stride in ("SIZE_SMALL", "SIZE_EIGHTHS"):
        out.append(record("OP_BURST_FREE", 0, stride, nudge=order, arg16=1500, arg24=size, thread=thread))
        out.append(record("OP_BURST_ALLOCATE", 0, "SIZE_SIXTEENTHS", arg16=size // 16, arg24=700, thread=thread))
    out.append(record("OP_BURST_FREE", 0, "SIZE_EXACT", nudge=order, arg16=2047, thread=(thread + 1) % 4))
    out.append(record("OP_BURST_FREE", 2048, "SIZE_EXACT", nudge=order, arg16=2047, thread=thread))
    return out


def seed_remote(size):
    """One thread's blocks go back by others, one by one, in bursts and at the same time; then the owner ends and they are claimed."""
    args = {"size": "SIZE_SIXTEENTHS", "arg16": size // 16}
    out = [header(every=3)]
    for owner in range(4):
        other = (owner + 1) % 4
        out.append(record("OP_BURST_ALLOCATE", 1024 * owner, arg24=900, thread=owner, **args))
        out += [record("OP_FREE", 1024 * owner + 16 * i, thread=other) for i in range(8)]
        out += [record("OP_REALLOC", 1024 * owner + 16 * i, arg24=size + i, thread=other) for i in range(8, 16)]
        out.append(record("OP_SIDE_BY_SIDE", 1024 * owner + 256, arg16=400, arg24=300, thread=other))
        out.append(record("OP_BURST_ALLOCATE", 1024 * owner, arg24=900, thread=owner, **args))
    for owner in range(1, 4):
        out.append(record("OP_END_THREAD", thread=owner))
        out.append(record("OP_BURST_FREE", 1024 * owner, "SIZE_EIGHTHS", arg16=300, thread=(owner + 1) % 4))
        out.append(record("OP_BURST_ALLOCATE", 1024 * owner, arg24=400, thread=(owner + 2) % 4, **args))
    out.append(record("OP_END_THREAD", thread=0))
    out.append(record("OP_BURST_FREE", 0, nudge=1, arg16=2047, arg24=7))
    return out


def seed_rounds():
    """Queues between two threads, and a thread with itself, of blocks of every kind of small size."""
    out = [header(every=1)]
    for number, size in enumerate((0, 16, 33, 48, 64, 100, 256, 500, 1024, 2000, 4096, 8000)):
        for other in range(4):
            count = 255 if size <= 1024 else 40
            out.append(record("OP_MALLOC", 16 * number, arg24=size))
            out.append(record("OP_ROUNDS", 0, "SIZE_SIXTEENTHS", arg16=size // 16, arg24=count << 2 | other, thread=number % 4))
    out.append(record("OP_END_THREAD", thread=0))
    return out


def seed_large():
    """Blocks above 1 MiB that grow, shrink, rest and come again, by two threads."""
    out, place = [header(flags=DOWNWARD)], slots()
    for mebibytes in (1, 2, 3, 4, 8, 15):
        for delta in (-4097, -1, 0, 1, 4096):
            slot = next(place)
            size = min((mebibytes << 20) + delta, (1 << 24) - 1)
            out.append(record("OP_MALLOC", slot, arg24=size, thread=mebibytes % 2))
            out.append(record("OP_REALLOC", slot, arg24=size * 5 // 8, thread=mebibytes % 3))
            out.append(record("OP_REALLOC", slot, arg24=min(size * 9 // 8, (1 << 24) - 1)))
            out.append(record("OP_FREE", slot, thread=1))
            out.append(record("OP_CALLOC", slot, arg24=size))
            out.append(record("OP_FREE", slot))
    return out


def seed_thresholds():
    out, place = [header()], slots()
    for limit in (0, 1):
        for delta in (0, 64, 96, 112, 127, 128, 129, 144, 160, 192, 256):
            for op in ("OP_MALLOC", "OP_CALLOC", "OP_REALLOC", "OP_NEW", "OP_ALIGNED_ALLOC"):
                out.append(record(op, next(place), "SIZE_THRESHOLD", arg16=delta, arg24=4 << 16 | limit, thread=delta % 2))
    out.append(record("OP_BURST_FREE", arg16=2047, nudge=1, arg24=99))
    return out


def seeds():
    bounds = [0, 128, 1024, 4096, 16384, 131072, 2 << 20]
    for number, (first, last) in enumerate(zip(bounds, bounds[1:])):
        yield f"class-edges-to-{last}", seed_class_edges(first, last, number % 4)
    for thread in (0, 1):
        yield f"realloc-ladder-thread-{thread}", seed_realloc_ladder(thread)
    for op in ("OP_ALIGNED_ALLOC", "OP_POSIX_MEMALIGN", "OP_MEMALIGN"):
        yield "alignments-" + op[3:].lower().replace("_", "-"), seed_alignments(op)
    yield "every-function", seed_every_function()
    yield "refusals", seed_refusals()
    yield "thresholds", seed_thresholds()
    yield "large", seed_large()
    yield "rounds", seed_rounds()
    for size in (16, 32, 48, 64, 128, 256, 1024, 2048, 8192, 16368):
        yield f"pages-of-{size}", seed_pages(size, size // 16 % 3, (size // 16 % 3) - 1)
    for size in (16, 48, 256, 1024, 4096, 20480):
        yield f"remote-frees-of-{size}", seed_remote(size)


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus" / "model"
    out.mkdir(parents=True, exist_ok=True)
    total = 0
    for name, records in seeds():
        data = b"".join(records)
        assert len(data) % 8 == 0
        (out / name).write_bytes(data)
        total += len(data)
    print(f"{total} bytes of seeds in {out}")


if __name__ == "__main__":
    main()
