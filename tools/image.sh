#!/usr/bin/env bash
# Builds a local PostgreSQL container image from the machine's own Debian packages.
#
# For machines that have a Docker daemon but no image registry. The image speaks POSTGRES_USER,
# POSTGRES_PASSWORD and POSTGRES_DB and takes server options as arguments, like the official one.
#
#   tools/image.sh [NAME]      NAME defaults to $CHANGEFEED_TEST_IMAGE, then to postgres:16
#
# An image of that name that is already there is left alone (remove it with `docker rmi NAME`). PostgreSQL is
# Debian's version, whatever the tag says. Needs root, docker, debootstrap and a running daemon; writes to a
# temporary folder only, which it removes.
set -euo pipefail

name=${1:-${CHANGEFEED_TEST_IMAGE:-postgres:16}}
here=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "tools/image.sh: $1" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "debootstrap needs root: run it with sudo"
for tool in docker debootstrap tar; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install docker.io debootstrap tar"
done
docker info >/dev/null 2>&1 || fail "no Docker daemon answers: start dockerd"

if docker image inspect "$name" >/dev/null 2>&1; then
    echo "tools/image.sh: $name is already here"
    exit 0
fi

. /etc/os-release
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Identifier: Packages' 'Component: main' \
    | awk -v codename="${VERSION_CODENAME:?}" '$1 == codename { print $2; exit }')
[ -n "$mirror" ] || fail "apt knows no mirror of $VERSION_CODENAME: run apt-get update first"

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root

debootstrap --variant=minbase --include=postgresql "$VERSION_CODENAME" "$root" "$mirror" >"$work/log" 2>&1 \
    || { tail -n 20 "$work/log" >&2; fail "debootstrap failed; the end of its log is above"; }

binaries=$(cd "$root" && echo usr/lib/postgresql/*/bin)
[ -x "$root/$binaries/postgres" ] || fail "the packages brought no PostgreSQL server"
install -m 0755 "$here/image-entrypoint.sh" "$root/usr/local/bin/image-entrypoint"
rm -rf "$root"/var/lib/postgresql/* "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*

tar --create --directory "$root" --one-file-system --exclude=./proc/* --exclude=./sys/* --exclude=./dev/* . \
    | docker import \
        --change "ENV PATH=/usr/local/bin:/$binaries:/usr/bin:/bin" \
        --change 'ENTRYPOINT ["image-entrypoint"]' \
        --change 'CMD ["postgres"]' \
        --change 'EXPOSE 5432' \
        - "$name" >/dev/null
echo "tools/image.sh: built $name from $VERSION_CODENAME's packages ($(basename "$(dirname "$binaries")"))"
