"""What indexes of Python packages and registries of npm say of their files, see statements.py."""

import base64
import binascii
import html.parser
import json
import os
import posixpath
import re
import urllib.parse

# As many directories above the tree as no link leads up.
ABOVE = "above/" * 30
SITE = f"http://tree.invalid/{ABOVE}"
RELEASE = re.compile(r"\.(whl|egg|zip|tgz|tar|tar\.(gz|bz2|xz))$", re.I)
LENGTHS = {"sha512": 128, "sha256": 64, "sha384": 96, "sha1": 40, "md5": 32}


def text_of(tree, name):
    with open(os.path.join(tree, name), "rb") as file:
        return file.read()


def sum_of(algorithm, hex):
    is_one = LENGTHS.get(algorithm) == len(hex) and re.fullmatch("[0-9a-fA-F]+", hex)
    return f"{algorithm}:{hex.lower()}" if is_one else None


def followed(href, page):
    """Where a link leads: its name in the tree, the directory that it goes to first, and its fragment."""
    directory = posixpath.dirname(page)
    base = SITE + urllib.parse.quote(f"{directory}/" if directory else "")
    try:
        url = urllib.parse.urlsplit(urllib.parse.urljoin(base, href))
    except ValueError:
        return None
    if url.netloc != "tree.invalid" or url.scheme != "http":
        return None
    path = url.path.removeprefix(f"/{ABOVE}") if url.path.startswith(f"/{ABOVE}") else url.path.lstrip("/")
    if path.startswith("above/"):
        return None
    name = urllib.parse.unquote(path, "latin-1")
    if name.strip("/") == "":
        return None
    # Of a directory that a mirror may lack as a whole; nothing if the file lies beside the page, or below it.
    shared = posixpath.commonpath([name.strip("/"), directory]) if directory else ""
    first = name.strip("/")[len(shared) :].lstrip("/").split("/")[0]
    place = posixpath.join(shared, first)
    return name, None if shared == directory or place == name else place, urllib.parse.unquote(url.fragment)


def metadata(about, said, by, place):
    """`said`: false, true, or a checksum."""
    if said:
        depth = {"by": by, "size": None, "depth": "always", "place": place}
        yield {**depth, "about": f"{about}.metadata", "sum": None if said is True else said}


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.anchors, self.open, self.tags, self.is_index, self.title = [], set(), 0, False, None

    def handle_starttag(self, tag, attributes):
        self.tags += 1
        self.open.add(tag)
        found = dict(reversed(attributes))
        if tag == "a":
            self.anchors.append(found)
        if tag == "meta" and found.get("name") == "pypi:repository-version":
            self.is_index = True

    def handle_endtag(self, tag):
        self.tags += 1
        self.open.discard(tag)

    def handle_data(self, data):
        if "title" in self.open and re.fullmatch(r"\s*simple index\s*", data, re.I):
            self.is_index = True


def of_python_html(tree, name):
    page = Page()
    page.feed(text_of(tree, name).decode("latin-1"))
    rest = page.rawdata
    if page.tags == 0 or "<" in rest or page.open & {"a", "html", "title"}:
        raise ValueError("cut off")
    directory = posixpath.dirname(name)
    for anchor in page.anchors:
        link = followed(anchor.get("href") or "", name)
        if link is None:
            continue
        about, place, fragment = link
        if about.endswith("/"):
            project = posixpath.basename(about.rstrip("/"))
            if posixpath.dirname(about.rstrip("/")) == directory:
                yield from of_project(name, directory, project, "index.html")
            continue
        algorithm, _, hex = fragment.partition("=")
        sum = sum_of(algorithm, hex)
        # Other pages of a site have links, too.
        own = page.is_index or release_of(posixpath.basename(directory), posixpath.basename(about))
        if sum is None and not (own and RELEASE.search(about)):
            continue
        yield {"by": name, "about": about, "size": None, "sum": sum, "depth": "always", "place": place}
        said = anchor.get("data-core-metadata", anchor.get("data-dist-info-metadata"))
        if said and said != "false":
            yield from metadata(about, sum_of(*said.partition("=")[::2]) or True, name, place)


PAGES = ("index.html", "index.v1_html", "index.v1_json")


def normalized(name):
    return re.sub("[-_.]+", "-", name).lower()


def release_of(project, file):
    return normalized(file).startswith(f"{normalized(project)}-")


def of_project(by, directory, project, page):
    """A project has a page of any form, where clients ask for it."""
    own = posixpath.join(directory, project)
    asked = posixpath.join(directory, normalized(project))
    others = [posixpath.join(place, other) for place in (own, asked) for other in PAGES]
    said = {"by": by, "size": None, "sum": None, "depth": "always"}
    yield {**said, "about": posixpath.join(own, page), "others": others}


def of_python_json(tree, name):
    page = json.loads(text_of(tree, name).decode("utf-8", "replace"))
    directory = posixpath.dirname(name)
    if not isinstance(page["meta"]["api-version"], str):
        raise ValueError("no index")
    for project in page.get("projects", []):
        yield from of_project(name, directory, normalized(project["name"]), posixpath.basename(name))
    for file in page.get("files", []):
        link = followed(file["url"].encode().decode("latin-1"), name)
        if link is None:
            continue
        about, place, _ = link
        sums = [sum_of(algorithm, hex) for algorithm, hex in (file.get("hashes") or {}).items()]
        size = file.get("size")
        yield {
            "by": name,
            "about": about,
            "size": size,
            "sum": next(filter(None, sums), None),
            "depth": "always" if size is None else "content",
            "place": place,
        }
        said = file.get("core-metadata")
        if isinstance(said, dict):
            said = next(filter(None, (sum_of(*one) for one in said.items())), True)
        yield from metadata(about, said, name, place)


def sum_of_integrity(dist):
    for one in (dist.get("integrity") or "").split():
        algorithm, _, text = one.partition("-")
        try:
            found = sum_of(algorithm, base64.b64decode(text).hex())
        except binascii.Error:
            found = None
        if found:
            return found
    return sum_of("sha1", dist.get("shasum", ""))


def dists_in(document):
    """A version without a tarball is none that can be installed."""
    for version in document.get("versions", {}).values():
        dist = version.get("dist", {})
        if isinstance(dist.get("tarball"), str):
            yield dist


def of_npm(tree, name):
    document = json.loads(text_of(tree, name).decode())
    directory = posixpath.dirname(name)
    is_verdaccio = "_distfiles" in document
    kept = document.get("_attachments", {})
    dists = list(dists_in(document))
    # Other files of that name describe one version.
    if not dists and not kept:
        return
    if not dists or not document["name"]:
        raise ValueError("no versions, or no name")
    # That of another package may say where the tarballs of that are.
    if not f"/{directory}".endswith(f"/{document['name']}"):
        return
    for dist in dists:
        file = posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(dist["tarball"]).path))
        yield {
            "by": name,
            "about": posixpath.join(directory, file if is_verdaccio else f"-/{file}"),
            "size": None,
            "sum": sum_of_integrity(dist),
            "depth": "always",
            "optional": is_verdaccio and file not in kept,
        }


def of_npm_list(tree, name):
    directory = posixpath.dirname(name)
    for own in json.loads(text_of(tree, name).decode("utf-8", "replace")).get("list", []):
        place = posixpath.join(directory, own)
        said = {"by": name, "size": None, "sum": None, "depth": "always", "place": place}
        yield {**said, "about": posixpath.join(place, "package.json")}
