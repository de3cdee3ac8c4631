"""Print apt entries for the source packages of another Debian suite, from this machine's own mirror and keyring.

    /usr/bin/python3 tools/caffe_build/debian_source.py bullseye > /tmp/parts/bullseye.sources

Reads sources.list and sources.list.d (both formats) and prints one deb822 stanza for each mirror of Debian's main
archive in them, in their order.  Mirrors are told by the suite that they are asked for: Debian's own names, with no
suffix (-security, -updates and other archives have another layout).  Prints nothing where there is no such entry.

Runs before anything is installed, so it uses the standard library of the system's Python only.
"""

import argparse
import re
from pathlib import Path

KINDS = ("stable", "oldstable", "oldoldstable", "testing", "unstable", "sid")


def one_line(text):
    """Yield the fields of each entry of a one-line-style file, as a dict from deb822's names to strings."""
    entry = re.compile(r"\s*deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>[^#]*)")
    for line in text.splitlines():
        match = entry.match(line)
        if match:
            options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
            kept = {name.title(): value for name, value in options.items() if name.title() in ("Signed-By", "Trusted")}
            yield {"URIs": match["uri"], "Suites": match["suite"], "Components": match["components"].strip(), **kept}


def deb822(text):
    """Yield the fields of each enabled `deb` stanza of a deb822-style file, as `one_line` does.

    A value that goes on over several lines (a key in the entry itself) keeps its lines.
    """
    text = re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)
    for stanza in re.split(r"\n\s*\n", text):
        fields = {
            name.title(): value.strip(" \t")
            for name, value in re.findall(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza, flags=re.MULTILINE)
        }
        if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes").lower() not in ("no", "false"):
            yield {
                "URIs": fields.get("Uris", ""),
                "Suites": fields.get("Suites", ""),
                "Components": fields.get("Components", ""),
                **{name: fields[name] for name in ("Signed-By", "Trusted") if name in fields},
            }


def entries(folder):
    """Yield the fields of every entry of an apt configuration folder (/etc/apt), in apt's order of reading."""
    folder = Path(folder)
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    for file in files:
        if file.is_file() and file.suffix in (".list", ".sources"):
            read = deb822 if file.suffix == ".sources" else one_line
            yield from read(file.read_text(encoding="utf-8", errors="replace"))


def source_stanzas(folder, codename, suite):
    """Return deb-src stanzas for `suite`, one for each mirror in `folder` that serves `codename`'s main archive."""
    stanzas = []
    for entry in entries(folder):
        if "main" in entry["Components"].split() and set(entry["Suites"].split()) & {codename, *KINDS}:
            lines = ["Types: deb-src", f"URIs: {entry['URIs']}", f"Suites: {suite}", "Components: main"]
            lines += [f"{name}: {entry[name]}" for name in ("Signed-By", "Trusted") if name in entry]
            if "\n".join(lines) not in stanzas:
                stanzas.append("\n".join(lines))
    return stanzas


def codename_of(release):
    """Return the code name ("bookworm") in the text of an os-release file; "" where it has none."""
    match = re.search(r'^VERSION_CODENAME="?([\w-]+)"?$', release, flags=re.MULTILINE)
    return match[1] if match else ""


def main():
    """Print the stanzas of the suite that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", help="code name of the suite whose source packages are wanted, such as bullseye")
    parser.add_argument("--apt", default="/etc/apt", help="apt's configuration folder (%(default)s)")
    arguments = parser.parse_args()
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    print("\n\n".join(source_stanzas(arguments.apt, codename_of(release), arguments.suite)))


if __name__ == "__main__":
    main()
