-- A decision is on a pending call, on exactly its bytes, by somebody who may.

-- guard: decision_fits_its_call
CREATE TRIGGER decision_fits_its_call BEFORE INSERT ON approvals_decision
BEGIN
    SELECT RAISE(ABORT, 'guard: a decision is never replaced')
    WHERE EXISTS (
        SELECT 1 FROM approvals_decision
        WHERE id = NEW.id OR (
            call_id = NEW.call_id AND approver_id = NEW.approver_id AND binding = NEW.binding
        )
    );
    -- The CHECK for four eyes reads these copies, so they must be true copies.
    SELECT RAISE(ABORT, 'guard: a decision copies its pending call')
    WHERE NOT EXISTS (
        SELECT 1 FROM approvals_toolcall
        WHERE id = NEW.call_id AND status = 'pending' AND binding = NEW.binding
        AND owner_id = NEW.owner_id AND acts_for_id = NEW.acts_for_id
        AND four_eyes = NEW.four_eyes
    );
    -- Asked one after the other: in the first stage that still lacks somebody, and 0 without any.
    SELECT RAISE(ABORT, 'guard: a decision is in the stage whose turn it is')
    WHERE NEW.stage IS NOT COALESCE((
        SELECT min(asked.key) + 1
        FROM approvals_toolcall AS call, json_each(call.rule, '$.stages') AS asked
        WHERE call.id = NEW.call_id AND (
            SELECT count(*) FROM approvals_decision
            WHERE call_id = NEW.call_id AND verdict = 'approve' AND binding = NEW.binding
            AND stage = asked.key + 1
        ) < json_extract(asked.value, '$.quorum')
    ), 0);
END;

-- guard: decision_never_changes
CREATE TRIGGER decision_never_changes BEFORE UPDATE ON approvals_decision
BEGIN
    SELECT RAISE(ABORT, 'guard: a decision is never changed');
END;

-- guard: decision_stays
CREATE TRIGGER decision_stays BEFORE DELETE ON approvals_decision
BEGIN
    SELECT RAISE(ABORT, 'guard: a decision is never deleted');
END;
