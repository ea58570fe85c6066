-- What must never happen to a tool call, whoever writes: Django, a shell, another program.
-- A file is a list of guards; each begins with a line `-- guard: <name>`. Arrows are literals here
-- on purpose: this text must not change because some Python did.

-- guard: tool_call_starts_right
CREATE TRIGGER tool_call_starts_right BEFORE INSERT ON approvals_toolcall
BEGIN
    -- REPLACE deletes without asking the DELETE guard, so whatever is unique must be new: the id,
    -- SQLite's own row number, and what the unique indexes name, in the words of their conditions.
    SELECT RAISE(ABORT, 'guard: a tool call is never replaced')
    WHERE EXISTS (SELECT 1 FROM approvals_toolcall WHERE id = NEW.id)
    OR EXISTS (SELECT 1 FROM approvals_toolcall WHERE rowid = NEW.rowid)
    OR EXISTS (SELECT 1 FROM approvals_toolcall WHERE supersedes_id = NEW.supersedes_id)
    OR EXISTS (
        SELECT 1 FROM approvals_toolcall
        WHERE agent_id = NEW.agent_id AND idempotency_key = NEW.idempotency_key
        AND NOT idempotency_key = ''
    )
    OR NEW.joins_repeats AND NEW.idempotency_key = '' AND EXISTS (
        SELECT 1 FROM approvals_toolcall
        WHERE agent_id = NEW.agent_id AND tool_id = NEW.tool_id
        AND arguments_digest = NEW.arguments_digest AND idempotency_key = '' AND joins_repeats
    );
    SELECT RAISE(ABORT, 'guard: a tool call starts pending, or approved by an allow rule')
    WHERE NOT (
        NEW.version = 1 AND NEW.fence = 0 AND NEW.result IS NULL AND NEW.settled_at IS NULL
        AND (
            (NEW.status = 'pending' AND NEW.quorum >= 1)
            OR (
                NEW.status = 'approved' AND NEW.quorum = 0
                -- IS, not =: a rule without an outcome must not make all of this NULL.
                AND json_extract(NEW.rule, '$.outcome') IS 'allow'
            )
        )
    );
    -- A rule with stages asks for as many as they do together, and for the first of them first.
    SELECT RAISE(ABORT, 'guard: a call begins with its first stage')
    WHERE NEW.stage IS NOT (json_extract(NEW.rule, '$.stages') IS NOT NULL)
    OR NEW.asked_group IS NOT COALESCE(json_extract(NEW.rule, '$.stages[0].group'), '')
    OR NEW.escalated_to <> '' OR NEW.reminders <> 0
    OR (
        json_extract(NEW.rule, '$.stages') IS NOT NULL AND NEW.quorum IS NOT (
            SELECT sum(json_extract(asked.value, '$.quorum'))
            FROM json_each(NEW.rule, '$.stages') AS asked
        )
    );
END;

-- guard: tool_call_moves_legally
CREATE TRIGGER tool_call_moves_legally BEFORE UPDATE ON approvals_toolcall
BEGIN
    SELECT RAISE(ABORT, 'guard: what was asked never changes')
    WHERE NEW.id IS NOT OLD.id
    OR NEW.agent_id IS NOT OLD.agent_id
    OR NEW.owner_id IS NOT OLD.owner_id
    OR NEW.acts_for_id IS NOT OLD.acts_for_id
    OR NEW.claimed_acts_for IS NOT OLD.claimed_acts_for
    OR NEW.domain_id IS NOT OLD.domain_id
    OR NEW.upstream_id IS NOT OLD.upstream_id
    OR NEW.upstream_address IS NOT OLD.upstream_address
    OR NEW.credential_ref IS NOT OLD.credential_ref
    OR NEW.tool_id IS NOT OLD.tool_id
    OR NEW.tool_name IS NOT OLD.tool_name
    OR NEW.effect IS NOT OLD.effect
    OR NEW.definition_digest IS NOT OLD.definition_digest
    OR NEW.arguments IS NOT OLD.arguments
    OR NEW.arguments_digest IS NOT OLD.arguments_digest
    OR NEW.sentence IS NOT OLD.sentence
    OR NEW.supersedes_id IS NOT OLD.supersedes_id
    OR NEW.policy_version IS NOT OLD.policy_version
    OR NEW.rule IS NOT OLD.rule
    OR NEW.rule_digest IS NOT OLD.rule_digest
    OR NEW.held_because IS NOT OLD.held_because
    OR NEW.quorum IS NOT OLD.quorum
    OR NEW.four_eyes IS NOT OLD.four_eyes
    OR NEW.binding IS NOT OLD.binding
    OR NEW.decide_by_at IS NOT OLD.decide_by_at
    OR NEW.run_by_at IS NOT OLD.run_by_at
    OR NEW.created_at IS NOT OLD.created_at
    OR NEW.idempotency_key IS NOT OLD.idempotency_key
    OR (NEW.key_id IS NOT OLD.key_id AND NEW.key_id IS NOT NULL)
    OR NEW.rowid IS NOT OLD.rowid;
    -- Also what keeps UPDATE OR REPLACE out: another call may have come to stand in its place.
    SELECT RAISE(ABORT, 'guard: a call that no longer joins repeats stays so')
    WHERE NEW.joins_repeats AND NOT OLD.joins_repeats;
    SELECT RAISE(ABORT, 'guard: the version steps by one')
    WHERE NEW.version NOT IN (OLD.version, OLD.version + 1);
    SELECT RAISE(ABORT, 'guard: a change of state steps the version')
    WHERE NEW.version = OLD.version AND (
        NEW.status IS NOT OLD.status
        OR NEW.moved_at IS NOT OLD.moved_at
        OR NEW.settled_at IS NOT OLD.settled_at
        OR NEW.status_reason IS NOT OLD.status_reason
        OR NEW.failure_kind IS NOT OLD.failure_kind
        OR NEW.result IS NOT OLD.result
        OR NEW.result_digest IS NOT OLD.result_digest
        OR NEW.result_is_cut IS NOT OLD.result_is_cut
        OR NEW.fence IS NOT OLD.fence
        OR NEW.stage IS NOT OLD.stage
        OR NEW.asked_group IS NOT OLD.asked_group
        OR NEW.escalated_to IS NOT OLD.escalated_to
        OR NEW.reminders IS NOT OLD.reminders
        OR NEW.is_out_of_reach IS NOT OLD.is_out_of_reach
    );
    -- A BLOB reads like its text in an arrow, but equals none of the states below.
    SELECT RAISE(ABORT, 'guard: a state is text')
    WHERE typeof(NEW.status) <> 'text';
    SELECT RAISE(ABORT, 'guard: no such arrow')
    WHERE NEW.status <> OLD.status AND (OLD.status || '>' || NEW.status) NOT IN (
        'pending>approved', 'pending>rejected', 'pending>expired', 'pending>cancelled',
        'pending>void', 'approved>claimed', 'approved>expired', 'approved>cancelled',
        'approved>void', 'claimed>approved', 'claimed>dispatched', 'claimed>expired',
        'claimed>cancelled', 'claimed>void', 'dispatched>succeeded', 'dispatched>failed',
        'dispatched>unknown', 'unknown>succeeded', 'unknown>failed'
    );
    SELECT RAISE(ABORT, 'guard: a settled call stays as it is')
    WHERE OLD.status IN ('succeeded', 'failed', 'rejected', 'expired', 'cancelled', 'void')
    AND NEW.version <> OLD.version;
    SELECT RAISE(ABORT, 'guard: only a claim steps the fence, and by one')
    WHERE NEW.fence <> OLD.fence + (OLD.status = 'approved' AND NEW.status = 'claimed');
    -- One person has one decision on these bytes, so these are distinct people over all stages.
    SELECT RAISE(ABORT, 'guard: approval needs the quorum of each stage')
    WHERE OLD.status = 'pending' AND NEW.status = 'approved' AND EXISTS (
        SELECT 1 FROM json_each(OLD.rule, '$.stages') AS asked
        WHERE COALESCE((
            SELECT count(*) FROM approvals_decision
            WHERE call_id = OLD.id AND verdict = 'approve' AND binding = OLD.binding
            AND stage = asked.key + 1
        ) >= json_extract(asked.value, '$.quorum'), 0) = 0
    );
    SELECT RAISE(ABORT, 'guard: rejection needs its deny quorum')
    WHERE OLD.status = 'pending' AND NEW.status = 'rejected' AND (
        SELECT count(*) FROM approvals_decision
        WHERE call_id = OLD.id AND verdict = 'reject' AND binding = OLD.binding
    ) < COALESCE(json_extract(OLD.rule, '$.deny_quorum'), 1);
    SELECT RAISE(ABORT, 'guard: a call escalates to the group its rule names')
    WHERE NEW.escalated_to <> OLD.escalated_to AND (
        OLD.escalated_to <> ''
        OR NEW.escalated_to IS NOT json_extract(OLD.rule, '$.escalate_to')
    );
    SELECT RAISE(ABORT, 'guard: approval needs its quorum')
    WHERE OLD.status = 'pending' AND NEW.status = 'approved' AND (
        SELECT count(*) FROM approvals_decision
        WHERE call_id = OLD.id AND verdict = 'approve' AND binding = OLD.binding
    ) < OLD.quorum;
    SELECT RAISE(ABORT, 'guard: dispatched needs its dispatch')
    WHERE OLD.status = 'claimed' AND NEW.status = 'dispatched' AND NOT EXISTS (
        SELECT 1 FROM approvals_dispatch WHERE call_id = OLD.id AND fence = OLD.fence
    );
END;

-- guard: tool_call_stays
CREATE TRIGGER tool_call_stays BEFORE DELETE ON approvals_toolcall
BEGIN
    SELECT RAISE(ABORT, 'guard: a tool call is never deleted');
END;
