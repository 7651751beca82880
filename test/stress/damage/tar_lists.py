"""What repositories of pacman and apk say of their files, see statements.py.

    tar_lists.py --sum PACKAGE     prints the checksum by which an index of apk knows a package
    tar_lists.py --signed KEY FILE ends with 0 if that key has signed an index of apk
"""

import base64
import bz2
import hashlib
import io
import lzma
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zlib

GZIP = b"\x1f\x8b"


def gzip_parts(data):
    """Each file of gzip in a file, as it is and without its compression."""
    while data.startswith(GZIP):
        undo = zlib.decompressobj(31)
        content = undo.decompress(data)
        if not undo.eof:
            raise ValueError("cut off")
        yield data[: len(data) - len(undo.unused_data)], content
        data = undo.unused_data
    if data.strip(b"\0"):
        raise ValueError("more at its end")


def undone(data):
    if data.startswith(GZIP):
        return b"".join(content for _, content in gzip_parts(data))
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.decompress(data)
    return bz2.decompress(data) if data.startswith(b"BZh") else data


def members(data, is_open=False):
    """The names and contents of the files in an archive, which has to have an end unless it is a part of one."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member).read()
                if len(content) < member.size:
                    raise ValueError("cut off")
                yield member.name, content
        # Python takes what it does not understand for the end.
        rest = data[archive.offset :]
        if not (rest.startswith(bytes(512)) or (is_open and rest == b"")):
            raise ValueError("no archive to its end")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def of_arch(tree, name):
    directory, base = os.path.split(name)
    repository, kind = re.fullmatch(r"(.+)\.(db|files)(\.tar(\.\w+)?)?", base, re.S).group(1, 2)
    said = {"by": name, "size": None, "sum": None, "depth": "always"}
    packages = 0
    for path, content in members(undone(read(os.path.join(tree, name)))):
        if not re.fullmatch(r"[^/]+/desc", path, re.S):
            continue
        packages += 1
        fields = dict(re.findall(r"^%([A-Z0-9]+)%\n(.+)", content.decode("latin-1"), re.M))
        if re.search(r"^\.|/", fields["FILENAME"]):
            raise ValueError(fields["FILENAME"])
        about = os.path.join(directory, fields["FILENAME"])
        size, hex = fields.get("CSIZE", ""), fields.get("SHA256SUM", "")
        yield {
            **said,
            "about": about,
            "size": int(size) if size.isdigit() else None,
            "sum": f"sha256:{hex.lower()}" if re.fullmatch("[0-9a-fA-F]{64}", hex) else None,
            "depth": "content" if size.isdigit() else "always",
        }
        if "PGPSIG" not in fields:
            yield {**said, "about": f"{about}.sig", "depth": "signed"}
    # An archive of something else is no database.
    for asked in (f"{repository}.db", f"{repository}.{kind}") if packages else ():
        yield {**said, "about": os.path.join(directory, asked)}


def of_alpine(tree, name):
    files = dict(members(undone(read(os.path.join(tree, name))), is_open=True))
    for stanza in files["APKINDEX"].decode("latin-1").split("\n\n"):
        fields = dict(line.split(":", 1) for line in stanza.split("\n") if line)
        if fields:
            yield {
                "by": name,
                "about": os.path.join(os.path.dirname(name), f'{fields["P"]}-{fields["V"]}.apk'),
                "size": int(fields["S"]),
                "sum": "apk:" + base64.b64decode(fields["C"][2:]).hex(),
                "depth": "content",
            }


def is_signature(content):
    return content.startswith(b".SIGN.")


def package_sum(path):
    """The SHA-1 of what controls a package; nothing if that has another hash of its data."""
    data = read(path)
    try:
        start = 0
        for raw, content in gzip_parts(data):
            start += len(raw)
            if is_signature(content):
                continue
            info = dict(members(content, is_open=True))[".PKGINFO"].decode("latin-1")
            expected = re.search(r"^datahash = (\w+)$", info, re.M).group(1)
            is_right = hashlib.sha256(data[start:]).hexdigest() == expected
            return hashlib.sha1(raw).hexdigest() if is_right else ""
    except Exception:
        pass
    return ""


def is_signed(key, path):
    data = read(path)
    try:
        raw, content = next(gzip_parts(data))
        found = next(iter(members(content, is_open=True)))
    except Exception:
        return False
    if not found[0].startswith(".SIGN.RSA."):
        return False
    with tempfile.NamedTemporaryFile() as signature:
        signature.write(found[1])
        signature.flush()
        words = ["openssl", "dgst", "-sha1", "-verify", key, "-signature", signature.name]
        return subprocess.run(words, input=data[len(raw) :], capture_output=True).returncode == 0


if __name__ == "__main__":
    if sys.argv[1] == "--sum":
        print(package_sum(sys.argv[2]))
    else:
        sys.exit(not is_signed(*sys.argv[2:]))
