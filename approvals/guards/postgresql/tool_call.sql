-- What must never happen to a tool call, whoever writes. Its twin is the file of the same name for SQLite,
-- which says why. Each guard begins with a line `-- guard: <name>`.

-- guard: tool_call_starts_right
CREATE OR REPLACE FUNCTION tool_call_starts_right() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    IF NOT (
        NEW.version = 1 AND NEW.fence = 0 AND NEW.result IS NULL AND NEW.settled_at IS NULL
        AND (
            (NEW.status = 'pending' AND NEW.quorum >= 1)
            OR (
                NEW.status = 'approved' AND NEW.quorum = 0
                -- Not =: a rule without an outcome must not make all of this NULL.
                AND NEW.rule ->> 'outcome' IS NOT DISTINCT FROM 'allow'
            )
        )
    ) THEN
        RAISE EXCEPTION 'guard: a tool call starts pending, or approved by an allow rule' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.stage IS DISTINCT FROM (NEW.rule -> 'stages' IS NOT NULL)::int
    OR NEW.asked_group IS DISTINCT FROM COALESCE(NEW.rule -> 'stages' -> 0 ->> 'group', '')
    OR NEW.escalated_to <> '' OR NEW.reminders <> 0
    OR (
        NEW.rule -> 'stages' IS NOT NULL AND NEW.quorum IS DISTINCT FROM (
            SELECT sum((asked.body ->> 'quorum')::int)
            FROM jsonb_array_elements(NEW.rule -> 'stages') AS asked(body)
        )
    ) THEN
        RAISE EXCEPTION 'guard: a call begins with its first stage' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$guard$;
CREATE OR REPLACE TRIGGER tool_call_starts_right BEFORE INSERT ON approvals_toolcall
FOR EACH ROW EXECUTE FUNCTION tool_call_starts_right();
ALTER TABLE approvals_toolcall ENABLE ALWAYS TRIGGER tool_call_starts_right;

-- guard: tool_call_moves_legally
CREATE OR REPLACE FUNCTION tool_call_moves_legally() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    IF NEW.id IS DISTINCT FROM OLD.id
    OR NEW.agent_id IS DISTINCT FROM OLD.agent_id
    OR NEW.owner_id IS DISTINCT FROM OLD.owner_id
    OR NEW.acts_for_id IS DISTINCT FROM OLD.acts_for_id
    OR NEW.claimed_acts_for IS DISTINCT FROM OLD.claimed_acts_for
    OR NEW.domain_id IS DISTINCT FROM OLD.domain_id
    OR NEW.upstream_id IS DISTINCT FROM OLD.upstream_id
    OR NEW.upstream_address IS DISTINCT FROM OLD.upstream_address
    OR NEW.credential_ref IS DISTINCT FROM OLD.credential_ref
    OR NEW.tool_id IS DISTINCT FROM OLD.tool_id
    OR NEW.tool_name IS DISTINCT FROM OLD.tool_name
    OR NEW.effect IS DISTINCT FROM OLD.effect
    OR NEW.definition_digest IS DISTINCT FROM OLD.definition_digest
    OR NEW.arguments IS DISTINCT FROM OLD.arguments
    OR NEW.arguments_digest IS DISTINCT FROM OLD.arguments_digest
    OR NEW.sentence IS DISTINCT FROM OLD.sentence
    OR NEW.supersedes_id IS DISTINCT FROM OLD.supersedes_id
    OR NEW.policy_version IS DISTINCT FROM OLD.policy_version
    OR NEW.rule IS DISTINCT FROM OLD.rule
    OR NEW.rule_digest IS DISTINCT FROM OLD.rule_digest
    OR NEW.held_because IS DISTINCT FROM OLD.held_because
    OR NEW.quorum IS DISTINCT FROM OLD.quorum
    OR NEW.four_eyes IS DISTINCT FROM OLD.four_eyes
    OR NEW.binding IS DISTINCT FROM OLD.binding
    OR NEW.decide_by_at IS DISTINCT FROM OLD.decide_by_at
    OR NEW.run_by_at IS DISTINCT FROM OLD.run_by_at
    OR NEW.created_at IS DISTINCT FROM OLD.created_at
    OR NEW.idempotency_key IS DISTINCT FROM OLD.idempotency_key
    OR (NEW.key_id IS DISTINCT FROM OLD.key_id AND NEW.key_id IS NOT NULL) THEN
        RAISE EXCEPTION 'guard: what was asked never changes' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.joins_repeats AND NOT OLD.joins_repeats THEN
        RAISE EXCEPTION 'guard: a call that no longer joins repeats stays so' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.version NOT IN (OLD.version, OLD.version + 1) THEN
        RAISE EXCEPTION 'guard: the version steps by one' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.version = OLD.version AND (
        NEW.status IS DISTINCT FROM OLD.status
        OR NEW.moved_at IS DISTINCT FROM OLD.moved_at
        OR NEW.settled_at IS DISTINCT FROM OLD.settled_at
        OR NEW.status_reason IS DISTINCT FROM OLD.status_reason
        OR NEW.failure_kind IS DISTINCT FROM OLD.failure_kind
        OR NEW.result IS DISTINCT FROM OLD.result
        OR NEW.result_digest IS DISTINCT FROM OLD.result_digest
        OR NEW.result_is_cut IS DISTINCT FROM OLD.result_is_cut
        OR NEW.fence IS DISTINCT FROM OLD.fence
        OR NEW.stage IS DISTINCT FROM OLD.stage
        OR NEW.asked_group IS DISTINCT FROM OLD.asked_group
        OR NEW.escalated_to IS DISTINCT FROM OLD.escalated_to
        OR NEW.reminders IS DISTINCT FROM OLD.reminders
        OR NEW.is_out_of_reach IS DISTINCT FROM OLD.is_out_of_reach
    ) THEN
        RAISE EXCEPTION 'guard: a change of state steps the version' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status || '>' || NEW.status) NOT IN (
        'pending>approved', 'pending>rejected', 'pending>expired', 'pending>cancelled',
        'pending>void', 'approved>claimed', 'approved>expired', 'approved>cancelled',
        'approved>void', 'claimed>approved', 'claimed>dispatched', 'claimed>expired',
        'claimed>cancelled', 'claimed>void', 'dispatched>succeeded', 'dispatched>failed',
        'dispatched>unknown', 'unknown>succeeded', 'unknown>failed'
    ) THEN
        RAISE EXCEPTION 'guard: no such arrow' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status IN ('succeeded', 'failed', 'rejected', 'expired', 'cancelled', 'void')
    AND NEW.version <> OLD.version THEN
        RAISE EXCEPTION 'guard: a settled call stays as it is' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.fence <> OLD.fence + (OLD.status = 'approved' AND NEW.status = 'claimed')::int THEN
        RAISE EXCEPTION 'guard: only a claim steps the fence, and by one' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status = 'pending' AND NEW.status = 'approved' AND EXISTS (
        SELECT 1 FROM jsonb_array_elements(OLD.rule -> 'stages')
            WITH ORDINALITY AS asked(body, number)
        WHERE COALESCE((
            SELECT count(*) FROM approvals_decision
            WHERE call_id = OLD.id AND verdict = 'approve' AND binding = OLD.binding
            AND stage = asked.number
        ) >= (asked.body ->> 'quorum')::int, false) = false
    ) THEN
        RAISE EXCEPTION 'guard: approval needs the quorum of each stage' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status = 'pending' AND NEW.status = 'rejected' AND (
        SELECT count(*) FROM approvals_decision
        WHERE call_id = OLD.id AND verdict = 'reject' AND binding = OLD.binding
    ) < COALESCE((OLD.rule ->> 'deny_quorum')::int, 1) THEN
        RAISE EXCEPTION 'guard: rejection needs its deny quorum' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.escalated_to <> OLD.escalated_to AND (
        OLD.escalated_to <> ''
        OR NEW.escalated_to IS DISTINCT FROM OLD.rule ->> 'escalate_to'
    ) THEN
        RAISE EXCEPTION 'guard: a call escalates to the group its rule names' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status = 'pending' AND NEW.status = 'approved' AND (
        SELECT count(*) FROM approvals_decision
        WHERE call_id = OLD.id AND verdict = 'approve' AND binding = OLD.binding
    ) < OLD.quorum THEN
        RAISE EXCEPTION 'guard: approval needs its quorum' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status = 'claimed' AND NEW.status = 'dispatched' AND NOT EXISTS (
        SELECT 1 FROM approvals_dispatch WHERE call_id = OLD.id AND fence = OLD.fence
    ) THEN
        RAISE EXCEPTION 'guard: dispatched needs its dispatch' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$guard$;
CREATE OR REPLACE TRIGGER tool_call_moves_legally BEFORE UPDATE ON approvals_toolcall
FOR EACH ROW EXECUTE FUNCTION tool_call_moves_legally();
ALTER TABLE approvals_toolcall ENABLE ALWAYS TRIGGER tool_call_moves_legally;

-- guard: tool_call_stays
CREATE OR REPLACE FUNCTION tool_call_stays() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: a tool call is never deleted' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER tool_call_stays BEFORE DELETE ON approvals_toolcall
FOR EACH ROW EXECUTE FUNCTION tool_call_stays();
ALTER TABLE approvals_toolcall ENABLE ALWAYS TRIGGER tool_call_stays;

-- guard: tool_call_is_not_truncated
CREATE OR REPLACE FUNCTION tool_call_is_not_truncated() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: a tool call is never deleted' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER tool_call_is_not_truncated BEFORE TRUNCATE ON approvals_toolcall
FOR EACH STATEMENT EXECUTE FUNCTION tool_call_is_not_truncated();
ALTER TABLE approvals_toolcall ENABLE ALWAYS TRIGGER tool_call_is_not_truncated;
