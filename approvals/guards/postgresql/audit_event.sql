-- What must never happen to an audit event, whoever writes. Its twin is the file of the same name for SQLite,
-- which says why. Each guard begins with a line `-- guard: <name>`.

-- guard: audit_event_follows
CREATE OR REPLACE FUNCTION audit_event_follows() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    IF NEW.seq <> 1 + coalesce(
        (SELECT max(seq) FROM approvals_auditevent WHERE stream = NEW.stream), 0
    ) OR NEW.previous <> coalesce(
        (
            SELECT digest FROM approvals_auditevent
            WHERE stream = NEW.stream AND seq = NEW.seq - 1
        ), ''
    ) THEN
        RAISE EXCEPTION 'guard: an audit event follows the one before' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$guard$;
CREATE OR REPLACE TRIGGER audit_event_follows BEFORE INSERT ON approvals_auditevent
FOR EACH ROW EXECUTE FUNCTION audit_event_follows();
ALTER TABLE approvals_auditevent ENABLE ALWAYS TRIGGER audit_event_follows;

-- guard: audit_event_never_changes
CREATE OR REPLACE FUNCTION audit_event_never_changes() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: an audit event is never changed' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER audit_event_never_changes BEFORE UPDATE ON approvals_auditevent
FOR EACH ROW EXECUTE FUNCTION audit_event_never_changes();
ALTER TABLE approvals_auditevent ENABLE ALWAYS TRIGGER audit_event_never_changes;

-- guard: audit_event_stays
CREATE OR REPLACE FUNCTION audit_event_stays() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: an audit event is never deleted' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER audit_event_stays BEFORE DELETE ON approvals_auditevent
FOR EACH ROW EXECUTE FUNCTION audit_event_stays();
ALTER TABLE approvals_auditevent ENABLE ALWAYS TRIGGER audit_event_stays;

-- guard: audit_event_is_not_truncated
CREATE OR REPLACE FUNCTION audit_event_is_not_truncated() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: an audit event is never deleted' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER audit_event_is_not_truncated BEFORE TRUNCATE ON approvals_auditevent
FOR EACH STATEMENT EXECUTE FUNCTION audit_event_is_not_truncated();
ALTER TABLE approvals_auditevent ENABLE ALWAYS TRIGGER audit_event_is_not_truncated;
