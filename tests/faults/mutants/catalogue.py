"""The breaches. Each is a small edit of the sources and the narrowest test that must catch it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.mutants.source_edit import Edit

AUTHENTICITY = "tests/shared/test_event_authenticity.py"
BUS, FAULTS, DATABASE, TICKS = (
    "tests/shared/test_messaging.py",
    "tests/shared/test_messaging_faults.py",
    "tests/shared/test_storage.py",
    "tests/shared/test_jobs.py",
)
SIGN_IN, SECOND_FACTOR = (
    "tests/shared/test_sign_in.py",
    "tests/intake/test_second_factor.py",
)
CONSUMER, RELAY, STORE = (
    "shared/messaging",
    "shared/messaging",
    "shared/messaging",
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule that is broken, how, and who must notice."""

    name: str
    edits: Sequence[Edit]
    test: str


def one(name: str, where: str, old: str, new: str, test: str) -> Mutant:
    """A mutant of a single edit."""
    return Mutant(name, (Edit(where, old, new),), test)


CATALOGUE: tuple[Mutant, ...] = (
    one(
        "offsets are committed before the transaction",
        CONSUMER,
        '            failpoint("consumer.after_fetch")\n',
        '            failpoint("consumer.after_fetch")\n            self._offsets.add(batch)\n            await self._offsets.commit_now()\n',
        f"{FAULTS}::test_no_offset_is_committed_while_the_handler_runs",
    ),
    one(
        "the relay follows a cursor over ids",
        RELAY,
        "rows = await outbox.pending(connection, self._shards.owned, RELAY_BATCH_MAX)\n",
        "last = getattr(self, 'last', 0)\npending = await outbox.pending(connection, self._shards.owned, RELAY_BATCH_MAX)\nrows = [row for row in pending if row.id > last]\nself.last = max((row.id for row in rows), default=last)\n",
        f"{FAULTS}::test_event_that_commits_after_a_later_one_is_published",
    ),
    one(
        "relays take shards without a lock",
        RELAY,
        'await self.connection.fetchval("select pg_try_advisory_lock($1)", key)',
        'await self.connection.fetchval("select $1::bigint is not null", key)',
        f"{BUS}::test_three_relays_and_twelve_writers_keep_every_event_in_order",
    ),
    Mutant(
        "the outbox number is drawn before the aggregate is locked",
        (
            Edit(
                "shared/storage",
                "), e as (\n  select * from unnest(",
                "), e as (\n  select t.*, nextval(pg_get_serial_sequence('outbox', 'id')) as id from unnest(",
            ),
            Edit(
                "shared/storage",
                "insert into outbox (event_id, topic, key, version, type, body, occurred_at, shard, trace)\nselect event_id,",
                "insert into outbox (id, event_id, topic, key, version, type, body, occurred_at, shard, trace)\n"
                "overriding system value select id, event_id,",
            ),
        ),
        f"{DATABASE}::test_twelve_writers_draw_ids_in_the_order_of_versions",
    ),
    one(
        "two batches of one partition are at work at once",
        CONSUMER,
        "return all(partitions.isdisjoint(last_offsets(other)) for other in in_progress)\n",
        "del partitions, in_progress\nreturn True\n",
        f"{FAULTS}::test_next_batch_of_a_partition_waits_for_the_running_one",
    ),
    one(
        "what was read ahead of a batch that is put back is taken out of turn",
        CONSUMER,
        "        if not rewound:\n            return batch\n",
        "        return batch\n",
        f"{FAULTS}::test_records_fetched_ahead_of_a_refetched_batch_are_fetched_again",
    ),
    one(
        "a hearer keeps no inbox",
        STORE,
        "if inserted.fresh is None:\n        return list(events), _version_check(events, inserted.versions, inserted.has_buffered)\n",
        "return list(events), _version_check(events, inserted.versions, inserted.has_buffered)\n",
        f"{FAULTS}::test_ballot_delivered_three_times_counts_once",
    ),
    one(
        "a gate read before the wait for another replica counts",
        STORE,
        "remaining = {str(event_id) for event_id in inserted.fresh}\n",
        "if inserted.fresh:\n    events = [a for a in events if a.meta.event_id in inserted.fresh]\n    return list(events), VersionCheck({a.aggregate: 0 for a in events}, [])\nremaining = {str(event_id) for event_id in inserted.fresh}\n",
        f"{FAULTS}::test_versions_are_read_again_after_waiting_for_another_replica",
    ),
    one(
        "a hearer takes versions as they come",
        STORE,
        "if not before:\n        return CheckedEvents(list(fresh), 0, {})\n",
        "return CheckedEvents(list(fresh), 0, {})\n",
        f"{BUS}::test_permuted_versions_take_effect_in_order",
    ),
    one(
        "a missing predecessor is not asked for",
        "shared/messaging",
        "            if buffered:\n",
        "            if buffered < 0:\n",
        f"{BUS}::test_missing_predecessor_is_requested_and_resent",
    ),
    one(
        "what cannot be read is skipped",
        CONSUMER,
        "batch = [_read(record) for record in records]\n",
        "batch = [item for item in map(_read, records) if isinstance(item, IncomingEvent)]\n",
        f"{BUS}::test_poison_is_dead_lettered_with_its_bytes_and_blocks_nothing",
    ),
    one(
        "a consumer does not check the MAC of events",
        CONSUMER,
        "        verifier.check(record)\n        return read(record)\n",
        "        return read(record)\n",
        f"{AUTHENTICITY}::test_forged_event_is_dead_lettered_counted_and_without_effect",
    ),
    one(
        "any MAC will do",
        CONSUMER,
        "if not compare_digest(b2a_base64(mac.digest(), newline=False), given):",
        "if not given:",
        f"{AUTHENTICITY}::test_changed_body_key_or_topic_is_forged",
    ),
    one(
        "headers are not covered by the MAC",
        CONSUMER,
        "for name, value in sorted(headers):\n",
        "for name, value in sorted(headers)[:0]:\n",
        f"{AUTHENTICITY}::test_changed_headers_are_forged",
    ),
    one(
        "a source publishes topics of another",
        CONSUMER,
        " or not may_publish(name, unprefixed):",
        ":",
        f"{AUTHENTICITY}::test_source_must_own_the_topic_even_if_it_has_a_key_for_it",
    ),
    one(
        "a retired key is accepted",
        CONSUMER,
        "            if key.accepts_at(now)\n",
        "",
        f"{AUTHENTICITY}::test_old_key_is_accepted_until_its_retirement",
    ),
    one(
        "every service has every secret of events",
        CONSUMER,
        "    return [topic for topic in published_topics(source) if topic in consumed_topics(reader)]\n",
        "    return published_topics(source)\n",
        f"{AUTHENTICITY}::test_a_service_holds_the_secrets_of_its_topics_only",
    ),
    one(
        "a forgery is replayed without a check",
        CONSUMER,
        "if entry.reason == FORGED:",
        "if entry.reason == '':",
        f"{AUTHENTICITY}::test_replayed_forgery_stays_pending_until_its_key_is_known",
    ),
    one(
        "a forgery keeps the genuine event away",
        STORE,
        "\n      and d.reason <> 'forged')",
        ")",
        f"{AUTHENTICITY}::test_forged_event_does_not_keep_the_genuine_one_away",
    ),
    one(
        "a sender has replies published where it likes",
        CONSUMER,
        "        no_reply=True,\n",
        "        no_reply=False,\n",
        f"{AUTHENTICITY}::test_reply_to_header_makes_the_consumer_publish_nothing",
    ),
    one(
        "a dead letter is kept without its bytes",
        STORE,
        "record.topic, record.partition, record.offset, record.key, record.value,\n",
        "record.topic, record.partition, record.offset, record.key, b'',\n",
        f"{BUS}::test_poison_is_dead_lettered_with_its_bytes_and_blocks_nothing",
    ),
    one(
        "a failing event is tried for ever",
        CONSUMER,
        "ATTEMPTS_MAX = 5\n",
        "ATTEMPTS_MAX = 500\n",
        f"{BUS}::test_retriable_bug_is_retried_a_bounded_number_of_times",
    ),
    one(
        "a dead letter is put back without asking whether it was",
        "shared/messaging",
        '"update dead_letters set state = $2, resolved_at',
        '"update dead_letters set reason = coalesce(reason, $2), resolved_at',
        f"{BUS}::test_failing_aggregate_is_quarantined_and_replayed_in_order",
    ),
    one(
        "only the first page of dead letters is put back",
        STORE,
        'order by topic, aggregate, version, id",\n        only, reason,\n',
        'order by topic, aggregate, version, id limit $3",\n        only, reason, DEAD_LETTERS_MAX,\n',
        f"{FAULTS}::test_replay_is_not_limited_to_one_page",
    ),
    one(
        "events are marked before the broker has them",
        RELAY,
        "acked = await self._publisher.send(rows)\n",
        'await connection.execute(\n    "update outbox set published_at = now() where id = any($1)", [row.id for row in rows]\n)\nacked = await self._publisher.send(rows)\n',
        f"{FAULTS}::test_events_that_the_broker_rejected_are_sent_again",
    ),
    one(
        "the relay trusts the broker's memory",
        RELAY,
        "for tp in await lost_partitions(self._settings, expected):\n            await self._republish(tp)",
        "for tp in (await lost_partitions(self._settings, expected))[:0]:\n            await self._republish(tp)",
        f"{BUS}::test_wiped_broker_is_refilled_and_nothing_takes_effect_twice",
    ),
    one(
        "a frozen relay keeps its shards",
        "shared/storage",
        ' | {"idle_session_timeout": str(1000 * SESSION_IDLE_SECONDS)}',
        "",
        f"{BUS}::test_frozen_relay_loses_its_shards_to_another_process",
    ),
    one(
        "records carry the sender's clock",
        "shared/messaging",
        '"LogAppendTime"',
        '"CreateTime"',
        f"{BUS}::test_events_of_a_publisher_with_a_wrong_clock_are_consumed",
    ),
    one(
        "an error that nobody thought of ends the relay",
        RELAY,
        "except Exception as error:\n                    # Whatever it is: without a relay",
        "except KeyError as error:\n                    # Whatever it is: without a relay",
        f"{FAULTS}::test_bus_task_survives_an_unexpected_error[Relay-_send_batch]",
    ),
    one(
        "a relay that closes swallows the order to stop",
        "shared/messaging",
        "        if task and task.cancelling():\n            raise\n",
        "        del task\n",
        f"{FAULTS}::test_restarting_relay_can_be_stopped",
    ),
    one(
        "a look at the logs that failed is passed over",
        CONSUMER,
        "self._failed = True\n        self._verified.set()\n",
        "self._verified.set()\n",
        f"{FAULTS}::test_replaced_log_is_read_from_its_start_after_a_failed_verification",
    ),
    one(
        "what is due is decided by the application's clock",
        "services/casework",
        "where state = 'running' and due_at <= public.app_now() order by due_at",
        "where state = 'running' and due_at <= statement_timestamp() order by due_at",
        "tests/casework/test_deadlines.py::test_a_lapse_is_published_at_its_time_and_not_before",
    ),
    one(
        "two workers claim the same deadline",
        "services/casework",
        "due_at <= public.app_now() order by due_at limit $1\n  for update skip locked",
        "due_at <= public.app_now() order by due_at limit $1",
        "tests/casework/test_deadlines.py::test_two_workers_publish_each_lapse_exactly_once",
    ),
    one(
        "a job does not prove the clock",
        "shared/runtime",
        "await self.clock_guard.read(tx)\n            if self._is_paused(job):\n",
        "if self._is_paused(job):\n",
        f"{TICKS}::test_job_that_runs_before_the_guard_checks_does_not_act_on_a_jumped_clock",
    ),
    one(
        "what an exception leaves is committed all the same",
        "shared/storage",
        '                await connection.execute("rollback")\n',
        '                await connection.execute("commit")\n',
        f"{DATABASE}::test_exception_writes_nothing",
    ),
    one(
        "a commit does not wait for the disk",
        "shared/storage",
        '"synchronous_commit": "on",',
        '"synchronous_commit": "off",',
        "tests/faults/test_promises.py::test_a_commit_waits_for_the_disk",
    ),
    one(
        "answers are counted whether or not the ballot is new",
        "services/scoring",
        "    if new is not None:\n",
        "    if new is False:\n",
        "tests/scoring/test_rescoring.py::test_repeated_ballots_change_nothing",
    ),
    one(
        "a code is looked at and spent in two statements",
        "services/intake",
        " on conflict (campaign_id, id) do nothing returning 1\n",
        " on conflict (campaign_id, id) do update set receipt = excluded.receipt returning 1\n",
        "tests/intake/test_ballots.py::test_two_hundred_concurrent_ballots_of_one_code_count_once",
    ),
    one(
        "two sender workers take the same notification",
        "services/notify",
        "order by d.due_at, d.id limit $1 for update of d skip locked",
        "order by d.due_at, d.id limit $1",
        "tests/notify/test_deliveries.py::test_four_sender_workers_never_send_the_same_notification_twice",
    ),
    one(
        "a use whose answer was lost is refused when it is asked again",
        "shared/security",
        "  if not redis.call('ZSCORE', key, use) and redis.call('ZCARD', key) >= times then",
        "  if redis.call('ZCARD', key) >= times then",
        "tests/shared/test_redis.py::test_use_repeated_after_a_lost_answer_is_counted_once",
    ),
    one(
        "a use that one limit refuses fills the others",
        "shared/security",
        "if longest > 0 then return longest end",
        "if longest > 0 then for i, key in ipairs(KEYS) do redis.call('ZADD', key, now, use) end return longest end",
        "tests/shared/test_sign_in.py::test_third_party_does_not_lock_the_owner_out",
    ),
    one(
        "of writes that share a transaction a rejected one keeps its key",
        "shared/web",
        "    await release_keys(tx, rejected)\n",
        "",
        "tests/shared/test_idempotency.py::test_a_refusal_among_many_is_alone_and_its_key_stays_free",
    ),
    one(
        "a relay believes a log that grew past its mark to be the one it knows",
        RELAY,
        "  where m.log_offset < (select f.log_offset from firsts f where (f.topic, f.partition) = (m.topic, m.partition))\n",
        "",
        "tests/shared/test_messaging.py::test_wiped_log_that_grew_past_its_checkpoint_is_refilled",
    ),
    one(
        "a hearer is content with the partitions of the topics that are there",
        CONSUMER,
        "missing = [topic for topic in self._topics if not partitions_for_topic(topic)]\n",
        "del partitions_for_topic\nmissing: list[str] = []\n",
        f"{FAULTS}::test_assignment_made_while_topics_were_missing_is_repeated",
    ),
    one(
        "a number is looked for only where eleven digits stand together",
        "shared/security",
        "_TEN_DIGITS: Final = re.compile(digits(*[_D] * 10))",
        "_TEN_DIGITS: Final = re.compile(digits(*[_D] * 12))",
        "tests/shared/test_pii.py::test_other_kinds_are_found_where_they_stand",
    ),
    one(
        "a replay does not wait for the batches at work",
        "shared/messaging",
        "replay_lock = inbox.exclusive_replay_lock(database.schema)\n",
        'replay_lock = ""\n',
        f"{FAULTS}::test_replay_waits_for_running_batches_and_releases_their_buffered_events",
    ),
    one(
        "a sign-in believes what it read before it looked at the password",
        "services/intake",
        "unchanged = await store.lock_unchanged(tx, verified)",
        "unchanged = verified",
        "tests/intake/test_accounts.py::test_sign_in_fails_if_the_account_is_disabled_meanwhile",
    ),
    one(
        "a one-time code is accepted twice",
        "services/intake",
        '"update second_factors set last_step = $2 where account_id = $1 and last_step < $2",',
        '"update second_factors set last_step = $2 where account_id = $1",',
        f"{SECOND_FACTOR}::test_code_is_accepted_once_even_by_concurrent_requests",
    ),
    one(
        "a recovery code is accepted twice",
        "services/intake",
        '"where account_id = $1 and digest = $2 and used_at is null",',
        '"where account_id = $1 and digest = $2",',
        f"{SECOND_FACTOR}::test_recovery_code_signs_in_once",
    ),
    one(
        "a privileged account that is not enrolled signs in with its password",
        "services/intake",
        "return SignInStep.ENROLMENT if role in REQUIRED_ROLES else None",
        "return None",
        f"{SECOND_FACTOR}::test_password_alone_opens_no_privileged_session",
    ),
    one(
        "production may go without one-time codes",
        "shared/foundation",
        'if self.environment == "production" and self.second_factor == "waived":',
        'if self.environment == "nowhere" and self.second_factor == "waived":',
        f"{SECOND_FACTOR}::test_production_refuses_to_go_without",
    ),
    one(
        "a pending sign-in survives a new password",
        "services/intake",
        "if password_digest(known.password_hash) != pending.password_digest:",
        "if not pending.password_digest:",
        f"{SECOND_FACTOR}::test_new_password_ends_a_sign_in_that_waits_for_its_code",
    ),
    one(
        "one-time codes may be guessed without end",
        "services/intake",
        "wait_seconds = await limiter.hit(code_limit(account.id, source))",
        "wait_seconds = 0",
        f"{SECOND_FACTOR}::test_sixth_wrong_code_waits_and_the_known_device_has_its_own_budget",
    ),
    one(
        "new recovery codes leave the session token as it was",
        "services/intake",
        "    if token:\n        await sessions.revoke(token)\n",
        "    if not token:\n        await sessions.revoke(new)\n",
        f"{SECOND_FACTOR}::test_new_recovery_codes_replace_the_old_ones_and_the_session_token",
    ),
    one(
        "guesses of strangers lock a known network out",
        "shared/security",
        "    if not await limiter.is_marked(_network_mark(account_name, network)):\n        limits",
        "    if True:\n        limits",
        f"{SIGN_IN}::test_known_network_signs_in_while_the_whole_world_guesses",
    ),
    one(
        "guesses behind the same address lock a known device out",
        "shared/security",
        "    if source.device:\n        return await limiter.hit(",
        "    if not source:\n        return await limiter.hit(",
        f"{SIGN_IN}::test_known_device_signs_in_whatever_its_neighbours_type",
    ),
    one(
        "the mark of a known device may be copied to another",
        "shared/security",
        'text = f"{device}/{account_name}".encode()',
        "text = account_name.encode()",
        f"{SIGN_IN}::test_device_cookie_proves_one_device_and_its_accounts",
    ),
    one(
        "a new password leaves sessions behind",
        "services/intake",
        "        await _end_sessions(tx, account.id)\n        return await _new_session(tx, account)",
        "        return await _new_session(tx, account)",
        "tests/intake/test_accounts.py::test_new_password_ends_every_session_and_starts_a_new_one",
    ),
    one(
        "a proof is verified without the content of its entry",
        "shared/security",
        "proven_root(entry.computed_hash(), position, proof.size, proof.path)",
        'proven_root(entry.leaf_hash or b"", position, proof.size, proof.path)',
        "tests/shared/test_audit.py::test_each_entry_of_a_batch_is_proved_at_its_own_position_and_content_only",
    ),
    one(
        "a connection is held while a password is hashed",
        "services/intake/actions/accounts.py",
        "matches = await verify_password(password, password_hash)\n",
        "async with transactions():\n    matches = await verify_password(password, password_hash)\n",
        "tests/intake/test_flood.py::test_wrong_passwords_hold_no_connection_and_few_threads",
    ),
    one(
        "any number of passwords may wait to be hashed",
        "shared/security/passwords.py",
        "if _queue.length >= HASHES_AT_ONCE + HASHES_WAITING_MAX:",
        "if _queue.length < 0:",
        "tests/intake/test_flood.py::test_wrong_passwords_hold_no_connection_and_few_threads",
    ),
    one(
        "a policy admits every account that is signed in",
        "shared/web",
        "if not policy.allows(account):",
        "if account is None and not policy.allows(account):",
        "tests/shared/test_web_routing.py::test_wrong_role_gets_the_missing_permission",
    ),
    one(
        "a header name that is no text is left to the library",
        "shared/messaging",
        "    fetcher.MemoryRecords = CompatMemoryRecords\n",
        "    fetcher.MemoryRecords = MemoryRecords\n",
        f"{FAULTS}::test_non_utf8_header_name_blocks_nothing",
    ),
    one(
        "an event is parked for what its successor did",
        CONSUMER,
        "culprit = await self._give_up_successor(item, error, attempts)\n",
        "culprit = None\n",
        f"{FAULTS}::test_failing_buffered_event_is_dead_lettered_instead_of_its_predecessor",
    ),
    one(
        "an error is logged with its text",
        "shared/foundation",
        '    return {"error": type(error).__name__, "place": place}\n',
        '    return {"error": f"{type(error).__name__}: {error}", "place": place}\n',
        "tests/faults/test_promises.py::test_an_error_is_logged_without_its_text",
    ),
)
