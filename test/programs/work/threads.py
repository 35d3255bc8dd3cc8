"""Objects that one thread makes and another drops; threads that live for a moment."""
import concurrent.futures
import hashlib
import queue
import sys
import threading
import zlib


def producer(number, rounds, out):
    for i in range(rounds):
        out.put([f"{number}-{i}-{k}" * (k % 5 + 1) for k in range(20)])
    out.put(None)


def consumer(inbox, results):
    total = hashlib.sha256()
    while (item := inbox.get()) is not None:
        total.update("".join(item).encode())
    results.put(total.hexdigest()[:12])


def pipelines(rounds):
    results, workers = queue.Queue(), []
    for number in range(4):
        inbox = queue.Queue(maxsize=64)
        workers.append(threading.Thread(target=producer, args=(number, rounds, inbox)))
        workers.append(threading.Thread(target=consumer, args=(inbox, results)))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(results.get() for _ in range(4))


def moment(number, kept):
    kept[number] = {k: bytes([k % 256]) * (number * 17 % 3000 + 1) for k in range(30)}


def churn(rounds):
    """What each thread leaves behind is dropped by the main thread after the maker has ended."""
    total = 0
    for _ in range(rounds):
        kept = {}
        threads = [threading.Thread(target=moment, args=(number, kept)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        total += sum(len(value) for made in kept.values() for value in made.values())
    return total


def compressed(number):
    """zlib and hashlib let other threads run meanwhile, so these really are side by side."""
    data = bytes((number * k) % 251 for k in range(1000)) * 60
    packed = [zlib.compress(data[i:], 6) for i in range(0, 2000, 400)]
    return hashlib.sha256(b"".join(packed)).hexdigest()[:8]


def main():
    scale = int(sys.argv[1])
    print("pipelines", pipelines(400 * scale))
    print("churn", churn(30 * scale))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        print("compressed", list(pool.map(compressed, range(24 * scale))))


main()
