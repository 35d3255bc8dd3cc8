"""Big blocks: growth byte by byte and by doubling, slices, joins, views, and freed ones that come again."""
import array
import hashlib
import io
import sys


def digest(data):
    return hashlib.sha256(data).hexdigest()[:12]


def grow(limit):
    data = bytearray()
    while len(data) < limit:
        data += bytes([len(data) % 251]) * (len(data) // 5 + 1)
    while len(data) > 1000:
        del data[len(data) * 3 // 4:]
    return digest(data)


def creep(limit):
    data = bytearray()
    for i in range(limit):
        data.append(i % 256)
    return digest(data)


def slices(size):
    data = bytes(range(256)) * (size // 256)
    parts = [data[i:i + size // 3] for i in range(0, size, size // 17)]
    joined = b"".join(parts)
    return len(joined), digest(joined), digest(joined.replace(b"\x00\x01", b"abc"))


def sawtooth(rounds):
    """Sizes on both sides of every threshold, each filled and checked."""
    total = 0
    for i in range(rounds):
        for size in (16_000, 16_400, 65_000, 70_000, 1_048_000, 1_049_000, 3_000_000, 9_000_000):
            block = bytearray(size + i * 37)
            if any(block[:: 4096]):
                raise SystemExit("a new block is not zero")
            block[:: 4096] = b"\xff" * len(block[:: 4096])
            total += len(block)
    return total


def main():
    scale = int(sys.argv[1])
    print("grow", grow(20_000_000 * scale))
    print("creep", creep(400_000 * scale))
    print("slices", slices(2_000_000 * scale))
    print("sawtooth", sawtooth(8 * scale))
    numbers = array.array("q", range(300_000 * scale))
    view = memoryview(numbers)
    print("views", sum(view[::7]), digest(view[1000:2000].tobytes()), len(numbers + numbers))
    stream = io.BytesIO()
    for i in range(5000 * scale):
        stream.write(b"%d," % (i ** 5))
    print("stream", digest(stream.getvalue()))
    live = [None] * 64
    for i in range(1500 * scale):
        live[i * 7 % 64] = bytes(i * 7919 % 300_000)
    print("mixed", sum(map(len, live)))


main()
