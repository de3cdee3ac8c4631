#!/usr/bin/env bash
#
# Prints the Debian packages that programs and libraries in folders need to run, one a line, with Python and make.
#
#     tools/caffe_build/runtime_packages.sh ~/.cache/googlenet-rcnn .venv
#
# For an image that has neither compilers nor headers: the names of library packages differ from one release to the
# next, so they are read off what was built. Libraries that no package brought (NVIDIA's wheels) are left out.

set -euo pipefail

# A package lists a library by one of the two paths that it has where /lib is a link to /usr/lib.
both_paths() { sed -E 'p; s|^/usr/lib|/lib|; t; s|^/lib|/usr/lib|'; }

{
    printf '%s\n' make python3
    # ldd fails where one of the files is a script
    { find "$@" -type f \( -name '*.so*' -o -perm -u+x \) -exec ldd {} + 2>/dev/null || true; } |
        sed -nE 's/.* => (\/[^ ]+) \(0x.*/\1/p' | sort -u | xargs realpath | both_paths |
        { xargs dpkg -S 2>/dev/null || true; } | sed -E '/^diversion by /d; s/:.*//'
} | sort -u
