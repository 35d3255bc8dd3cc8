"""Dictionaries, lists, strings and sets that come and go in sizes that always change."""
import sys


def numbers(seed):
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        yield seed >> 33


def dictionaries(draw, rounds):
    live, total = {}, 0
    for _ in range(rounds):
        key = next(draw) % 20_000
        if key in live and next(draw) % 3 == 0:
            total += len(live.pop(key))
        else:
            live[key] = [next(draw) % 1000 for _ in range(next(draw) % 12)]
    return total, len(live), sum(map(sum, live.values()))


def strings(draw, rounds):
    live, total = [""] * 500, 0
    for i in range(rounds):
        slot = next(draw) % 500
        live[slot] = (live[slot] + chr(97 + i % 26) * (next(draw) % 200))[-5000:]
        if i % 97 == 0:
            total += len("|".join(live)) + "".join(reversed(live)).count("abc")
    return total, len("".join(live))


class Node:
    """A linked tree with cycles: the collector has to find them."""

    def __init__(self, value):
        self.value, self.left, self.right, self.up = value, None, None, None


def trees(draw, rounds):
    total = 0
    for _ in range(rounds):
        root = Node(next(draw) % 10**6)
        for _ in range(300):
            value, node = next(draw) % 10**6, root
            while True:
                side = "left" if value < node.value else "right"
                if getattr(node, side) is None:
                    child = Node(value)
                    child.up = node
                    setattr(node, side, child)
                    break
                node = getattr(node, side)
        node = root
        while node.left is not None:
            node = node.left
        total += node.value
    return total


def sets(draw, rounds):
    first, second = set(), set()
    for _ in range(rounds):
        first.add(next(draw) % 50_000)
        second.add((next(draw) % 50_000, "x" * (next(draw) % 30)))
    return len(first), len(second), len({a for a, _ in second} & first), sum(sorted(first)[:100])


def main():
    scale, draw = int(sys.argv[1]), numbers(1)
    print("dictionaries", dictionaries(draw, 60_000 * scale))
    print("strings", strings(draw, 15_000 * scale))
    print("trees", trees(draw, 15 * scale))
    print("sets", sets(draw, 30_000 * scale))
    print("integers", sum(int(str(7 ** (i % 900))) % 1009 for i in range(1500 * scale)))


main()
