"""What the repositories of a tree say of their files, read with nothing but Python's own library.

    statements.py TREE          prints the statements, a JSON object a line
    statements.py --faults TREE prints a line for each statement that is not true of the tree

A statement: `by` says that `about` has `size` bytes (null if it does not say) and `sha256`. `depth` is
`always` for lists and indexes, and `content` for packages, whose hash is only looked at on request.
`plain` is the name of an index without its compression. A statement on what lies by hash has `form`: the
usual name of the same index.
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
        said = {"by": name, "size": int(size), "sha256": hex, "depth": "always", "plain": ENDS.sub("", about)}
        yield {**said, "about": about}
        if by_hash and re.search(r"/(Packages|Sources)(\.\w+)?$", path):
            place = os.path.join(os.path.dirname(about), "by-hash/SHA512", strongest[path])
            yield {**said, "about": place, "form": about}


def of_index(tree, name):
    for fields in stanzas(content(tree, name)):
        said = {"by": name, "depth": "content", "plain": ENDS.sub("", name)}
        if "Filename" in fields:
            about, size, hex = (fields[key][0] for key in ("Filename", "Size", "SHA256"))
            yield {**said, "about": about, "size": int(size), "sha256": hex}
        for hex, size, file in (line.split() for line in fields.get("Checksums-Sha256", [])):
            about = os.path.join(fields["Directory"][0], file)
            yield {**said, "about": about, "size": int(size), "sha256": hex}


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
        yield {**said, "size": int(part["size"].text), "sha256": part["checksum"].text}
        if data.get("type") == "primary" and os.path.exists(os.path.join(tree, about)):
            yield from of_primary(tree, about, top)


def of_primary(tree, name, top):
    for package in xml.fromstring(content(tree, name)):
        part = parts(package)
        about = os.path.join(top, part["location"].get("href"))
        said = {"by": name, "about": about, "depth": "content"}
        yield {**said, "size": int(part["size"].get("package")), "sha256": part["checksum"].text}


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
        yield {"by": name, "about": about, "size": None, "sha256": hex, "depth": "always"}


def statements(tree):
    for directory, _, files in os.walk(tree):
        for file in files:
            name = os.path.relpath(os.path.join(directory, file), tree)
            if re.fullmatch(r"dists/[^/]+/(In)?Release", name):
                yield from of_release(tree, name)
            elif re.fullmatch(r"dists/.*/(Packages|Sources)(\.\w+)?", name):
                yield from of_index(tree, name)
            elif name.endswith("repodata/repomd.xml"):
                yield from of_repomd(tree, name)
            elif file == "SHA256SUMS" or file.endswith(".sha256"):
                yield from of_sums(tree, name)


def fault(tree, said):
    path = os.path.join(tree, said["about"])
    if not os.path.isfile(path):
        beside = said.get("plain")
        # One of the forms of an index is enough.
        if beside and any(os.path.isfile(os.path.join(tree, beside + end)) for end in ("", *READERS)):
            return None if said["depth"] == "always" else "missing"
        return "missing"
    with open(path, "rb") as file:
        return None if hashlib.sha256(file.read()).hexdigest() == said["sha256"] else "hash"


if sys.argv[1] == "--faults":
    for said in statements(sys.argv[2]):
        found = fault(sys.argv[2], said)
        if found:
            print(found, said["about"], "by", said["by"])
else:
    for said in statements(sys.argv[1]):
        print(json.dumps(said))
