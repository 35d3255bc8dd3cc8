"""Parsers and printers: json, re, csv, difflib, pickle, and compression of what they made."""
import bz2
import collections
import csv
import difflib
import hashlib
import io
import json
import lzma
import pickle
import re
import sys
import xml.etree.ElementTree as tree
import zlib


def records(count):
    return [{"id": i, "name": f"name-{i * 7919 % 10007}", "tags": [f"t{j}" for j in range(i % 7)], "nested": {"a": i / 7, "b": None, "c": i % 2 == 0},
             "text": "words and more words " * (i % 11)} for i in range(count)]


def digest(data):
    return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()[:16]


def main():
    scale = int(sys.argv[1])
    data = records(2500 * scale)
    text = json.dumps(data)
    print("json", len(text), digest(json.dumps(json.loads(text), sort_keys=True, indent=2)))
    print("pickle", digest(b"".join(pickle.dumps(pickle.loads(pickle.dumps(item))) for item in data)))
    words = re.findall(r"[a-z]+-?\d*", text)
    print("re", len(words), collections.Counter(words).most_common(5), digest(re.sub(r"(\w+) (\w+)", r"\2 \1", text)))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(data[0]))
    writer.writeheader()
    writer.writerows(data)
    print("csv", len(list(csv.reader(io.StringIO(out.getvalue())))), digest(out.getvalue()))
    root = tree.Element("all")
    for item in data[: 1000 * scale]:
        node = tree.SubElement(root, "item", {"name": item["name"]})
        node.text = item["text"]
    print("xml", digest(tree.tostring(tree.fromstring(tree.tostring(root)))))
    left, right = [item["name"] for item in data[:300]], [item["name"] for item in data[100:400]]
    print("diff", digest("\n".join(difflib.unified_diff(left, right))))
    raw = text.encode()[: 400_000 * scale]
    for module in (zlib, bz2, lzma):
        packed = module.compress(raw)
        print(module.__name__, len(packed), module.decompress(packed) == raw)
    source = "\n".join(f"def f{i}(a, b={i}):\n    return [a * k + b for k in range({i % 9})]\n" for i in range(300 * scale))
    scope = {}
    exec(compile(source, "generated", "exec"), scope)
    print("compile", sum(sum(scope[f"f{i}"](i)) for i in range(300 * scale)))


main()
