-- The trail is insert-only, and each event follows the one before.

-- guard: audit_event_follows
CREATE TRIGGER audit_event_follows BEFORE INSERT ON approvals_auditevent
BEGIN
    -- Also what keeps INSERT OR REPLACE out: it would delete without asking the DELETE guard.
    SELECT RAISE(ABORT, 'guard: an audit event follows the one before')
    WHERE NEW.seq <> 1 + coalesce(
        (SELECT max(seq) FROM approvals_auditevent WHERE stream = NEW.stream), 0
    ) OR NEW.previous <> coalesce(
        (
            SELECT digest FROM approvals_auditevent
            WHERE stream = NEW.stream AND seq = NEW.seq - 1
        ), ''
    ) OR EXISTS (SELECT 1 FROM approvals_auditevent WHERE id = NEW.id);
END;

-- guard: audit_event_never_changes
CREATE TRIGGER audit_event_never_changes BEFORE UPDATE ON approvals_auditevent
BEGIN
    SELECT RAISE(ABORT, 'guard: an audit event is never changed');
END;

-- guard: audit_event_stays
CREATE TRIGGER audit_event_stays BEFORE DELETE ON approvals_auditevent
BEGIN
    SELECT RAISE(ABORT, 'guard: an audit event is never deleted');
END;
