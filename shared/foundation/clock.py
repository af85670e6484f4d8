"""The clock: the only module that reads or virtualises time.

Context: whether something is due is decided by the database's clock alone (`public.app_now()`), so
that a wrong clock on one machine can neither fire a deadline early nor miss one. Tests and the demo
need other times than now.
Decision: virtual time is a table behind that SQL function and nothing else. In production the
function is plain `statement_timestamp()` and the table does not exist; a service whose environment
is production refuses to start when it does.
Consequences: no code branches on virtual time; latency and health are measured with the real clock,
legal time with `app_now()`.
Alternatives: a fake clock injected into every service (processes could disagree); libfaketime (not
portable).
"""

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

# CLOCK_MONOTONIC stops while a machine is suspended: the clock guard would take that for a jump.
_MONOTONIC_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

CHINA = ZoneInfo("Asia/Shanghai")
"""Civil dates of every deadline and page."""

REAL_CLOCK_DDL = """
create or replace function public.app_now() returns timestamptz language sql stable parallel safe
as $$ select statement_timestamp() $$;
"""

VIRTUAL_CLOCK_DDL = """
create table if not exists public.virtual_clock (
  single boolean primary key default true check (single),
  anchor_virtual timestamptz not null,
  anchor_real timestamptz not null default clock_timestamp(),
  rate double precision not null default 1 check (rate >= 0),
  catch_up boolean not null default false
);
grant select on public.virtual_clock to public;
create or replace function public.app_now() returns timestamptz language sql stable
as $$
  select coalesce((
    select case when catch_up then least(v, statement_timestamp()) else v end
    from (
      select anchor_virtual + (statement_timestamp() - anchor_real) * rate as v, catch_up
      from public.virtual_clock
    ) c
  ), statement_timestamp())
$$;
"""

SET_VIRTUAL_CLOCK = """
insert into public.virtual_clock (single, anchor_virtual, anchor_real, rate, catch_up)
values (true, $1, clock_timestamp(), $2, $3)
on conflict (single) do update
set anchor_virtual = excluded.anchor_virtual, anchor_real = excluded.anchor_real,
  rate = excluded.rate, catch_up = excluded.catch_up
"""
"""$1: the instant at which virtual time starts. $2: virtual seconds per real second, 0 stops time.
$3: whether virtual time stops at the real time.
"""


def real_now() -> datetime:
    """Return the machine's time, aware UTC: for logs and health, never for what is due."""
    return datetime.now(UTC)


def monotonic_seconds() -> float:
    """Return seconds of a clock that never jumps, for durations and time-outs.

    It includes the time that the machine was suspended.
    """
    return time.clock_gettime(_MONOTONIC_CLOCK)
