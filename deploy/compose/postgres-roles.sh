#!/bin/sh
# Run once by the image of PostgreSQL, as its superuser, when the volume is empty. `fengping` owns the database and creates the roles of the
# services, but is no superuser; `fengping_monitor` reads statistics for postgres-exporter and no table.
set -eu
# psql quotes the passwords; -v would show them to every process, so it reads them from the files itself.
psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --dbname postgres <<SQL
\set migrate_password \`cat ${SECRETS:-/run/secrets}/postgres-migrate\`
\set monitor_password \`cat ${SECRETS:-/run/secrets}/postgres-monitor\`
create role fengping login createrole password :'migrate_password';
create database fengping owner fengping;
create role fengping_monitor login in role pg_monitor password :'monitor_password';
\connect fengping
revoke all on database fengping from public;
grant connect on database fengping to fengping_monitor;
SQL
