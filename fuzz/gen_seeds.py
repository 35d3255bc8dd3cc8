#!/usr/bin/env python3
"""Writes the seeds of every target into fuzz/corpus and its dictionary into fuzz/dict.

    gen_seeds.py [--check | DIRECTORY]      default: the directory of this file; --check says what differs from what is there

The same files come out each time. A seed of the model is a small program in the records of engine/input.h that visits one kind of edge: class
edges, OS pages, thresholds, alignments, every function, pages that fill and empty, blocks that other threads free, threads that end.
A seed of misuse is one violation behind a short program, one of lists a program with writes into its freed blocks.
"""
import pathlib
import re
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent


def numbers_of(enum, file="engine/input.h"):
    """The members of an enum in order, so that the seeds follow the harness."""
    text = (HERE / file).read_text()
    found = re.search(r"enum %s \{(.*?)\};" % enum, text, re.S)
    if found is None:
        sys.exit(f"gen_seeds.py: there is no enum {enum} in {file}")
    body = re.sub(r"/\*.*?\*/", "", found.group(1), flags=re.S)
    names = [name.strip() for name in body.split(",") if name.strip()]
    return {name: number for number, name in enumerate(names)}


OP = numbers_of("operation")
SIZE = numbers_of("size_mode")
VIOLATION = numbers_of("violation", "targets/misuse.c")
HOSTILE = numbers_of("hostile", "targets/lists.c")
OWN = numbers_of("own", "targets/model.c")
OF_TARGET = 48  # OP_OF_TARGET
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


def own(op, slot=0, size="SIZE_EXACT", thread=0, nudge=0, arg16=0, arg24=0):
    """An operation of the model's own; the heap is slot // 16 modulo 6."""
    return bytes([OF_TARGET + OWN[op] | thread << 6]) + record("OP_MALLOC", slot, size, 0, nudge, arg16, arg24)[1:]


HEAP_STEP = 96  # slots from one place to the next of the same heap


def take_from_heap(heap, number, how, bytes_wanted, thread=0, arg16=3):
    """how: malloc, calloc, aligned_alloc, realloc. Four blocks' slots of each place."""
    slot = 16 * heap + HEAP_STEP * (number // 4) + number % 4
    return own("HEAP_TAKE", slot, thread=thread, arg16=arg16, arg24=how << 20 | bytes_wanted)


HEAP_SIZES = (1, 24, 100, 500, 1000, 3000, 9000, 16384, 20000, 70000, 300000, 1000000)


def seed_heaps(end, maker):
    """Two heaps of one thread, blocks of all sizes by each function, some freed and moved by others; seen, ended, and made again."""
    other = (maker + 1) % 4
    out = [header(every=8, seed=maker)]
    for turn in range(2):
        out += [own("HEAP_NEW", 16 * heap, thread=maker) for heap in range(2)]
        for number, size in enumerate(HEAP_SIZES * 4):
            out.append(take_from_heap(number % 2, number, number // len(HEAP_SIZES), size, other))
            out.append(record("OP_MALLOC", 3000 // 16 * 16 + number % 4, arg24=size, thread=number % 4))
        out += [record("OP_REALLOC", HEAP_STEP * i, arg24=700 * i, thread=i % 4) for i in range(4)]
        out += [take_from_heap(0, number, 3, 50 * number + 1) for number in range(12)]
        out += [record("OP_FREE", 16 * (i % 2) + HEAP_STEP * i + 1, thread=other) for i in range(6)]
        out += [own("HEAP_VISIT", 16 * heap, nudge=nudge) for nudge in (0, 1, 0) for heap in range(2)]
        out += [own(end, 0)] + ([record("OP_END_THREAD", thread=maker)] if turn else [own(end, 16)]) + [record("OP_CHECK_HEAP")]
    return out


def seed_forks(thread, nudge):
    """A thread with heaps forks, beside others that have blocks and heaps too; each goes on afterwards."""
    out = [header(every=4, seed=thread)]
    out += [own("HEAP_NEW", 16 * heap, thread=(thread + heap) % 4) for heap in range(4)]
    for number, size in enumerate(HEAP_SIZES * 2):
        out.append(record("OP_MALLOC", 16 * (number % 12) + number % 4, arg24=size, thread=number % 4))
        out.append(take_from_heap(number % 4, 8 + number, number % 3, size))
    for number, size in enumerate((40, 5000, 150000)):
        out.append(own("FORK", 16 * number * 5, thread=thread, nudge=nudge, arg16=1000 * number, arg24=size))
        out.append(record("OP_BURST_ALLOCATE", 2048, "SIZE_SIXTEENTHS", thread, arg16=8 * number + 2, arg24=99))
        out.append(record("OP_FREE", 16 * number, thread=(thread + 1) % 4))
    out += [own("HEAP_VISIT", 16 * heap) for heap in range(4)] + [record("OP_END_THREAD", thread=thread)]
    return out


def model_seeds():
    for end in ("HEAP_DELETE", "HEAP_DESTROY"):
        for maker in (0, 1):
            yield f"{end.lower().replace('_', '-')}-thread-{maker}", seed_heaps(end, maker)
    for thread, nudge in ((0, 0), (0, 1), (2, 0), (2, 1)):
        yield f"forks-of-thread-{thread}-{'with' if nudge else 'without'}-handlers", seed_forks(thread, nudge)
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


# ---- misuse ----

def violation(name, function=0, prepared=0, thread=0, slot=0, size="SIZE_EXACT", nudge=0, number=0, arg16=None):
    """The record behind the header: byte 0 is the violation's number, not an operation's."""
    made = record("OP_MALLOC", slot, size, thread, nudge, function | prepared << 8 if arg16 is None else arg16, number)
    return bytes([VIOLATION[name] | thread << 6]) + made[1:]


def program():
    """A short correct program: blocks of several sizes by two threads, some of them freed, some moved."""
    out, place = [], slots()
    for number, size in enumerate((24, 24, 100, 100, 700, 700, 3000, 3000, 20000, 300000)):
        out.append(record("OP_MALLOC", next(place), arg24=size, thread=number % 2))
    out += [record("OP_FREE", 2, thread=1), record("OP_FREE", 19, thread=0), record("OP_REALLOC", 17, arg24=900, thread=1)]
    return out


FRESH = 4  # preparation of most violations: the owner's number, then this bit for a block of its own


def free_twice_seeds():
    turn = 0
    for size in (1, 24, 100, 1000, 5000, 20000, 200000, 3 << 20):
        for owner, freer, ended, trimmed in ((0, 0, 0, 0), (0, 1, 0, 1), (1, 0, 0, 0), (2, 0, 1, 1), (1, 2, 1, 0)):
            how = owner | FRESH | freer << 3 | (turn % 2) << 5 | ended << 6 | trimmed << 7
            yield (f"free-twice-{size}-owner-{owner}-freer-{freer}",
                   violation("FREE_TWICE", turn % 23, how, thread=turn % 4, slot=64 * 16, number=size))
            turn += 1


def other_violation_seeds():
    for turn in range(4):
        yield f"free-past-{turn}", violation("FREE_PAST", 3 * turn, thread=turn, number=turn)
    for turn, size in enumerate((2, 40, 500, 9000, 50000, 700000, 2 << 20)):
        for number in (1, 16, size // 2):
            yield (f"free-interior-{size}-at-{number}",
                   violation("FREE_INTERIOR", (turn * 3 + number) % 23, FRESH, thread=turn % 4, slot=1024, number=size | number & 1))
    for turn, name in enumerate(("FREE_BEHIND", "FREE_IN_FRONT")):
        for number in (0, 8, 4095):
            yield f"{name.lower().replace('_', '-')}-{number}", violation(name, 5 * turn + number % 7, 0, turn, slot=1, number=number)
    for mode, place in enumerate(("stack", "data", "constant", "code", "thread", "c-heap", "mapping", "low", "not-canonical", "kernel", "top", "one-bit")):
        yield f"free-foreign-{place}", violation("FREE_FOREIGN", 2 * mode % 23, thread=mode % 3, size=list(SIZE)[mode], number=16 * mode)
    for turn, number in enumerate((0x123456, 0x7fff12, 0x200010)):
        yield f"free-wild-{turn}", violation("FREE_WILD", 4 * turn, thread=turn, number=number, arg16=turn << 8 | 4 * turn)
    for turn in range(4):
        yield f"free-metadata-{turn}", violation("FREE_METADATA", turn, nudge=-1, size=list(SIZE)[turn], number=4096 * turn + 4160)
    for turn in range(3):
        yield f"free-far-{turn}", violation("FREE_FAR", 4 * turn, FRESH, turn, slot=1024, size="SIZE_SMALL", number=turn)
    for turn, number in enumerate((0, 1, 7)):
        yield f"free-never-{turn}", violation("FREE_NEVER", 6 * turn, turn, turn, slot=1024, size="SIZE_SIXTEENTHS", number=number)
    for turn in range(4):
        yield (f"free-released-{turn}",
               violation("FREE_RELEASED", 3 * turn, turn | (3 - turn) << 2 | (turn % 2) << 4 | (turn // 2) << 5, 0, number=200 << 8 | turn * 9))
    for turn in range(6):
        yield f"wrong-size-{turn}", violation("FREE_WRONG_SIZE", turn, thread=turn % 4, slot=16 * (turn % 3), nudge=turn % 2 - 1, number=turn)
    for turn in range(7):
        yield f"wrong-alignment-{turn}", violation("FREE_WRONG_ALIGN", turn, thread=turn % 4, slot=16 * (turn % 3), nudge=turn % 2 - 1, number=turn)


def misuse_seeds():
    for made in (free_twice_seeds(), other_violation_seeds()):
        for number, (name, first) in enumerate(made):
            yield name, [header(seed=number), first] + program()


# ---- lists ----

def hostile(name, victim=0, size="SIZE_EXACT", nudge=0, other=0, number=0):
    """A write into the victim-th youngest freed block; `other` is a block's number times two, as freed_block of lists.c counts, or a word's."""
    made = record("OP_MALLOC", 0, size, 0, nudge, other, number)
    return bytes([OF_TARGET + HOSTILE[name], 2 * victim]) + made[2:]


def seed_lists(name, size, owner, freer, number):
    """Blocks of one size go back, some are written, the owner takes and returns many, and a thread ends: every list is used."""
    def take(slot, count, thread=owner):
        return record("OP_BURST_ALLOCATE", slot, "SIZE_SIXTEENTHS", thread, arg16=size // 16, arg24=count - 1)

    def give_back(slot, count, every, thread=freer):
        return record("OP_BURST_FREE", slot, {1: "SIZE_EXACT", 2: "SIZE_SMALL"}[every], thread, arg16=count - 1)

    out = [header(every=0, seed=number), take(0, 100), record("OP_MALLOC", 800, arg24=2 * size, thread=owner), give_back(0, 50, 2),
           record("OP_FREE", 800, thread=freer)]
    victims = 4
    if name in ("WRITE_REPLAYED", "WRITE_MOVED"):
        victims = 12
        out += [hostile("READ_WORD", victim, "SIZE_EIGHTHS") for victim in range(victims)]
    if name == "WRITE_REPLAYED":
        out += [take(128, 200), give_back(128, 200, 1)] * 4
    # All but one lie at the block's start, where links are.
    out += [hostile(name, (4 * victim + number % 2) % 16, "SIZE_EIGHTHS" if victim else list(SIZE)[number % 3], number % 3 - 1, 2 * victim + 6,
                    64 + 7 * number + victim) for victim in range(victims)]
    out += [take(512, 200), give_back(1, 50, 2, owner), record("OP_END_THREAD", thread=max(owner, 1)), take(1024, 50, freer), record("OP_HEAP_CALL")]
    return out


def lists_seeds():
    for number, name in enumerate(name for name in HOSTILE if name not in ("HOSTILES", "READ_WORD")):
        for size, owner, freer in ((32, 0, 0), (32, 1, 0), (704, 0, 2), (5008, 2, 1), (30000, 1, 1)):
            yield f"{name.lower().replace('_', '-')}-{size}-owner-{owner}-freer-{freer}", seed_lists(name, size, owner, freer, number)


# ---- dictionaries ----

def dictionary(own):
    """Whole records, for engines that know bytes only."""
    lines = [f'{op.lower()}="{escaped(record(op))}"' for op in OP if op != "OP_COUNT"]
    lines += [f'{size.lower()}="{escaped(record("OP_MALLOC", 0, size, arg16=64, arg24=640))}"' for size in SIZE if size != "SIZE_MODES"]
    return "\n".join(["# Records of engine/input.h; written by gen_seeds.py."] + lines + [f'{name}="{escaped(data)}"' for name, data in own]) + "\n"


def escaped(data):
    return "".join(f"\\x{byte:02x}" for byte in data)


def files():
    for target, seeds, words in (("model", model_seeds(), [(name.lower(), own(name)) for name in OWN if name != "OWN_COUNT"]),
                               ("misuse", misuse_seeds(), [(name.lower(), violation(name)) for name in VIOLATION if name != "VIOLATIONS"]),
                               ("lists", lists_seeds(), [(name.lower(), hostile(name)) for name in HOSTILE if name != "HOSTILES"])):
        for name, records in seeds:
            yield f"corpus/{target}/{name}", b"".join(records)
        yield f"dict/{target}.dict", dictionary(words).encode()


def check():
    """Says which files are missing, differ, or are no seeds."""
    made = dict(files())
    there = {str(path.relative_to(HERE)): path for folder in ("corpus", "dict") for path in (HERE / folder).rglob("*") if path.is_file()}
    wrong = [f"{name} is missing" for name in sorted(set(made) - set(there))]
    wrong += [f"{name} is not written by gen_seeds.py: finds belong to regress" for name in sorted(set(there) - set(made))]
    wrong += [f"{name} differs" for name in sorted(set(made) & set(there)) if there[name].read_bytes() != made[name]]
    for line in wrong:
        print(f"gen_seeds.py: {line}", file=sys.stderr)
    print(f"{len(made)} files, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


def main():
    if len(sys.argv) > 2:
        sys.exit("gen_seeds.py: usage: gen_seeds.py [--check | DIRECTORY]")
    if sys.argv[1:] == ["--check"]:
        check()
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    total = 0
    for name, data in files():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        total += len(data)
    print(f"{total} bytes of seeds and dictionaries in {out}")


if __name__ == "__main__":
    main()
