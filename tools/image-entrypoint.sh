#!/bin/sh
# Entry point of the image that tools/image.sh builds: makes the cluster on the first start, then becomes the
# server. The database is created in single-user mode, so that the port never answers before everything is there.
set -eu

: "${POSTGRES_PASSWORD:?POSTGRES_PASSWORD must be set}"
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
data=${PGDATA:-/var/lib/postgresql/data}

case "${1:-postgres}" in
    -*) set -- postgres "$@" ;;
    postgres) ;;
    *) exec "$@" ;;
esac

as_postgres() {
    setpriv --reuid=postgres --regid=postgres --init-groups "$@"
}

if [ ! -s "$data/PG_VERSION" ]; then
    install -d -o postgres -g postgres -m 0700 "$data"
    password_file=$(mktemp)
    printf '%s' "$POSTGRES_PASSWORD" >"$password_file"
    chown postgres "$password_file"
    as_postgres initdb --pgdata="$data" --username="$user" --pwfile="$password_file" \
        --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    rm -f "$password_file"
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    if [ "$database" != postgres ]; then
        printf 'create database "%s" owner "%s";\n' "$database" "$user" \
            | as_postgres postgres --single -D "$data" postgres >/dev/null
    fi
fi

exec setpriv --reuid=postgres --regid=postgres --init-groups "$@" -D "$data" -c 'listen_addresses=*'
