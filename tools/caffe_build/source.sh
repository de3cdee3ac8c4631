# The part of tools/install_caffe.sh that gets Caffe's source. Sourced by it; uses its say, fail, logged and folders.
# shellcheck shell=bash disable=SC2154  # variables that the other file sets

# Debian's archive is BVLC's tree at this commit, unpatched; the last number is `tree_sha256` of it.
readonly commit=99bd99795dcdf0b1d3086a8d67ab1782a8a08383
readonly archive_sha256=e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c
readonly source_sha256=1e6d616d055c5315a13fad37478e0a0b8c48f8d0036f88ac1954a4959c28b75c
readonly repository=https://github.com/BVLC/caffe
readonly suite=bullseye

# One number for all files of a source tree but those hidden at its top: git's and the CI's, which no build reads.
tree_sha256() {
    (cd "$1" && find . -type f -not -path './.*' -print0 | sort -z | xargs -0 -r sha256sum) | sha256sum | cut -c 1-64
}

# safe.directory: a checkout may belong to another user, and nothing in it is run before the commit is known.
git_in() { git -c safe.directory='*' -C "$@"; }

check_given_source() {
    local head
    [[ -n ${CAFFE_SOURCE:-} ]] || return 0
    [[ -d $CAFFE_SOURCE ]] || fail "CAFFE_SOURCE: no such folder: $CAFFE_SOURCE"
    if [[ -e $CAFFE_SOURCE/.git ]] && command -v git >/dev/null; then
        head=$(git_in "$CAFFE_SOURCE" rev-parse HEAD 2>/dev/null) || head="no commit"
        [[ $head == "$commit" ]] || fail "CAFFE_SOURCE: $CAFFE_SOURCE is at $head; run: git checkout $commit"
    else
        [[ $(tree_sha256 "$CAFFE_SOURCE") == "$source_sha256" ]] ||
            fail "CAFFE_SOURCE: the files in $CAFFE_SOURCE are not those of BVLC Caffe's commit $commit;" \
                "unpack that commit anew, or unset CAFFE_SOURCE to have it fetched"
    fi
}

source_from_folder() {
    say "Caffe's source: $CAFFE_SOURCE"
    mkdir "$1"
    if [[ -e $CAFFE_SOURCE/.git ]]; then
        git_in "$CAFFE_SOURCE" archive "$commit" | tar -x -C "$1"
    else
        cp -R "$CAFFE_SOURCE/." "$1"
        chmod -R u+w "$1"
    fi
}

source_from_debian() {
    local apt=$1.apt
    local private=(apt-get -q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt/parts"
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Debug::NoLocking=1
        -o "APT::Sandbox::User=$(id -un)")
    mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
    "$python" "$root/tools/caffe_build/debian_source.py" "$suite" >"$apt/parts/$suite.sources" 2>>"$log"
    [[ -s $apt/parts/$suite.sources ]] || return 1
    logged "${private[@]}" update || true # one mirror of several may lack the suite
    (cd "$apt" && logged "${private[@]}" source --download-only caffe) || return 1
    (cd "$apt" && sha256sum --status -c <<<"$archive_sha256  $(echo caffe_*.orig.tar.gz)") 2>>"$log" || return 1
    mkdir "$1"
    tar -xzf "$apt"/caffe_*.orig.tar.gz -C "$1"
    say "Caffe's source: Debian's source package caffe, suite $suite"
}

source_from_git() {
    mkdir "$1"
    logged git -C "$1" init -q && logged git -C "$1" fetch -q --depth 1 "$repository" "$commit" &&
        logged git -C "$1" checkout -q "$commit" || return 1
    say "Caffe's source: $repository"
}

get_source() {
    if [[ -n ${CAFFE_SOURCE:-} ]]; then
        source_from_folder "$1"
    else
        say "Fetching Caffe's source ..."
        source_from_debian "$1" || source_from_git "$1" ||
            fail_with_log "Caffe's source came neither from Debian nor from $repository; give a folder as CAFFE_SOURCE"
    fi
}
