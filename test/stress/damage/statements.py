"""What the repositories of a tree say of their files, read with nothing but Python's own library.

    statements.py TREE             prints the statements, a JSON object a line
    statements.py --of TREE NAME.. prints those of some files, and for what cannot be read an object with `fault`
    statements.py --faults TREE    prints a line for each statement that is not true of the tree

A statement: `by` says that `about` has `size` bytes and the checksum `sum` (ALGORITHM:HEX), each null if it does
not say. `depth` is `always` for lists and indexes, `content` for packages, whose hash is only looked at on request,
and `signed` for what has to be there if signatures count.
`plain` is the name of an index without its compression. A statement on what lies by hash has `form`: the
usual name of the same index. One of `others` is as good as `about`. What has `place` need be there only if that
is, now or for readers, and what is `optional` need not.
"""

import bz2
import gzip
import hashlib
import json
import lzma
import os
import re
import sys
import xml.etree.ElementTree as xml

from tar_lists import of_alpine, of_arch, package_sum
from web_lists import of_npm, of_npm_list, of_python_html, of_python_json

READERS = {".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress}
ENDS = re.compile(r"\.(gz|xz|bz2)$")


def content(tree, name):
    with open(os.path.join(tree, name), "rb") as file:
        data = file.read()
    undo = READERS.get(os.path.splitext(name)[1])
    return (undo(data) if undo else data).decode("latin-1")


def stanzas(text):
    for part in re.split(r"\n\s*\n", text):
        fields, name = {}, None
        for line in part.split("\n"):
            if line[:1] in (" ", "\t"):
                fields.setdefault(name, []).append(line.strip())
            elif ":" in line:
                name, value = line.split(":", 1)
                fields[name] = [value.strip()] if value.strip() else []
        if fields:
            yield fields


def of_release(tree, name):
    text = content(tree, name)
    signed = re.search(r"BEGIN PGP SIGNED MESSAGE-----\n.*?\n\n(.*?)-----BEGIN PGP SIGNATURE", text, re.S)
    fields = next(stanzas(signed.group(1) if signed else text))
    suite = os.path.dirname(name)
    sums = [line.split() for line in fields["SHA256"]]
    strongest = {path: hex for hex, _, path in (line.split() for line in fields["SHA512"])}
    by_hash = fields.get("Acquire-By-Hash") == ["yes"]
    for hex, size, path in sums:
        about = os.path.join(suite, path)
        said = {"by": name, "size": int(size), "sum": f"sha256:{hex}", "depth": "always", "plain": ENDS.sub("", about)}
        yield {**said, "about": about}
        if by_hash and re.search(r"/(Packages|Sources)(\.\w+)?$", path):
            place = os.path.join(os.path.dirname(about), "by-hash/SHA512", strongest[path])
            yield {**said, "about": place, "form": about}


def of_index(tree, name):
    for fields in stanzas(content(tree, name)):
        said = {"by": name, "depth": "content", "plain": ENDS.sub("", name)}
        if "Filename" in fields:
            about, size, hex = (fields[key][0] for key in ("Filename", "Size", "SHA256"))
            yield {**said, "about": about, "size": int(size), "sum": f"sha256:{hex}"}
        for hex, size, file in (line.split() for line in fields.get("Checksums-Sha256", [])):
            about = os.path.join(fields["Directory"][0], file)
            yield {**said, "about": about, "size": int(size), "sum": f"sha256:{hex}"}


def local(element):
    return element.tag.rsplit("}", 1)[-1]


def parts(element):
    return {local(part): part for part in element}


def of_repomd(tree, name):
    top = os.path.dirname(os.path.dirname(name))
    for data in xml.fromstring(content(tree, name)):
        if local(data) != "data":
            continue
        part = parts(data)
        about = os.path.join(top, part["location"].get("href"))
        said = {"by": name, "about": about, "depth": "always"}
        yield {**said, "size": int(part["size"].text), "sum": f'sha256:{part["checksum"].text}'}
        if data.get("type") == "primary" and os.path.exists(os.path.join(tree, about)):
            yield from of_primary(tree, about, top)


def of_primary(tree, name, top):
    for package in xml.fromstring(content(tree, name)):
        part = parts(package)
        about = os.path.join(top, part["location"].get("href"))
        said = {"by": name, "about": about, "depth": "content"}
        yield {**said, "size": int(part["size"].get("package")), "sum": f'sha256:{part["checksum"].text}'}


def of_sums(tree, name):
    for line in content(tree, name).split("\n"):
        escaped = line.startswith("\\")
        found = re.match(r"([0-9a-f]{64}) [ *](.+)$", line[escaped:])
        if not found:
            continue
        hex, path = found.groups()
        if escaped:
            path = re.sub(r"\\(.)", lambda one: {"n": "\n", "r": "\r"}.get(one[1], one[1]), path)
        about = os.path.join(os.path.dirname(name), path)
        yield {"by": name, "about": about, "size": None, "sum": f"sha256:{hex}", "depth": "always"}


LISTS = {
    r"dists/[^/]+/(In)?Release": of_release,
    r"dists/.*/(Packages|Sources)(\.\w+)?": of_index,
    r"(.*/)?repodata/repomd\.xml": of_repomd,
    r"(.*/)?(SHA256SUMS|[^/]*\.sha256)": of_sums,
    r"(.*/)?[^/]+\.(db|files)(\.tar(\.(?!sig)\w+)?)?": of_arch,
    r"(.*/)?APKINDEX\.tar\.gz": of_alpine,
    r"(.*/)?index\.(html|v1_html)": of_python_html,
    r"(.*/)?index\.v1_json": of_python_json,
    r"(.*/)?(index|package)\.json": of_npm,
    r"(.*/)?\.verdaccio-db\.json": of_npm_list,
}


def of_list(tree, name):
    for pattern, read in LISTS.items():
        if re.fullmatch(pattern, name, re.S):
            return read(tree, name)
    return []


def statements(tree):
    for directory, _, files in os.walk(tree):
        for file in files:
            yield from of_list(tree, os.path.relpath(os.path.join(directory, file), tree))


def of_damaged(tree, name):
    try:
        return list(of_list(tree, name))
    except Exception as error:
        return [{"by": name, "fault": f"{type(error).__name__}: {error}"}]


def sum_of(path, algorithm):
    if algorithm == "apk":
        return package_sum(path)
    with open(path, "rb") as file:
        return hashlib.new(algorithm, file.read()).hexdigest()


def fault(tree, said):
    path = os.path.join(tree, said["about"])
    if not os.path.isfile(path):
        beside = said.get("plain")
        # One of the forms of an index is enough.
        if beside and any(os.path.isfile(os.path.join(tree, beside + end)) for end in ("", *READERS)):
            return None if said["depth"] == "always" else "missing"
        others = said.get("others", [])
        if said.get("optional") or any(os.path.isfile(os.path.join(tree, other)) for other in others):
            return None
        return "missing"
    algorithm, _, hex = (said["sum"] or "").partition(":")
    return None if algorithm == "" or sum_of(path, algorithm) == hex else "hash"


if sys.argv[1] == "--faults":
    for said in statements(sys.argv[2]):
        found = fault(sys.argv[2], said)
        if found:
            print(found, said["about"], "by", said["by"])
elif sys.argv[1] == "--of":
    for name in sys.argv[3:]:
        for said in of_damaged(sys.argv[2], name):
            print(json.dumps(said))
else:
    for said in statements(sys.argv[1]):
        print(json.dumps(said))
