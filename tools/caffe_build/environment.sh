# The part of tools/install_caffe.sh that makes .venv. Sourced by it; uses its say, fail, logged and folders.
# shellcheck shell=bash disable=SC2154  # variables that the other file sets

# What .venv was made from: written into it when it has been proved.
environment_stamp() {
    say "$root" "$2" "$1" "$slim"
    (cd "$root" && cat requirements.txt tools/install_caffe.sh tools/caffe_build/*.* tools/caffe_build/slim/*/*.py) |
        sha256sum
}

# .venv is the system Python's, of its present version, and was made in this place (its scripts name their folder).
is_usable_environment() {
    [[ -x $venv/bin/pip ]] && grep -qF "$venv" "$venv/bin/activate" &&
        [[ $("$venv/bin/python" -c "$python_identity" 2>/dev/null) == "$("$python" -c "$python_identity")" ]]
}
readonly python_identity='import sys; print(sys.base_prefix, sys.version)'

make_virtual_environment() {
    rm -f "$venv/stamp"
    is_usable_environment || {
        say "Making .venv ..."
        logged "$python" -m venv --clear "$venv" || fail_with_log "$python could not make the virtual environment $venv"
    }
}

# A pip.conf cannot be overruled by variables, but for `user`; nor left out whole, as it may name the only index.
check_pip() {
    local settings
    settings=$("$venv/bin/python" -m pip config list 2>>"$log" |
        grep -E "^(global|install)\.((target|prefix|root|python)='.+'|(no-deps|dry-run)='(1|true|yes|on)')" |
        paste -sd ' ') || true
    [[ -z $settings ]] ||
        fail "pip.conf says $settings, so that pip would not fill .venv; take that out (pip config unset), or set" \
            "PIP_CONFIG_FILE to a pip.conf without it"
}

fill_environment() {
    local site
    say "Installing the Python packages of requirements.txt ..."
    sed "${slim:+/^# ---- .* --slim/,\$d}" "$root/requirements.txt" >"$venv/requirements.txt"
    logged "$venv/bin/python" -m pip install --disable-pip-version-check --no-input ${slim:+--no-deps} \
        -r "$venv/requirements.txt" ||
        fail_with_log "pip could not install requirements.txt"
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    "$python" -c 'import sys; print(f"import sys; sys.path[:0] = {sys.argv[1:]}")' "$1/python" "$root" \
        >"$site/googlenet_rcnn.pth" # first, as PYTHONPATH may name another Caffe, or another clone
    [[ -z $slim ]] || say "$root/tools/caffe_build/slim" >>"$site/googlenet_rcnn.pth" # last, after what pip installs
    ln -sfn "$1" "$venv/caffe"
    cat >"$venv/bin/caffe" <<'WRAPPER'
#!/bin/sh
# Caffe's program. Its embedded Python takes the environment whose python3 comes first on the path: this one.
bin=$(dirname "$(readlink -f "$0")")
unset PYTHONHOME
PATH=$bin:$PATH
export PATH
exec "$bin/../caffe/bin/caffe" "$@"
WRAPPER
    cat >"$venv/bin/googlenet-rcnn" <<'PROGRAM'
#!/bin/sh
'''exec' "$(dirname "$(readlink -f "$0")")/python" "$0" "$@"
' '''
# pip's way to name an interpreter whose path has a space: to the shell the lines above are a command
from rcnn.__main__ import main

if __name__ == "__main__":
    main()
PROGRAM
    chmod +x "$venv/bin/caffe" "$venv/bin/googlenet-rcnn"
}
