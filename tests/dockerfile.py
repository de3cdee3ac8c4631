"""Print the steps of a Dockerfile as calls of shell functions, for tests/clean_room.sh, which has no Docker.

    python3 tests/dockerfile.py Dockerfile BASE=debian:12 OPTIONS=--cpu

The functions: `stage NAME IMAGE`, `run USER FOLDER VARIABLE=VALUE... -- COMMAND`, `copy STAGE OWNER DESTINATION
SOURCE...` (STAGE "" is the context, OWNER "" root), and at the end `enter USER FOLDER VARIABLE=VALUE...`, which is
where a container starts.  Knows what the Dockerfile here uses, and refuses the rest.
"""

import json
import posixpath
import re
import shlex
import sys

IGNORED = {"CMD"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def instructions(text):
    """Yield (name, rest) of each instruction of a Dockerfile, comments left out and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line.strip():
            name, rest = line.strip().split(None, 1)
            yield name.upper(), rest.strip()


def expanded(text, variables):
    """Return `text` with $NAME and ${NAME} replaced; an unknown one is an error, as it would be empty in Docker."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: variables[match[1]], text)


def options(words):
    """Return ({name: value} of the leading --name=value words, the other words)."""
    count = next((index for index, word in enumerate(words) if not word.startswith("--")), len(words))
    return dict(word[2:].partition("=")[::2] for word in words[:count]), words[count:]


def calls(text, arguments):
    """Yield the calls as lists of words.

    arguments: {name: value} of the build.  Raises SystemExit for a name that no ARG has, and for what is not known.
    """
    unused, outside, variables, stage = dict(arguments), {}, {}, None
    for name, rest in instructions(text):
        if name == "ARG":
            key, default = rest.split("=", 1) if "=" in rest else (rest, outside.get(rest, ""))
            unused.pop(key, None)
            value = arguments.get(key, default.strip("\"'"))
            (outside if stage is None else variables)[key] = value
        elif name == "FROM":
            image, *alias = expanded(rest, outside).split()
            stage = alias[1] if alias else "final"
            variables, user, folder = {"PATH": PATH}, "root", "/"
            yield ["stage", stage, image]
        elif name == "ENV":
            for word in shlex.split(rest):
                key, value = word.split("=", 1)
                variables[key] = expanded(value, variables)
        elif name == "WORKDIR":
            folder = posixpath.join(folder, expanded(rest, variables))
        elif name == "USER":
            user = expanded(rest, variables)
        elif name == "COPY":
            flags, words = options(shlex.split(expanded(rest, variables)))
            *sources, target = words
            slash = "/" if target.endswith("/") or len(sources) > 1 else ""
            yield [
                "copy",
                flags.pop("from", ""),
                flags.pop("chown", ""),
                posixpath.normpath(posixpath.join(folder, target)) + slash,
                *sources,
            ]
            if flags:
                raise SystemExit(f"COPY: unknown options {flags}")
        elif name == "RUN":
            command = json.loads(rest) if rest.startswith("[") else ["sh", "-c", rest]
            yield ["run", user, folder, *(f"{key}={value}" for key, value in variables.items()), "--", *command]
        elif name not in IGNORED:
            raise SystemExit(f"{name}: tests/dockerfile.py does not know this instruction")
    yield ["enter", user, folder, *(f"{key}={value}" for key, value in variables.items())]
    if unused:
        raise SystemExit(f"the Dockerfile has no ARG {', '.join(unused)}")


def main():
    path, *words = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for call in calls(text, dict(word.split("=", 1) for word in words)):
        print(shlex.join(call))


if __name__ == "__main__":
    main()
