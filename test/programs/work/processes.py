"""Children: by subprocess, by fork alone, by fork while other threads allocate, by a pool."""
import hashlib
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings

# Newer Pythons warn of what is done here on purpose.
warnings.simplefilter("ignore")


def piped(count):
    total = hashlib.sha256()
    for i in range(count):
        code = f"import sys; print(sum(map(len, ['x' * k for k in range({i + 50})]))); print(sys.stdin.read()[::-1])"
        done = subprocess.run([sys.executable, "-S", "-c", code], input="abc" * i, capture_output=True, text=True, check=True)
        total.update(done.stdout.encode())
    return total.hexdigest()[:16]


def in_child(work):
    """Forks; the child works on inherited and on new memory and answers by its exit status."""
    child = os.fork()
    if child == 0:
        status = 255
        try:
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forked(count):
    kept = [[f"{i}-{k}" for k in range(40)] for i in range(500)]

    def work():
        del kept[::2]
        more = [bytearray(k * 7 % 5000) for k in range(2000)]
        return (sum(map(len, more)) + sum(len(part) for part in kept)) % 200

    return [in_child(work) for _ in range(count)]


def forked_under_load(count):
    """The fork falls into the middle of other threads' work; the child must be able to allocate, free and fork again."""
    stop = threading.Event()

    def load():
        live = []
        while not stop.is_set():
            live.append("y" * (len(live) * 31 % 3000))
            if len(live) > 400:
                del live[::3]

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    answers = [in_child(lambda: in_child(lambda: len(["z" * k for k in range(3000)]) % 190)) for _ in range(count)]
    stop.set()
    for thread in threads:
        thread.join()
    return answers


def square_text(number):
    return str(number * number) * (number % 50)


def main():
    scale = int(sys.argv[1])
    print("piped", piped(5 * scale))
    print("forked", forked(6 * scale))
    print("forked under load", forked_under_load(6 * scale))
    with multiprocessing.get_context("fork").Pool(3) as pool:
        answers = pool.map(square_text, range(1500 * scale))
    print("pool", hashlib.sha256("".join(answers).encode()).hexdigest()[:16])


if __name__ == "__main__":
    main()
