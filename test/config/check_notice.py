#!/usr/bin/env python3
"""libsodium's notice, since parts of it are in Moat's libraries: it has the copyright line and the license word by word, as the
package libsodium-dev has them.

    check_notice.py NOTICE
"""
import re
import sys

SOURCE = "/usr/share/doc/libsodium-dev/copyright"
# What the ISC license has to say, where there is no Debian to compare with.
SENTENCES = (
    "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, "
    "provided that the above copyright notice and this permission notice appear in all copies.",
    'THE SOFTWARE IS PROVIDED "AS IS"',
    "ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.",
)


def packaged():
    """(copyright line, license) of the package, which indents the license and marks empty lines with a dot."""
    with open(SOURCE, encoding="utf-8") as file:
        text = file.read()
    match = re.search(r"^Files: \*\nCopyright: (.+)\nLicense: ISC\n((?: .*\n)+)", text, re.M)
    if not match:
        sys.exit("check_notice.py: %s has another form than it had: look at it, and at NOTICE" % SOURCE)
    return match.group(1), re.sub(r"^ \. *$", "", match.group(2), flags=re.M)


def words(text):
    return " ".join(text.split())


def main():
    if len(sys.argv) != 2:
        sys.exit("check_notice.py: usage: check_notice.py NOTICE")
    with open(sys.argv[1], encoding="utf-8") as file:
        notice = file.read()
    wanted = list(SENTENCES)
    try:
        owner, license_text = packaged()
        wanted += ["Copyright (c) " + owner, license_text]
    except FileNotFoundError:
        print("notice: there is no %s here to compare with; only some sentences were" % SOURCE)
    missing = [text for text in wanted if words(text) not in words(notice)]
    for text in missing:
        print("notice: %s lacks: %s" % (sys.argv[1], words(text)))
    sys.exit(1 if missing else 0)


main()
